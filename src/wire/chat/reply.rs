//! Reads a reply that came whole.

use super::super::arguments::{Tail, judge};
use super::super::assembler::{Fragment, Piece};
use super::super::json::{Unread, explain, read};
use super::super::reply::Ending;
use super::super::shape::text_of;
use super::super::{Arguments, Call, Error, Extra, MAX_CALLS, Reply, Usage, ids};
use super::chunk::{Chunk, Delta, REASONING};
use super::error_body::{error_beside, error_in_text};

/// Reads the body of a reply without streaming.
///
/// # Errors
/// [`Error::Api`] if the body holds an error, whatever the HTTP status was; [`Error::Malformed`] if it is no reply.
pub fn decode_reply(body: &[u8]) -> Result<Reply, Error> {
    let text = text_of(body);
    decode_text(&text)
}

/// What the provider counted, in a body that may be an error; `None` if it says nothing, or is no JSON.
pub fn usage_in(body: &[u8]) -> Option<Usage> {
    read::<Chunk<'_>>(&text_of(body)).ok()?.usage
}

fn decode_text(body: &str) -> Result<Reply, Error> {
    let chunk: Chunk<'_> = match read(body) {
        Ok(chunk) => chunk,
        Err(Unread) if body.trim_ascii().is_empty() => {
            return Err(Error::malformed("expected a reply, got an empty body", ""));
        }
        Err(Unread) => {
            return Err(Error::malformed(format_args!("expected JSON, {}", explain(body)), body));
        }
    };
    if let Some(error) = chunk.error {
        return Err(Error::Api(error_beside(error, body).into()));
    }
    let Some(choice) = chunk.choice else {
        return Err(match error_in_text(body) {
            Some(error) => Error::Api(error.into()),
            None => Error::malformed("expected a reply, got JSON without choices", body),
        });
    };
    let mut ending = Ending::default();
    ending.note(choice.finish_reason.as_deref(), choice.native_finish_reason.as_deref());
    let Delta { content, tool_calls, function_call, extra } =
        *choice.message.or(choice.delta).unwrap_or_default();
    let pieces = if tool_calls.is_empty() {
        Vec::from_iter(function_call.map(|piece| *piece))
    } else {
        tool_calls
    };
    let calls = finish_calls(pieces, ending.cuts_arguments())?;
    let thoughts = extra.iter().filter(|(field, _)| REASONING.contains(&&**field));
    let mut thoughts =
        thoughts.filter_map(|(_, raw)| serde_json::from_str::<String>(raw.get()).ok());
    let mut reasoning = thoughts.find(|text| !text.is_empty()).unwrap_or_default();
    reasoning.push_str(&content.thinking);
    let mut kept = Extra::default();
    kept.keep(extra);
    Ok(Reply {
        text: content.text.into_owned(),
        reasoning,
        finish: ending.finish(!calls.is_empty()),
        calls,
        truncated: ending.truncated(),
        usage: chunk.usage,
        model: chunk.model.map(Into::into),
        id: chunk.id.map(Into::into),
        extra: kept,
    })
}

/// Turns pieces that are a whole call each into calls.
///
/// # Errors
/// [`Error::Malformed`] if there are too many.
pub(super) fn finish_calls(pieces: Vec<Piece<'_>>, cut: bool) -> Result<Vec<Call>, Error> {
    if pieces.len() > MAX_CALLS {
        return Err(Error::too_many_calls());
    }
    let newest = pieces.len().saturating_sub(1);
    let mut calls = Vec::with_capacity(pieces.len());
    for (ordinal, piece) in pieces.into_iter().enumerate() {
        let tail = match cut {
            false => Tail::Whole,
            true if ordinal == newest => Tail::Doubtful,
            true => Tail::Followed,
        };
        calls.push(finish_call(piece, tail));
    }
    ids::settle(&mut calls);
    Ok(calls)
}

fn finish_call(piece: Piece<'_>, tail: Tail) -> Call {
    let arguments = match piece.arguments {
        Fragment::None => judge(String::new(), tail, 0),
        Fragment::Text(text) => judge(text.into_owned(), tail, 0),
        Fragment::Json(json) => judge(json, tail, 0),
        Fragment::Input(input) => Arguments::of_input(&input),
    };
    let mut call = Call {
        id: piece.id.map(Into::into).unwrap_or_default(),
        name: piece.name.map(Into::into).unwrap_or_default(),
        arguments,
        extra: Extra::default(),
        function_extra: Extra::default(),
    };
    call.extra.keep(piece.extra);
    call.function_extra.keep(piece.function_extra);
    call
}

#[cfg(test)]
mod tests {
    use super::super::super::Finish;
    use super::*;

    fn reply(message: &str, finish: &str) -> Reply {
        let body = format!(
            r#"{{"id":"r","object":"chat.completion","created":1,"model":"m","choices":[{{"index":0,"message":{message},"finish_reason":{finish}}}],"usage":{{"prompt_tokens":9,"completion_tokens":4,"prompt_tokens_details":null}}}}"#
        );
        decode_reply(body.as_bytes()).unwrap()
    }

    #[test]
    fn a_text_is_read_with_all_that_belongs_to_it() {
        let reply = reply(
            r#"{"role":"assistant","content":"a\nb","refusal":null,"annotations":[]}"#,
            "\"stop\"",
        );
        assert_eq!(
            (reply.text.as_str(), reply.finish, reply.truncated),
            ("a\nb", Finish::Stop, false)
        );
        assert_eq!((reply.id.as_deref(), reply.model.as_deref()), (Some("r"), Some("m")));
        let usage = Usage { input_tokens: 9, output_tokens: 4, ..Usage::default() };
        assert_eq!(reply.usage, Some(usage));
        let extra: Vec<_> = reply.extra.iter().map(|(name, _)| name).collect();
        assert_eq!(extra, ["annotations"], "a null says nothing");
    }

    #[test]
    fn calls_are_read_in_order_with_minted_and_unique_ids() {
        let reply = reply(
            r#"{"content":null,"tool_calls":[
                {"id":"a","type":"function","function":{"name":"f","arguments":"{\"x\":\"é\"}"}},
                {"id":"a","index":5,"function":{"name":"g","arguments":{"y" : 1}},"extra_content":{"s":1}},
                {"id":"","function":{"name":"h"}}]}"#,
            "\"stop\"",
        );
        let calls: Vec<_> = reply
            .calls
            .iter()
            .map(|call| (&*call.id, &*call.name, call.arguments.object()))
            .collect();
        assert_eq!(
            calls,
            [
                ("a", "f", Some(r#"{"x":"é"}"#)),
                ("a_2", "g", Some(r#"{"y":1}"#)),
                ("call_2", "h", Some("{}"))
            ]
        );
        assert_eq!(reply.calls[1].extra.get("extra_content").unwrap().get(), r#"{"s":1}"#);
        assert!(reply.text.is_empty() && reply.calls[0].extra.is_empty());
    }

    #[test]
    fn a_cut_reply_truncates_its_last_call_only() {
        let call = |arguments: &str| {
            format!(r#"{{"id":"x","function":{{"name":"f","arguments":"{arguments}"}}}}"#)
        };
        for (last, truncated) in [("{", true), ("", true), ("{}", false)] {
            let message = format!(r#"{{"tool_calls":[{},{}]}}"#, call(""), call(last));
            let reply = reply(&message, "\"length\"");
            assert!(reply.truncated && reply.finish == Finish::Length);
            assert_eq!(reply.calls[0].arguments, Arguments::Object("{}".to_owned()));
            assert_eq!(
                matches!(reply.calls[1].arguments, Arguments::Truncated { .. }),
                truncated,
                "{last}"
            );
        }
    }

    #[test]
    fn the_gateway_may_hide_the_length_limit() {
        let reply = reply(
            r#"{"tool_calls":[{"id":"x","function":{"name":"f","arguments":""}}]}"#,
            r#""tool_calls","native_finish_reason":"max_output_tokens""#,
        );
        assert!(reply.truncated && matches!(reply.calls[0].arguments, Arguments::Truncated { .. }));
    }

    #[test]
    fn an_old_function_call_counts_if_it_is_the_only_one() {
        let old = r#""function_call":{"name":"f","arguments":"{}"}"#;
        let only = reply(&format!("{{{old}}}"), "\"function_call\"");
        assert_eq!((only.calls.len(), &*only.calls[0].id), (1, "call_0"));
        let both = reply(
            &format!(
                r#"{{{old},"tool_calls":[{{"id":"a","function":{{"name":"f","arguments":"{{}}"}}}}]}}"#
            ),
            "\"tool_calls\"",
        );
        assert_eq!((both.calls.len(), &*both.calls[0].id), (1, "a"));
    }

    #[test]
    fn the_call_of_a_custom_tool_has_a_name_and_goes_back_as_it_came() {
        let call = r#"{"id":"a","type":"custom","custom":{"name":"math","input":"4 + 4"}}"#;
        let reply = reply(&format!(r#"{{"tool_calls":[{call}]}}"#), "\"tool_calls\"");
        assert_eq!(reply.calls[0].name, "math");
        assert_eq!(
            reply.calls[0].arguments,
            Arguments::NotAnObject { raw: "\"4 + 4\"".to_owned() }
        );
        let mut out = Vec::new();
        reply.write_message(&mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            format!(r#"{{"role":"assistant","tool_calls":[{call}]}}"#)
        );
    }

    #[test]
    fn a_function_by_another_type_goes_back_with_its_name_and_arguments() {
        let call =
            r#"{"id":"a","function":{"name":"search","arguments":"{}"},"type":"builtin_function"}"#;
        let reply = reply(&format!(r#"{{"tool_calls":[{call}]}}"#), "\"tool_calls\"");
        let mut out = Vec::new();
        reply.write_message(&mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            format!(r#"{{"role":"assistant","tool_calls":[{call}]}}"#)
        );
    }

    #[test]
    fn reasoning_is_shown_and_kept() {
        let reply = reply(
            r#"{"content":"a","reasoning_content":"","reasoning":"hm","thinking":"hm"}"#,
            "\"stop\"",
        );
        assert_eq!(reply.reasoning, "hm");
        assert_eq!(reply.extra.get("reasoning_content").unwrap().get(), "\"\"");
    }

    #[test]
    fn an_error_under_a_status_of_200_is_an_error() {
        for body in [
            r#"{"error":{"message":"no","code":500}}"#,
            r#"{"error":"no","choices":[{"message":{"content":"a"}}]}"#,
            r#"{"choices":[{"error":{"message":"no"},"message":{"content":""}}]}"#,
            r#"[{"error":{"message":"no"}}]"#,
            r#"{"detail":"no"}"#,
        ] {
            let result = decode_reply(body.as_bytes());
            assert!(
                matches!(&result, Err(Error::Api(error)) if error.message == "no"),
                "{body}: {result:?}"
            );
        }
    }

    #[test]
    fn what_is_no_reply_is_malformed() {
        for (body, expected) in [
            ("", "expected a reply, got an empty body"),
            ("  <!doctype html>", "expected JSON, got HTML"),
            ("{}", "expected a reply, got JSON without choices"),
            (r#"{"choices":[]}"#, "expected a reply, got JSON without choices"),
            (r#"{"choices":[{"#, "expected JSON, EOF while parsing an object at line 1 column 13"),
        ] {
            let result = decode_reply(body.as_bytes());
            let Err(Error::Malformed { what, .. }) = result else { panic!("{body}: {result:?}") };
            assert_eq!(what, expected);
        }
    }

    #[test]
    fn bytes_that_are_no_text_do_no_harm() {
        let body = b"{\"choices\":[{\"message\":{\"content\":\"a\xffb\"}}]}";
        assert_eq!(decode_reply(body).unwrap().text, "a\u{fffd}b");
    }
}
