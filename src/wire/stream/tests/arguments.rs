//! Arguments of calls: rows D17 to D25.

use super::*;

#[test]
fn d17_d18_arguments_may_be_absent_or_json() {
    let call = |arguments: &str| {
        format!(r#"{{"tool_calls":[{{"index":0,"id":"a","function":{{"name":"f"{arguments}}}}}]}}"#)
    };
    for arguments in [
        "",
        r#","arguments":null"#,
        r#","arguments":"""#,
        r#","arguments":{}"#,
        r#","arguments":"null""#,
    ] {
        check(&[call(arguments)], &["a f {}"]);
        if arguments != r#","arguments":{}"# {
            check_finish(&[call(arguments)], "\"length\"", &["a f truncated"]);
        }
    }
    check(
        &[call(r#","arguments":{"b" : 1.50,"a":["x", {"y":null}]}"#)],
        &[r#"a f {"b":1.50,"a":["x", {"y":null}]}"#],
    );
    check(&[call(r#","arguments":[1]"#)], &["a f not an object"]);
    check(&[call(r#","arguments":3"#)], &["a f not an object"]);
}

#[test]
fn d19_a_placeholder_gives_way_to_the_arguments() {
    let object = r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":{}}}]}"#
        .to_owned();
    let rest = [piece(Some(0), None, None, "{\"x\":"), piece(Some(0), None, None, "1}")];
    check(&[std::slice::from_ref(&object), &rest[..]].concat(), &[r#"a f {"x":1}"#]);
    check(
        &[&[piece(Some(0), Some("a"), Some("f"), "{}")], &rest[..]].concat(),
        &[r#"a f {"x":1}"#],
    );
    check_finish(&[object], "\"length\"", &["a f truncated"]);
}

#[test]
fn d20_all_of_the_arguments_again_is_no_harm() {
    let first = piece(Some(0), Some("a"), Some("f"), "{\"x\": 1, ");
    let all = piece(Some(0), None, None, "{\"x\": 1, \"y\": 2}");
    check(
        &[first.clone(), piece(Some(0), None, None, "\"y\": 2}"), all.clone()],
        &[r#"a f {"x": 1, "y": 2}"#],
    );
    check(&[first, all.clone()], &[r#"a f {"x": 1, "y": 2}"#]);
    check(&[piece(Some(0), Some("a"), Some("f"), "{\"z\":"), all], &["a f malformed"]);
}

#[test]
fn d20_what_comes_behind_the_repetition_does_not_hide_it() {
    let first = piece(Some(0), Some("a"), Some("f"), "{\"x\": 1, ");
    let all = piece(Some(0), None, None, "{\"x\": 1, \"y\": 2}");
    for behind in ["", " ", "\n"] {
        let behind = piece(Some(0), None, None, behind);
        check(&[first.clone(), all.clone(), behind], &[r#"a f {"x": 1, "y": 2}"#]);
    }
}

#[test]
fn d20_blanks_inside_a_text_are_no_repetition() {
    let call = |arguments| piece(Some(0), Some("a"), Some("f"), arguments);
    check(&[call(r#"{"x":"a b"}"#), call(r#"{ "x" : "a b" }"#)], &[r#"a f {"x":"a b"}"#]);
    check(&[call(r#"{"x":"a b"}"#), call(r#"{"x":"ab"}"#)], &["a f malformed"]);
    check(&[call(r#"{"x":"a b"#), call(r#"{"x":"ab"}"#)], &["a f malformed"]);
    check(&[call(r#"{"x":"a\" b"#), call(r#"{"x": "a\" b"}"#)], &[r#"a f {"x": "a\" b"}"#]);
}

#[test]
fn d20_an_object_that_repeats_the_text_is_no_harm_and_another_one_is_reported() {
    let text = piece(Some(0), Some("a"), Some("f"), r#"{"x":1}"#);
    let object = |object: &str| {
        format!(r#"{{"tool_calls":[{{"index":0,"function":{{"arguments":{object}}}}}]}}"#)
    };
    check(&[text.clone(), object(r#"{ "x": 1 }"#)], &[r#"a f {"x":1}"#]);
    check(&[text.clone(), object("{}")], &[r#"a f {"x":1}"#]);
    let deltas = [text, object(r#"{"x":2}"#)];
    check(&deltas, &["a f malformed"]);
    let (events, _) = run([stream(&[&deltas[0], &deltas[1]], "\"tool_calls\"").as_bytes()]);
    assert!(events.contains(&StreamEvent::LateArguments { ordinal: 0 }));
}

#[test]
fn d21_text_behind_the_closing_brace_is_reported_and_refused() {
    let deltas = [
        piece(Some(0), Some("a"), Some("f"), "{\"q\":1}"),
        piece(Some(0), None, None, ", \"l\":2}"),
    ];
    check(&deltas, &["a f malformed"]);
    let (events, _) = run([stream(&[&deltas[0], &deltas[1]], "\"tool_calls\"").as_bytes()]);
    let ordinal = 0;
    let opened = [
        StreamEvent::CallOpened { ordinal },
        StreamEvent::CallClosed { ordinal },
        StreamEvent::LateArguments { ordinal },
    ];
    assert_eq!(events[..3], opened);
}

#[test]
fn a_call_with_late_arguments_is_no_longer_closed_nor_sealed_by_the_next() {
    let deltas = [
        piece(Some(0), Some("a"), Some("f"), "{\"q\":1}"),
        piece(Some(0), None, None, "}"),
        piece(Some(1), Some("b"), Some("g"), "{}"),
    ];
    let mut decoder = StreamDecoder::new();
    let mut events = Vec::new();
    for delta in &deltas {
        decoder.feed(chunk(delta, "null").as_bytes(), &mut events).unwrap();
    }
    assert!(!decoder.call(0).unwrap().closed);
    assert!(!events.contains(&StreamEvent::CallSealed { ordinal: 0 }));
}
