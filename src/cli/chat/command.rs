//! What a line of a conversation means.

/// A line, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Nothing but blanks.
    Nothing,
    Question(String),
    /// Lists the tools.
    Tools,
    /// Draws the rounds of the last turn.
    Timing,
    /// Goes on with a turn that was cut, else asks the last question again.
    Retry,
    Help,
    Quit,
    /// A command that is none.
    Unknown(String),
}

/// What `/help` says.
pub const HELP: &str = "\
/tools   lists the tools the model may call
/timing  draws where the time of the last turn went
/retry   goes on with a turn that was cut, or asks the last question again
/quit    leaves, as Ctrl-D does
/help    says this
Ctrl-C cancels the turn; a second one within two seconds leaves. All else is a question.";

impl Meaning {
    /// A line that begins with a slash and a word is a command; `/etc/hosts` is not.
    pub fn of(line: &str) -> Self {
        let line = line.trim();
        let Some(word) = line.strip_prefix('/').filter(|word| is_word(word)) else {
            return match line {
                "" => Self::Nothing,
                question => Self::Question(question.to_owned()),
            };
        };
        match word {
            "tools" => Self::Tools,
            "timing" => Self::Timing,
            "retry" => Self::Retry,
            "help" => Self::Help,
            "quit" | "exit" => Self::Quit,
            _ => Self::Unknown(line.to_owned()),
        }
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|letter| letter.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slash_and_a_word_are_a_command_and_all_else_is_a_question() {
        let check =
            |line: &str, meaning: Meaning| assert_eq!(Meaning::of(line), meaning, "{line:?}");
        check("  \t", Meaning::Nothing);
        check(" /tools ", Meaning::Tools);
        check("/timing", Meaning::Timing);
        check("/retry", Meaning::Retry);
        check("/help", Meaning::Help);
        check("/quit", Meaning::Quit);
        check("/tols", Meaning::Unknown("/tols".into()));
        for question in ["hello", "/", "/etc/hosts", "what does /tools do?", "/tools please"] {
            check(question, Meaning::Question(question.into()));
        }
        for command in HELP.lines().filter_map(|line| line.split_whitespace().next()) {
            assert!(!matches!(Meaning::of(command), Meaning::Unknown(_)), "{command}");
        }
    }
}
