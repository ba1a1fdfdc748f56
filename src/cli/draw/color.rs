//! Whether to color, and how.

/// Says whether output is colored, given `NO_COLOR`, `CLICOLOR_FORCE` and whether it goes to a terminal.
///
/// A variable that is set but empty counts as not set (<https://no-color.org>).
pub fn use_color(no_color: Option<&str>, clicolor_force: Option<&str>, is_terminal: bool) -> bool {
    let is_set = |variable: Option<&str>| variable.is_some_and(|value| !value.is_empty());
    if is_set(no_color) {
        return false;
    }
    is_terminal || (is_set(clicolor_force) && clicolor_force != Some("0"))
}

/// How a piece of text stands out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Style {
    #[default]
    Plain,
    Bold,
    Dim,
    Good,
    Bad,
    Odd,
    Model,
}

impl Style {
    /// Wraps `text` in the style's codes if `color` is on.
    pub(super) fn paint(self, text: &str, color: bool) -> String {
        let code = match self {
            Style::Plain => return text.to_owned(),
            Style::Bold => "1",
            Style::Dim => "2",
            Style::Good => "32",
            Style::Bad => "31",
            Style::Odd => "33",
            Style::Model => "36",
        };
        if color && !text.is_empty() {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_color_wins_over_force_and_force_over_a_pipe() {
        assert!(use_color(None, None, true));
        assert!(!use_color(None, None, false));
        assert!(!use_color(Some("1"), Some("1"), true));
        assert!(use_color(Some(""), None, true));
        assert!(use_color(None, Some("1"), false));
        assert!(!use_color(None, Some("0"), false));
    }
}
