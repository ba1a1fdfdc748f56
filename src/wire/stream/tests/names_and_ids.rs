//! Names and ids of calls: rows D4 to D11.

use super::*;

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
fn d6_calls_of_a_body_get_the_ids_that_are_missing() {
    check_body(
        r#"{"content":null,"tool_calls":[{"id":"","type":"function","function":{"name":"f","arguments":"{}"}},{"id":null,"function":{"name":"f","arguments":"{\"q\":\"x\"}"}}]}"#,
        &["call_0 f {}", r#"call_1 f {"q":"x"}"#],
    );
}

#[test]
fn d7_the_same_id_twice_in_a_body_is_renamed_the_second_time() {
    check_body(
        r#"{"tool_calls":[{"id":"a","function":{"name":"f","arguments":"{}"}},{"id":"a","function":{"name":"g","arguments":"{}"}},{"id":"a_2","function":{"name":"h","arguments":"{}"}}]}"#,
        &["a f {}", "a_3 g {}", "a_2 h {}"],
    );
}

#[test]
fn d8_ids_may_begin_anew_with_every_reply() {
    // They are as the provider wrote them: what tells calls apart over a conversation is a key of our own.
    for arguments in ["{\"turn\":1}", "{\"turn\":2}"] {
        let calls = [
            piece(Some(0), Some("list_dir:0"), Some("list_dir"), arguments),
            piece(Some(1), Some("list_dir:1"), Some("list_dir"), "{}"),
        ];
        check(&calls, &[&format!("list_dir:0 list_dir {arguments}"), "list_dir:1 list_dir {}"]);
    }
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
fn old_llama_cpp_writes_the_id_into_the_function() {
    let call =
        r#"{"tool_calls":[{"index":0,"function":{"id":"abc","name":"f","arguments":"{}"}}]}"#;
    check(&[call.to_owned()], &["abc f {}"]);
}

#[test]
fn d10_a_name_may_be_null_or_of_another_type() {
    for name in ["null", "\"\"", "[]", "{}", "true"] {
        let later = format!(
            r#"{{"tool_calls":[{{"index":0,"function":{{"name":{name},"arguments":"1}}"}}}}]}}"#
        );
        check(&[piece(Some(0), Some("a"), Some("f"), "{\"x\":"), later], &[r#"a f {"x":1}"#]);
    }
}

#[test]
fn d11_a_call_is_known_by_its_name_only_once_that_has_come() {
    let deltas = [
        piece(Some(0), Some("a"), None, "{\"x\":"),
        piece(Some(0), None, None, "1}"),
        piece(Some(0), None, Some("f"), ""),
    ];
    check(&deltas, &[r#"a f {"x":1}"#]);
    let mut decoder = StreamDecoder::new();
    let mut names = Vec::new();
    for delta in &deltas {
        decoder.feed(chunk(delta, "null").as_bytes(), &mut Vec::new()).unwrap();
        let call = decoder.call(0).unwrap();
        names.push((call.name.to_owned(), call.closed));
    }
    assert_eq!(names, [(String::new(), false), (String::new(), true), ("f".to_owned(), true)]);
}

#[test]
fn d12_arguments_without_a_name_are_a_call_without_a_name() {
    check(&[piece(Some(0), None, None, "{\"x\":1}")], &[r#"call_0  {"x":1}"#]);
    check(&[piece(Some(0), None, None, ""), r#"{"tool_calls":[{}, null, 3]}"#.to_owned()], &[]);
}

#[test]
fn d12_a_call_without_a_name_is_answered_and_never_sent_back_without_one() {
    let orphan = piece(None, None, None, "{\"x\":1}");
    let after = r#"{"content":"and on"}"#;
    let (events, result) = read(&stream(&[&orphan, after], "\"tool_calls\""));
    let reply = result.unwrap();
    assert_eq!(
        (show(&reply), reply.text.as_str()),
        (vec![r#"call_0  {"x":1}"#.to_owned()], "and on")
    );
    assert!(events.contains(&StreamEvent::Text("and on".into())));
    let mut out = Vec::new();
    reply.write_message(&mut out);
    let written = String::from_utf8(out).unwrap();
    assert!(written.contains(r#""name":"invalid_tool_call""#), "{written}");
    check_body(
        r#"{"tool_calls":[{"function":{"arguments":"{\"x\":1}"}}]}"#,
        &[r#"call_0  {"x":1}"#],
    );
}
