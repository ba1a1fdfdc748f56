//! Puts calls together from the pieces of a stream.
//!
//! Providers do not agree on what tells one call from the next. The rules, in order: an `index`
//! names a slot; else a known id does; else a piece without id belongs to the last slot, unless it
//! brings a name while the last slot has arguments already. But a new id together with a name
//! always begins a new call, whatever the index; and a new id without a name does not.

use std::collections::HashMap;

use serde_json::value::RawValue;

use super::Extra;
use super::envelope::{CallPart, FunctionPart, text_of};
use super::reply::RawCall;
use super::stream::StreamEvent;

/// The calls of one reply, as far as they have come.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    slots: Vec<Slot>,
    by_index: HashMap<i64, usize>,
    by_id: HashMap<String, usize>,
    sealed: usize,
}

#[derive(Debug, Default)]
struct Slot {
    id: String,
    name: String,
    arguments: String,
    last_piece: usize,
    extra: Extra,
    function_extra: Extra,
    closing: CloseDetector,
}

impl Assembler {
    /// Takes in one piece of a call.
    pub fn push(&mut self, part: CallPart<'_>, events: &mut Vec<StreamEvent>) {
        let ordinal = match self.find(&part) {
            Some(ordinal) => ordinal,
            None => self.open(events),
        };
        if let Some(index) = part.index {
            self.by_index.insert(index, ordinal);
        }
        let slot = &mut self.slots[ordinal];
        if let Some(id) = part.id.filter(|_| slot.id.is_empty()) {
            slot.id = id.clone().into();
            self.by_id.insert(id.into(), ordinal);
        }
        slot.extra.merge(&part.extra);
        if slot.take(part.function) {
            events.push(StreamEvent::CallClosed { ordinal });
        }
    }

    /// Takes in a call in the style of before there were several.
    pub fn push_function_call(
        &mut self,
        function: FunctionPart<'_>,
        events: &mut Vec<StreamEvent>,
    ) {
        let part = CallPart { index: Some(-1), function, ..CallPart::default() };
        self.push(part, events);
    }

    /// No more pieces will come.
    pub fn finish(&mut self, events: &mut Vec<StreamEvent>) -> Vec<RawCall<'static>> {
        self.seal(events);
        std::mem::take(&mut self.slots).into_iter().map(Slot::into_call).collect()
    }

    /// Says whether there is any call.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The id, name and arguments of the call `ordinal` as far as they have come.
    pub fn call(&self, ordinal: usize) -> Option<(&str, &str, &str)> {
        let slot = self.slots.get(ordinal)?;
        Some((&slot.id, &slot.name, &slot.arguments))
    }

    fn find(&self, part: &CallPart<'_>) -> Option<usize> {
        let last = self.slots.len().checked_sub(1);
        let named = part.function.name.is_some();
        let ordinal = match (part.index, &part.id) {
            (Some(index), _) => self.by_index.get(&index).copied(),
            (None, Some(id)) => match self.by_id.get(&**id) {
                Some(known) => Some(*known),
                None if named => None,
                None => last, // Ids that change from piece to piece.
            },
            (None, None) => last.filter(|last| !(named && !self.slots[*last].arguments.is_empty())),
        }?;
        let known = &self.slots[ordinal].id;
        let another = part.id.as_ref().is_some_and(|id| !known.is_empty() && **id != **known);
        if another && named {
            // One index for all calls: the id tells them apart.
            return part.id.as_ref().and_then(|id| self.by_id.get(&**id)).copied();
        }
        Some(ordinal)
    }

    fn open(&mut self, events: &mut Vec<StreamEvent>) -> usize {
        self.seal(events);
        let ordinal = self.slots.len();
        self.slots.push(Slot::default());
        events.push(StreamEvent::CallOpened { ordinal });
        ordinal
    }

    /// What has been opened so far is complete.
    fn seal(&mut self, events: &mut Vec<StreamEvent>) {
        events.extend(
            (self.sealed..self.slots.len()).map(|ordinal| StreamEvent::CallSealed { ordinal }),
        );
        self.sealed = self.slots.len();
    }
}

impl Slot {
    fn into_call(self) -> RawCall<'static> {
        RawCall {
            id: self.id.into(),
            name: self.name.into(),
            arguments: self.arguments.into(),
            last_piece: self.last_piece,
            extra: self.extra,
            function_extra: self.function_extra,
        }
    }

    /// Takes in a piece of the call's function; says whether its arguments have just closed.
    fn take(&mut self, function: FunctionPart<'_>) -> bool {
        if let Some(name) = &function.name {
            self.take_name(name);
        }
        self.function_extra.merge(&function.extra);
        function.arguments.is_some_and(|arguments| self.take_arguments(arguments))
    }

    /// A name may be repeated, grow with each piece, or come in pieces before the arguments do.
    fn take_name(&mut self, name: &str) {
        let known = &mut self.name;
        if known.is_empty() || (name.len() > known.len() && name.starts_with(&**known)) {
            name.clone_into(known);
        } else if known != name && self.arguments.is_empty() {
            known.push_str(name);
        }
    }

    fn take_arguments(&mut self, value: &RawValue) -> bool {
        let arguments = &mut self.arguments;
        if let Some(piece) = text_of(value) {
            if piece.is_empty() {
                return false;
            }
            self.last_piece = arguments.len();
            arguments.push_str(&piece);
            return self.closing.feed(piece.as_bytes());
        }
        if value.get() == "{}" || !arguments.is_empty() {
            return false; // A placeholder, or a repetition.
        }
        arguments.push_str(value.get());
        self.closing.feed(value.get().as_bytes())
    }
}

/// Finds where a top-level object closes, looking at each byte once.
#[derive(Debug, Default)]
struct CloseDetector {
    depth: u32,
    in_string: bool,
    escaped: bool,
    over: bool,
}

impl CloseDetector {
    /// Says whether the object closes within `bytes`. Once it has, or if there is none, never again.
    fn feed(&mut self, bytes: &[u8]) -> bool {
        if self.over {
            return false;
        }
        for byte in bytes {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_string => self.escaped = true,
                b'"' => self.in_string = !self.in_string,
                _ if self.in_string => {}
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        self.over = true;
                        return true;
                    }
                }
                b' ' | b'\t' | b'\n' | b'\r' => {}
                _ if self.depth == 0 => {
                    self.over = true; // No object: its end cannot be told from its middle.
                    return false;
                }
                _ => {}
            }
        }
        false
    }
}
