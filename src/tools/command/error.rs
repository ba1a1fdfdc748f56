//! What can be wrong with a program before it is called.

/// Why a program cannot answer calls. Each text is one line for whoever described it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProgramError {
    /// There is no first element, or it is empty.
    #[error("`argv` names no program")]
    NoProgram,
    /// The first element depends on the arguments.
    #[error("`argv[0]`, the program, is fixed and cannot have a placeholder: {program}")]
    ProgramVaries {
        /// The element.
        program: String,
    },
    /// A text cannot be taken apart.
    #[error("`{place}` has {problem}")]
    BadTemplate {
        /// Where it is, such as `argv[1]`.
        place: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A placeholder is for an argument that there is not.
    #[error(
        "`{place}` has the placeholder `{{{placeholder}}}`, and `parameters` no property of that name"
    )]
    NoParameter {
        /// Where it is.
        place: String,
        /// Its name.
        placeholder: String,
    },
    /// A variable of the environment has a name or a value that cannot be.
    #[error("`env` has a variable that cannot be: `{name}`")]
    BadVariable {
        /// Its name.
        name: String,
    },
}
