//! How a reply ends, and what that means for its last call.

use super::*;

#[test]
fn the_call_that_was_being_written_has_a_doubtful_end_also_if_it_is_not_the_newest() {
    let deltas = [
        piece(Some(0), Some("a"), Some("f"), ""),
        piece(Some(1), Some("b"), Some("g"), "{\"x\":1}"),
        piece(Some(0), None, None, " "),
    ];
    check_finish(&deltas, "\"length\"", &["a f truncated", r#"b g {"x":1}"#]);
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
        let (events, _) = read(&stream(&[&deltas[0], &deltas[1]], finish));
        assert!(!events.contains(&StreamEvent::CallSealed { ordinal: 1 }), "{finish}");
    }
    let cut = partial(&(chunk(&deltas[0], "null") + &chunk(&deltas[1], "null")));
    assert_eq!(show(&cut), ["a f {}", "b g truncated"]);
}

#[test]
fn f6_f8_without_done_a_finish_reason_of_every_chunk_does_not_say_that_the_arguments_came() {
    let open = piece(Some(0), Some("a"), Some("f"), "");
    let rest = piece(Some(0), None, None, "{\"x\":1}");
    let done = "data: [DONE]\n\n";
    let usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1}}\n\n";
    let said = chunk(&open, "\"stop\"");
    for (stream, expected) in [
        (said.clone(), "a f truncated"),
        (said.clone() + done, "a f {}"),
        (said.clone() + &chunk("{}", "\"stop\""), "a f {}"),
        (said.clone() + &chunk(r#"{"content":"so"}"#, "\"stop\""), "a f truncated"),
        (said.clone() + &chunk(r#"{"content":null}"#, "\"\""), "a f truncated"),
        (said.clone() + usage, "a f truncated"),
        (said.clone() + &usage.replace("prompt", "completion"), "a f {}"),
        (
            said.clone() + &usage.replace("prompt", "completion") + &chunk(&rest, "\"stop\""),
            r#"a f {"x":1}"#,
        ),
        (said.clone() + &chunk(&rest, "\"stop\""), r#"a f {"x":1}"#),
        (chunk(&open, "null") + &chunk("{}", "\"stop\""), "a f {}"),
    ] {
        assert_eq!(show(&reply(&stream)), [expected], "{stream}");
    }
}

/// A call with whole arguments, and the finish reason the reply has by the words of the provider.
fn check_word(words: &str, finish: Finish, truncated: bool) {
    let call = piece(Some(0), Some("a"), Some("f"), "{\"x\":1}");
    let streamed = reply(&stream(&[&call], words));
    let body = format!(r#"{{"choices":[{{"message":{call},"finish_reason":{words}}}]}}"#);
    for reply in [streamed, decode_reply(body.as_bytes()).unwrap()] {
        assert_eq!((&reply.finish, reply.truncated), (&finish, truncated), "{words}");
        assert_eq!(show(&reply), [r#"a f {"x":1}"#], "{words}: a whole call stands");
    }
}

#[test]
fn finish_every_word_is_known() {
    for word in ["stop", "end_turn", "end", "STOP", "eos", "stop_sequence", "completed"] {
        check_word(&format!("\"{word}\""), Finish::Stop, false);
    }
    for word in ["tool_calls", "tool_call", "tool_use", "function_call"] {
        check_word(&format!("\"{word}\""), Finish::ToolCalls, false);
    }
    for word in ["length", "max_tokens", "MAX_TOKENS", "max_output_tokens", "model_length"] {
        check_word(&format!("\"{word}\""), Finish::Length, true);
    }
    for word in ["content_filter", "SAFETY", "refusal"] {
        check_word(&format!("\"{word}\""), Finish::ContentFilter, false);
    }
    check_word("\"error\"", Finish::Error, true);
    check_word("\"eot\"", Finish::Other("eot".to_owned()), false);
}

#[test]
fn finish_the_native_word_tells_what_a_gateway_hides() {
    for native in
        ["length", "max_tokens", "MAX_TOKENS", "max_output_tokens", "model_length", "incomplete"]
    {
        check_word(
            &format!("\"tool_calls\",\"native_finish_reason\":\"{native}\""),
            Finish::ToolCalls,
            true,
        );
    }
    for native in ["content_filter", "SAFETY", "RECITATION", "refusal"] {
        check_word(
            &format!("\"tool_calls\",\"native_finish_reason\":\"{native}\""),
            Finish::ContentFilter,
            false,
        );
    }
    check_word("\"tool_calls\",\"native_finish_reason\":\"error\"", Finish::Error, true);
    for native in ["stop", "STOP", "tool_calls", "tool_use", "completed", "", "whatever"] {
        check_word(
            &format!("\"tool_calls\",\"native_finish_reason\":\"{native}\""),
            Finish::ToolCalls,
            false,
        );
    }
}

#[test]
fn finish_a_native_word_of_an_earlier_chunk_counts() {
    let call = piece(Some(0), Some("a"), Some("f"), "{\"x\":");
    let stream = chunk(&call, "null,\"native_finish_reason\":\"length\"")
        + &chunk("{}", "\"tool_calls\",\"native_finish_reason\":null")
        + "data: [DONE]\n\n";
    let reply = reply(&stream);
    assert_eq!((show(&reply), reply.truncated), (vec!["a f truncated".to_owned()], true));
}

#[test]
fn finish_what_was_cut_off_is_never_run_whatever_the_word() {
    for words in [
        "\"length\"",
        "\"MAX_TOKENS\"",
        "\"max_output_tokens\"",
        "\"content_filter\"",
        "\"error\"",
        "\"eot\"",
        "\"tool_calls\",\"native_finish_reason\":\"length\"",
        "\"stop\",\"native_finish_reason\":\"SAFETY\"",
    ] {
        for arguments in ["", " ", "{", "{\"x\":1", "{\"x\":{}", "1", "null", "\"{"] {
            let call = piece(Some(0), Some("a"), Some("f"), arguments);
            check_finish(std::slice::from_ref(&call), words, &["a f truncated"]);
            check_body_finish(&call, words, &["a f truncated"]);
        }
    }
}

#[test]
fn d19_an_empty_object_at_the_end_of_a_reply_that_was_cut_may_be_a_placeholder() {
    let deltas = [
        piece(Some(0), Some("a"), Some("f"), "{}"),
        piece(Some(1), Some("b"), Some("g"), "{"),
        piece(Some(1), None, None, "}"),
    ];
    check_finish(&deltas, "\"length\"", &["a f {}", "b g truncated"]);
    check(&deltas, &["a f {}", "b g {}"]);
    let (events, _) = run([stream(&[&deltas[0]], "\"length\"").as_bytes()]);
    assert!(!events.contains(&StreamEvent::CallSealed { ordinal: 0 }), "{events:?}");
}

#[test]
fn f8_where_every_chunk_gives_a_finish_reason_a_call_without_arguments_needs_an_end() {
    for arguments in ["", "{}", "null"] {
        let deltas = [
            piece(Some(0), Some("a"), Some("f"), arguments),
            piece(Some(1), Some("b"), Some("g"), arguments),
        ];
        let cut: String = deltas.iter().map(|delta| chunk(delta, "\"tool_calls\"")).collect();
        assert_eq!(show(&reply(&cut)), ["a f {}", "b g truncated"], "{arguments}");
        let last = chunk("{}", "\"tool_calls\"");
        assert_eq!(show(&reply(&(cut.clone() + &last))), ["a f {}", "b g {}"], "{arguments}");
        assert_eq!(show(&reply(&(cut + "data: [DONE]\n\n"))), ["a f {}", "b g {}"], "{arguments}");
    }
}

#[test]
fn finish_tool_calls_without_calls_is_a_reply_without_calls() {
    let (events, result) = read(&stream(&[r#"{"content":"a"}"#], "\"tool_calls\""));
    let reply = result.unwrap();
    assert_eq!((reply.calls.len(), reply.finish, reply.text.as_str()), (0, Finish::ToolCalls, "a"));
    assert_eq!(events, [StreamEvent::Text("a".into())]);
    check_body(r#"{"content":"a","tool_calls":[]}"#, &[]);
    check_body(r#"{"content":"a","tool_calls":null}"#, &[]);
}

#[test]
fn finish_stop_with_calls_is_a_reply_with_calls() {
    check_word("\"stop\"", Finish::Stop, false);
    let call = piece(Some(0), Some("a"), Some("f"), "");
    check_finish(std::slice::from_ref(&call), "\"stop\"", &["a f {}"]);
    check_body_finish(&call, "\"stop\"", &["a f {}"]);
}

#[test]
fn finish_no_word_at_all_is_inferred() {
    let call = piece(Some(0), Some("a"), Some("f"), "{\"x\":1}");
    check_word("null", Finish::ToolCalls, false);
    let body = r#"{"choices":[{"message":{"content":"a"}}]}"#;
    assert_eq!(decode_reply(body.as_bytes()).unwrap().finish, Finish::Stop);
    // Without `[DONE]` the connection was lost.
    let cut = partial(&chunk(&call, "null"));
    assert_eq!(
        (show(&cut), cut.finish, cut.truncated),
        (vec![r#"a f {"x":1}"#.to_owned()], Finish::Error, true)
    );
}
