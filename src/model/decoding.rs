//! The bytes of a streamed reply as what a model says: pure, so that any cutting of them says the
//! same, and a test needs no server.

use std::collections::HashSet;

use super::{Dialect, Event};
use crate::sabotage::{self, Sabotage};
use crate::wire::names::{is_wrapper, may_become_wrapper};
use crate::wire::{
    self, Arguments, Call, CallView, Certainty, Extra, Finish, Reply, StreamDecoder, StreamEvent,
};

/// A streamed reply that is being read.
pub(crate) struct Decoding {
    decoder: StreamDecoder,
    decoded: Vec<StreamEvent>,
    /// The calls that were not what they seemed: nothing is said of them before the end.
    changed: HashSet<usize>,
    /// So many calls are known to be one call each.
    single: usize,
    dialect: Dialect,
    began: bool,
    /// The first bytes.
    head: Vec<u8>,
}

/// How many bytes of what is no reply are kept for the error.
const MAX_HEAD: usize = 400;

/// What a line of a stream begins with.
const FIELDS: [&[u8]; 5] = [b":", b"data", b"event", b"id", b"retry"];

impl Decoding {
    /// Begins to read a reply of somebody who speaks `dialect`.
    pub fn new(dialect: Dialect) -> Self {
        Self {
            decoder: StreamDecoder::new(),
            decoded: Vec::new(),
            changed: HashSet::new(),
            single: 0,
            dialect,
            began: false,
            head: Vec::new(),
        }
    }

    /// Takes in the next bytes, cut anywhere, and appends what they say to `events`.
    ///
    /// # Errors
    /// Those of [`StreamDecoder::feed`]; what was said before the error is appended all the same.
    pub fn feed(
        &mut self,
        bytes: &[u8],
        events: &mut impl Extend<Event>,
    ) -> Result<(), wire::Error> {
        let room = MAX_HEAD - self.head.len();
        self.head.extend_from_slice(&bytes[..bytes.len().min(room)]);
        let fed = self.decoder.feed(bytes, &mut self.decoded);
        self.tell(events);
        fed
    }

    /// Says what was decoded.
    fn tell(&mut self, events: &mut impl Extend<Event>) {
        if !self.began && self.decoder.pieces() > 0 {
            self.began = true;
            events.extend([Event::Began]);
        }
        let changed = self.decoded.iter().filter_map(|event| match event {
            StreamEvent::LateArguments { ordinal } => Some(*ordinal),
            _ => None,
        });
        self.changed.extend(changed); // Before anything is said of them.
        while self.decoder.call(self.single).is_some_and(is_single) {
            self.single += 1;
        }
        for event in std::mem::take(&mut self.decoded) {
            events.extend(self.said(event));
        }
        if sabotage::is(Sabotage::ReadableIsComplete) {
            events.extend(self.readable());
        }
    }

    /// What sabotage says of the calls.
    fn readable(&self) -> impl Iterator<Item = Event> {
        let calls = (0..).take_while(|ordinal| self.decoder.call(*ordinal).is_some());
        calls.filter_map(|ordinal| self.ready(ordinal, Certainty::Sealed))
    }

    fn said(&self, event: StreamEvent) -> Option<Event> {
        match event {
            StreamEvent::Text(text) => Some(Event::Text(text)),
            StreamEvent::Reasoning(text) => Some(Event::Reasoning(text)),
            StreamEvent::Counted(usage) => Some(Event::Counted(usage)),
            StreamEvent::CallOpened { .. } => None,
            StreamEvent::CallClosed { ordinal } if self.dialect.brace_close_trusted => {
                self.ready(ordinal, Certainty::Closed)
            }
            StreamEvent::CallClosed { .. } => None,
            StreamEvent::CallSealed { ordinal } => self.ready(ordinal, Certainty::Sealed),
            StreamEvent::LateArguments { .. } if sabotage::is(Sabotage::ChangeUnheard) => None,
            StreamEvent::LateArguments { ordinal } => {
                u32::try_from(ordinal).ok().map(|ordinal| Event::CallChanged { ordinal })
            }
        }
    }

    /// Tells of a call whose arguments are likely all there. `None` if they are no object, if it has
    /// no name to run it by, if it is not what it seemed, if one before it may hold several calls,
    /// so that nobody knows at which place it will stand, or if the reply is known to have failed.
    fn ready(&self, ordinal: usize, certainty: Certainty) -> Option<Event> {
        if self.dialect.stop_means_no_tools {
            return None; // Whether it is a call at all, the finish reason will say.
        }
        if self.decoder.fails() && !sabotage::is(Sabotage::FailureUnheard) {
            return None;
        }
        let view = self.decoder.call(ordinal).filter(|view| !view.name.is_empty())?;
        let arguments = Arguments::from_text(view.arguments.to_owned());
        let may_be_several = |before| self.decoder.call(before).is_some_and(may_be_several);
        if self.changed.contains(&ordinal)
            || arguments.object().is_none()
            || (self.single..ordinal).any(may_be_several)
        {
            return None;
        }
        let call = Box::new(Call {
            id: view.id.unwrap_or_default().into(),
            name: view.name.to_owned(),
            arguments,
            extra: Extra::default(),
            function_extra: Extra::default(),
        });
        Some(Event::CallReady { ordinal: u32::try_from(ordinal).ok()?, certainty, call })
    }

    /// As [`StreamDecoder::pieces`].
    pub fn pieces(&self) -> u64 {
        self.decoder.pieces()
    }

    /// As [`StreamDecoder::done`].
    pub fn done(&self) -> bool {
        self.decoder.done()
    }

    /// Takes in the end of the bytes, appends what it says to `events` (some servers leave out the last
    /// line feeds), and gives the reply. It makes no call ready any more: the reply says what they are,
    /// or that there is none.
    ///
    /// # Errors
    /// Those of [`StreamDecoder::finish`], but words that are no stream are malformed, and not cut. What
    /// was said before the error is appended all the same.
    pub fn finish(mut self, events: &mut impl Extend<Event>) -> Result<Reply, wire::Error> {
        let ended = self.decoder.end(&mut self.decoded);
        let mut last = Vec::new();
        self.tell(&mut last);
        events.extend(last.into_iter().filter(|event| !event.is_of_call()));
        ended?;
        let head = self.head.trim_ascii_start();
        let is_stream = FIELDS.iter().any(|field| head.starts_with(field));
        match self.decoder.finish() {
            Err(wire::Error::Cut { .. }) if !head.is_empty() && !is_stream => {
                Err(wire::Error::no_reply(head))
            }
            reply => Ok(meant(reply?, &self.dialect)),
        }
    }
}

/// It may turn out to be more than one call: it packs several into one, or the rest of its name is still
/// to come.
fn may_be_several(call: CallView<'_>) -> bool {
    let is_open = call.arguments.is_empty() && may_become_wrapper(call.name);
    call.name.is_empty() || is_open || is_wrapper(call.name)
}

/// It will stay one call: a name does not change any more once there are arguments.
fn is_single(call: CallView<'_>) -> bool {
    !may_be_several(call) && !call.arguments.is_empty()
}

/// The reply as somebody who speaks `dialect` means it: where `stop` says that there are no calls,
/// what looks like one was found in the model's thoughts.
pub(super) fn meant(mut reply: Reply, dialect: &Dialect) -> Reply {
    if dialect.stop_means_no_tools && reply.finish == Finish::Stop {
        reply.calls.clear();
    }
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(pieces: &[&str], brace_close_trusted: bool) -> Vec<String> {
        said_in(pieces, Dialect { brace_close_trusted, ..Dialect::generic() })
    }

    fn said_in(pieces: &[&str], dialect: Dialect) -> Vec<String> {
        let mut decoding = Decoding::new(dialect);
        let mut events = Vec::new();
        for piece in pieces {
            let delta = format!("data: {{\"choices\":[{{\"delta\":{piece}}}]}}\n\n");
            decoding.feed(delta.as_bytes(), &mut events).unwrap();
        }
        events.iter().map(show).collect()
    }

    fn show(event: &Event) -> String {
        match event {
            Event::Text(text) => text.clone(),
            Event::Reasoning(text) => format!("({text})"),
            Event::Began => "began".to_owned(),
            Event::Counted(usage) => format!("{} counted", usage.output_tokens),
            Event::CallReady { ordinal, certainty, call } => {
                let arguments = call.arguments.object().unwrap();
                format!("{ordinal} {certainty:?} {} {} {arguments}", call.id, call.name)
            }
            Event::CallChanged { ordinal } => format!("{ordinal} changed"),
            Event::Reply(_) => "reply".to_owned(),
        }
    }

    #[test]
    fn what_stands_on_a_last_line_without_its_end_is_said() {
        let mut decoding = Decoding::new(Dialect::generic());
        let mut events = Vec::new();
        let stream = r#"data: {"choices":[{"delta":{"content":"all"},"finish_reason":"stop"}]}"#;
        decoding.feed(stream.as_bytes(), &mut events).unwrap();
        assert!(events.is_empty(), "it may go on: {events:?}");
        assert_eq!(decoding.finish(&mut events).unwrap().text, "all");
        assert_eq!(events.iter().map(show).collect::<Vec<_>>(), ["began", "all"]);
    }

    const OPEN: &str =
        r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\":1"}}]}"#;
    const CLOSE: &str = r#"{"tool_calls":[{"index":0,"function":{"arguments":"}"}}]}"#;
    const NEXT: &str =
        r#"{"tool_calls":[{"index":1,"id":"b","function":{"name":"g","arguments":""}}]}"#;
    const LATE: &str = r#"{"tool_calls":[{"index":0,"function":{"arguments":",\"y\":2}"}}]}"#;

    #[test]
    fn a_call_is_ready_when_its_brace_closes_and_when_the_next_opens() {
        let expected = ["began", r#"0 Closed a f {"x":1}"#, r#"0 Sealed a f {"x":1}"#];
        assert_eq!(said(&[OPEN, CLOSE, NEXT], true), expected);
        assert_eq!(said(&[OPEN, NEXT], true), ["began"], "what is open is not ready");
    }

    #[test]
    fn a_brace_that_is_not_trusted_says_nothing() {
        assert_eq!(said(&[OPEN, CLOSE], false), ["began"]);
        assert_eq!(said(&[OPEN, CLOSE, NEXT], false), ["began", r#"0 Sealed a f {"x":1}"#]);
    }

    #[test]
    fn a_call_that_changes_is_said_to_and_is_never_ready_again() {
        let expected = ["began", r#"0 Closed a f {"x":1}"#, "0 changed"];
        assert_eq!(said(&[OPEN, CLOSE, LATE, NEXT], true), expected);
        let glued = OPEN.replace(r#"{\"x\":1"#, r#"{\"x\":1},\"y\":2}"#);
        assert_eq!(said(&[&glued, NEXT], true), ["began", "0 changed"], "in one piece");
    }

    #[test]
    fn d29_where_stop_means_no_tools_calls_wait_for_it_and_are_none() {
        let dialect =
            Dialect { brace_close_trusted: true, stop_means_no_tools: true, ..Dialect::generic() };
        assert_eq!(said_in(&[OPEN, CLOSE, NEXT], dialect), ["began"]);
        for (finish, calls) in [("stop", 0), ("tool_calls", 1)] {
            let mut decoding = Decoding::new(dialect);
            let choice = format!(r#"{{"delta":{OPEN},"finish_reason":"{finish}"}}"#);
            let stream = format!("data: {{\"choices\":[{choice}]}}\n\n");
            decoding.feed(stream.as_bytes(), &mut Vec::new()).unwrap();
            assert_eq!(decoding.finish(&mut Vec::new()).unwrap().calls.len(), calls, "{finish}");
        }
    }

    #[test]
    fn d30_behind_what_may_hold_several_calls_none_is_ready() {
        for name in [
            "multi_tool_use.parallel",
            "multi_tool_use/parallel",
            "functions.multi_tool_use.parallel",
            "",
        ] {
            // It is not ready itself: its arguments are not all there, or are a text within a text.
            let open = OPEN.replace(r#""name":"f""#, &format!(r#""name":"{name}""#));
            let next = NEXT.replace(r#""arguments":"""#, r#""arguments":"{\"x\":1}""#);
            let third = next.replace(r#""index":1"#, r#""index":2"#);
            assert_eq!(said(&[&open, &next, &third], true), ["began"], "{name}");
        }
    }

    #[test]
    fn d30_a_name_that_may_go_on_to_hold_several_calls_holds_up_those_behind_it() {
        let open = |name: &str| {
            format!(r#"{{"tool_calls":[{{"index":0,"id":"a","function":{{"name":"{name}"}}}}]}}"#)
        };
        let next = NEXT.replace(r#""arguments":"""#, r#""arguments":"{\"x\":1}""#);
        let third = next.replace(r#""index":1"#, r#""index":2"#).replace(r#""b""#, r#""c""#);
        let ready = r#"1 Sealed b g {"x":1}"#;
        assert_eq!(said(&[&open("multi_tool_use"), &next, &third], false), ["began"]);
        assert_eq!(said(&[&open("multiply"), &next, &third], false), ["began", ready]);
        let arguments = r#"{"tool_calls":[{"index":0,"function":{"arguments":"{\"x\""}}]}"#;
        let said = said(&[&open("multi_tool_use"), arguments, &next, &third], false);
        assert_eq!(said, ["began", ready], "a name does not change once there are arguments");
    }

    #[test]
    fn nothing_is_ready_once_the_reply_is_known_to_have_failed() {
        let ready = r#"0 Sealed a f {"x":1}"#;
        let closed = OPEN.replace(r#"{\"x\":1"#, r#"{\"x\":1}"#);
        let chunk = |delta: &str, finish: &str| {
            format!("data: {{\"choices\":[{{\"delta\":{delta},\"finish_reason\":{finish}}}]}}\n\n")
        };
        let error = "data: {\"error\":{\"message\":\"overloaded\"}}\n\n".to_owned();
        let done = "data: [DONE]\n\n".to_owned();
        for (last, expected) in [
            (chunk(NEXT, "null"), &["began", ready][..]),
            (chunk(NEXT, "\"length\""), &["began", ready]),
            (chunk(NEXT, "\"content_filter\""), &["began"]),
            (chunk("{}", "\"content_filter\"") + &done, &["began"]),
            (chunk(NEXT, "\"error\""), &["began"]),
            (chunk(NEXT, "null") + &error, &["began"]),
        ] {
            let mut decoding = Decoding::new(Dialect::generic());
            let mut events = Vec::new();
            decoding.feed(chunk(&closed, "null").as_bytes(), &mut events).unwrap();
            let _ = decoding.feed(last.as_bytes(), &mut events);
            assert_eq!(events.iter().map(show).collect::<Vec<_>>(), expected, "{last}");
        }
    }

    #[test]
    fn a_call_without_a_name_is_not_ready() {
        let nameless = OPEN.replace(r#""name":"f","#, "");
        assert_eq!(said(&[&nameless, CLOSE, NEXT], true), ["began"]);
    }
}
