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
    // Where the reply was cut, nobody knows whether more was to come. A body has no placeholders.
    let text = piece(Some(0), Some("a"), Some("f"), "{}");
    for placeholder in [object, text.clone()] {
        check_finish(std::slice::from_ref(&placeholder), "\"length\"", &["a f truncated"]);
        let (events, _) = read(&stream(&[&placeholder], "\"length\""));
        assert_eq!(events, [StreamEvent::CallOpened { ordinal: 0 }]);
        assert_eq!(show(&partial(&chunk(&placeholder, "null"))), ["a f truncated"]);
    }
    check_body_finish(&text, "\"length\"", &["a f {}"]);
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
    let (events, _) = read(&stream(&[&deltas[0], &deltas[1]], "\"tool_calls\""));
    assert!(events.contains(&StreamEvent::LateArguments { ordinal: 0 }));
}

#[test]
fn d21_text_behind_the_closing_brace_is_reported_and_refused() {
    let deltas = [
        piece(Some(0), Some("a"), Some("f"), "{\"q\":1}"),
        piece(Some(0), None, None, ", \"l\":2}"),
    ];
    check(&deltas, &["a f malformed"]);
    let (events, _) = read(&stream(&[&deltas[0], &deltas[1]], "\"tool_calls\""));
    let ordinal = 0;
    let opened = [
        StreamEvent::CallOpened { ordinal },
        StreamEvent::CallClosed { ordinal },
        StreamEvent::LateArguments { ordinal },
    ];
    assert_eq!(events[..3], opened);
}

#[test]
fn d17_nothing_in_a_body_means_an_empty_object_unless_the_reply_was_cut() {
    let call = |arguments: &str| {
        format!(r#"{{"tool_calls":[{{"id":"a","function":{{"name":"f"{arguments}}}}}]}}"#)
    };
    for nothing in ["", r#","arguments":null"#, r#","arguments":"""#, r#","arguments":"null""#] {
        check_body(&call(nothing), &["a f {}"]);
        check_body_finish(&call(nothing), "\"length\"", &["a f truncated"]);
    }
    check_body_finish(&call(r#","arguments":"{}""#), "\"length\"", &["a f {}"]);
}

#[test]
fn d18_arguments_of_a_body_may_be_an_object() {
    check_body(
        r#"{"tool_calls":[{"id":"a","function":{"name":"f","arguments":{"b" : 1.50,"é":[{"y" : null}]}}}]}"#,
        &[r#"a f {"b":1.50,"é":[{"y" : null}]}"#],
    );
}

#[test]
fn d22_a_missing_brace_is_never_added() {
    let deltas =
        [piece(Some(0), Some("a"), Some("f"), "{\"x\":{\"y\":1}"), piece(Some(0), None, None, "")];
    check(&deltas, &["a f malformed"]);
    check_finish(&deltas, "\"length\"", &["a f truncated"]);
    let (events, _) = read(&stream(&[&deltas[0]], "\"tool_calls\""));
    assert!(!events.contains(&StreamEvent::CallClosed { ordinal: 0 }));
}

#[test]
fn d23_arguments_may_be_encoded_twice() {
    let deltas = [
        piece(Some(0), Some("a"), Some("f"), r#""{\"x\": "#),
        piece(Some(0), None, None, r#"\"}\"}""#),
    ];
    check(&deltas, &[r#"a f {"x": "}"}"#]);
    let (events, _) = read(&stream(&[&deltas[0], &deltas[1]], "\"tool_calls\""));
    assert!(
        !events.contains(&StreamEvent::CallClosed { ordinal: 0 }),
        "no brace is outside of the text"
    );
    check(&deltas[..1], &["a f malformed"]);
    check_finish(&deltas[..1], "\"length\"", &["a f truncated"]);
    check_body(
        r#"{"tool_calls":[{"id":"a","function":{"name":"f","arguments":"\"{\\\"x\\\":1}\""}}]}"#,
        &[r#"a f {"x":1}"#],
    );
}

#[test]
fn d24_json_that_is_no_object_is_no_arguments() {
    for other in ["[]", "[{\"x\":1}]", "1", "true", "\"words\"", "-0.5e3"] {
        let call = piece(Some(0), Some("a"), Some("f"), other);
        check(std::slice::from_ref(&call), &["a f not an object"]);
        check_finish(&[call], "\"length\"", &["a f truncated"]);
        let (events, _) =
            read(&stream(&[&piece(Some(0), Some("a"), Some("f"), other)], "\"stop\""));
        assert!(!events.contains(&StreamEvent::CallClosed { ordinal: 0 }), "{other}");
    }
}

#[test]
fn d25_what_only_looks_like_json_is_refused_and_never_mended() {
    for odd in [
        r#"{"x":1,}"#,
        "{'x':1}",
        r#"{"x":None}"#,
        r#"{"x":"\d"}"#,
        r#"{"x":"C:\path"}"#,
        "{\"x\":\"a\nb\"}",
        r#"{\n"x":1}"#,
        "```json\n{\"x\":1}\n```",
        r#"{"x":1} I hope that helps"#,
        "{x:1}",
        r#"{{"x":1}}"#,
        r#"{"x":1"#,
        r#"{"x":01}"#,
        r#"{"x":NaN}"#,
    ] {
        let call = piece(Some(0), Some("a"), Some("f"), odd);
        check(std::slice::from_ref(&call), &["a f malformed"]);
        let calls: Vec<String> =
            odd.chars().map(|part| piece(Some(0), None, None, &part.to_string())).collect();
        let named = piece(Some(0), Some("a"), Some("f"), "");
        check(&[&[named][..], &calls].concat(), &["a f malformed"]);
        let message = call.replace("\"index\":0", "\"index\":7");
        check_body(&message, &["a f malformed"]);
    }
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
