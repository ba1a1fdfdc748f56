//! Events, chunks and text: rows F1 to F14.

use super::*;

#[test]
fn text_and_usage_are_read() {
    let stream = chunk(r#"{"role":"assistant","content":""}"#, "null")
        + &chunk(r#"{"content":"Hel"}"#, "null")
        + &chunk(r#"{"content":"lo"}"#, "\"stop\"")
        + "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2,\"prompt_tokens_details\":{\"cached_tokens\":5}}}\n\ndata: [DONE]\n\n";
    let (events, result) = read(&stream);
    let counted = Usage { input_tokens: 7, output_tokens: 2, cached_tokens: 5, ..Usage::default() };
    let [hel, lo] = ["Hel", "lo"].map(|text| StreamEvent::Text(text.into()));
    assert_eq!(events, [hel, lo, StreamEvent::Counted(counted)]);
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
fn f1_comments_are_skipped_and_are_no_progress() {
    let alive = ": PROCESSING\n\n:\n\n: still here\n\n";
    let stream = String::from(alive)
        + &chunk(r#"{"content":"a"}"#, "null")
        + alive
        + &chunk(r#"{"content":"b"}"#, "\"stop\"")
        + alive
        + "data: [DONE]\n\n";
    assert_eq!(reply(&stream).text, "ab");
    let mut decoder = StreamDecoder::new();
    decoder.feed(alive.as_bytes(), &mut Vec::new()).unwrap();
    assert_eq!(decoder.pieces(), 0);
    decoder.feed(chunk(r#"{"content":"a"}"#, "null").as_bytes(), &mut Vec::new()).unwrap();
    decoder.feed(alive.as_bytes(), &mut Vec::new()).unwrap();
    assert_eq!(decoder.pieces(), 1);
}

#[test]
fn f2_lines_may_end_in_any_way_and_have_any_field() {
    let plain = stream(
        &[r#"{"content":"a\r\nb"}"#, &piece(Some(0), Some("a"), Some("f"), "{\"x\":\"\\n\"}")],
        "\"tool_calls\"",
    );
    let check = |stream: &str| {
        let reply = reply(stream);
        assert_eq!(reply.text, "a\r\nb", "{stream:?}");
        assert_eq!(show(&reply), [r#"a f {"x":"\n"}"#], "{stream:?}");
    };
    check(&plain);
    check(&plain.replace('\n', "\r\n"));
    check(&plain.replace('\n', "\r"));
    check(&plain.replace("data: ", "data:"));
    check(&plain.replace("data: ", "event: chunk\nid: 7\nretry: 100\ndata: "));
    check(&plain.replace("\n\n", "\n\ndata:\n\ndata: \n\n\n"));
}

#[test]
fn f3_a_character_may_be_cut_anywhere() {
    let deltas = [
        r#"{"content":"東京 ☂ 😀"}"#,
        &piece(Some(0), Some("a"), Some("f"), "{\"city\":\"東京😀\"}"),
    ];
    let stream = stream(&deltas, "\"tool_calls\"");
    for size in [1, 2, 3, 5] {
        let reply = run(stream.as_bytes().chunks(size)).1.unwrap();
        assert_eq!(reply.text, "東京 ☂ 😀");
        assert_eq!(show(&reply), [r#"a f {"city":"東京😀"}"#], "{size}");
    }
}

#[test]
fn f4_one_line_feed_between_events_is_enough() {
    let deltas =
        [r#"{"content":"a"}"#, r#"{"content":"}\n{"}"#, &piece(None, Some("a"), Some("f"), "{}")];
    let stream = stream(&deltas, "\"tool_calls\"").replace("\n\n", "\n");
    let reply = reply(&stream);
    assert_eq!((reply.text.as_str(), show(&reply)), ("a}\n{", vec!["a f {}".to_owned()]));
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
        let (_, result) = read(&chunk(r#"{"content":"a"}"#, finish));
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
    let (events, result) = read(&stream);
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
fn f9_a_finish_reason_may_be_absent_empty_or_a_written_null() {
    let call = piece(Some(0), Some("c"), Some("f"), "{\"a\":");
    let rest = piece(Some(0), None, None, "1}");
    let whole = chunk(&call, "null") + &chunk(&rest, "null") + &chunk("{}", "\"tool_calls\"");
    for nothing in ["\"finish_reason\":\"\"", "\"finish_reason\":\"null\"", "\"x\":0"] {
        let stream = whole.replace("\"finish_reason\":null", nothing);
        let (events, result) = read(&stream);
        let reply = result.unwrap();
        assert_eq!(show(&reply), [r#"c f {"a":1}"#], "{nothing}");
        assert_eq!(reply.finish, Finish::ToolCalls, "{nothing}");
        assert_eq!(events.last(), Some(&StreamEvent::CallSealed { ordinal: 0 }), "{nothing}");
    }
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
fn f10_a_usage_that_grows_with_every_chunk_is_not_added_up() {
    let with = |delta: &str, tokens: u32| {
        let usage =
            format!("\"usage\":{{\"prompt_tokens\":9,\"completion_tokens\":{tokens}}},\"id\"");
        chunk(delta, "null").replacen("\"id\"", &usage, 1)
    };
    let stream = with(r#"{"content":"a"}"#, 1)
        + &with(r#"{"content":"b"}"#, 2)
        + &chunk("{}", "\"stop\"")
        + "data: [DONE]\n\n";
    let usage = reply(&stream).usage.unwrap();
    assert_eq!((usage.input_tokens, usage.output_tokens), (9, 2));
}

#[test]
fn f11_a_message_stands_for_a_delta() {
    let stream = stream(&[r#"{"content":"a"}"#, r#"{"content":"b"}"#], "\"stop\"")
        .replace("\"delta\"", "\"message\"");
    assert_eq!(reply(&stream).text, "ab");
    let call = chunk(&piece(Some(0), Some("a"), Some("f"), "{\"x\":"), "null")
        + &chunk(&piece(Some(0), None, None, "1}"), "\"tool_calls\"");
    assert_eq!(show(&reply(&call.replace("\"delta\"", "\"message\""))), [r#"a f {"x":1}"#]);
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
fn f12_of_a_body_the_choice_with_index_0_counts_wherever_it_stands() {
    let choice = |index: u32, text: &str| {
        format!(r#"{{"index":{index},"message":{{"content":"{text}"}},"finish_reason":"stop"}}"#)
    };
    let body = format!(r#"{{"choices":[{},{}]}}"#, choice(1, "b"), choice(0, "a"));
    assert_eq!(decode_reply(body.as_bytes()).unwrap().text, "a");
}

#[test]
fn f13_content_may_be_parts() {
    let parts = r#"{"content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]},{"type":"text","text":"a"},"b",{"type":"image"}]}"#;
    let (events, result) = read(&stream(&[parts], "\"stop\""));
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
fn f13_the_parts_of_a_body_are_joined_too() {
    let body = r#"{"choices":[{"message":{"content":[{"type":"thinking","thinking":"hm"},{"type":"text","text":"a"},{"type":"text","text":"b"}]}}]}"#;
    let reply = decode_reply(body.as_bytes()).unwrap();
    assert_eq!((reply.text.as_str(), reply.reasoning.as_str()), ("ab", "hm"));
}

#[test]
fn f14_a_role_may_be_repeated_and_unknown_fields_are_everywhere() {
    let deltas = [
        r#"{"role":"assistant","content":""}"#,
        r#"{"role":"assistant","content":"a","token_ids":[1,2],"logprobs":{"content":[{"top":[]}]}}"#,
        r#"{"role":"","content":"b","p":"abcdefgh"}"#,
        r#"{"role":null,"content":"c"}"#,
        r#"{"role":"robot","content":"d"}"#,
    ];
    let stream = stream(&deltas, "\"stop\",\"matched_stop\":151645,\"stop_reason\":null")
        .replace("\"model\"", "\"provider\":{\"x\":[]},\"model\"");
    let reply = reply(&stream);
    assert_eq!((reply.text.as_str(), reply.finish), ("abcd", Finish::Stop));
    assert!(reply.extra.get("p").is_none() && reply.extra.get("role").is_none());
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
    assert_eq!(reply(body).text, "a");
    assert!(matches!(read(r#"{"error":"no"}"#).1, Err(Error::Api(_))));
    let html = read("<html>busy</html>").1;
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
