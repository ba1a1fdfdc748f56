//! Streams as providers send them. `f1` … `d29` are the rows of the catalogue of quirks the cases come from.

use proptest::prelude::*;
use serde_json::json;

use super::super::Arguments;
use super::*;
use crate::wire::chat::decode_reply;

/// A stream of one chunk per delta, then a finish reason, then `[DONE]`.
fn stream(deltas: &[&str], finish: &str) -> String {
    let mut out = String::new();
    for delta in deltas {
        out.push_str(&chunk(delta, "null"));
    }
    out + &chunk("{}", finish) + "data: [DONE]\n\n"
}

fn chunk(delta: &str, finish: &str) -> String {
    format!(
        "data: {{\"id\":\"r\",\"model\":\"m\",\"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":{finish}}}]}}\n\n"
    )
}

/// A delta with one piece of a call.
fn piece(index: Option<i64>, id: Option<&str>, name: Option<&str>, arguments: &str) -> String {
    let mut call = json!({"function": {"arguments": arguments}});
    if let Some(index) = index {
        call["index"] = json!(index);
    }
    if let Some(id) = id {
        call["id"] = json!(id);
    }
    if let Some(name) = name {
        call["function"]["name"] = json!(name);
    }
    json!({"tool_calls": [call]}).to_string()
}

fn run<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<StreamEvent>, Result<Reply, Error>) {
    let mut decoder = StreamDecoder::new();
    let mut events = Vec::new();
    for piece in pieces {
        if let Err(error) = decoder.feed(piece, &mut events) {
            return (events, Err(error));
        }
    }
    (events, decoder.finish())
}

fn reply(stream: &str) -> Reply {
    run([stream.as_bytes()]).1.unwrap()
}

/// Shows calls as `id name arguments`.
fn show(reply: &Reply) -> Vec<String> {
    let show = |arguments: &Arguments| match arguments {
        Arguments::Object(text) => text.clone(),
        Arguments::NotAnObject { .. } => "not an object".to_owned(),
        Arguments::Malformed { .. } => "malformed".to_owned(),
        Arguments::Truncated { .. } => "truncated".to_owned(),
    };
    reply
        .calls
        .iter()
        .map(|call| format!("{} {} {}", call.id, call.name, show(&call.arguments)))
        .collect()
}

/// Checks the calls of a clean stream of these deltas.
fn check(deltas: &[String], expected: &[&str]) {
    check_finish(deltas, "\"tool_calls\"", expected);
}

fn check_finish(deltas: &[String], finish: &str, expected: &[&str]) {
    let deltas: Vec<&str> = deltas.iter().map(String::as_str).collect();
    let stream = stream(&deltas, finish);
    let (_, whole) = run([stream.as_bytes()]);
    assert_eq!(show(&whole.unwrap()), expected, "{deltas:#?}");
    let (_, bytes) = run(stream.as_bytes().chunks(1));
    assert_eq!(show(&bytes.unwrap()), expected, "{deltas:#?}, byte by byte");
}

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
        ("Hello", super::super::Finish::Stop, false)
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
        assert!(
            partial.truncated
                && partial.text == "a"
                && partial.finish == super::super::Finish::Error
        );
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
fn d4_an_id_counts_once_and_empty_ones_never() {
    check(
        &[
            piece(Some(0), Some(""), Some("f"), "{\"x\""),
            piece(Some(0), Some("a"), None, ":"),
            piece(Some(0), Some("a"), None, "1"),
            piece(Some(0), Some(""), None, "}"),
            r#"{"tool_calls":[{"index":0,"id":null,"function":{"name":null,"arguments":null}}]}"#
                .to_owned(),
        ],
        &[r#"a f {"x":1}"#],
    );
}

#[test]
fn d5_an_id_that_changes_without_a_name_is_the_same_call() {
    check(
        &[
            piece(Some(0), Some("a"), Some("f"), ""),
            piece(Some(0), Some("b"), Some(""), "{\"x\":"),
            piece(Some(0), Some("c"), Some(""), "1}"),
        ],
        &[r#"a f {"x":1}"#],
    );
    check(
        &[piece(None, Some("a"), Some("f"), "{\"x\":"), piece(None, Some("b"), None, "1}")],
        &[r#"a f {"x":1}"#],
    );
}

#[test]
fn d6_d7_ids_are_minted_and_made_unique() {
    let call = |index, id| piece(Some(index), id, Some("f"), "{}");
    check(
        &[call(0, Some("a")), call(1, Some("a")), call(2, None)],
        &["a f {}", "a_2 f {}", "call_2 f {}"],
    );
}

#[test]
fn d9_d10_d11_a_name_may_be_repeated_empty_growing_late_or_in_pieces() {
    let with = |name| piece(Some(0), Some("a"), name, "");
    let end = || piece(Some(0), Some("a"), Some("get_weather"), "{\"x\":1}");
    let expected = [r#"a get_weather {"x":1}"#];
    check(&[with(Some("get_weather")), end()], &expected);
    check(&[with(Some("get_")), with(Some("")), with(Some("weather")), end()], &expected);
    check(&[with(Some("get_")), with(Some("get_weather")), end()], &expected);
    check(&[piece(Some(0), Some("a"), None, "{\"x\":1}"), with(Some("get_weather"))], &expected);
    check(&[end(), with(Some("get_weather")), with(Some("other"))], &expected);
}

#[test]
fn d12_arguments_without_a_name_are_a_call_without_a_name() {
    check(&[piece(Some(0), None, None, "{\"x\":1}")], &[r#"call_0  {"x":1}"#]);
    check(&[piece(Some(0), None, None, ""), r#"{"tool_calls":[{}, null, 3]}"#.to_owned()], &[]);
}

#[test]
fn d14_one_delta_may_hold_several_calls() {
    check(
        &[r#"{"tool_calls":[{"id":"a","function":{"name":"f","arguments":"{}"}},{"id":"b","function":{"name":"g","arguments":"{}"}}]}"#.to_owned()],
        &["a f {}", "b g {}"],
    );
}

#[test]
fn d15_a_call_may_come_with_the_finish_reason() {
    let stream = chunk(&piece(Some(0), Some("a"), Some("f"), "{\"x\":1}"), "\"tool_calls\"");
    let (events, result) = run([stream.as_bytes()]);
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

#[test]
fn the_call_that_was_being_written_has_a_doubtful_end_also_if_it_is_not_the_newest() {
    let deltas = [
        piece(Some(0), Some("a"), Some("f"), ""),
        piece(Some(1), Some("b"), Some("g"), "{}"),
        piece(Some(0), None, None, " "),
    ];
    check_finish(&deltas, "\"length\"", &["a f truncated", "b g {}"]);
}

#[test]
fn d26_the_old_function_call_is_one_call_unless_there_are_others() {
    let old = [
        r#"{"function_call":{"name":"f","arguments":""}}"#.to_owned(),
        r#"{"function_call":{"arguments":"{\"x\":"}}"#.to_owned(),
        r#"{"function_call":{"arguments":"1}"}}"#.to_owned(),
    ];
    check_finish(&old, "\"function_call\"", &[r#"call_0 f {"x":1}"#]);
    check(
        &[&old[..], &[piece(Some(0), Some("a"), Some("f"), "{\"x\":1}")]].concat(),
        &[r#"a f {"x":1}"#],
    );
}

#[test]
fn old_llama_cpp_writes_the_id_into_the_function() {
    let call =
        r#"{"tool_calls":[{"index":0,"function":{"id":"abc","name":"f","arguments":"{}"}}]}"#;
    check(&[call.to_owned()], &["abc f {}"]);
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
    let (events, _) = run([(chunk(&deltas[0], "null") + &chunk(&deltas[1], "null")).as_bytes()]);
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

#[test]
fn whole_calls_of_a_cut_reply_stand_and_the_last_is_not_sealed() {
    let deltas = [
        piece(Some(0), Some("a"), Some("f"), ""),
        piece(Some(1), Some("b"), Some("g"), "{\"y\":\""),
    ];
    for finish in [
        "\"length\"",
        "\"max_tokens\"",
        "\"content_filter\"",
        "\"error\"",
        "\"tool_calls\",\"native_finish_reason\":\"MAX_TOKENS\"",
    ] {
        check_finish(&deltas, finish, &["a f {}", "b g truncated"]);
        let (events, _) = run([stream(&[&deltas[0], &deltas[1]], finish).as_bytes()]);
        assert!(!events.contains(&StreamEvent::CallSealed { ordinal: 1 }), "{finish}");
    }
    let (_, result) = run([(chunk(&deltas[0], "null") + &chunk(&deltas[1], "null")).as_bytes()]);
    let Err(Error::Cut { partial }) = result else { panic!("{result:?}") };
    assert_eq!(show(&partial), ["a f {}", "b g truncated"]);
}

#[test]
fn extras_of_a_call_are_kept_on_that_call() {
    let call = r#"{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{}","k":1},"extra_content":{"google":{"s" : "x"}}}]}"#;
    let reply = reply(&stream(&[call], "\"tool_calls\""));
    assert_eq!(
        reply.calls[0].extra.get("extra_content").unwrap().get(),
        r#"{"google":{"s" : "x"}}"#
    );
    assert_eq!(reply.calls[0].function_extra.get("k").unwrap().get(), "1");
    assert!(reply.calls[0].extra.get("type").is_none());
}

#[test]
fn an_error_in_the_middle_is_an_error_and_keeps_what_came() {
    let start = chunk(r#"{"content":"Let me"}"#, "null")
        + &chunk(&piece(Some(0), Some("a"), Some("f"), "{\"x\":1}"), "null");
    for event in [
        r#"data: {"error":{"code":502,"message":"gone"},"choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}]}"#,
        r#"data: {"error":{"code":502,"message":"gone"},"choices":[]}"#,
        r#"data: {"choices":[{"index":0,"error":{"code":502,"message":"gone"}}]}"#,
        "event: error\ndata: {\"code\":502,\"message\":\"gone\"}",
        r#"data: {"object":"error","code":502,"message":"gone"}"#,
    ] {
        let mut decoder = StreamDecoder::new();
        let result = decoder.feed(format!("{start}{event}\n\n").as_bytes(), &mut Vec::new());
        let Err(Error::Api(error)) = result else { panic!("{event}: {result:?}") };
        assert_eq!((error.message.as_str(), error.status), ("gone", Some(502)), "{event}");
        let Err(Error::Cut { partial }) = decoder.finish() else { panic!("{event}") };
        assert_eq!(
            (partial.text.as_str(), show(&partial)),
            ("Let me", vec![r#"a f {"x":1}"#.to_owned()])
        );
    }
}

#[test]
fn an_empty_error_is_none() {
    for empty in ["null", "\"\"", "{}", "false"] {
        let stream = stream(&[r#"{"content":"a"}"#], "\"stop\"")
            .replace("\"id\":\"r\"", &format!("\"error\":{empty}"));
        assert_eq!(reply(&stream).text, "a", "{empty}");
    }
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
fn an_event_that_is_no_json_is_malformed_with_a_short_excerpt() {
    let (_, result) = run([format!("data: {{\"a\":{}\n\n", "é".repeat(1000)).as_bytes()]);
    let Err(Error::Malformed { excerpt, .. }) = result else { panic!("{result:?}") };
    assert_eq!(excerpt.chars().count(), 200);
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

#[test]
fn a_body_or_event_over_the_limit_is_an_error() {
    for bytes in ["data: 0123456789", "{\"a\":\"0123456789"] {
        let result = StreamDecoder::with_max_event(12).feed(bytes.as_bytes(), &mut Vec::new());
        assert!(matches!(result, Err(Error::TooLarge { limit: 12 })), "{bytes}");
    }
}

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
        let _ = super::super::chat::error_in(&bytes);
        let _ = super::super::chat::decode_messages(&bytes);
    }
}
