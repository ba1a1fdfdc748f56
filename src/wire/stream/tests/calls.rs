//! Which call a piece belongs to: rows D1 to D3 and D12 to D16.

use super::*;

#[test]
fn pieces_with_an_index_make_calls() {
    check(
        &[
            piece(Some(0), Some("a"), Some("f"), ""),
            piece(Some(0), None, None, "{\"x\":"),
            piece(Some(0), None, None, "1}"),
            piece(Some(1), Some("b"), Some("g"), "{\"y\":2}"),
        ],
        &[r#"a f {"x":1}"#, r#"b g {"y":2}"#],
    );
}

#[test]
fn d1_without_an_index_the_id_or_the_order_tells() {
    check(
        &[
            piece(None, Some("a"), Some("f"), "{\"x\":"),
            piece(None, None, None, "1}"),
            piece(None, Some("b"), Some("f"), "{\"y\":"),
            piece(None, Some("b"), None, "2}"),
            piece(None, Some("a"), None, " "),
            r#"{"tool_calls":[{"extra_content":{"s":1}}]}"#.to_owned(),
        ],
        &[r#"a f {"x":1}"#, r#"b f {"y":2}"#],
    );
    check(
        &[piece(None, None, Some("f"), "{\"x\":1}"), piece(None, None, Some("g"), "{}")],
        &[r#"call_0 f {"x":1}"#, "call_1 g {}"],
    );
}

#[test]
fn d2_another_id_with_a_name_is_another_call_also_under_the_same_index() {
    let call = |id, arguments| piece(Some(0), Some(id), Some("write"), arguments);
    check(
        &[call("a", "{\"p\":1}"), call("b", "{\"p\":2}"), call("c", "{}")],
        &[r#"a write {"p":1}"#, r#"b write {"p":2}"#, "c write {}"],
    );
}

#[test]
fn d2_under_one_index_and_without_ids_the_names_tell() {
    let call = |name, arguments| piece(Some(0), None, Some(name), arguments);
    check(
        &[call("f", "{\"x\":1}"), call("g", "{\"y\":2}")],
        &[r#"call_0 f {"x":1}"#, r#"call_1 g {"y":2}"#],
    );
    let with_id = piece(Some(0), Some("a"), Some("f"), "{\"x\":1}");
    check(&[with_id.clone(), call("g", "{\"x\":2}")], &[r#"a f {"x":1}"#, r#"call_1 g {"x":2}"#]);
    // A repetition is no other call, nor is a name that comes again before the arguments closed.
    check(&[call("f", "{\"x\":1}"), call("f", "{\"x\": 1}")], &[r#"call_0 f {"x":1}"#]);
    check(&[call("f", "{\"x\":"), call("f", "1}")], &[r#"call_0 f {"x":1}"#]);
    // Another object of the same tool may be another call or a contradiction: it is not run on a guess.
    check(&[call("f", "{\"x\":1}"), call("f", "{\"x\":2}")], &["call_0 f malformed"]);
    check(&[with_id, call("f", "{\"x\":2}")], &["a f malformed"]);
}

#[test]
fn d3_an_index_may_start_anywhere() {
    check(
        &[
            piece(Some(7), Some("a"), Some("f"), "{\"x\":"),
            piece(Some(7), None, None, "1}"),
            piece(Some(-3), Some("b"), Some("g"), "{}"),
            piece(Some(i64::MAX), Some("c"), Some("h"), ""),
        ],
        &[r#"a f {"x":1}"#, "b g {}", "c h {}"],
    );
}

#[test]
fn d13_a_call_may_come_in_one_delta() {
    let deltas = [
        piece(Some(0), Some("a"), Some("f"), "{\"x\":1}"),
        piece(Some(1), Some("b"), Some("g"), "{}"),
    ];
    check(&deltas, &[r#"a f {"x":1}"#, "b g {}"]);
    let (events, _) = read(&stream(&[&deltas[0], &deltas[1]], "\"tool_calls\""));
    assert_eq!(
        events,
        [
            StreamEvent::CallOpened { ordinal: 0 },
            StreamEvent::CallClosed { ordinal: 0 },
            StreamEvent::CallSealed { ordinal: 0 },
            StreamEvent::CallOpened { ordinal: 1 },
            StreamEvent::CallSealed { ordinal: 1 },
        ],
        "an empty object is never said to be closed"
    );
}

#[test]
fn d14_one_delta_may_hold_several_calls() {
    check(
        &[r#"{"tool_calls":[{"id":"a","function":{"name":"f","arguments":"{}"}},{"id":"b","function":{"name":"g","arguments":"{}"}}]}"#.to_owned()],
        &["a f {}", "b g {}"],
    );
}

#[test]
fn d14_calls_of_one_delta_need_neither_index_nor_id() {
    let calls = r#""tool_calls":[{"function":{"name":"f","arguments":""}},{"function":{"name":"g","arguments":{}}},{"function":{"name":"f"}}]"#;
    check(&[format!("{{{calls}}}")], &["call_0 f {}", "call_1 g {}", "call_2 f {}"]);
    check_body(&format!("{{{calls}}}"), &["call_0 f {}", "call_1 g {}", "call_2 f {}"]);
}

#[test]
fn d11_d14_a_name_in_pieces_may_come_in_one_delta() {
    check(
        &[r#"{"tool_calls":[{"function":{"name":"get_"}},{"function":{"name":"weather"}},{"function":{"arguments":"{}"}}]}"#.to_owned()],
        &["call_0 get_weather {}"],
    );
}

#[test]
fn d15_a_call_may_come_with_the_finish_reason() {
    let stream = chunk(&piece(Some(0), Some("a"), Some("f"), "{\"x\":1}"), "\"tool_calls\"");
    let (events, result) = read(&stream);
    assert_eq!(show(&result.unwrap()), [r#"a f {"x":1}"#]);
    let ordinal = 0;
    assert_eq!(
        events,
        [
            StreamEvent::CallOpened { ordinal },
            StreamEvent::CallClosed { ordinal },
            StreamEvent::CallSealed { ordinal }
        ]
    );
}

#[test]
fn d16_text_between_pieces_loses_and_seals_nothing() {
    let deltas = [
        &piece(Some(0), Some("a"), Some("f"), "{\"x\":"),
        r#"{"content":"hm"}"#,
        &piece(Some(0), None, None, "1}"),
    ];
    let reply = reply(&stream(&deltas, "\"tool_calls\""));
    assert_eq!((reply.text.as_str(), show(&reply)), ("hm", vec![r#"a f {"x":1}"#.to_owned()]));
}

#[test]
fn interleaved_calls_are_kept_apart_and_not_sealed_early() {
    let deltas = [
        piece(Some(0), Some("a"), Some("f"), ""),
        piece(Some(1), Some("b"), Some("g"), ""),
        piece(Some(0), None, None, "{\"x\":"),
        piece(Some(1), None, None, "{\"y\":2}"),
        piece(Some(0), None, None, "1}"),
    ];
    check(&deltas, &[r#"a f {"x":1}"#, r#"b g {"y":2}"#]);
    let mut decoder = StreamDecoder::new();
    let mut events = Vec::new();
    for delta in &deltas[..4] {
        decoder.feed(chunk(delta, "null").as_bytes(), &mut events).unwrap();
    }
    assert!(!events.iter().any(|event| matches!(event, StreamEvent::CallSealed { .. })));
    let view = decoder.call(0).unwrap();
    assert_eq!(
        view,
        CallView { id: Some("a"), name: "f", arguments: "{\"x\":", closed: false, sealed: false }
    );
    assert!(decoder.call(1).unwrap().closed && decoder.call(2).is_none());
}

#[test]
fn the_next_call_seals_the_one_before() {
    let deltas = [
        piece(Some(0), Some("a"), Some("f"), "{\"x\":1}"),
        piece(Some(1), Some("b"), Some("g"), "{\"y\""),
    ];
    let (events, _) = read(&(chunk(&deltas[0], "null") + &chunk(&deltas[1], "null")));
    assert_eq!(
        events,
        [
            StreamEvent::CallOpened { ordinal: 0 },
            StreamEvent::CallClosed { ordinal: 0 },
            StreamEvent::CallSealed { ordinal: 0 },
            StreamEvent::CallOpened { ordinal: 1 },
        ]
    );
}
