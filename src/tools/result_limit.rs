//! How much of a result the model is told, and what of it nobody is.

use super::Secrets;
use super::guard::MAX_PANIC;

/// How many bytes of what a tool says are taken over, and what is taken out of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct ResultLimit<'a> {
    /// Of its result.
    pub result: usize,
    /// Of the message of its failure.
    pub error: usize,
    pub secrets: &'a Secrets,
}

impl ResultLimit<'_> {
    /// What is taken over of a result. A secret is taken out before the rest is cut: nothing shows a
    /// part of it.
    pub fn result(&self, text: String) -> String {
        cut(self.secrets.redacted(text), self.result)
    }

    /// What is taken over of the text of a panic.
    pub fn panic(&self, text: String) -> String {
        cut(self.secrets.redacted(text), self.error.min(MAX_PANIC))
    }

    /// What is taken over of the message of a failure.
    pub fn error(&self, text: String) -> String {
        cut(self.secrets.redacted(text), self.error)
    }
}

/// The first `max_bytes` of `text` or a little less, and a mark that says how much was cut.
pub(super) fn cut(mut text: String, max_bytes: usize) -> String {
    let all = text.len();
    if all <= max_bytes {
        return text;
    }
    text.truncate(text.floor_char_boundary(max_bytes));
    let left_out = all - text.len();
    text.push_str(&format!("\n[cut: {left_out} of {all} bytes are left out here]"));
    text.shrink_to_fit();
    text
}

/// The same of a `text` that has more, and that should have been kept.
pub(super) fn cut_and_lost(text: &str, max_bytes: usize) -> String {
    let (told, all) = (text.floor_char_boundary(max_bytes), text.len());
    let left_out = all - told;
    let told = &text[..told];
    format!(
        "{told}\n[cut: {left_out} of {all} bytes are left out here; they could not be kept and are lost]"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters_and_says_so() {
        assert_eq!(cut("short".into(), 5), "short");
        assert_eq!(cut("longer".into(), 5), "longe\n[cut: 1 of 6 bytes are left out here]");
        assert_eq!(cut("zwölf".into(), 3), "zw\n[cut: 4 of 6 bytes are left out here]");
        assert_eq!(cut("ö".into(), 0), "\n[cut: 2 of 2 bytes are left out here]");
        let lost = "zw\n[cut: 4 of 6 bytes are left out here; they could not be kept and are lost]";
        assert_eq!(cut_and_lost("zwölf", 3), lost);
    }

    #[test]
    fn what_is_cut_is_given_back() {
        assert!(cut("x".repeat(50_000_000), 1000).capacity() < 2000);
    }
}
