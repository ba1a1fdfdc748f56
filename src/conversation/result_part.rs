//! A part of a result that is too large for the model.

/// A part of a large result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultPart {
    /// Where it begins, in bytes.
    pub offset: u64,
    /// The text.
    pub text: String,
    /// How many bytes the whole result has.
    pub total_bytes: u64,
}

impl ResultPart {
    /// At most `max_bytes` of `result` from byte `offset` on, both moved back to where a character
    /// begins. At least one character, unless the end is reached: whoever reads on comes to the end.
    #[must_use]
    pub fn of(result: &str, offset: u64, max_bytes: usize) -> Self {
        let all = result.len();
        let begin = usize::try_from(offset).map_or(all, |offset| offset.min(all));
        let begin = result.floor_char_boundary(begin);
        let end = result.floor_char_boundary(begin.saturating_add(max_bytes).min(all));
        let first = result[begin..].chars().next().map_or(0, char::len_utf8);
        let end = end.max(begin + first);
        let bytes = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
        Self { offset: bytes(begin), text: result[begin..end].to_owned(), total_bytes: bytes(all) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_begin_and_end_between_characters() {
        let part = |offset, max_bytes| {
            let part = ResultPart::of("zwölf", offset, max_bytes);
            (part.offset, part.text)
        };
        assert_eq!(part(0, 3), (0, "zw".to_owned()));
        assert_eq!(part(3, 3), (2, "öl".to_owned()));
        assert_eq!(part(2, 1), (2, "ö".to_owned()), "or nobody would get on");
        assert_eq!(part(6, 100), (6, String::new()));
        assert_eq!(part(u64::MAX, usize::MAX), (6, String::new()));
        assert_eq!(ResultPart::of("zwölf", 0, 1).total_bytes, 6);
    }
}
