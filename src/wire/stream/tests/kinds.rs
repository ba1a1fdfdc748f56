//! Calls of other kinds, and what goes back with a call: rows D26 to D28.

use super::*;

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

/// Checks how the reply of these deltas goes back.
fn check_written(deltas: &[&str], expected: &str) {
    let mut out = Vec::new();
    reply(&stream(deltas, "\"tool_calls\"")).write_message(&mut out);
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn d27_the_input_of_a_custom_tool_may_come_in_pieces() {
    let deltas = [
        r#"{"tool_calls":[{"index":0,"id":"a","type":"custom","custom":{"name":"math","input":""}}]}"#,
        r#"{"tool_calls":[{"index":0,"custom":{"input":"4 \"+"}}]}"#,
        r#"{"tool_calls":[{"index":0,"custom":{"input":" 4"}}]}"#,
    ];
    check(&deltas.map(str::to_owned), &["a math not an object"]);
    let custom = r#"{"id":"a","type":"custom","custom":{"name":"math","input":"4 \"+ 4"}}"#;
    check_written(&deltas, &format!(r#"{{"role":"assistant","tool_calls":[{custom}]}}"#));
}

#[test]
fn d27_a_custom_tools_input_is_never_taken_for_arguments() {
    let call = r#"{"tool_calls":[{"index":0,"id":"a","type":"custom","custom":{"name":"f","input":"{\"x\":1}"}}]}"#;
    check(&[call.to_owned()], &["a f not an object"]);
    check_body(call, &["a f not an object"]);
}

#[test]
fn d27_a_function_is_a_function_whatever_the_type_says() {
    let function = r#""function":{"name":"f","arguments":"{}"}"#;
    let written = format!(r#"{{"id":"a","type":"function",{function}}}"#);
    for kind in ["", r#""type":null,"#, r#""type":"","#, r#""type":7,"#] {
        let call = format!(r#"{{"tool_calls":[{{"id":"a",{kind}{function}}}]}}"#);
        check(std::slice::from_ref(&call), &["a f {}"]);
        check_body(&call, &["a f {}"]);
        check_written(&[&call], &format!(r#"{{"role":"assistant","tool_calls":[{written}]}}"#));
    }
    let other = format!(r#"{{"id":"a",{function},"type":"tool"}}"#);
    let call = format!(r#"{{"tool_calls":[{other}]}}"#);
    check(std::slice::from_ref(&call), &["a f {}"]);
    check_written(&[&call], &format!(r#"{{"role":"assistant","tool_calls":[{other}]}}"#));
}

#[test]
fn d27_a_call_of_an_unknown_kind_is_a_call_and_goes_back_as_it_came() {
    let call = r#"{"id":"a","type":"mcp","mcp":{"name":"f","arguments":"{}"}}"#;
    check(&[format!(r#"{{"tool_calls":[{call}]}}"#)], &["a  {}"]);
    check_written(
        &[&format!(r#"{{"tool_calls":[{call}]}}"#)],
        &format!(r#"{{"role":"assistant","tool_calls":[{call}]}}"#),
    );
}

#[test]
fn d26_the_old_function_call_of_a_body_is_one_call_unless_there_are_others() {
    let old = r#""function_call":{"name":"f","arguments":"{\"x\":1}"}"#;
    check_body_finish(
        &format!("{{\"content\":null,{old}}}"),
        "\"function_call\"",
        &[r#"call_0 f {"x":1}"#],
    );
    let new = r#""tool_calls":[{"id":"a","function":{"name":"f","arguments":"{\"x\":1}"}}]"#;
    check_body(&format!("{{{old},{new}}}"), &[r#"a f {"x":1}"#]);
}

#[test]
fn d28_a_call_written_as_text_stays_text_and_is_never_run() {
    for leaked in [
        r#"<tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\": 1}}\n</tool_call>"#,
        r#"[TOOL_CALLS][{\"name\": \"f\", \"arguments\": {}}]"#,
        r#"<function=f><parameter=x>1</parameter></function>"#,
        r#"```json\n{\"tool_calls\": [{\"id\": \"a\"}]}\n```"#,
    ] {
        let text: String = serde_json::from_str(&format!("\"{leaked}\"")).unwrap();
        let message = format!(r#"{{"content":"{leaked}"}}"#);
        let (events, result) = read(&stream(&[&message], "\"stop\""));
        let reply = result.unwrap();
        assert_eq!((reply.text.as_str(), reply.calls.len()), (text.as_str(), 0));
        assert_eq!(events, [StreamEvent::Text(text)]);
        check_body(&message, &[]);
    }
}

#[test]
fn d29_a_call_of_a_reply_that_says_stop_is_given_with_that_word() {
    let deltas = [
        r#"{"reasoning_content":"I could remove it"}"#,
        &piece(Some(0), Some("a"), Some("f"), "{\"x\":1}"),
        r#"{"content":"I will not."}"#,
    ];
    let reply = reply(&stream(&deltas, "\"stop\""));
    assert_eq!((show(&reply), reply.finish), (vec![r#"a f {"x":1}"#.to_owned()], Finish::Stop));
    assert_eq!(
        (reply.text.as_str(), reply.reasoning.as_str()),
        ("I will not.", "I could remove it")
    );
}

#[test]
fn d30_a_name_is_given_as_the_model_wrote_it() {
    for name in ["functions.f", "multi_tool_use.parallel", "no such tool", "f:0", "名前"] {
        check(&[piece(Some(0), Some("a"), Some(name), "{}")], &[&format!("a {name} {{}}")]);
    }
}
