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
        let (events, _) = run([stream(&[&deltas[0], &deltas[1]], finish).as_bytes()]);
        assert!(!events.contains(&StreamEvent::CallSealed { ordinal: 1 }), "{finish}");
    }
    let (_, result) = run([(chunk(&deltas[0], "null") + &chunk(&deltas[1], "null")).as_bytes()]);
    let Err(Error::Cut { partial }) = result else { panic!("{result:?}") };
    assert_eq!(show(&partial), ["a f {}", "b g truncated"]);
}

#[test]
fn f6_f8_without_done_a_finish_reason_of_every_chunk_does_not_say_that_the_arguments_came() {
    let open = piece(Some(0), Some("a"), Some("f"), "");
    let rest = piece(Some(0), None, None, "{\"x\":1}");
    let done = "data: [DONE]\n\n";
    let last = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1}}\n\n";
    let said = chunk(&open, "\"stop\"");
    for (stream, expected) in [
        (said.clone(), "a f truncated"),
        (said.clone() + done, "a f {}"),
        (said.clone() + &chunk("{}", "\"stop\""), "a f {}"),
        (said.clone() + last, "a f {}"),
        (said.clone() + &chunk(&rest, "\"stop\""), r#"a f {"x":1}"#),
        (chunk(&open, "null") + &chunk("{}", "\"stop\""), "a f {}"),
    ] {
        for bytes in [1, usize::MAX] {
            let (_, result) = run(stream.as_bytes().chunks(bytes));
            assert_eq!(show(&result.unwrap()), [expected], "{stream}");
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
