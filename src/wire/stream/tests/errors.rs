//! Errors in place of a stream or in the middle of it.

use super::*;

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
fn an_event_that_is_no_json_is_malformed_with_a_short_excerpt() {
    let (_, result) = run([format!("data: {{\"a\":{}\n\n", "é".repeat(1000)).as_bytes()]);
    let Err(Error::Malformed { excerpt, .. }) = result else { panic!("{result:?}") };
    assert_eq!(excerpt.chars().count(), 200);
}
