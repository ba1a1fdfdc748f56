//! Texts with places for arguments: `{name}` stands for the argument `name`, `{{` and `}}` for braces.

/// A text with places for arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Places(Vec<Piece>);

/// A piece of such a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    /// The value of the argument of this name.
    Argument(String),
}

/// A brace that is neither a place nor written twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Misplaced {
    /// A `}` stands alone.
    Close,
    /// A `{` has no `}`.
    Open,
    /// There is no name between them.
    NoName,
}

impl Places {
    /// Takes `text` apart.
    pub fn read(text: &str) -> Result<Self, Misplaced> {
        let (mut pieces, mut plain, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find(['{', '}']) {
            plain.push_str(&rest[..at]);
            let (brace, behind) = rest[at..].split_at(1);
            if let Some(behind) = behind.strip_prefix(brace) {
                plain.push_str(brace);
                rest = behind;
                continue;
            }
            if brace == "}" {
                return Err(Misplaced::Close);
            }
            let (name, behind) = behind.split_once('}').ok_or(Misplaced::Open)?;
            if name.is_empty() || name.contains('{') {
                return Err(Misplaced::NoName);
            }
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            pieces.push(Piece::Argument(name.to_owned()));
            rest = behind;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Self(pieces))
    }

    pub fn pieces(&self) -> &[Piece] {
        &self.0
    }

    /// The pieces, to make something else of.
    pub fn into_pieces(self) -> Vec<Piece> {
        self.0
    }

    /// The names of the arguments in it.
    pub fn arguments(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Text(_) => None,
            Piece::Argument(name) => Some(&**name),
        })
    }

    /// The name of the argument that is all of it.
    pub fn lone_argument(&self) -> Option<&str> {
        match &*self.0 {
            [Piece::Argument(name)] => Some(name),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let Places(pieces) = Places::read(text).unwrap();
        let shown = |piece: &Piece| match piece {
            Piece::Text(text) => format!("[{text}]"),
            Piece::Argument(name) => format!("<{name}>"),
        };
        pieces.iter().map(shown).collect()
    }

    #[test]
    fn a_text_is_taken_apart_at_its_placeholders() {
        for (text, pieces) in [
            ("", ""),
            ("plain", "[plain]"),
            ("{a}", "<a>"),
            ("--file={a}.txt", "[--file=]<a>[.txt]"),
            ("{a}{b}", "<a><b>"),
            ("{{a}}", "[{a}]"),
            ("{{{a}}}", "[{]<a>[}]"),
            ("{\"x\"}", "<\"x\">"),
            ("ä{ö}ü", "[ä]<ö>[ü]"),
        ] {
            assert_eq!(shown(text), pieces, "{text}");
        }
    }

    #[test]
    fn a_brace_of_its_own_is_no_placeholder() {
        for text in ["{", "}", "{a", "a}", "{a}}", "{{a}", "{}", "{{{}}}", "{a{b}}"] {
            assert!(Places::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_placeholder_is_alone_only_without_any_text() {
        let lone = |text: &str| Places::read(text).unwrap().lone_argument().map(str::to_owned);
        assert_eq!(lone("{a}").as_deref(), Some("a"));
        for text in ["", "x", "{a}x", "{a}{b}"] {
            assert_eq!(lone(text), None, "{text}");
        }
    }
}
