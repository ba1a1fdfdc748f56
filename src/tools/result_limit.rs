//! How much of a result the model is told.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters_and_says_so() {
        assert_eq!(cut("short".into(), 5), "short");
        assert_eq!(cut("longer".into(), 5), "longe\n[cut: 1 of 6 bytes are left out here]");
        assert_eq!(cut("zwölf".into(), 3), "zw\n[cut: 4 of 6 bytes are left out here]");
        assert_eq!(cut("ö".into(), 0), "\n[cut: 2 of 2 bytes are left out here]");
    }

    #[test]
    fn what_is_cut_is_given_back() {
        assert!(cut("x".repeat(50_000_000), 1000).capacity() < 2000);
    }
}
