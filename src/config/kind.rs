//! The kinds of values: what a setting accepts, what it expects instead, how it is shown.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use ::config::{Value, ValueKind};
use serde_json::{Map, Value as Json};

use super::choice::Choice;
use super::endpoint::BaseUrl;
use super::header::ExtraHeader;
use super::http::{Body, Pairs, UrlText};
use super::layer::parse_inline;
use super::origin::Source;
use super::reference::Text;
use super::store_url::StoreUrl;
use crate::model::{Dialect, OURS, ToolChoice};
use crate::tools::http::HttpBody;

/// The longest time that can be set: 365 days, far from where clocks overflow.
const MAX_MILLIS: u64 = 365 * 24 * 60 * 60 * 1000;

/// A value as found. One from the environment or a flag is text that may stand for another type.
pub(super) struct Input<'a> {
    /// The value.
    pub value: &'a Value,
    /// Whether it is text that may stand for another type.
    pub is_text: bool,
}

impl Input<'_> {
    /// Returns the string, if it is one.
    fn string(&self) -> Option<&str> {
        match &self.value.kind {
            ValueKind::String(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the string only if it may stand for another type.
    fn text(&self) -> Option<&str> {
        self.string().filter(|_| self.is_text).map(str::trim)
    }

    /// Returns the value with text of a table or an array replaced by what it stands for.
    pub(super) fn structured(&self) -> Value {
        let structured = self.text().and_then(|text| parse_inline(text, None));
        structured.unwrap_or_else(|| self.value.clone())
    }
}

/// What a kind makes of an input; the error says what it expects.
pub(super) type Parsed<T> = Result<T, String>;

/// Any string.
pub(super) fn string(input: &Input<'_>) -> Parsed<String> {
    input.string().map(str::to_owned).ok_or_else(|| "a string".to_owned())
}

/// A string that is not empty.
pub(super) fn filled(input: &Input<'_>) -> Parsed<String> {
    let text = input.string().filter(|text| !text.trim().is_empty());
    text.map(str::to_owned).ok_or_else(|| "a string that is not empty".to_owned())
}

/// The URL of a store.
pub(super) fn store_url(input: &Input<'_>) -> Parsed<StoreUrl> {
    let expected = "\"memory:\", \"sqlite:PATH\" or \"postgres://USER:PASSWORD@HOST/DATABASE\"";
    input.string().and_then(StoreUrl::new).ok_or_else(|| expected.to_owned())
}

/// An address to listen on.
pub(super) fn address(input: &Input<'_>) -> Parsed<SocketAddr> {
    let address = input.string().and_then(|text| text.parse().ok());
    address.ok_or_else(|| "an address with a port, such as \"127.0.0.1:8787\"".to_owned())
}

/// The name of an environment variable.
pub(super) fn variable_name(input: &Input<'_>) -> Parsed<String> {
    let is_name = |text: &&str| {
        text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
            && text.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
    };
    let text = input.string().filter(is_name);
    text.map(str::to_owned)
        .ok_or_else(|| "the name of an environment variable, not the key".to_owned())
}

/// A name that every provider takes for a tool.
pub(super) fn tool_name(input: &Input<'_>) -> Parsed<String> {
    let is_name = |text: &&str| {
        (1..=64).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
    };
    let text = input.string().filter(is_name);
    text.map(str::to_owned).ok_or_else(|| "1 to 64 letters, digits, `_` and `-`".to_owned())
}

/// The name of a server: it must leave room for those of its tools.
pub(super) fn server_name(input: &Input<'_>) -> Parsed<String> {
    let is_name = |name: &String| name.len() <= 32 && !name.contains("__");
    let name = tool_name(input).ok().filter(is_name);
    name.ok_or_else(|| "1 to 32 letters, digits, `_` (not two together) and `-`".to_owned())
}

/// Text that may refer to variables.
pub(super) fn text(input: &Input<'_>) -> Parsed<Text> {
    filled(input).map(|text| Text::new(&text))
}

/// A list of such texts, which may be empty ones.
pub(super) fn references(input: &Input<'_>) -> Parsed<Vec<Text>> {
    let items = input.structured().try_deserialize::<Vec<String>>().ok();
    let items = items.ok_or_else(|| "an array of strings".to_owned())?;
    Ok(items.iter().map(|item| Text::new(item)).collect())
}

/// A table of such texts.
pub(super) fn named_texts(input: &Input<'_>) -> Parsed<Vec<(String, Text)>> {
    let expected = || "a table of strings".to_owned();
    let ValueKind::Table(fields) = input.structured().kind else { return Err(expected()) };
    let mut texts = Vec::new();
    for (name, value) in fields {
        let ValueKind::String(value) = &value.kind else { return Err(expected()) };
        texts.push((name, Text::new(value)));
    }
    texts.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(texts)
}

/// The URL of an endpoint.
pub(super) fn base_url(input: &Input<'_>) -> Parsed<BaseUrl> {
    let expected = "a URL with a host, http:// or https://, without `?` and `#`";
    input.string().and_then(BaseUrl::new).ok_or_else(|| expected.to_owned())
}

/// The same; `""` for none.
pub(super) fn base_url_or_none(input: &Input<'_>) -> Parsed<Option<BaseUrl>> {
    match input.string() {
        Some("") => Ok(None),
        _ => base_url(input).map(Some),
    }
}

/// `true` or `false`.
pub(super) fn flag(input: &Input<'_>) -> Parsed<bool> {
    match (&input.value.kind, input.text()) {
        (ValueKind::Boolean(flag), _) => Ok(*flag),
        (_, Some("true" | "1")) => Ok(true),
        (_, Some("false" | "0")) => Ok(false),
        _ => Err("true or false".to_owned()),
    }
}

/// `true`, `false`, or `"unset"` (also `""`) for none.
pub(super) fn flag_or_unset(input: &Input<'_>) -> Parsed<Option<bool>> {
    match input.string() {
        Some("" | "unset") => Ok(None),
        _ => flag(input).map(Some).map_err(|_| "true, false or \"unset\"".to_owned()),
    }
}

/// A whole number within `range`.
pub(super) fn whole(range: RangeInclusive<u64>) -> impl Fn(&Input<'_>) -> Parsed<u64> {
    move |input| {
        let number = match (&input.value.kind, input.text()) {
            (ValueKind::I64(number), _) => u64::try_from(*number).ok(),
            (ValueKind::U64(number), _) => Some(*number),
            (_, Some(text)) => text.replace('_', "").parse().ok(),
            _ => None,
        };
        let (least, most) = (range.start(), range.end());
        number.filter(|number| range.contains(number)).ok_or_else(|| match most {
            &u64::MAX => format!("a whole number, {least} or more"),
            most => format!("a whole number from {least} to {most}"),
        })
    }
}

/// A whole number within `range`, of things there are never many of.
pub(super) fn count(range: RangeInclusive<u32>) -> impl Fn(&Input<'_>) -> Parsed<u32> {
    let (least, most) = (*range.start(), *range.end());
    move |input| {
        let number = whole(least.into()..=most.into())(input)?;
        Ok(u32::try_from(number).unwrap_or(most))
    }
}

/// A time in whole milliseconds, zero included.
pub(super) fn millis(input: &Input<'_>) -> Parsed<Duration> {
    let millis = whole(0..=MAX_MILLIS)(input);
    millis
        .map(Duration::from_millis)
        .map_err(|_| "milliseconds, 0 or more, at most 365 days".to_owned())
}

/// A time in whole milliseconds after which something ends: not zero.
pub(super) fn time_limit(input: &Input<'_>) -> Parsed<Duration> {
    let limit = millis(input).ok().filter(|limit| !limit.is_zero());
    limit.ok_or_else(|| "milliseconds, 1 or more, at most 365 days".to_owned())
}

/// A time within which a sign of life can be given a few times.
pub(super) fn lease(input: &Input<'_>) -> Parsed<Duration> {
    let lease = millis(input).ok().filter(|lease| lease.as_millis() >= 1000);
    lease.ok_or_else(|| "milliseconds, 1000 or more, at most 365 days".to_owned())
}

/// A share, from 0 to 1.
pub(super) fn rate(input: &Input<'_>) -> Parsed<f64> {
    let number = match (&input.value.kind, input.text()) {
        (ValueKind::Float(number), _) => Some(*number),
        (ValueKind::I64(0), _) => Some(0.0),
        (ValueKind::I64(1), _) => Some(1.0),
        (_, Some(text)) => text.parse().ok(),
        _ => None,
    };
    let number = number.filter(|number| (0.0..=1.0).contains(number));
    number.ok_or_else(|| "a number from 0.0 to 1.0".to_owned())
}

/// A number, zero included.
pub(super) fn amount(input: &Input<'_>) -> Parsed<f64> {
    let number = match (&input.value.kind, input.text()) {
        (ValueKind::Float(number), _) => Some(*number),
        (ValueKind::I64(_) | ValueKind::U64(_), _) => input.value.clone().into_float().ok(),
        (_, Some(text)) => text.parse().ok(),
        _ => None,
    };
    let number = number.filter(|number| *number >= 0.0 && number.is_finite());
    number.ok_or_else(|| "a number, 0.0 or more".to_owned())
}

/// A list of strings that are not empty.
pub(super) fn list(input: &Input<'_>) -> Parsed<Vec<String>> {
    let items = input.structured().try_deserialize::<Vec<String>>().ok();
    let items = items.filter(|items| items.iter().all(|item| !item.trim().is_empty()));
    items.ok_or_else(|| "an array of strings that are not empty".to_owned())
}

/// A list of strings.
pub(super) fn texts(input: &Input<'_>) -> Parsed<Vec<String>> {
    let items = input.structured().try_deserialize::<Vec<String>>().ok();
    items.ok_or_else(|| "an array of strings".to_owned())
}

/// The name of a dialect; `None` for `"auto"`.
pub(super) fn dialect(input: &Input<'_>) -> Parsed<Option<Dialect>> {
    match input.string() {
        Some("auto") => Ok(None),
        name => name.and_then(Dialect::named).map(Some).ok_or_else(|| {
            let names: Vec<_> = Dialect::names().map(|name| format!("\"{name}\"")).collect();
            format!("\"auto\" or one of {}", names.join(", "))
        }),
    }
}

/// What says whether tools are called.
pub(super) const TOOL_CHOICE: &str = "\"auto\", \"none\", \"required\" or the name of a tool";

/// A word about calls, or the name of a tool.
pub(super) fn tool_choice(input: &Input<'_>) -> Parsed<ToolChoice> {
    match input.string() {
        Some("auto") => Ok(ToolChoice::Auto),
        Some("none") => Ok(ToolChoice::None),
        Some("required") => Ok(ToolChoice::Required),
        Some(name) if !name.trim().is_empty() => Ok(ToolChoice::Tool(name.to_owned())),
        _ => Err(TOOL_CHOICE.to_owned()),
    }
}

/// A table of whatever there is in JSON.
pub(super) fn object(input: &Input<'_>) -> Parsed<Map<String, Json>> {
    match json(&input.structured()) {
        Some(Json::Object(fields)) => Ok(fields),
        _ => Err("a table".to_owned()),
    }
}

/// As [`object`], without the fields that a request is about.
pub(super) fn extra_body(input: &Input<'_>) -> Parsed<Map<String, Json>> {
    let fields = object(input)?;
    match OURS.iter().find(|name| fields.contains_key(**name)) {
        Some(name) => Err(format!("a table without `{name}`, which is set elsewhere")),
        None => Ok(fields),
    }
}

/// The form of replies: a table, or `"json_object"`.
pub(super) fn response_format(input: &Input<'_>) -> Parsed<Map<String, Json>> {
    if input.string() == Some("json_object") {
        return Ok([("type".to_owned(), Json::from("json_object"))].into_iter().collect());
    }
    object(input).map_err(|_| "\"json_object\" or a table".to_owned())
}

/// A table of headers, each there once, in whatever letters.
pub(super) fn headers(input: &Input<'_>) -> Parsed<Vec<ExtraHeader>> {
    let expected = || "a table of headers, each a string".to_owned();
    let ValueKind::Table(fields) = input.structured().kind else { return Err(expected()) };
    let mut headers = Vec::new();
    for (name, value) in fields {
        let ValueKind::String(value) = &value.kind else { return Err(expected()) };
        headers.push(ExtraHeader::new(&name, value)?);
    }
    headers.sort_by_cached_key(|header| header.name().to_ascii_lowercase());
    let is_twice = |pair: &&[ExtraHeader]| pair[0].name().eq_ignore_ascii_case(pair[1].name());
    match headers.windows(2).find(is_twice) {
        Some(pair) => Err(format!(
            "each header once, and `{}` is there twice",
            pair[0].name().to_ascii_lowercase()
        )),
        None => Ok(headers),
    }
}

/// A URL with places for arguments.
pub(super) fn url_text(input: &Input<'_>) -> Parsed<UrlText> {
    filled(input).map(UrlText)
}

/// A table of texts with places for arguments; what is no text is written as one.
pub(super) fn pairs(input: &Input<'_>) -> Parsed<Pairs> {
    let expected = || "a table of names and texts".to_owned();
    let ValueKind::Table(fields) = input.structured().kind else { return Err(expected()) };
    let pair = |(name, value): (String, Value)| match json(&value)? {
        Json::String(_) => Some((name, value.into_string().ok()?)),
        scalar @ (Json::Bool(_) | Json::Number(_)) => Some((name, scalar.to_string())),
        Json::Null | Json::Array(_) | Json::Object(_) => None,
    };
    let pairs = fields.into_iter().map(pair).collect::<Option<Vec<_>>>();
    let mut pairs = pairs.ok_or_else(expected)?;
    pairs.sort_unstable();
    Ok(Pairs(pairs))
}

/// The body of a request: a word, or JSON with places for arguments.
pub(super) fn body(input: &Input<'_>) -> Parsed<Body> {
    let body = match json(&input.structured()) {
        Some(Json::String(word)) if word == "json" => HttpBody::Arguments,
        Some(Json::String(word)) if word == "none" => HttpBody::None,
        Some(json @ (Json::Object(_) | Json::Array(_))) => HttpBody::Json(json),
        _ => return Err("\"json\", \"none\", or a table with places such as {city}".to_owned()),
    };
    Ok(Body(body))
}

/// Turns a value into JSON. Text of a flag or a variable is what it looks like: `4` is a number.
fn json(value: &Value) -> Option<Json> {
    let is_text = value.origin().and_then(Source::decode).is_some_and(|source| source.is_text());
    Some(match &value.kind {
        ValueKind::String(text) if is_text => {
            serde_json::from_str(text).unwrap_or_else(|_| Json::from(&**text))
        }
        ValueKind::Table(fields) => {
            let field = |(name, value): (&String, &Value)| Some((name.clone(), json(value)?));
            Json::Object(fields.iter().map(field).collect::<Option<_>>()?)
        }
        ValueKind::Array(items) => Json::Array(items.iter().map(json).collect::<Option<_>>()?),
        _ => value.clone().try_deserialize().ok()?,
    })
}

/// One word of a closed list.
pub(super) fn choice<C: Choice>(input: &Input<'_>) -> Parsed<C> {
    let found = input.string().and_then(|text| C::ALL.iter().find(|choice| choice.word() == text));
    found.copied().ok_or_else(|| {
        let words: Vec<_> = C::ALL.iter().map(|choice| format!("\"{}\"", choice.word())).collect();
        match words.split_last() {
            Some((only, [])) => format!("{only}, the only one of this version"),
            Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
            None => "nothing".to_owned(),
        }
    })
}

/// A JSON schema, written as a table.
pub(super) fn schema(input: &Input<'_>) -> Parsed<Json> {
    let schema = input.structured().try_deserialize::<Json>().ok();
    schema.filter(Json::is_object).ok_or_else(|| "a table with a JSON schema".to_owned())
}

/// How a value is written in TOML, with what is secret in it masked.
pub(super) trait Notation {
    /// Returns the value in TOML notation.
    fn notation(&self) -> String;
}

impl Notation for String {
    fn notation(&self) -> String {
        quoted(self)
    }
}

impl Notation for BaseUrl {
    fn notation(&self) -> String {
        quoted(&self.to_string())
    }
}

impl Notation for SocketAddr {
    fn notation(&self) -> String {
        quoted(&self.to_string())
    }
}

impl Notation for Option<BaseUrl> {
    fn notation(&self) -> String {
        self.as_ref().map_or_else(|| quoted(""), Notation::notation)
    }
}

impl Notation for StoreUrl {
    fn notation(&self) -> String {
        quoted(&self.shown())
    }
}

impl Notation for bool {
    fn notation(&self) -> String {
        self.to_string()
    }
}

impl Notation for Option<bool> {
    fn notation(&self) -> String {
        self.map_or_else(|| quoted("unset"), |flag| flag.notation())
    }
}

impl Notation for u32 {
    fn notation(&self) -> String {
        self.to_string()
    }
}

impl Notation for u64 {
    fn notation(&self) -> String {
        self.to_string()
    }
}

impl Notation for f64 {
    fn notation(&self) -> String {
        format!("{self:?}") // With its point: `1.0`.
    }
}

impl Notation for Duration {
    fn notation(&self) -> String {
        self.as_millis().to_string()
    }
}

impl<C: Choice> Notation for C {
    fn notation(&self) -> String {
        quoted(self.word())
    }
}

impl Notation for Vec<String> {
    fn notation(&self) -> String {
        let items: Vec<_> = self.iter().map(|item| quoted(item)).collect();
        format!("[{}]", items.join(", "))
    }
}

impl Notation for Text {
    fn notation(&self) -> String {
        let text = self.as_written();
        match text.contains("://") {
            true => quoted(&UrlText(text.to_owned()).shown()),
            false => quoted(text),
        }
    }
}

impl Notation for Vec<Text> {
    fn notation(&self) -> String {
        let items: Vec<_> = self.iter().map(Notation::notation).collect();
        format!("[{}]", items.join(", "))
    }
}

impl Notation for Vec<(String, Text)> {
    fn notation(&self) -> String {
        table(self.iter().map(|(name, text)| (&**name, quoted(text.masked()))))
    }
}

impl Notation for Option<Dialect> {
    fn notation(&self) -> String {
        quoted(self.map_or("auto", |dialect| dialect.name))
    }
}

impl Notation for ToolChoice {
    fn notation(&self) -> String {
        quoted(match self {
            Self::Auto => "auto",
            Self::None => "none",
            Self::Required => "required",
            Self::Tool(name) => name,
        })
    }
}

impl Notation for Vec<ExtraHeader> {
    fn notation(&self) -> String {
        table(self.iter().map(|header| (header.name(), quoted(&header.shown()))))
    }
}

impl Notation for UrlText {
    fn notation(&self) -> String {
        quoted(&self.shown())
    }
}

impl Notation for Pairs {
    fn notation(&self) -> String {
        table(self.shown().map(|(name, text)| (name, quoted(&text))))
    }
}

impl Notation for Body {
    fn notation(&self) -> String {
        match &self.0 {
            HttpBody::None => quoted("none"),
            HttpBody::Arguments => quoted("json"),
            HttpBody::Json(json) => json.notation(),
        }
    }
}

impl Notation for Map<String, Json> {
    fn notation(&self) -> String {
        table(self.iter().map(|(name, value)| (&**name, value.notation())))
    }
}

impl Notation for Json {
    fn notation(&self) -> String {
        match self {
            Json::Array(items) => {
                let items: Vec<_> = items.iter().map(Notation::notation).collect();
                format!("[{}]", items.join(", "))
            }
            Json::Object(fields) => fields.notation(),
            _ => self.to_string(),
        }
    }
}

/// Writes a table in one line, of names and values in TOML notation.
pub(super) fn table<'a>(fields: impl Iterator<Item = (&'a str, String)>) -> String {
    let is_bare = |name: &str| {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        !name.is_empty() && name.bytes().all(is_plain)
    };
    let name = |name: &str| if is_bare(name) { name.to_owned() } else { quoted(name) };
    let fields: Vec<_> = fields.map(|(key, value)| format!("{} = {value}", name(key))).collect();
    if fields.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", fields.join(", ")) }
}

/// Writes a basic string: JSON's escapes are TOML's, but for DEL.
pub(super) fn quoted(text: &str) -> String {
    Json::from(text).to_string().replace('\u{7f}', "\\u007f")
}

/// Describes a value that was not expected, with a password in it masked.
pub(super) fn described(value: &Value) -> String {
    match &value.kind {
        ValueKind::Nil => "nothing".to_owned(),
        ValueKind::Boolean(flag) => flag.notation(),
        ValueKind::I64(number) => number.to_string(),
        ValueKind::I128(number) => number.to_string(),
        ValueKind::U64(number) => number.to_string(),
        ValueKind::U128(number) => number.to_string(),
        ValueKind::Float(number) => number.notation(),
        ValueKind::String(text) => quoted(&super::store_url::masked(text)),
        ValueKind::Table(_) => "a table".to_owned(),
        ValueKind::Array(_) => "an array".to_owned(),
    }
}
