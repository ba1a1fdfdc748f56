//! What stands inside an error of a body: the details of it, and what a gateway adds.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::super::json::{Array, Object, Unread, read};
use super::super::shape::{Raw, Shape, Text};
use super::chunk::filled;

/// How many reasons of one error are kept.
const MAX_REASONS: usize = 8;

/// The sentence of a `detail` field: a text, the message of an object, or whatever it is.
pub(super) fn detail(raw: &RawValue) -> Cow<'_, str> {
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

/// What a gateway adds: the answer of the provider behind it, a text or an error body of its own, often inside a text;
/// the kind of the error; and the headers that the provider sent.
#[derive(Default)]
pub(super) struct Metadata<'de> {
    pub upstream: Option<Cow<'de, str>>,
    pub kind: Option<Cow<'de, str>>,
    pub retry_after: Option<Cow<'de, str>>,
}

impl<'de> Shape<'de> for Metadata<'de> {
    fn fields(mut fields: Object<'_, 'de>) -> Result<Self, Unread> {
        let mut metadata = Metadata::default();
        while let Some(field) = fields.name()? {
            match &*field {
                "raw" => metadata.upstream = Raw::value(&mut fields)?.0.map(upstream),
                "error_type" => metadata.kind = filled(&mut fields)?,
                "headers" => metadata.retry_after = fields.value::<Headers<'de>>()?.0,
                _ => _ = fields.skip()?,
            }
        }
        Ok(metadata)
    }
}

/// When to ask again, as headers say that were put into a body.
#[derive(Default)]
struct Headers<'de>(Option<Cow<'de, str>>);

impl<'de> Shape<'de> for Headers<'de> {
    fn fields(mut fields: Object<'_, 'de>) -> Result<Self, Unread> {
        let (mut after, mut reset) = (None, None);
        while let Some(field) = fields.name()? {
            match &*field.to_ascii_lowercase() {
                "retry-after" => after = filled(&mut fields)?,
                "x-ratelimit-reset" => reset = filled(&mut fields)?,
                _ => _ = fields.skip()?,
            }
        }
        Ok(Headers(after.or(reset)))
    }
}

/// What a list of details says: why, and when to ask again.
#[derive(Default)]
pub(super) struct Details<'de> {
    pub reasons: Vec<Cow<'de, str>>,
    pub retry_after: Option<Cow<'de, str>>,
}

impl<'de> Details<'de> {
    /// Adds those of another list.
    pub fn add(&mut self, more: Self) {
        self.reasons.extend(more.reasons);
        self.retry_after = more.retry_after.or(self.retry_after.take());
    }
}

impl<'de> Shape<'de> for Details<'de> {
    fn items(mut items: Array<'_, 'de>) -> Result<Self, Unread> {
        let mut details = Details::default();
        while let Some(Detail { reason, retry_after }) = items.item()? {
            if details.reasons.len() < MAX_REASONS {
                details.reasons.extend(reason);
            }
            details.retry_after = retry_after.or(details.retry_after);
        }
        Ok(details)
    }
}

#[derive(Default)]
struct Detail<'de> {
    reason: Option<Cow<'de, str>>,
    retry_after: Option<Cow<'de, str>>,
}

impl<'de> Shape<'de> for Detail<'de> {
    fn fields(mut fields: Object<'_, 'de>) -> Result<Self, Unread> {
        let mut detail = Detail::default();
        while let Some(field) = fields.name()? {
            match &*field {
                "reason" => detail.reason = filled(&mut fields)?,
                "retryDelay" => detail.retry_after = filled(&mut fields)?,
                _ => _ = fields.skip()?,
            }
        }
        Ok(detail)
    }
}

/// The sentence in the answer of the provider behind a gateway, or all of the answer.
fn upstream(raw: &RawValue) -> Cow<'_, str> {
    let Text(text) = read(raw.get()).unwrap_or_default();
    let text = text.unwrap_or(Cow::Borrowed(raw.get()));
    match read(&text) {
        Ok(Answer(Some(sentence))) => Cow::Owned(sentence.into_owned()),
        _ => text,
    }
}

/// The sentence of an error body inside another one. What that holds inside in turn is not looked at.
#[derive(Default)]
struct Answer<'de>(Option<Cow<'de, str>>);

impl<'de> Shape<'de> for Answer<'de> {
    fn fields(mut fields: Object<'_, 'de>) -> Result<Self, Unread> {
        let mut answer = Answer(None);
        while let Some(field) = fields.name()? {
            match &*field {
                "error" | "message" | "detail" => {
                    let Sentence(sentence) = fields.value()?;
                    answer.0 = sentence.filter(|text| !text.is_empty()).or(answer.0);
                }
                _ => _ = fields.skip()?,
            }
        }
        Ok(answer)
    }
}
