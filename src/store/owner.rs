//! Who has a session open.

use std::fmt;
use std::sync::Arc;

/// The process that has a session open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The name of its host.
    pub host: Arc<str>,
    /// Its number there.
    pub pid: u32,
    /// It is this process. Its number alone does not say so: in containers there are many of one.
    pub is_here: bool,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} on `{}`", self.pid, self.host)
    }
}

/// On what terms a session is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Only if nobody has it: it was closed, or its owner is dead.
    #[default]
    IfFree,
    /// Also from a living owner, who is fenced from now on.
    TakeOver,
    /// The owner of this epoch opens it anew, if nobody has taken it over since.
    Renew {
        /// What the owner was given when it opened the session.
        epoch: u64,
    },
}
