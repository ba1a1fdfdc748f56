//! Finds the brace that closes a JSON object while its text is still arriving.

use memchr::memchr2;

/// Follows one top-level JSON object through pieces of text, in constant time per byte and without looking back.
///
/// It knows strings and nesting, not grammar: a closed object may still be invalid JSON.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Closing {
    depth: usize,
    in_string: bool,
    escaped: bool,
    occupied: bool,
}

impl Closing {
    /// Takes in the next piece. Gives the offset in `piece` just behind the brace or bracket that closes the value.
    /// Nothing is read beyond it.
    pub fn feed(&mut self, piece: &[u8]) -> Option<usize> {
        let mut at = 0;
        while at < piece.len() {
            if self.escaped {
                self.escaped = false;
                at += 1;
            } else if self.in_string {
                at += memchr2(b'"', b'\\', &piece[at..])?;
                self.in_string = piece[at] == b'\\';
                self.escaped = self.in_string;
                at += 1;
            } else {
                let byte = piece[at];
                at += 1;
                match byte {
                    b'}' | b']' if self.depth <= 1 => {
                        self.depth = 0;
                        return Some(at);
                    }
                    b'}' | b']' => self.depth -= 1,
                    b'{' | b'[' => {
                        self.occupied |= self.depth > 0;
                        self.depth += 1;
                    }
                    b' ' | b'\t' | b'\r' | b'\n' => {}
                    _ => {
                        self.occupied = true;
                        self.in_string = byte == b'"';
                    }
                }
            }
        }
        None
    }

    /// True when there is anything but blanks between the braces seen so far.
    pub fn occupied(&self) -> bool {
        self.occupied
    }
}

/// The offset just behind the first complete object or array of `text`, if it holds one.
pub(super) fn end_of_value(text: &str) -> Option<usize> {
    Closing::default().feed(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_brace_is_found_wherever_the_text_is_cut() {
        let text = r#" {"a":"}\"{","b":[{"c":"\\"}]} tail"#;
        let end = text.find(" tail").unwrap();
        assert_eq!(end_of_value(text), Some(end));
        for cut in 0..text.len() {
            let mut closing = Closing::default();
            let (left, right) = text.as_bytes().split_at(cut);
            let found = closing.feed(left).or_else(|| closing.feed(right).map(|at| cut + at));
            assert_eq!(found, Some(end), "cut at {cut}");
        }
    }

    #[test]
    fn what_is_open_does_not_close() {
        for text in ["", "{", r#"{"a":"}"#, r#"{"a":"\"}"#, r#"{"a":{}"#, "1", r#""{}""#] {
            assert_eq!(end_of_value(text), None, "{text}");
        }
    }

    #[test]
    fn an_empty_object_is_told_from_an_occupied_one() {
        for (text, occupied) in
            [("{}", false), ("{ \n}", false), (r#"{"":0}"#, true), ("{[]}", true)]
        {
            let mut closing = Closing::default();
            assert_eq!(closing.feed(text.as_bytes()), Some(text.len()));
            assert_eq!(closing.occupied(), occupied, "{text}");
        }
    }
}
