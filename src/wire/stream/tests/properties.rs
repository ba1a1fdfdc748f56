//! What holds for every stream, however it is cut and whatever is in it.
//!
//! `CALLSHEET_FUZZ_STREAMS` says how many streams each property is tried with.

use std::collections::HashMap;

use proptest::prelude::*;

use super::generated::{Choices, Generated, cut, spoil, stream_of};
use super::*;

/// How many streams are tried unless the environment says otherwise.
const STREAMS: u32 = 300;

fn config() -> ProptestConfig {
    let streams = std::env::var("CALLSHEET_FUZZ_STREAMS").ok();
    let cases = streams.and_then(|streams| streams.parse().ok()).unwrap_or(STREAMS);
    ProptestConfig { cases, ..ProptestConfig::default() }
}

fn choices() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..96)
}

/// What was said of the calls of a stream while it was read.
#[derive(Default)]
struct Said {
    opened: usize,
    text: String,
    /// The arguments of each call that was closed or sealed and not taken back, and its name.
    trusted: HashMap<usize, (String, Arguments)>,
}

/// Reads a stream and checks that everything said of it on the way is true in the end. Gives all there is to see.
fn read_soundly<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<StreamEvent>, Option<Error>, Result<Reply, Error>) {
    let mut decoder = StreamDecoder::new();
    let (mut all, mut error) = (Vec::new(), None);
    let mut said = Said::default();
    for piece in pieces {
        let mut events = Vec::new();
        let result = decoder.feed(piece, &mut events);
        said.take(&events, &decoder);
        all.extend(events);
        if let Err(failed) = result {
            error = Some(failed);
            break;
        }
    }
    if error.is_none() {
        let mut events = Vec::new();
        error = decoder.end(&mut events).err();
        said.take(&events, &decoder);
        all.extend(events);
    }
    let result = decoder.finish();
    match &result {
        Ok(_) if all.is_empty() => {} // A body without events has nothing to say before its end.
        Ok(reply) => said.check(reply),
        Err(Error::Cut { partial }) => said.check(partial),
        Err(_) => {}
    }
    (all, error, result)
}

impl Said {
    fn take(&mut self, events: &[StreamEvent], decoder: &StreamDecoder) {
        for (at, event) in events.iter().enumerate() {
            match event {
                StreamEvent::Text(text) => self.text += text,
                StreamEvent::Reasoning(_) | StreamEvent::Counted(_) => {}
                StreamEvent::CallOpened { ordinal } => {
                    assert_eq!(*ordinal, self.opened);
                    self.opened += 1;
                }
                StreamEvent::CallClosed { ordinal } | StreamEvent::CallSealed { ordinal } => {
                    // What comes later in the same piece may be in the arguments already.
                    let late = StreamEvent::LateArguments { ordinal: *ordinal };
                    if !events[at..].contains(&late) {
                        let call = decoder.call(*ordinal).unwrap();
                        let arguments = Arguments::from_text(call.arguments.to_owned());
                        self.trusted.insert(*ordinal, (call.name.to_owned(), arguments));
                    }
                }
                StreamEvent::LateArguments { ordinal } => drop(self.trusted.remove(ordinal)),
            }
        }
    }

    fn check(&self, reply: &Reply) {
        assert_eq!(reply.text, self.text);
        assert!(reply.calls.len() >= self.opened);
        for (ordinal, (name, arguments)) in &self.trusted {
            let call = &reply.calls[*ordinal];
            assert!(name.is_empty() || *name == call.name, "{name} became {}", call.name);
            if arguments.object().is_some() {
                assert_eq!(&call.arguments, arguments, "of call {ordinal}");
            }
        }
        let ids: HashMap<_, _> = reply.calls.iter().map(|call| (&call.id, ())).collect();
        assert_eq!(ids.len(), reply.calls.len(), "an id is there twice");
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_stream_is_read_as_it_was_meant(bytes in choices()) {
        let mut choices = Choices(&bytes);
        let Generated { stream, calls } = stream_of(&mut choices);
        let (_, error, result) = read_soundly(cut(stream.as_bytes(), &mut choices));
        prop_assert!(error.is_none(), "{error:?}");
        prop_assert_eq!(show(&result.unwrap()), calls, "{}", stream);
    }

    #[test]
    fn any_cutting_of_the_bytes_gives_the_same(bytes in choices(), spoiled in any::<bool>()) {
        let mut choices = Choices(&bytes);
        let mut stream = stream_of(&mut choices).stream.into_bytes();
        if spoiled {
            spoil(&mut stream, &mut choices);
        }
        let (events, error, result) = read_soundly([&stream[..]]);
        let whole = format!("{error:?} {result:?}");
        let (others, error, result) = match bytes.len() % 4 {
            0 => read_soundly(stream.chunks(1)),
            _ => read_soundly(cut(&stream, &mut choices)),
        };
        prop_assert_eq!(others, events);
        prop_assert_eq!(format!("{error:?} {result:?}"), whole);
    }

    #[test]
    fn no_call_that_was_cut_is_whole(bytes in choices(), at in any::<prop::sample::Index>()) {
        let mut choices = Choices(&bytes);
        let Generated { stream, calls } = stream_of(&mut choices);
        let cut = &stream.as_bytes()[..at.index(stream.len() + 1)];
        let (_, error, result) = read_soundly([cut]);
        prop_assert!(error.is_none(), "{error:?}");
        let reply = match result {
            Ok(reply) => reply,
            Err(Error::Cut { partial }) => *partial,
            Err(error) => panic!("{error}"),
        };
        for (call, meant) in reply.calls.iter().zip(&calls) {
            if let Arguments::Object(arguments) = &call.arguments {
                let read = format!("{} {} {arguments}", call.id, call.name);
                prop_assert_eq!(&read, meant, "{}", String::from_utf8_lossy(cut));
            }
        }
        prop_assert!(reply.calls.len() <= calls.len());
    }

    #[test]
    fn a_spoiled_stream_breaks_nothing(bytes in choices()) {
        let mut choices = Choices(&bytes);
        let mut stream = stream_of(&mut choices).stream.into_bytes();
        spoil(&mut stream, &mut choices);
        let _ = read_soundly(cut(&stream, &mut choices));
        let _ = decode_reply(&stream);
    }

    #[test]
    fn no_more_is_held_than_came(bytes in choices(), limit in 1usize..2000) {
        let mut choices = Choices(&bytes);
        let mut stream = stream_of(&mut choices).stream.into_bytes();
        spoil(&mut stream, &mut choices);
        let mut decoder = StreamDecoder::with_limits(limit, MAX_REPLY_BYTES);
        let empty = held(&decoder);
        let mut fed = 0;
        for piece in stream.chunks(150) {
            let result = decoder.feed(piece, &mut Vec::new());
            fed += piece.len();
            prop_assert!(held(&decoder) <= empty + 1000 + 8 * fed, "{decoder:?}");
            if result.is_err() {
                break;
            }
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = read_soundly([&bytes[..]]);
        let _ = read_soundly([b"data: ".as_slice(), &bytes]);
        let _ = decode_reply(&bytes);
        let _ = crate::wire::chat::error_in(&bytes);
        let _ = crate::wire::chat::decode_messages(&bytes);
    }
}
