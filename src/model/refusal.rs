//! Which field of a request a provider says it does not take.

use super::settings::OURS;
use crate::wire::ApiError;

/// How far from a field's name the words may stand that refuse it.
const REACH: usize = 6;

/// What names stand in.
const QUOTES: [char; 7] = ['\'', '"', '`', '‘', '’', '“', '”'];

/// Finds the field among those `sent` that the provider refuses: by the error's code, or because its
/// words, else the text of the body, say so next to the name. A name that may be a common word, such as
/// `user`, counts only where it cannot be one. Only a field that a request can do without is ever found.
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
    let is_by_code = error.is_some_and(|error| error.code.as_ref().is_some_and(is_code));
    let param = error.and_then(|error| error.param.as_deref());
    let param = param.and_then(|path| path.split(['.', '[']).next());
    let words = words(error.map_or(body, |error| &error.message));
    sent.find(|field| {
        let is_param = param == Some(field);
        let is_meant = |at: usize| is_param || !may_be_a_word(field) || is_name(&words, at);
        let is_said = |at: usize| words[at].is(field) && is_meant(at) && is_refused(&words, at);
        let is_found = match is_by_code && param.is_some() {
            true => is_param,
            false => (0..words.len()).any(is_said),
        };
        is_found && !OURS.contains(field)
    })
}

/// Says whether `field` may stand in a sentence and mean something else, such as `user`. Nothing else
/// is called `top_k`, `topK` or `temperature`.
fn may_be_a_word(field: &str) -> bool {
    field != "temperature" && field.chars().skip(1).all(|letter| letter.is_ascii_lowercase())
}

/// A word of an error's text.
struct Word {
    /// Without its case.
    text: String,
    /// It stands within a path, such as `strict` in `tools[0].strict`, and not at its beginning.
    is_inner: bool,
    /// It stands in quotes, alone or at the beginning of a path.
    is_quoted: bool,
    /// It stands right behind a word such as `parameter`, with a colon or without.
    is_labelled: bool,
}

impl Word {
    /// Some write our names in camel case.
    fn is(&self, field: &str) -> bool {
        self.text.replace('_', "") == field.replace('_', "").to_ascii_lowercase()
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
        let text = rest[begin..end].to_ascii_lowercase();
        let is_labelled = matches!(before.trim(), "" | ":") && ends_in_label(&words);
        rest = &rest[end..];
        let is_quoted = before.ends_with(QUOTES)
            && rest.starts_with(|next: char| QUOTES.contains(&next) || "\\.[".contains(next));
        words.push(Word { text, is_inner, is_quoted, is_labelled });
    }
    words
}

/// Says whether what follows `words` is the name of a field.
fn ends_in_label(words: &[Word]) -> bool {
    let is_label = |word: &Word| {
        let text = word.text.strip_suffix('s').unwrap_or(&word.text);
        matches!(text, "argument" | "parameter" | "param" | "field" | "option")
    };
    match words {
        [.., label, supplied] if supplied.text == "supplied" => is_label(label),
        [.., label] => is_label(label),
        [] => false,
    }
}

/// Says whether the word at `at` can only be the name of a field.
fn is_name(words: &[Word], at: usize) -> bool {
    let is_next = |at: usize, text: &str| words.get(at).is_some_and(|word| word.text == text);
    // Such as `user: Extra inputs are not permitted`.
    let is_extra = is_next(at + 1, "extra") && is_next(at + 2, "inputs");
    words[at].is_quoted || words[at].is_labelled || is_extra
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
        "provider",
        "user",
        "metadata",
        "topK",
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
    fn a_field_that_is_called_like_a_common_word_must_be_named_to_be_refused() {
        for (message, expected) in [
            ("The provider returned an error: tools not supported", None),
            ("The user is not allowed to use this model", None),
            ("user not allowed", None),
            ("Unknown user", None),
            ("unknown provider", None),
            ("Unknown parameter. User is not allowed", None),
            ("The provider's field is not supported", None),
            ("provider: not supported", None),
            ("'user' is not supported", Some("user")),
            ("Unsupported parameter: `metadata`", Some("metadata")),
            (r#"json: unknown field "provider""#, Some("provider")),
            ("Unknown parameter: 'metadata.trace'.", Some("metadata")),
            ("Unrecognized request argument supplied: user", Some("user")),
            ("Unrecognized request arguments supplied: top_p, user", None),
            ("unsupported parameter: provider", Some("provider")),
            ("unknown field: metadata", Some("metadata")),
            ("This model does not support the parameter user", Some("user")),
            ("provider: Extra inputs are not permitted", Some("provider")),
            ("The provider says: Extra inputs are not permitted", None),
            ("topK is not supported", Some("topK")),
        ] {
            check(&said(message), expected);
        }
        let with_param = |message: &str, param: &str| {
            serde_json::json!({"error": {"message": message, "param": param}}).to_string()
        };
        check(&with_param("user is not allowed", "user"), Some("user"));
        check(&with_param("user is not allowed", "model"), None);
        check(&with_param("the user is unhappy", "user"), None);
        check("user not allowed", None);
        check("unknown field `user`", Some("user"));
        let loc = r#"{"detail":[{"type":"extra_forbidden","loc":["body","user"],"msg":"Extra inputs are not permitted"}]}"#;
        check(loc, Some("user"));
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
