//! Reads JSON in one pass over its text: a cursor that hands out what is wanted and passes over the
//! rest. What is wanted is asked for by a [`Shape`].
//!
//! As strict as `serde_json`, and without its visitors: most of a reply is passed over.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::shape::{Number, Shape};

/// How deep values that are read may be nested, as in `serde_json`.
const MAX_DEPTH: u32 = 128;

/// The text is no JSON. [`explain`] says why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unread;

/// Reads all of `text` as one value.
pub(crate) fn read<'de, T: Shape<'de>>(text: &'de str) -> Result<T, Unread> {
    let mut reader = Reader::new(text);
    let value = reader.value()?;
    reader.end()?;
    Ok(value)
}

/// What is wrong with the first value of `text`, in words, with line and column.
pub(crate) fn explain(text: &str) -> String {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<serde_json::Value>();
    match values.next() {
        Some(Err(error)) => error.to_string(),
        Some(Ok(_)) => "something follows the value".to_owned(),
        None => "there is no value".to_owned(),
    }
}

/// A place in a JSON text.
#[derive(Debug)]
pub(crate) struct Reader<'de> {
    text: &'de str,
    at: usize,
    depth: u32,
}

impl<'de> Reader<'de> {
    pub fn new(text: &'de str) -> Self {
        Self { text, at: 0, depth: 0 }
    }

    /// How much has been read, in bytes.
    pub fn offset(&self) -> usize {
        self.at
    }

    /// Reads one value.
    pub fn value<T: Shape<'de>>(&mut self) -> Result<T, Unread> {
        match self.peek()? {
            b'"' => Ok(T::text(self.string()?)),
            b'{' => {
                let value = T::fields(self.object()?)?;
                self.depth -= 1;
                Ok(value)
            }
            b'[' => {
                self.enter()?;
                let value = T::items(Array { reader: self, first: true })?;
                self.depth -= 1;
                Ok(value)
            }
            b'-' | b'0'..=b'9' => Ok(T::number(self.number()?)),
            first => {
                self.literal()?;
                Ok(if first == b'n' { T::default() } else { T::flag(first == b't') })
            }
        }
    }

    /// Begins to read an object; nothing but an object will do.
    pub fn object(&mut self) -> Result<Object<'_, 'de>, Unread> {
        if self.peek()? != b'{' {
            return Err(Unread);
        }
        self.enter()?;
        Ok(Object { reader: self, first: true })
    }

    /// Passes over one value and gives its text.
    pub fn skip(&mut self) -> Result<&'de str, Unread> {
        self.blanks();
        let from = self.at;
        let mut nesting = Nesting::default();
        loop {
            // A value begins here.
            match self.peek()? {
                opening @ (b'{' | b'[') => {
                    let is_object = opening == b'{';
                    nesting.enter(is_object);
                    self.at += 1;
                    if self.peek()? != if is_object { b'}' } else { b']' } {
                        if is_object {
                            self.skip_name()?;
                        }
                        continue;
                    }
                    self.at += 1;
                    nesting.leave();
                }
                b'"' => self.skip_string()?,
                b'-' | b'0'..=b'9' => drop(self.digits()?),
                _ => self.literal()?,
            }
            // A value ended here.
            loop {
                let Some(in_object) = nesting.innermost() else {
                    return Ok(&self.text[from..self.at]);
                };
                match self.peek()? {
                    b',' => {
                        self.at += 1;
                        if in_object {
                            self.skip_name()?;
                        }
                        break;
                    }
                    b'}' if in_object => {}
                    b']' if !in_object => {}
                    _ => return Err(Unread),
                }
                self.at += 1;
                nesting.leave();
            }
        }
    }

    /// Nothing but blanks may follow.
    pub fn end(&mut self) -> Result<(), Unread> {
        self.blanks();
        if self.at == self.text.len() { Ok(()) } else { Err(Unread) }
    }

    fn bytes(&self) -> &'de [u8] {
        self.text.as_bytes()
    }

    fn blanks(&mut self) {
        let bytes = self.bytes();
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = bytes.get(self.at) {
            self.at += 1;
        }
    }

    /// The next byte that is not blank.
    fn peek(&mut self) -> Result<u8, Unread> {
        self.blanks();
        self.bytes().get(self.at).copied().ok_or(Unread)
    }

    fn expect(&mut self, byte: u8) -> Result<(), Unread> {
        if self.peek()? != byte {
            return Err(Unread);
        }
        self.at += 1;
        Ok(())
    }

    fn enter(&mut self) -> Result<(), Unread> {
        self.at += 1;
        self.depth += 1;
        if self.depth == MAX_DEPTH { Err(Unread) } else { Ok(()) }
    }

    /// Passes over what stands before the next part of an object or array, and says whether there
    /// is one, or `closing` in its place.
    fn more(&mut self, first: bool, closing: u8) -> Result<bool, Unread> {
        match self.peek()? {
            byte if byte == closing => {
                self.at += 1;
                Ok(false)
            }
            b',' if !first => {
                self.at += 1;
                Ok(true)
            }
            _ if first => Ok(true),
            _ => Err(Unread),
        }
    }

    fn literal(&mut self) -> Result<(), Unread> {
        let rest = &self.bytes()[self.at..];
        let word =
            [&b"null"[..], b"true", b"false"].into_iter().find(|word| rest.starts_with(word));
        self.at += word.ok_or(Unread)?.len();
        Ok(())
    }

    /// Passes over a number and says whether it is a whole one.
    fn digits(&mut self) -> Result<bool, Unread> {
        let bytes = self.bytes();
        let run = |at: &mut usize| {
            let from = *at;
            while bytes.get(*at).is_some_and(u8::is_ascii_digit) {
                *at += 1;
            }
            if *at > from { Ok(()) } else { Err(Unread) }
        };
        let at = &mut self.at;
        *at += usize::from(bytes[*at] == b'-');
        match bytes.get(*at) {
            Some(b'0') => *at += 1, // Nothing may follow it but a fraction.
            _ => run(at)?,
        }
        let mut whole = true;
        if bytes.get(*at) == Some(&b'.') {
            whole = false;
            *at += 1;
            run(at)?;
        }
        if let Some(b'e' | b'E') = bytes.get(*at) {
            whole = false;
            *at += 1;
            *at += usize::from(matches!(bytes.get(*at), Some(b'+' | b'-')));
            run(at)?;
        }
        match bytes.get(*at) {
            Some(b'0'..=b'9') => Err(Unread), // A number does not begin with 0.
            _ => Ok(whole),
        }
    }

    fn number(&mut self) -> Result<Number, Unread> {
        let from = self.at;
        let whole = self.digits()?;
        let text = &self.text[from..self.at];
        let exact = match text.as_bytes()[0] {
            _ if !whole => None,
            b'-' if text == "-0" => None,
            b'-' => text.parse().ok().map(Number::Signed),
            _ => text.parse().ok().map(Number::Unsigned),
        };
        let inexact = || text.parse().ok().filter(|number: &f64| number.is_finite());
        exact.or_else(|| inexact().map(Number::Float)).ok_or(Unread)
    }

    /// The end of the part of a string that begins at `from` and has neither quote nor escape.
    fn plain(&self, from: usize) -> Result<usize, Unread> {
        let rest = &self.bytes()[from..];
        let length = plain_length(rest);
        match rest.get(length) {
            Some(b'"' | b'\\') => Ok(from + length),
            _ => Err(Unread),
        }
    }

    fn string(&mut self) -> Result<Cow<'de, str>, Unread> {
        let from = self.at + 1;
        let end = self.plain(from)?;
        let plain = &self.text[from..end];
        self.at = end + 1;
        if self.bytes()[end] == b'"' {
            return Ok(Cow::Borrowed(plain));
        }
        let mut text = Vec::with_capacity(2 * plain.len() + 64); // Arguments mostly fit.
        text.extend_from_slice(plain.as_bytes());
        self.escape(&mut text)?;
        loop {
            // What has escapes has many: the next one is mostly near.
            match *self.bytes().get(self.at).ok_or(Unread)? {
                b'"' => break,
                b'\\' => {
                    self.at += 1;
                    self.escape(&mut text)?;
                }
                ..0x20 => return Err(Unread),
                byte => {
                    text.push(byte);
                    self.at += 1;
                }
            }
        }
        self.at += 1;
        String::from_utf8(text).map(Cow::Owned).map_err(|_| Unread)
    }

    /// Appends what stands behind a backslash.
    fn escape(&mut self, text: &mut Vec<u8>) -> Result<(), Unread> {
        let byte = *self.bytes().get(self.at).ok_or(Unread)?;
        self.at += 1;
        text.push(match byte {
            b'"' | b'\\' | b'/' => byte,
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let unit = self.unit()?;
                let code = match unit {
                    0xD800..0xDC00 => {
                        if !self.bytes()[self.at..].starts_with(b"\\u") {
                            return Err(Unread);
                        }
                        self.at += 2;
                        match self.unit()? {
                            low @ 0xDC00..0xE000 => {
                                0x10000 + ((unit - 0xD800) << 10 | (low - 0xDC00))
                            }
                            _ => return Err(Unread),
                        }
                    }
                    unit => unit,
                };
                let character = char::from_u32(code).ok_or(Unread)?;
                text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => return Err(Unread),
        });
        Ok(())
    }

    /// Four hexadecimal digits.
    fn unit(&mut self) -> Result<u32, Unread> {
        let digits = self.bytes().get(self.at..self.at + 4).ok_or(Unread)?;
        let add = |unit: u32, digit: &u8| Some(unit << 4 | char::from(*digit).to_digit(16)?);
        let unit = digits.iter().try_fold(0, add).ok_or(Unread)?;
        self.at += 4;
        Ok(unit)
    }

    fn skip_string(&mut self) -> Result<(), Unread> {
        let mut from = self.at + 1;
        loop {
            let end = self.plain(from)?;
            self.at = end + 1;
            if self.bytes()[end] == b'"' {
                return Ok(());
            }
            match self.bytes().get(self.at) {
                // Whether its units make a character is the business of whoever reads it.
                Some(b'u') => {
                    self.at += 1;
                    self.unit()?;
                }
                Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
                _ => return Err(Unread),
            }
            from = self.at;
        }
    }

    fn skip_name(&mut self) -> Result<(), Unread> {
        if self.peek()? != b'"' {
            return Err(Unread);
        }
        self.skip_string()?;
        self.expect(b':')
    }
}

/// Which of the values round a place are objects: a bit for each, so that depth costs no stack.
#[derive(Default)]
struct Nesting {
    depth: usize,
    bits: u128,
    outer: Vec<u128>,
}

impl Nesting {
    fn enter(&mut self, is_object: bool) {
        if self.depth > 0 && self.depth.is_multiple_of(128) {
            self.outer.push(self.bits);
        }
        self.bits = self.bits << 1 | u128::from(is_object);
        self.depth += 1;
    }

    fn leave(&mut self) {
        self.depth -= 1;
        self.bits >>= 1;
        if self.depth.is_multiple_of(128) {
            self.bits = self.outer.pop().unwrap_or_default();
        }
    }

    /// Says whether the innermost value is an object; `None` outside of all.
    fn innermost(&self) -> Option<bool> {
        (self.depth > 0).then_some(self.bits & 1 == 1)
    }
}

/// The fields of an object that is being read. Whoever has it must read all of it.
pub(crate) struct Object<'r, 'de> {
    reader: &'r mut Reader<'de>,
    first: bool,
}

impl<'de> Object<'_, 'de> {
    /// Reads the next field's name; its value must be read or skipped next.
    pub fn name(&mut self) -> Result<Option<Cow<'de, str>>, Unread> {
        let reader = &mut *self.reader;
        if !reader.more(std::mem::take(&mut self.first), b'}')? {
            return Ok(None);
        }
        if reader.peek()? != b'"' {
            return Err(Unread);
        }
        let name = reader.string()?;
        reader.expect(b':')?;
        Ok(Some(name))
    }

    /// Reads the value of the field whose name was just read.
    pub fn value<T: Shape<'de>>(&mut self) -> Result<T, Unread> {
        self.reader.value()
    }

    /// Passes over the value of the field whose name was just read, and gives its text.
    pub fn skip(&mut self) -> Result<&'de str, Unread> {
        self.reader.skip()
    }
}

/// The items of an array that is being read. Whoever has it must read all of it.
pub(crate) struct Array<'r, 'de> {
    reader: &'r mut Reader<'de>,
    first: bool,
}

impl<'de> Array<'_, 'de> {
    /// Reads the next item.
    pub fn item<T: Shape<'de>>(&mut self) -> Result<Option<T>, Unread> {
        if self.more()? { self.reader.value().map(Some) } else { Ok(None) }
    }

    /// Passes over the next item, and gives its text.
    pub fn skip(&mut self) -> Result<Option<&'de str>, Unread> {
        if self.more()? { self.reader.skip().map(Some) } else { Ok(None) }
    }

    fn more(&mut self) -> Result<bool, Unread> {
        self.reader.more(std::mem::take(&mut self.first), b']')
    }
}

/// How many bytes of `text` come before the first that a JSON string cannot hold as it is: a quote,
/// a backslash or a control character. Looks at eight bytes at a time.
pub(crate) fn plain_length(text: &[u8]) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    /// Sets the highest bit of each byte of `word` that is below `bound`, and perhaps of bytes
    /// behind the first of them.
    fn below(word: u64, bound: u8) -> u64 {
        word.wrapping_sub(ONES * u64::from(bound)) & !word & HIGH
    }
    let mut words = text.chunks_exact(8);
    let mut at = 0;
    for word in words.by_ref() {
        let word = u64::from_le_bytes(word.try_into().expect("chunks of eight"));
        let equal = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
        let stops = below(word, 0x20) | equal(b'"') | equal(b'\\');
        if stops != 0 {
            return at + stops.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let stop = |byte: &u8| matches!(byte, b'"' | b'\\' | ..0x20);
    at + words.remainder().iter().position(stop).unwrap_or(words.remainder().len())
}

/// The text of a value as it is kept. `null` says nothing.
pub(crate) fn raw(text: &str) -> Result<Option<&RawValue>, Unread> {
    match text {
        "null" => Ok(None),
        text => serde_json::from_str(text).map(Some).map_err(|_| Unread),
    }
}

#[cfg(test)]
mod tests;
