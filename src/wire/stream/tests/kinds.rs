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
