//! Finds the error in a body, whichever of its many shapes the provider chose.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::super::ApiError;
use super::super::json::{Array, Object, Unread, read};
use super::super::shape::{Raw, Shape, Text, text_of};

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

/// Reads the value of an `error` field, which is known to be one.
pub(in super::super) fn error_from(raw: &RawValue) -> ApiError {
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
                let inner = error_from(inner);
                Some(ApiError {
                    code: inner.code.or(outer.code),
                    param: inner.param.or(outer.param),
                    status: inner.status.or(outer.status),
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
    upstream: Option<Cow<'de, str>>,
    code: Option<Cow<'de, str>>,
    kind: Option<Cow<'de, str>>,
    param: Option<Cow<'de, str>>,
    status: Option<u16>,
}

impl Told<'_> {
    fn into_error(self) -> ApiError {
        let status = self.code.as_deref().and_then(as_status).or(self.status);
        let mut message = self.message.unwrap_or_default().into_owned();
        if let Some(upstream) = self.upstream.filter(|upstream| !upstream.is_empty()) {
            message = format!("{message}: {upstream}");
        }
        let (code, param) = (self.code.or(self.kind), self.param);
        let owned = |text: Option<Cow<'_, str>>| text.map(Cow::into_owned);
        ApiError { message, code: owned(code), param: owned(param), status }
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
                "metadata" => told.upstream = fields.value::<Metadata<'de>>()?.0,
                "code" => told.code = fields.value::<Text<'de>>()?.0,
                "param" => told.param = fields.value::<Text<'de>>()?.0,
                "type" => told.kind = fields.value::<Text<'de>>()?.0,
                "status" | "status_code" | "raw_status_code" => {
                    let status = fields.value::<Text<'de>>()?.0;
                    told.status = status.as_deref().and_then(as_status).or(told.status);
                }
                _ => _ = fields.skip()?,
            }
        }
        Ok(told)
    }
}

/// The sentence of a `detail` field: a text, the message of an object, or whatever it is.
fn detail(raw: &RawValue) -> Cow<'_, str> {
    let Sentence(text) = read(raw.get()).unwrap_or_default();
    text.unwrap_or(Cow::Borrowed(raw.get()))
}

#[derive(Default)]
struct Sentence<'de>(Option<Cow<'de, str>>);

impl<'de> Shape<'de> for Sentence<'de> {
    fn text(text: Cow<'de, str>) -> Self {
        Sentence(Some(text))
    }

    fn fields(mut fields: Object<'_, 'de>) -> Result<Self, Unread> {
        let mut sentence = Sentence(None);
        while let Some(field) = fields.name()? {
            match &*field {
                "message" | "msg" => sentence = Sentence(fields.value::<Text<'de>>()?.0),
                _ => _ = fields.skip()?,
            }
        }
        Ok(sentence)
    }
}

/// What a gateway adds: the answer of the provider behind it.
#[derive(Default)]
struct Metadata<'de>(Option<Cow<'de, str>>);

impl<'de> Shape<'de> for Metadata<'de> {
    fn fields(mut fields: Object<'_, 'de>) -> Result<Self, Unread> {
        let mut metadata = Metadata(None);
        while let Some(field) = fields.name()? {
            match &*field {
                "raw" => metadata = Metadata(fields.value::<Text<'de>>()?.0),
                _ => _ = fields.skip()?,
            }
        }
        Ok(metadata)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, message: &str, code: Option<&str>, status: Option<u16>) {
        let (message, code) = (message.to_owned(), code.map(str::to_owned));
        let expected = ApiError { message, code, param: None, status };
        assert_eq!(error_in(body.as_bytes()), Some(expected), "{body}");
    }

    #[test]
    fn the_field_that_an_error_is_about_is_read() {
        let param = |body: &str| error_in(body.as_bytes()).unwrap().param;
        let inner = r#"{"error":{"message":"no","param":"tools[0].function"}}"#;
        assert_eq!(param(inner).as_deref(), Some("tools[0].function"));
        assert_eq!(param(r#"{"message":"no","param":"n"}"#).as_deref(), Some("n"));
        assert_eq!(param(r#"{"message":"no","param":null}"#), None);
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
    }

    #[test]
    fn a_deep_body_costs_no_stack() {
        let body = format!("{}1{}", r#"{"detail":"#.repeat(100_000), "}".repeat(100_000));
        assert!(error_in(body.as_bytes()).is_some());
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
