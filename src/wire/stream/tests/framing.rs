//! Events, chunks and text: rows F1 to F14.

use super::*;

#[test]
fn text_and_usage_are_read() {
    let stream = chunk(r#"{"role":"assistant","content":""}"#, "null")
        + &chunk(r#"{"content":"Hel"}"#, "null")
        + &chunk(r#"{"content":"lo"}"#, "\"stop\"")
        + "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2,\"prompt_tokens_details\":{\"cached_tokens\":5}}}\n\ndata: [DONE]\n\n";
    let (events, result) = run([stream.as_bytes()]);
    assert_eq!(events, [StreamEvent::Text("Hel".into()), StreamEvent::Text("lo".into())]);
    let reply = result.unwrap();
    assert_eq!(
        (reply.text.as_str(), reply.finish, reply.truncated),
        ("Hello", Finish::Stop, false)
    );
    assert_eq!((reply.id.as_deref(), reply.model.as_deref()), (Some("r"), Some("m")));
    let usage = Usage { input_tokens: 7, output_tokens: 2, cached_tokens: 5, ..Usage::default() };
    assert_eq!(reply.usage, Some(usage));
}

#[test]
fn f5_objects_glued_in_one_line_are_told_apart() {
    let one = chunk(r#"{"content":"}{"}"#, "null");
    let two = chunk(r#"{"content":"b"}"#, "\"stop\"");
    let glued =
        format!("{}{} [DONE]\n\n", one.trim_end(), two.trim_end().strip_prefix("data: ").unwrap());
    assert_eq!(reply(&glued).text, "}{b");
}

#[test]
fn f6_the_end_is_clean_after_a_finish_reason_and_an_error_without() {
    assert_eq!(reply(&chunk(r#"{"content":"a"}"#, "\"stop\"")).text, "a");
    for finish in ["null", "\"\"", "\"null\""] {
        let (_, result) = run([chunk(r#"{"content":"a"}"#, finish).as_bytes()]);
        let Err(Error::Cut { partial }) = result else { panic!("{result:?}") };
        assert!(partial.truncated && partial.text == "a" && partial.finish == Finish::Error);
    }
    assert!(matches!(run([]).1, Err(Error::Cut { .. })));
}

#[test]
fn f7_done_without_a_finish_reason_is_inferred() {
    let call = piece(Some(0), Some("c"), Some("f"), "{}");
    assert_eq!(reply(&stream(&[&call], "null")).finish.as_str(), "tool_calls");
    assert_eq!(reply(&stream(&[r#"{"content":"a"}"#], "null")).finish.as_str(), "stop");
}

#[test]
fn f8_a_finish_reason_on_every_chunk_ends_nothing() {
    let stream = chunk(&piece(Some(0), Some("c"), Some("f"), ""), "\"stop\"")
        + &chunk(&piece(Some(0), None, None, "{\"a\":"), "\"stop\"")
        + &chunk(&piece(Some(0), None, None, "1}"), "\"tool_calls\"")
        + &chunk("{}", "null");
    let (events, result) = run([stream.as_bytes()]);
    let reply = result.unwrap();
    assert_eq!(
        (show(&reply), reply.finish.as_str()),
        (vec![r#"c f {"a":1}"#.to_owned()], "tool_calls")
    );
    let sealed = StreamEvent::CallSealed { ordinal: 0 };
    assert_eq!(events.last(), Some(&sealed), "not sealed while its arguments were blank");
    assert_eq!(events.iter().filter(|event| **event == sealed).count(), 1);
}

#[test]
fn f10_choices_may_be_empty_or_without_delta_and_the_last_usage_wins() {
    let stream = String::from("data: {\"choices\":[],\"prompt_filter_results\":[]}\n\n")
        + "data: {\"choices\":[{\"index\":0,\"content_filter_offsets\":{}}],\"usage\":{\"prompt_tokens\":1}}\n\n"
        + "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\",\"usage\":{\"prompt_tokens\":2}}]}\n\n"
        + "data: {\"choices\":[],\"usage\":null,\"x_groq\":{\"usage\":{\"prompt_tokens\":3,\"completion_tokens_details\":{\"reasoning_tokens\":4}}}}\n\n";
    let usage = reply(&stream).usage.unwrap();
    assert_eq!((usage.input_tokens, usage.output_tokens, usage.reasoning_tokens), (3, 4, 4));
}

#[test]
fn f11_a_message_stands_for_a_delta() {
    let stream = stream(&[r#"{"content":"a"}"#, r#"{"content":"b"}"#], "\"stop\"")
        .replace("\"delta\"", "\"message\"");
    assert_eq!(reply(&stream).text, "ab");
}

#[test]
fn f12_other_choices_are_ignored() {
    let other = chunk(&piece(Some(0), Some("x"), Some("x"), "{\"x\":1}"), "\"length\"")
        .replace("\"index\":0,\"delta", "\"index\":1,\"delta");
    let stream = chunk(&piece(Some(0), Some("c"), Some("f"), "{\"a\":"), "null")
        + &other
        + &chunk(&piece(Some(0), None, None, "1}"), "\"stop\"");
    let reply = reply(&stream);
    assert_eq!((show(&reply), reply.truncated), (vec![r#"c f {"a":1}"#.to_owned()], false));
}

#[test]
fn f13_content_may_be_parts() {
    let parts = r#"{"content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]},{"type":"text","text":"a"},"b",{"type":"image"}]}"#;
    let (events, result) = run([stream(&[parts], "\"stop\"").as_bytes()]);
    let reply = result.unwrap();
    assert_eq!((reply.text.as_str(), reply.reasoning.as_str()), ("ab", "hm"));
    assert_eq!(events, [StreamEvent::Reasoning("hm".into()), StreamEvent::Text("ab".into())]);
}

#[test]
fn f14_fields_of_any_type_do_no_harm() {
    let odd = r#"{"role":null,"content":{"a":1},"tool_calls":null,"function_call":[],"reasoning":7,"obfuscation":"xxx"}"#;
    let stream = stream(&[odd], "\"stop\"")
        .replace("\"id\":\"r\"", "\"id\":[],\"usage\":[1],\"created\":1e999");
    let reply = reply(&stream);
    assert_eq!((reply.text.as_str(), reply.calls.len(), reply.id), ("", 0, None));
    assert!(reply.extra.get("obfuscation").is_none());
}

#[test]
fn reasoning_is_shown_once_and_kept_under_its_name() {
    let deltas = [
        r#"{"reasoning":"a","reasoning_content":"a","reasoning_details":[{"text" : "a"}]}"#,
        r#"{"reasoning":"b","reasoning_content":"b","reasoning_details":[{"text":"b"}],"refusal":null,"x":1}"#,
        r#"{"x":2}"#,
    ];
    let reply = reply(&stream(&deltas, "\"stop\""));
    assert_eq!(reply.reasoning, "ab");
    let extra: Vec<_> = reply.extra.iter().map(|(name, value)| (name, value.get())).collect();
    let details = r#"[{"text" : "a"},{"text":"b"}]"#;
    assert_eq!(
        extra,
        [
            ("reasoning", "\"ab\""),
            ("reasoning_content", "\"ab\""),
            ("reasoning_details", details),
            ("x", "2")
        ]
    );
}

#[test]
fn a_body_without_events_is_read_at_its_end() {
    let body = r#" {"choices":[{"message":{"content":"a"},"finish_reason":"stop"}]}"#;
    for pieces in [body.len(), 1] {
        assert_eq!(run(body.as_bytes().chunks(pieces)).1.unwrap().text, "a");
    }
    assert!(matches!(run([&br#"{"error":"no"}"#[..]]).1, Err(Error::Api(_))));
    let html = run([&b"<html>busy</html>"[..]]).1;
    let Err(Error::Malformed { what, excerpt }) = html else { panic!("{html:?}") };
    assert_eq!((what.as_str(), excerpt.as_str()), ("expected JSON, got HTML", "<html>busy</html>"));
}

#[test]
fn nothing_counts_after_done() {
    let stream = stream(&[r#"{"content":"a"}"#], "\"stop\"")
        + &chunk(r#"{"content":"b"}"#, "\"length\"")
        + "data: junk\n\n";
    let mut decoder = StreamDecoder::new();
    assert!(!decoder.done());
    decoder.feed(stream.as_bytes(), &mut Vec::new()).unwrap();
    assert!(decoder.done());
    let reply = decoder.finish().unwrap();
    assert_eq!((reply.text.as_str(), reply.truncated), ("a", false));
}
