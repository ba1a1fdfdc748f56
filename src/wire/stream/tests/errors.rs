//! Errors in place of a stream or in the middle of it.

use super::*;
use crate::wire::chat::error_in;

/// Checks the error in an event, alone and behind the beginning of a reply, and that the beginning is kept.
fn check_event(event: &str, expected: &ApiError) {
    let start = chunk(r#"{"content":"Let me"}"#, "null")
        + &chunk(&piece(Some(0), Some("a"), Some("f"), "{\"x\":1}"), "null")
        + &chunk(&piece(Some(1), Some("b"), Some("g"), "{\"y\":"), "null");
    for (start, text, calls) in [("", "", ""), (&*start, "Let me", r#"a f {"x":1}; b g truncated"#)]
    {
        let stream = format!("{start}{event}\n\n");
        let (_, result) = read(&stream);
        let Err(Error::Api(error)) = result else { panic!("{stream}: {result:?}") };
        assert_eq!(*error, *expected, "{stream}");
        for size in [1, stream.len()] {
            let mut decoder = StreamDecoder::new();
            let fed = |piece| decoder.feed(piece, &mut Vec::new()).is_err();
            assert_eq!(stream.as_bytes().chunks(size).map(fed).filter(|failed| *failed).count(), 1);
            let Err(Error::Cut { partial }) = decoder.finish() else { panic!("{stream}") };
            assert_eq!((partial.text.as_str(), show(&partial).join("; ").as_str()), (text, calls));
            assert_eq!((partial.finish, partial.truncated), (Finish::Error, true));
        }
    }
}

/// Checks the error of a body, read in every way there is, and as the data of an event.
fn check_error(body: &str, expected: &ApiError) {
    assert_eq!(error_in(body.as_bytes()).as_ref(), Some(expected), "{body}");
    for result in [decode_reply(body.as_bytes()), read(body).1] {
        let Err(Error::Api(error)) = result else { panic!("{body}: {result:?}") };
        assert_eq!(*error, *expected, "{body}");
    }
    check_event(&format!("data: {body}"), expected);
    check_event(&format!("event: error\ndata: {body}"), expected);
}

fn api(message: &str, code: Option<&str>, status: Option<u16>) -> ApiError {
    let code = code.map(str::to_owned);
    ApiError { message: message.to_owned(), code, status, ..ApiError::default() }
}

/// With further words.
fn of_kind(kind: &str, error: ApiError) -> ApiError {
    ApiError { kinds: vec![kind.to_owned()], ..error }
}

#[test]
fn error_in_an_event_with_a_choice_that_says_error() {
    check_error(
        r#"{"id":"r","error":{"code":502,"message":"gone","metadata":{"error_type":"unavailable"}},"choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}]}"#,
        &of_kind("unavailable", api("gone", Some("502"), Some(502))),
    );
}

#[test]
fn error_in_an_event_with_empty_choices_or_none() {
    for choices in ["\"choices\":[],", ""] {
        check_error(
            &format!(r#"{{{choices}"error":{{"code":429,"message":"slow down"}}}}"#),
            &api("slow down", Some("429"), Some(429)),
        );
    }
}

#[test]
fn error_in_the_choice() {
    let body = r#"{"choices":[{"index":0,"error":{"code":502,"message":"gone"}}]}"#;
    let expected = api("gone", Some("502"), Some(502));
    check_event(&format!("data: {body}"), &expected);
    let Err(Error::Api(error)) = decode_reply(body.as_bytes()) else { panic!("no error") };
    assert_eq!(*error, expected);
}

#[test]
fn error_in_a_corner_of_its_own() {
    let body = r#"{"x_groq":{"error":{"message":"gone","code":"over"}},"choices":[]}"#;
    check_event(&format!("data: {body}"), &api("gone", Some("over"), None));
}

#[test]
fn error_told_by_the_name_of_the_event() {
    check_event(
        "event: error\ndata: {\"code\":502,\"message\":\"gone\"}",
        &api("gone", Some("502"), Some(502)),
    );
    check_event("event: error\ndata: gone for good", &api("gone for good", None, None));
    check_event("event: error\ndata: {\"x\":1}", &api("{\"x\":1}", None, None));
    check_event("event: error\ndata: \"gone\"", &api("gone", None, None));
}

#[test]
fn error_with_its_status_beside_it() {
    check_error(
        r#"{"error":{"message":"no","type":"invalid_request_error"},"status_code":400}"#,
        &api("no", Some("invalid_request_error"), Some(400)),
    );
}

#[test]
fn error_as_an_object_of_that_kind() {
    check_error(
        r#"{"object":"error","message":"too many tokens","type":"BadRequestError","param":null,"code":400}"#,
        &of_kind("BadRequestError", api("too many tokens", Some("400"), Some(400))),
    );
    check_error(
        r#"{"object":"error","message":"id too long","type":"invalid_call","param":"id","code":"3280","raw_status_code":400}"#,
        &ApiError {
            param: Some("id".to_owned()),
            ..of_kind("invalid_call", api("id too long", Some("3280"), Some(400)))
        },
    );
}

#[test]
fn error_in_an_array() {
    check_error(
        r#"[{"error":{"code":429,"message":"quota","status":"RESOURCE_EXHAUSTED"}}]"#,
        &of_kind("RESOURCE_EXHAUSTED", api("quota", Some("429"), Some(429))),
    );
}

#[test]
fn error_as_a_detail() {
    check_error(r#"{"detail":"Unauthorized"}"#, &api("Unauthorized", None, None));
    check_error(r#"{"detail":{"message":"no such model"}}"#, &api("no such model", None, None));
    check_error(
        r#"{"detail":[{"loc":["body","tools"],"msg":"missing"}]}"#,
        &api(r#"[{"loc":["body","tools"],"msg":"missing"}]"#, None, None),
    );
}

#[test]
fn error_as_a_text() {
    check_error(r#"{"error":"no such model"}"#, &api("no such model", None, None));
    let text = r#""no such model""#;
    assert_eq!(error_in(text.as_bytes()), Some(api("no such model", None, None)));
    check_event(&format!("data: {text}"), &api("no such model", None, None));
}

#[test]
fn error_in_the_body_itself() {
    check_error(
        r#"{"code":400,"message":"too hot","type":"Bad Request"}"#,
        &of_kind("Bad Request", api("too hot", Some("400"), Some(400))),
    );
    check_error(r#"{"message":"Forbidden"}"#, &api("Forbidden", None, None));
}

#[test]
fn error_under_a_status_of_200_counts_also_beside_a_reply() {
    check_error(
        r#"{"error":{"message":"filtered","code":"content_filter"},"choices":[{"message":{"content":"a"},"finish_reason":"stop"}]}"#,
        &api("filtered", Some("content_filter"), None),
    );
}

#[test]
fn error_of_a_field_the_provider_does_not_know() {
    check_error(
        r#"{"error":{"message":"not supported: 'parallel_tool_calls'","type":"invalid_request_error","param":"parallel_tool_calls","code":"unsupported_parameter"}}"#,
        &ApiError {
            param: Some("parallel_tool_calls".to_owned()),
            ..of_kind(
                "invalid_request_error",
                api("not supported: 'parallel_tool_calls'", Some("unsupported_parameter"), None),
            )
        },
    );
}

#[test]
fn error_of_a_call_the_provider_refused_keeps_what_the_model_wrote() {
    check_error(
        r#"{"error":{"message":"could not call a function","type":"invalid_request_error","code":"tool_use_failed","failed_generation":"<function=f>{\"x\": tru"},"status_code":400}"#,
        &ApiError {
            failed_generation: Some(r#"<function=f>{"x": tru"#.to_owned()),
            ..of_kind(
                "invalid_request_error",
                api("could not call a function", Some("tool_use_failed"), Some(400)),
            )
        },
    );
}

#[test]
fn error_of_a_provider_behind_a_gateway_is_told_with_its_words() {
    for raw in [
        r#""upstream is full, try again""#,
        r#""{\"error\":{\"message\":\"upstream is full, try again\"}}""#,
    ] {
        check_error(
            &format!(
                r#"{{"error":{{"message":"Provider returned error","code":429,"metadata":{{"raw":{raw},"provider_name":"P"}}}},"user_id":"u"}}"#
            ),
            &api("Provider returned error: upstream is full, try again", Some("429"), Some(429)),
        );
    }
}

#[test]
fn error_that_is_no_json_is_malformed_or_a_cut() {
    let html = "<html><body>502 Bad Gateway</body></html>";
    for result in [decode_reply(html.as_bytes()), read(html).1] {
        let Err(Error::Malformed { what, .. }) = result else { panic!("{result:?}") };
        assert_eq!(what, "expected JSON, got HTML");
    }
    let words = "upstream connect error";
    assert_eq!(error_in(words.as_bytes()), None);
    assert!(matches!(decode_reply(words.as_bytes()), Err(Error::Malformed { .. })));
    assert!(partial(words).text.is_empty(), "no event came");
    assert!(matches!(read(&format!("data: {words}\n\n")).1, Err(Error::Malformed { .. })));
    assert!(partial("").text.is_empty());
    assert!(matches!(decode_reply(b""), Err(Error::Malformed { .. })));
}

#[test]
fn error_a_body_without_a_reply_is_no_reply() {
    for body in [
        "{}",
        r#"{"choices":[]}"#,
        r#"{"choices":null,"usage":{"prompt_tokens":1}}"#,
        "[]",
        "1",
        "null",
    ] {
        for result in [decode_reply(body.as_bytes()), read(body).1] {
            assert!(result.is_err(), "{body}");
        }
    }
}

#[test]
fn after_an_error_nothing_is_read_and_no_call_is_sealed() {
    let call = piece(Some(0), Some("a"), Some("f"), "");
    let stream = chunk(&call, "null")
        + "data: {\"error\":{\"message\":\"gone\"}}\n\n"
        + &chunk(&piece(Some(0), None, None, "{\"x\":1}"), "\"tool_calls\"")
        + "data: [DONE]\n\n";
    let mut decoder = StreamDecoder::new();
    let mut events = Vec::new();
    assert!(decoder.feed(stream.as_bytes(), &mut events).is_err());
    assert!(decoder.feed(stream.as_bytes(), &mut events).is_ok());
    assert_eq!(events, [StreamEvent::CallOpened { ordinal: 0 }]);
    let Err(Error::Cut { partial }) = decoder.finish() else { panic!("no cut") };
    assert_eq!(show(&partial), ["a f truncated"]);
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
    let (_, result) = read(&format!("data: {{\"a\":{}\n\n", "é".repeat(1000)));
    let Err(Error::Malformed { excerpt, .. }) = result else { panic!("{result:?}") };
    assert_eq!(excerpt.chars().count(), 200);
}

#[test]
fn what_was_counted_before_or_with_an_error_is_told() {
    let text = chunk(r#"{"content":"a"}"#, "null");
    let usage = r#""usage":{"prompt_tokens":7,"completion_tokens":3}"#;
    let error = r#""error":{"message":"gone"}"#;
    let counted = Usage { input_tokens: 7, output_tokens: 3, ..Usage::default() };
    for stream in [
        format!("{text}data: {{\"choices\":[],{usage}}}\n\ndata: {{{error}}}\n\n"),
        format!("{text}data: {{\"choices\":[],{error},{usage}}}\n\n"),
        format!("{text}data: {{\"choices\":[],{usage}}}\n\ndata: {{\"choices\":[],{usage}}}\n\n"),
    ] {
        let (events, result) = read(&stream);
        let expected = [StreamEvent::Text("a".into()), StreamEvent::Counted(counted)];
        assert_eq!(events, expected, "{stream}");
        assert!(result.is_err(), "{stream}");
    }
}
