//! JSON text laid out for people, with every value as it is written: no number loses a digit, and no
//! field its place.

/// `json`, valid, with each member and element on a line of its own.
pub fn pretty(json: &str) -> String {
    let (mut out, mut depth) = (String::new(), 0);
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    };
    for token in Tokens(json) {
        match token {
            "{" | "[" => {
                out.push_str(token);
                depth += 1;
                line(&mut out, depth);
            }
            "}" | "]" => {
                depth = depth.saturating_sub(1);
                let is_empty = out.trim_end().ends_with(['{', '[']);
                match is_empty {
                    true => out.truncate(out.trim_end().len()),
                    false => line(&mut out, depth),
                }
                out.push_str(token);
            }
            "," => {
                out.push(',');
                line(&mut out, depth);
            }
            ":" => out.push_str(": "),
            value => out.push_str(value),
        }
    }
    out
}

/// `json`, valid, on one line.
pub fn on_one_line(json: &str) -> String {
    let spaced = |token| match token {
        "," => ", ",
        ":" => ": ",
        token => token,
    };
    Tokens(json).map(spaced).collect()
}

/// The tokens of a JSON text, without what is between them.
struct Tokens<'a>(&'a str);

impl<'a> Iterator for Tokens<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let rest = self.0.trim_start();
        let length = match rest.bytes().next()? {
            b'{' | b'}' | b'[' | b']' | b',' | b':' => 1,
            b'"' => {
                let mut escaped = false;
                let end = rest.bytes().skip(1).position(|byte| match byte {
                    b'"' if !escaped => true,
                    byte => {
                        escaped = byte == b'\\' && !escaped;
                        false
                    }
                });
                end.map_or(rest.len(), |end| end + 2)
            }
            _ => {
                let ends = |c: char| c.is_whitespace() || "{}[],:\"".contains(c);
                rest.find(ends).unwrap_or(rest.len()).max(1)
            }
        };
        let (token, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{ "b":[1, 12345678901234567890.10 ,{}],"a" : "x\\\" {, ü","e":[ ] }"#;

    #[test]
    fn each_member_has_its_line_and_each_value_is_as_it_was() {
        let expected = r#"{
  "b": [
    1,
    12345678901234567890.10,
    {}
  ],
  "a": "x\\\" {, ü",
  "e": []
}"#;
        assert_eq!(pretty(TEXT), expected);
        assert_eq!((pretty("{}"), pretty("[[]]")), ("{}".into(), "[\n  []\n]".into()));
    }

    #[test]
    fn on_one_line_it_is_the_same() {
        let expected = r#"{"b": [1, 12345678901234567890.10, {}], "a": "x\\\" {, ü", "e": []}"#;
        assert_eq!(on_one_line(TEXT), expected);
        assert_eq!(on_one_line(&pretty(TEXT)), expected);
    }

    #[test]
    fn what_is_no_json_is_gone_through_all_the_same() {
        for text in ["", "\"open", "{", "}}", "a\u{1b}b", "ü"] {
            let _ = (pretty(text), on_one_line(text));
        }
    }
}
