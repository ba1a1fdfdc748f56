//! Finds the error in a body, whichever of its many shapes the provider chose.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::super::ApiError;
use super::super::json::{Array, Object, Unread, read};
use super::super::shape::{Raw, Shape, Text, text_of};
use super::chunk::filled;
use super::error_parts::{Details, Metadata, detail};

/// Reads the error in `body`: `{"error": {…}}` or `{"error": "…"}`, a list of either, `{"detail": …}`,
/// `{"message": …}` in the body itself, or a JSON string. `None` if nothing there looks like one.
pub fn error_in(body: &[u8]) -> Option<ApiError> {
    error_in_text(&text_of(body))
}

/// As [`error_in`], of a body that is text.
pub(in super::super) fn error_in_text(body: &str) -> Option<ApiError> {
    let Body { found } = read(body).ok()?;
    found
}

/// Reads the value of an `error` field somewhere in `body`. A status may stand beside it.
pub(in super::super) fn error_beside(raw: &RawValue, body: &str) -> ApiError {
    error_in_text(body).unwrap_or_else(|| error_from(raw))
}

/// Reads the value of an `error` field, which is known to be one.
fn error_from(raw: &RawValue) -> ApiError {
    let mut error = read::<Told<'_>>(raw.get()).unwrap_or_default().into_error();
    if error.message.is_empty() {
        error.message = raw.get().to_owned();
    }
    error
}

#[derive(Default)]
struct Body {
    found: Option<ApiError>,
}

impl<'de> Shape<'de> for Body {
    fn text(text: Cow<'de, str>) -> Self {
        let found = ApiError { message: text.into_owned(), ..ApiError::default() };
        Body { found: Some(found).filter(|error| !error.message.is_empty()) }
    }

    fn items(mut items: Array<'_, 'de>) -> Result<Self, Unread> {
        let mut found = None;
        while let Some(body) = items.item::<Body>()? {
            found = found.or(body.found);
        }
        Ok(Body { found })
    }

    fn fields(fields: Object<'_, 'de>) -> Result<Self, Unread> {
        let told = Told::fields(fields)?;
        let inner = told.inner;
        let outer = told.into_error();
        let found = match inner {
            Some(inner) => {
                let mut inner = error_from(inner);
                inner.kinds.extend(outer.kinds);
                Some(ApiError {
                    code: inner.code.or(outer.code),
                    retry_after: inner.retry_after.or(outer.retry_after),
                    status: inner.status.or(outer.status),
                    param: inner.param.or(outer.param),
                    failed_generation: inner.failed_generation.or(outer.failed_generation),
                    ..inner
                })
            }
            None => Some(outer).filter(|error| !error.message.is_empty()),
        };
        Ok(Body { found })
    }
}

/// What an object tells about an error, in itself or inside.
#[derive(Default)]
struct Told<'de> {
    inner: Option<&'de RawValue>,
    message: Option<Cow<'de, str>>,
    /// What the provider behind a gateway said.
    metadata: Metadata<'de>,
    details: Details<'de>,
    code: Option<Cow<'de, str>>,
    kind: Option<Cow<'de, str>>,
    status: Option<u16>,
    /// A status in words.
    state: Option<Cow<'de, str>>,
    retry_after: Option<Cow<'de, str>>,
    param: Option<Cow<'de, str>>,
    failed_generation: Option<Cow<'de, str>>,
}

impl Told<'_> {
    fn into_error(self) -> ApiError {
        let status = self.code.as_deref().and_then(as_status).or(self.status);
        let mut message = self.message.unwrap_or_default().into_owned();
        let Metadata { upstream, kind, retry_after } = self.metadata;
        if let Some(upstream) = upstream.filter(|upstream| !upstream.is_empty()) {
            message = format!("{message}: {upstream}");
        }
        let mut kinds: Vec<_> = self.details.reasons.into_iter().chain(kind).collect();
        kinds.extend(self.state);
        let code = match self.code {
            Some(code) => {
                kinds.extend(self.kind);
                Some(code)
            }
            None => self.kind,
        };
        let retry_after = self.retry_after.or(self.details.retry_after).or(retry_after);
        ApiError {
            message,
            code: code.map(Cow::into_owned),
            kinds: kinds.into_iter().map(Cow::into_owned).collect(),
            retry_after: retry_after.map(Cow::into_owned),
            status,
            param: self.param.map(Cow::into_owned),
            failed_generation: self.failed_generation.map(Cow::into_owned),
        }
    }
}

fn as_status(number: &str) -> Option<u16> {
    number.parse().ok().filter(|status| (100..600).contains(status))
}

impl<'de> Shape<'de> for Told<'de> {
    fn text(text: Cow<'de, str>) -> Self {
        Told { message: Some(text), ..Told::default() }
    }

    fn fields(mut fields: Object<'_, 'de>) -> Result<Self, Unread> {
        let mut told = Told::default();
        while let Some(field) = fields.name()? {
            match &*field {
                "error" => {
                    told.inner = Raw::value(&mut fields)?
                        .0
                        .filter(|raw| !matches!(raw.get(), "{}" | "\"\"" | "false"))
                }
                "message" | "msg" => told.message = fields.value::<Text<'de>>()?.0.or(told.message),
                "detail" => {
                    told.message = Raw::value(&mut fields)?.0.map(detail).or(told.message);
                }
                "metadata" => told.metadata = fields.value()?,
                "details" | "errors" => told.details.add(fields.value()?),
                "retry_after" => told.retry_after = filled(&mut fields)?,
                "code" => told.code = fields.value::<Text<'de>>()?.0,
                "type" => told.kind = fields.value::<Text<'de>>()?.0,
                "param" => told.param = filled(&mut fields)?,
                "failed_generation" => told.failed_generation = filled(&mut fields)?,
                "status" | "status_code" | "raw_status_code" => {
                    let status = fields.value::<Text<'de>>()?.0;
                    match status.as_deref().and_then(as_status) {
                        Some(status) => told.status = Some(status),
                        None => told.state = status.or(told.state),
                    }
                }
                _ => _ = fields.skip()?,
            }
        }
        Ok(told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, message: &str, code: Option<&str>, status: Option<u16>) {
        let found = error_in(body.as_bytes()).map(|error| ApiError { kinds: Vec::new(), ..error });
        let expected = ApiError {
            message: message.to_owned(),
            code: code.map(str::to_owned),
            status,
            ..ApiError::default()
        };
        assert_eq!(found, Some(expected), "{body}");
    }

    #[test]
    fn further_words_are_kept_the_most_exact_first() {
        let body = r#"[{"error":{"code":400,"message":"no","type":"t","status":"INVALID_ARGUMENT","details":[{"reason":"API_KEY_INVALID"},{"x":1}]},"type":"outer","code":1}]"#;
        let error = error_in(body.as_bytes()).unwrap();
        assert_eq!(error.kinds, ["API_KEY_INVALID", "INVALID_ARGUMENT", "t", "outer"]);
        assert_eq!((error.code.as_deref(), error.status), (Some("400"), Some(400)));
        let body = r#"{"error":{"message":"no","type":"server_error","code":null}}"#;
        let error = error_in(body.as_bytes()).unwrap();
        assert!(error.kinds.is_empty(), "a type in the place of a code");
    }

    #[test]
    fn an_error_object_is_read_with_its_code() {
        check(
            r#"{"error":{"message":"no","type":"t","param":null,"code":"unsupported_parameter"}}"#,
            "no",
            Some("unsupported_parameter"),
            None,
        );
        check(
            r#"{"error":{"message":"no","type":"server_error","code":null}}"#,
            "no",
            Some("server_error"),
            None,
        );
        check(
            r#"{"error":{"code":502,"message":"gone"},"choices":[]}"#,
            "gone",
            Some("502"),
            Some(502),
        );
    }

    #[test]
    fn other_shapes_are_read_too() {
        check(
            r#"{"code":400,"message":"too hot","type":"Bad Request"}"#,
            "too hot",
            Some("400"),
            Some(400),
        );
        check(r#"{"message":"Forbidden"}"#, "Forbidden", None, None);
        check(r#"{"error":"not found"}"#, "not found", None, None);
        check(
            r#"[{"error":{"code":429,"message":"quota","status":"RESOURCE_EXHAUSTED"}}]"#,
            "quota",
            Some("429"),
            Some(429),
        );
        check(r#"{"detail":"Unauthorized"}"#, "Unauthorized", None, None);
        check(r#"{"detail":{"message":"deep"}}"#, "deep", None, None);
        check(
            r#"{"detail":[{"loc":["body"],"msg":"missing"}]}"#,
            r#"[{"loc":["body"],"msg":"missing"}]"#,
            None,
            None,
        );
        check(
            r#"{"object":"error","message":"bad id","code":"3280","raw_status_code":400}"#,
            "bad id",
            Some("3280"),
            Some(400),
        );
        check(r#"{"error":{"message":"x"},"status_code":400}"#, "x", None, Some(400));
        check(r#""plain words""#, "plain words", None, None);
        check(r#"{"error":{"weird":1}}"#, r#"{"weird":1}"#, None, None);
    }

    #[test]
    fn a_gateway_passes_on_what_its_provider_said() {
        check(
            r#"{"error":{"message":"Provider returned error","code":429,"metadata":{"raw":"slow down","provider_name":"X"}}}"#,
            "Provider returned error: slow down",
            Some("429"),
            Some(429),
        );
        for raw in [
            r#""{\"error\":{\"message\":\"slow down\",\"code\":1}}""#,
            r#"{"error":{"message":"slow down"}}"#,
        ] {
            check(
                &format!(
                    r#"{{"error":{{"message":"Provider returned error","code":429,"metadata":{{"raw":{raw}}}}}}}"#
                ),
                "Provider returned error: slow down",
                Some("429"),
                Some(429),
            );
        }
    }

    #[test]
    fn the_field_that_was_refused_and_what_the_model_wrote_are_kept() {
        let error = |body: &str| error_in(body.as_bytes()).unwrap();
        let refused = r#"{"error":{"message":"no such field","type":"invalid_request_error","param":"parallel_tool_calls","code":"unsupported_parameter"}}"#;
        assert_eq!(error(refused).param.as_deref(), Some("parallel_tool_calls"));
        let top_level = r#"{"object":"error","message":"no","param":"tools","code":null}"#;
        assert_eq!(error(top_level).param.as_deref(), Some("tools"));
        for nothing in [
            r#"{"error":{"message":"no","param":null}}"#,
            r#"{"error":{"message":"no","param":""}}"#,
        ] {
            assert_eq!(error(nothing).param, None, "{nothing}");
        }
        for body in [
            r#"{"error":{"message":"no","code":"tool_use_failed","failed_generation":"<function=add{\"a\":"}}"#,
            r#"{"error":{"message":"no","code":"tool_use_failed"},"failed_generation":"<function=add{\"a\":"}"#,
        ] {
            let error = error(body);
            assert_eq!(error.failed_generation.as_deref(), Some(r#"<function=add{"a":"#), "{body}");
            assert_eq!(error.to_string(), "no (tool_use_failed)", "it is not for people");
        }
    }

    #[test]
    fn a_deep_body_costs_no_stack() {
        let detail = format!("{}1{}", r#"{"detail":"#.repeat(100_000), "}".repeat(100_000));
        let raw = r#"{"error":{"message":"m","metadata":{"raw":"#.repeat(100_000);
        let raw = format!("{raw}1{}", "}}}".repeat(100_000));
        for body in [detail, raw] {
            assert!(error_in(body.as_bytes()).is_some());
        }
    }

    #[test]
    fn what_is_no_error_is_none() {
        for body in [
            "",
            "<html>",
            "{}",
            r#"{"message":""}"#,
            r#"{"error":null,"choices":[]}"#,
            r#"{"error":{}}"#,
            "[]",
            "1",
        ] {
            assert_eq!(error_in(body.as_bytes()), None, "{body}");
        }
    }
}
