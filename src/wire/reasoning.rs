//! `reasoning_details`: the blocks of a model's reasoning that a gateway sends along, and wants back
//! as they were before it cut them into pieces for the stream.

use std::borrow::Cow;

use super::json::{Array, Object, Unread, read};
use super::shape::Shape;

/// The field they come in.
pub(super) const FIELD: &str = "reasoning_details";

/// Kinds of blocks that come in pieces, and the field that each piece continues. All other blocks
/// come whole.
const IN_PIECES: [(&str, &str); 2] =
    [("\"reasoning.text\"", "text"), ("\"reasoning.summary\"", "summary")];

/// The blocks that these `items`, JSON values with commas between them, are pieces of. `None` if they
/// are whole already, or no blocks.
///
/// A piece goes on with the block before it if both have the same kind and index. A signature comes
/// in a piece of its own, at the end of its block.
pub(super) fn joined(items: &str) -> Option<String> {
    let list = format!("[{items}]");
    let Blocks(pieces) = read(&list).ok()?;
    let count = pieces.len();
    let mut blocks: Vec<Block<'_>> = Vec::new();
    for piece in pieces {
        match blocks.last_mut().filter(|block| block.goes_on_with(&piece)) {
            Some(block) => block.add(piece),
            None => blocks.push(piece),
        }
    }
    (blocks.len() < count).then(|| {
        let blocks: Vec<String> = blocks.iter().map(Block::write).collect();
        blocks.join(",")
    })
}

/// One block or piece of one: its fields in order, their values as they came.
#[derive(Default)]
struct Block<'de> {
    fields: Vec<(Cow<'de, str>, Cow<'de, str>)>,
    /// It is no object, but this.
    other: Option<&'de str>,
}

#[derive(Default)]
struct Blocks<'de>(Vec<Block<'de>>);

impl<'de> Shape<'de> for Blocks<'de> {
    fn items(mut items: Array<'_, 'de>) -> Result<Self, Unread> {
        let mut blocks = Vec::new();
        while let Some(raw) = items.skip()? {
            blocks.push(match raw.starts_with('{') {
                true => read::<Block<'de>>(raw)?,
                false => Block { other: Some(raw), ..Block::default() },
            });
        }
        Ok(Self(blocks))
    }
}

impl<'de> Shape<'de> for Block<'de> {
    fn fields(mut fields: Object<'_, 'de>) -> Result<Self, Unread> {
        let mut block = Block::default();
        while let Some(name) = fields.name()? {
            block.fields.push((name, Cow::Borrowed(fields.skip()?)));
        }
        Ok(block)
    }
}

impl<'de> Block<'de> {
    fn get(&self, name: &str) -> Option<&str> {
        let field = self.fields.iter().find(|(known, _)| known == name);
        field.map(|(_, raw)| &**raw).filter(|raw| *raw != "null")
    }

    /// The field that a piece of this kind continues.
    fn continued(&self) -> Option<&'static str> {
        let kind = self.get("type")?;
        IN_PIECES.iter().find(|(known, _)| *known == kind).map(|(_, field)| *field)
    }

    fn goes_on_with(&self, piece: &Self) -> bool {
        let is_signed = self.get("signature").is_some();
        self.continued().is_some()
            && self.get("type") == piece.get("type")
            && self.get("index") == piece.get("index")
            && !(is_signed && piece.continued().is_some_and(|field| piece.get(field).is_some()))
    }

    /// Takes in the next piece. Of a field that it does not continue the first value stays.
    fn add(&mut self, piece: Self) {
        let continued = self.continued();
        for (name, raw) in piece.fields {
            let Some((_, own)) = self.fields.iter_mut().find(|(known, _)| *known == name) else {
                self.fields.push((name, raw));
                continue;
            };
            if own == "null" {
                *own = raw;
            } else if continued == Some(&*name)
                && own.ends_with('"')
                && let Some(more) = raw.strip_prefix('"')
            {
                // The texts of two JSON strings, put together, are that of both.
                let text = own.to_mut();
                text.pop();
                text.push_str(more);
            }
        }
    }

    fn write(&self) -> String {
        if let Some(other) = self.other {
            return other.to_owned();
        }
        let field = |(name, raw): &(Cow<'_, str>, Cow<'_, str>)| {
            let mut out = Vec::new();
            super::chat::write_string(&mut out, name);
            format!("{}:{raw}", String::from_utf8_lossy(&out))
        };
        let fields: Vec<String> = self.fields.iter().map(field).collect();
        format!("{{{}}}", fields.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(items: &str, expected: Option<&str>) {
        assert_eq!(joined(items).as_deref(), expected, "{items}");
    }

    #[test]
    fn pieces_of_a_text_become_one_block_with_its_signature() {
        check(
            concat!(
                r#"{"type":"reasoning.text","text":"The \"u","format":"x","index":0},"#,
                r#"{"type":"reasoning.text","text":"ser\"","format":"x","index":0},"#,
                r#"{"type":"reasoning.text","signature":"s","format":"x","index":0}"#
            ),
            Some(
                r#"{"type":"reasoning.text","text":"The \"user\"","format":"x","index":0,"signature":"s"}"#,
            ),
        );
    }

    #[test]
    fn another_index_or_kind_is_another_block_and_a_signature_ends_one() {
        check(
            concat!(
                r#"{"type":"reasoning.text","text":"a","index":0},"#,
                r#"{"type":"reasoning.text","text":"b","index":1}"#
            ),
            None,
        );
        check(
            concat!(
                r#"{"type":"reasoning.text","text":"a","signature":"s","index":0},"#,
                r#"{"type":"reasoning.text","text":"b","signature":"t","index":0}"#
            ),
            None,
        );
        check(
            concat!(
                r#"{"type":"reasoning.summary","summary":"a","index":0},"#,
                r#"{"type":"reasoning.summary","summary":"b","index":0},"#,
                r#"{"type":"reasoning.encrypted","data":"x","index":0},"#,
                r#"{"type":"reasoning.encrypted","data":"y","index":0}"#
            ),
            Some(concat!(
                r#"{"type":"reasoning.summary","summary":"ab","index":0},"#,
                r#"{"type":"reasoning.encrypted","data":"x","index":0},"#,
                r#"{"type":"reasoning.encrypted","data":"y","index":0}"#
            )),
        );
    }

    #[test]
    fn what_is_no_block_stays_as_it_is() {
        check(r#"{"text":"a"},{"text":"b"}"#, None);
        check(r#"1,"a",null"#, None);
        check("", None);
    }
}
