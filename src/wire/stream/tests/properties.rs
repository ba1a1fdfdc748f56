//! What holds for every stream, however it is cut and whatever is in it.

use proptest::prelude::*;

use super::*;

/// Chunks that real and odd servers send, to be mixed at will.
fn some_chunk() -> impl Strategy<Value = String> {
    let id = prop::option::of(prop::sample::select(vec!["", "a", "b"]));
    let name = prop::option::of(prop::sample::select(vec!["", "f", "fg"]));
    let arguments = prop::sample::select(vec![
        "",
        "{",
        "{}",
        "{\"x\":1}",
        "\"x\":",
        "\"é}\"",
        "1",
        "}",
        " ",
        "null",
    ]);
    let call = (prop::option::of(0i64..3), id, name, arguments)
        .prop_map(|(index, id, name, arguments)| chunk(&piece(index, id, name, arguments), "null"));
    let other = prop::sample::select(vec![
        chunk(r#"{"content":"日本"}"#, "null"),
        chunk(r#"{"reasoning":"r","d":[1]}"#, "\"\""),
        chunk("{}", "\"length\""),
        chunk("{}", "\"tool_calls\""),
        chunk(r#"{"function_call":{"name":"f","arguments":"{}"}}"#, "null"),
        ": ping\n\n".to_owned(),
        "data: [DONE]\n\n".to_owned(),
        "data: {\"error\":\"e\"}\n\n".to_owned(),
        "data: {\"usage\":{\"prompt_tokens\":1},\"choices\":[]}\r\n\r\n".to_owned(),
        "data: {\"choices\":\n\n".to_owned(),
    ]);
    prop_oneof![3 => call, 1 => other]
}

/// Everything observable of a run, and that what was said of a call stays true.
fn observe<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> String {
    let (events, result) = run(pieces);
    format!("{events:?} {result:?}")
}

proptest! {
    #[test]
    fn any_cutting_of_the_bytes_gives_the_same(
        chunks in prop::collection::vec(some_chunk(), 0..10),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
    ) {
        let stream = chunks.concat();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|pair| &stream.as_bytes()[pair[0]..pair[1]]);
        prop_assert_eq!(observe(pieces), observe([stream.as_bytes()]));
    }

    #[test]
    fn a_sealed_call_without_late_news_is_what_it_was(chunks in prop::collection::vec(some_chunk(), 0..10)) {
        let mut decoder = StreamDecoder::new();
        let mut sealed = Vec::new();
        for chunk in &chunks {
            let mut events = Vec::new();
            if decoder.feed(chunk.as_bytes(), &mut events).is_err() {
                break;
            }
            for event in events {
                match event {
                    StreamEvent::CallSealed { ordinal } => {
                        let view = decoder.call(ordinal).unwrap();
                        sealed.push((ordinal, Arguments::from_text(view.arguments.to_owned())));
                    }
                    StreamEvent::LateArguments { ordinal } => sealed.retain(|(late, _)| *late != ordinal),
                    _ => {}
                }
            }
        }
        let reply = match decoder.finish() {
            Ok(reply) => reply,
            Err(Error::Cut { partial }) => *partial,
            Err(_) => return Ok(()),
        };
        for (ordinal, arguments) in sealed {
            if arguments.object().is_some() {
                prop_assert_eq!(&reply.calls[ordinal].arguments, &arguments);
            }
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        observe([&bytes[..]]);
        observe([b"data: ".as_slice(), &bytes]);
        let _ = decode_reply(&bytes);
        let _ = crate::wire::chat::error_in(&bytes);
        let _ = crate::wire::chat::decode_messages(&bytes);
    }
}
