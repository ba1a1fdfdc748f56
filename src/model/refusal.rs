//! Which field of a request a provider says it does not take.

use super::settings::OURS;
use crate::wire::ApiError;

/// How far from a field's name the words may stand that refuse it.
const REACH: usize = 6;

/// Finds the field among those `sent` that the provider refuses: by the error's code, or because its
/// words, else the text of the body, say so next to the name. Only a field that a request can do
/// without is ever found.
pub(super) fn refused_field<'a>(
    status: u16,
    error: Option<&ApiError>,
    body: &str,
    mut sent: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    if !matches!(status, 400 | 422) {
        return None;
    }
    let is_code = |code: &String| {
        ["unsupported_", "unknown_parameter", "unrecognized_"]
            .iter()
            .any(|word| code.contains(word))
    };
    let by_code = error.filter(|error| error.code.as_ref().is_some_and(is_code));
    let named = by_code.and_then(|error| error.param.as_deref());
    let words = words(error.map_or(body, |error| &error.message));
    sent.find(|field| {
        !OURS.contains(field)
            && match named {
                Some(param) => param.split(['.', '[']).next() == Some(field),
                None => (0..words.len()).any(|at| words[at].is(field) && is_refused(&words, at)),
            }
    })
}

/// A word of an error's text.
struct Word {
    /// Without its case.
    text: String,
    /// It stands within a path, such as `strict` in `tools[0].strict`, and not at its beginning.
    is_inner: bool,
}

impl Word {
    /// Some write our names in camel case.
    fn is(&self, field: &str) -> bool {
        self.text.replace('_', "") == field.replace('_', "")
    }
}

fn words(text: &str) -> Vec<Word> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let mut words: Vec<Word> = Vec::new();
    let mut rest = text;
    while let Some(begin) = rest.find(is_part) {
        let before = &rest[..begin];
        let end =
            rest[begin..].find(|letter| !is_part(letter)).map_or(rest.len(), |end| begin + end);
        let goes_on = matches!(before, "." | "]." | "[");
        let outermost = words.last().is_none_or(|word| word.text == "body");
        let is_inner = goes_on && !outermost;
        words.push(Word { text: rest[begin..end].to_ascii_lowercase(), is_inner });
        rest = &rest[end..];
    }
    words
}

/// Says whether the words beside the one at `at` refuse it.
fn is_refused(words: &[Word], at: usize) -> bool {
    let text = |at: usize| words.get(at).map_or("", |word| &word.text);
    // Such as `Unknown name "x" at 'tools[0].function'`.
    let elsewhere = text(at + 1) == "at" && text(at + 2) != text(at);
    if words[at].is_inner || elsewhere {
        return false;
    }
    let refuses = |at: usize| match text(at) {
        "unsupported" | "unrecognized" | "unrecognised" | "unknown" | "unexpected"
        | "extra_forbidden" => true,
        "supported" | "support" | "permitted" | "allowed" | "recognized" | "accepted" => {
            at > 0 && text(at - 1) == "not"
        }
        _ => false,
    };
    let first_telling = |side: &mut dyn Iterator<Item = usize>| {
        side.take(REACH).find(|at| refuses(*at) || !is_filler(text(*at)))
    };
    let before = first_telling(&mut (0..at).rev());
    let after = first_telling(&mut (at + 1..words.len()));
    before.is_some_and(refuses) || after.is_some_and(refuses)
}

/// Words that may stand between a name and what refuses it.
fn is_filler(word: &str) -> bool {
    matches!(
        word,
        "request"
            | "argument"
            | "arguments"
            | "parameter"
            | "parameters"
            | "param"
            | "params"
            | "field"
            | "fields"
            | "property"
            | "name"
            | "key"
            | "option"
            | "value"
            | "input"
            | "inputs"
            | "extra"
            | "supplied"
            | "body"
            | "loc"
            | "model"
            | "the"
            | "this"
            | "on"
            | "is"
            | "are"
            | "does"
            | "currently"
            | "not"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::chat::error_in;

    const SENT: &[&str] = &[
        "model",
        "stream",
        "stream_options",
        "temperature",
        "max_tokens",
        "tools",
        "parallel_tool_calls",
        "tool_choice",
        "messages",
    ];

    #[track_caller]
    fn check(body: &str, expected: Option<&str>) {
        let error = error_in(body.as_bytes());
        let found = refused_field(400, error.as_ref(), body, SENT.iter().copied());
        assert_eq!(found, expected, "{body}");
        assert_eq!(refused_field(422, error.as_ref(), body, SENT.iter().copied()), expected);
        assert_eq!(refused_field(500, error.as_ref(), body, SENT.iter().copied()), None);
    }

    /// An error that has nothing but a message.
    fn said(message: &str) -> String {
        serde_json::json!({"error": {"message": message}}).to_string()
    }

    #[test]
    fn a_code_and_the_name_of_the_parameter_are_enough() {
        let coded = |code: &str, param: &str| {
            format!(r#"{{"error":{{"message":"no","param":"{param}","code":"{code}"}}}}"#)
        };
        check(&coded("unsupported_parameter", "parallel_tool_calls"), Some("parallel_tool_calls"));
        check(&coded("unsupported_value", "temperature"), Some("temperature"));
        check(&coded("unknown_parameter", "stream_options.include_usage"), Some("stream_options"));
        check(&coded("invalid_value", "max_tokens"), None);
        check(&coded("unsupported_parameter", "top_k"), None);
        check(&coded("unsupported_value", "messages[0].role"), None);
        check(&coded("unknown_parameter", "tools[0].temperature"), None);
    }

    #[test]
    fn the_words_of_many_providers_name_the_field() {
        let parallel = Some("parallel_tool_calls");
        for (message, expected) in [
            (
                "Unsupported parameter: 'parallel_tool_calls' is not supported with this model.",
                parallel,
            ),
            ("Unrecognized request argument supplied: parallel_tool_calls", parallel),
            (
                "Invalid JSON payload received. Unknown name \"parallel_tool_calls\": Cannot find field.",
                parallel,
            ),
            ("Bad request: json: unknown field \"parallel_tool_calls\"\n", parallel),
            (
                "ollama does not support parameters: ['parallel_tool_calls'], for model=phi4",
                parallel,
            ),
            ("property 'parallel_tool_calls' is unsupported", parallel),
            ("parallel_tool_calls: Extra inputs are not permitted", parallel),
            ("Argument not supported on this model: parallelToolCalls", parallel),
            ("Model x does not support parameter parallel_tool_calls.", parallel),
            ("This model does not support this tool_choice", Some("tool_choice")),
            (
                "Unsupported value: 'temperature' does not support 0.2 with this model. Only the default (1) value is supported.",
                Some("temperature"),
            ),
            (
                "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
                Some("max_tokens"),
            ),
        ] {
            check(&said(message), expected);
        }
    }

    #[test]
    fn a_list_of_what_was_wrong_is_read_too() {
        let list = r#"[{"type":"extra_forbidden","loc":["body","stream_options","include_usage"],"msg":"Extra inputs are not permitted","input":true}]"#;
        check(&format!(r#"{{"detail":{list}}}"#), Some("stream_options"));
        let nested = format!(r#"{{"object":"error","message":{{"detail":{list}}},"code":null}}"#);
        check(&nested, Some("stream_options"));
    }

    #[test]
    fn what_does_not_clearly_refuse_a_field_is_left_alone() {
        for message in [
            "",
            "max_tokens is too large: 99999999. This model supports at most 16384.",
            "'parallel_tool_calls' is only allowed when 'tools' are specified.",
            "Unknown name \"temperature\" at 'tools[0].function_declarations[5].parameters': Cannot find field.",
            "messages.1.temperature is not supported",
            "tools is not supported",
            "tool_choice: no tool named `parallel_tool_calls`, it is unknown to us",
            "unknown field `x`, expected one of `temperature`, `tools`",
            "The model does not support images; lower the temperature",
        ] {
            check(&said(message), None);
        }
    }
}
