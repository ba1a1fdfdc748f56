//! Puts the calls of a streamed reply together from their pieces.
//!
//! Which call a piece belongs to is the hard part: an index may be missing, start at 1, or be 0 for every call;
//! an id may come once, every time, or be another one each time. The rules are those of `slot_of`, and nowhere else.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::Serialize;
use serde_json::value::to_raw_value;

use super::arguments::{Tail, judge, starts_with_loosely};
use super::closing::Closing;
use super::extra::{Fields, size};
use super::{Arguments, Call, Error, Extra, MAX_CALLS, StreamEvent, ids};

/// A piece of one call, as one chunk of a stream brings it.
#[derive(Debug, Default)]
pub(super) struct Piece<'a> {
    pub index: Option<i64>,
    /// Never empty: an empty id is none.
    pub id: Option<Cow<'a, str>>,
    /// Never empty: an empty name is none.
    pub name: Option<Cow<'a, str>>,
    pub arguments: Fragment<'a>,
    pub extra: Fields<'a>,
    pub function_extra: Fields<'a>,
}

/// What a piece says about the arguments.
#[derive(Debug, Default, PartialEq)]
pub(super) enum Fragment<'a> {
    /// Nothing: no such field, or `null`.
    #[default]
    None,
    /// More of their text.
    Text(Cow<'a, str>),
    /// All of them, as a JSON value instead of its text.
    Json(String),
    /// More of the input of a custom tool, which is any text.
    Input(Cow<'a, str>),
}

/// A call of a stream that is still running. Its bytes may grow until it is sealed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CallView<'a> {
    /// The wire id so far. The finished reply may have another one: missing ids are minted, duplicates renamed.
    pub id: Option<&'a str>,
    /// The name so far; empty if none has come.
    pub name: &'a str,
    /// The text of the arguments so far.
    pub arguments: &'a str,
    /// True once the brace closed that opened the arguments, and nothing came behind it.
    pub closed: bool,
    /// True once the provider can hardly mean to add to this call.
    pub sealed: bool,
}

/// The calls of one reply, in the order they were opened.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    slots: Vec<Slot>,
    by_index: HashMap<i64, usize>,
    by_id: HashMap<String, usize>,
    /// The slot that took the last piece.
    last: Option<usize>,
    /// The one call of the old `function_call` field. It counts only if there is no other.
    legacy: Option<Box<Slot>>,
}

impl Assembler {
    /// Takes in the pieces of one chunk and tells what they opened, closed and sealed.
    ///
    /// # Errors
    /// [`Error::Malformed`] if there are too many calls.
    pub fn push(
        &mut self,
        pieces: Vec<Piece<'_>>,
        events: &mut Vec<StreamEvent>,
    ) -> Result<(), Error> {
        let mut said_arguments = false;
        for piece in pieces {
            let goes_on = !said_arguments;
            said_arguments = piece.arguments != Fragment::None;
            let ordinal = match self.slot_of(&piece, goes_on) {
                Some(ordinal) => ordinal,
                None if piece.is_empty() => continue,
                None if self.slots.len() == MAX_CALLS => return Err(Error::too_many_calls()),
                None => self.open(piece.index, events),
            };
            self.last = Some(ordinal);
            if let (Some(id), None) = (&piece.id, &self.slots[ordinal].id) {
                self.by_id.entry(id.clone().into_owned()).or_insert(ordinal);
            }
            self.slots[ordinal].push(piece, ordinal, events);
        }
        Ok(())
    }

    /// Takes in a piece of the old `function_call` field, silently.
    pub fn push_legacy(&mut self, piece: Piece<'_>) {
        self.legacy.get_or_insert_default().push(piece, 0, &mut Vec::new());
    }

    /// The slot a piece belongs to; `None` if it opens a call. A name without an index and an id
    /// `goes_on` with the name of the call before it, unless that came in the same chunk with its arguments.
    fn slot_of(&self, piece: &Piece<'_>, goes_on: bool) -> Option<usize> {
        let id = piece.id.as_deref();
        let found = match (piece.index, id) {
            (Some(index), _) => self.by_index.get(&index).copied(),
            (None, Some(id)) => match self.by_id.get(id) {
                Some(known) => Some(*known),
                None => {
                    self.last.filter(|last| piece.name.is_none() && !self.slots[*last].is_closed())
                }
            },
            (None, None) => self.last.filter(|last| {
                piece.name.is_none() || (goes_on && self.slots[*last].arguments.is_empty())
            }),
        }?;
        (!self.slots[found].is_another(piece)).then_some(found)
    }

    fn open(&mut self, index: Option<i64>, events: &mut Vec<StreamEvent>) -> usize {
        let ordinal = self.slots.len();
        if let Some(previous) = ordinal.checked_sub(1) {
            self.slots[previous].seal_if(Slot::is_closed, previous, events);
        }
        if let Some(index) = index {
            self.by_index.insert(index, ordinal);
        }
        self.slots.push(Slot::default());
        events.push(StreamEvent::CallOpened { ordinal });
        ordinal
    }

    /// Takes in a finish reason: seals the last call if its brace closed. Some servers send a finish reason
    /// with every chunk, so an argument that is still blank waits for the end.
    pub fn seal_last(&mut self, events: &mut Vec<StreamEvent>) {
        if let Some(last) = self.slots.len().checked_sub(1) {
            self.slots[last].seal_if(Slot::is_whole, last, events);
        }
    }

    /// Takes in the end of the stream: seals what is left, but if the reply was `cut` only what closed
    /// and is no placeholder.
    pub fn seal_all(&mut self, cut: bool, events: &mut Vec<StreamEvent>) {
        for (ordinal, slot) in self.slots.iter_mut().enumerate() {
            slot.seal_if(|slot| !cut || slot.is_whole(), ordinal, events);
        }
    }

    /// True if there is any call.
    pub fn has_calls(&self) -> bool {
        !self.slots.is_empty() || self.legacy.is_some()
    }

    /// The call with this ordinal as far as it came.
    pub fn view(&self, ordinal: usize) -> Option<CallView<'_>> {
        self.slots.get(ordinal).map(|slot| CallView {
            id: slot.id.as_deref(),
            name: &slot.name,
            arguments: &slot.arguments,
            closed: slot.is_closed(),
            sealed: slot.sealed,
        })
    }

    /// The finished calls. If the reply was `cut`, the last one has a doubtful end.
    pub fn finish(mut self, cut: bool) -> Vec<Call> {
        if self.slots.is_empty() {
            self.slots.extend(self.legacy.map(|slot| *slot));
        }
        let newest = self.slots.len().saturating_sub(1);
        let calls = self.slots.into_iter().enumerate().map(|(ordinal, slot)| {
            slot.finish(match cut {
                false => Tail::Whole,
                true if ordinal == newest || Some(ordinal) == self.last => Tail::Doubtful,
                true => Tail::Followed,
            })
        });
        let mut calls: Vec<Call> = calls.collect();
        ids::settle(&mut calls);
        calls
    }
}

impl Piece<'_> {
    /// How many bytes it adds to its call.
    pub fn size(&self) -> usize {
        let words = [&self.id, &self.name].into_iter().flatten().map(|word| word.len());
        let arguments = match &self.arguments {
            Fragment::None => 0,
            Fragment::Text(text) | Fragment::Input(text) => text.len(),
            Fragment::Json(json) => json.len(),
        };
        words.sum::<usize>() + arguments + size(&self.extra) + size(&self.function_extra)
    }

    /// True for a piece that is no reason to open a call.
    fn is_empty(&self) -> bool {
        let blank = match &self.arguments {
            Fragment::None => true,
            Fragment::Text(text) => text.trim_ascii().is_empty(),
            Fragment::Json(_) | Fragment::Input(_) => false,
        };
        blank && self.id.is_none() && self.name.is_none()
    }
}

/// One call under construction.
#[derive(Debug, Default)]
struct Slot {
    id: Option<String>,
    name: String,
    arguments: String,
    /// Offset in `arguments` of their last piece that was not blank.
    last_piece: usize,
    closing: Closing,
    /// Offset in `arguments` just behind the brace that closed them.
    end: Option<usize>,
    /// Text came behind that brace.
    late: bool,
    sealed: bool,
    /// The arguments are the input of a custom tool: any text, never an object.
    is_input: bool,
    extra: Extra,
    function_extra: Extra,
}

impl Slot {
    /// True if `piece`, found under the index or id of this call, is the beginning of another one.
    fn is_another(&self, piece: &Piece<'_>) -> bool {
        let Some(name) = piece.name.as_deref() else { return false };
        match (self.id.as_deref(), piece.id.as_deref()) {
            // Some servers give every call the same index: another id with a name is another call.
            // Others change the id with every piece: without a name it is the same call.
            (Some(known), Some(id)) => known != id,
            (None, Some(_)) => false,
            // Others give no ids either: then another name behind a closed object is another call. Another object under
            // the same name may be a contradiction.
            (_, None) => {
                let Fragment::Text(text) = &piece.arguments else { return false };
                let begins = text.trim_ascii_start().starts_with('{');
                begins && self.is_closed() && !self.name.is_empty() && self.name != name
            }
        }
    }

    fn push(&mut self, piece: Piece<'_>, ordinal: usize, events: &mut Vec<StreamEvent>) {
        if self.id.is_none() {
            self.id = piece.id.map(Cow::into_owned);
        }
        if let Some(name) = piece.name {
            self.add_name(&name);
        }
        self.extra.keep(piece.extra);
        self.function_extra.keep(piece.function_extra);
        match piece.arguments {
            Fragment::None => {}
            Fragment::Text(text) => self.add_text(&text, ordinal, events),
            Fragment::Json(json) if is_empty_object(&json) => {} // Nothing, or a placeholder.
            Fragment::Json(json) => self.add_text(&json, ordinal, events),
            Fragment::Input(input) => {
                self.is_input = true;
                self.arguments.push_str(&input);
            }
        }
    }

    /// A name may be repeated, grow with every piece, or come in pieces, but only before the arguments.
    fn add_name(&mut self, name: &str) {
        if self.name.is_empty() || (self.arguments.is_empty() && name.starts_with(&self.name)) {
            name.clone_into(&mut self.name);
        } else if self.arguments.is_empty() {
            self.name.push_str(name);
        }
    }

    fn add_text(&mut self, text: &str, ordinal: usize, events: &mut Vec<StreamEvent>) {
        let mut rest = match self.arguments.is_empty() {
            true => text.trim_ascii_start(),
            false => text,
        };
        let is_blank = rest.trim_ascii().is_empty();
        if !is_blank {
            self.last_piece = self.arguments.len();
        }
        if self.late || (is_blank && self.end.is_some()) {
            self.arguments.push_str(rest);
            return;
        }
        while !rest.is_empty() {
            let Some(_) = self.end else {
                let length = self.closing.feed(rest.as_bytes());
                let (head, tail) = rest.split_at(length.unwrap_or(rest.len()));
                self.arguments.push_str(head);
                self.end = length.map(|_| self.arguments.len());
                if self.is_whole() {
                    events.push(StreamEvent::CallClosed { ordinal });
                }
                rest = tail;
                continue;
            };
            if rest.trim_ascii().is_empty() {
                self.arguments.push_str(rest);
                return;
            }
            if self.closing.occupied() && self.is_repeated(rest) {
                return; // Some servers end by sending all of it again.
            }
            if self.sealed || self.is_whole() {
                events.push(StreamEvent::LateArguments { ordinal });
            }
            if self.closing.occupied() {
                self.late = true;
                self.arguments.push_str(rest);
                return;
            }
            // An empty object with more behind it was a placeholder.
            self.arguments.clear();
            self.last_piece = 0;
            self.closing = Closing::default();
            self.end = None;
            rest = rest.trim_ascii_start();
        }
    }

    /// True when `text` says the closed arguments once more, but for blanks between tokens. Costs no more than
    /// a few times its length: what is much shorter is not compared.
    fn is_repeated(&self, text: &str) -> bool {
        let said = &self.arguments[..self.end.unwrap_or(0)];
        said.len() / 4 <= text.len()
            && starts_with_loosely(text, said)
            && starts_with_loosely(said, text)
    }

    /// True when the arguments are an object as far as braces tell.
    fn is_closed(&self) -> bool {
        self.end.is_some() && !self.late && self.arguments.starts_with('{')
    }

    /// True when they are an object that is no placeholder.
    fn is_whole(&self) -> bool {
        self.is_closed() && self.closing.occupied()
    }

    fn seal_if(
        &mut self,
        condition: impl Fn(&Slot) -> bool,
        ordinal: usize,
        events: &mut Vec<StreamEvent>,
    ) {
        if !self.sealed && !self.is_input && condition(self) {
            self.sealed = true;
            events.push(StreamEvent::CallSealed { ordinal });
        }
    }

    fn finish(mut self, tail: Tail) -> Call {
        let is_empty = self.is_closed() && !self.closing.occupied();
        let arguments = match tail {
            _ if self.is_input => self.finish_input(),
            // It may be a placeholder.
            Tail::Doubtful if is_empty && !self.sealed => {
                Arguments::Truncated { raw: self.arguments }
            }
            tail => judge(self.arguments, tail, self.last_piece),
        };
        Call {
            id: self.id.unwrap_or_default().into(),
            name: self.name,
            arguments,
            extra: self.extra,
            function_extra: self.function_extra,
        }
    }

    /// Puts the input of a custom tool together, as it goes back with the call.
    fn finish_input(&mut self) -> Arguments {
        let custom = Custom { name: &self.name, input: &self.arguments };
        self.extra.insert("custom", to_raw_value(&custom).expect("texts can be written"));
        Arguments::of_input(&self.arguments)
    }
}

#[derive(Serialize)]
struct Custom<'a> {
    name: &'a str,
    input: &'a str,
}

fn is_empty_object(json: &str) -> bool {
    let inner = json.trim_ascii().strip_prefix('{').and_then(|json| json.strip_suffix('}'));
    inner.is_some_and(|inner| inner.trim_ascii().is_empty())
}
