//! The objects of Chat Completions as they are read: borrowed, one pass, every field optional.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::Usage;

/// A string borrowed from the input where it has no escapes.
pub(super) struct Text<'a>(pub Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

/// The text of `value`, if it is a string.
pub(super) fn text_of(value: &RawValue) -> Option<Cow<'_, str>> {
    if !value.get().starts_with('"') {
        return None;
    }
    serde_json::from_str::<Text<'_>>(value.get()).ok().map(|text| text.0)
}

/// The text of `value`, if it is a string with something in it.
fn word_of(value: &RawValue) -> Option<Cow<'_, str>> {
    text_of(value).filter(|text| !text.is_empty())
}

type Field<'a> = (Cow<'a, str>, &'a RawValue);

/// An object that is read field by field; `null` is one without fields.
trait Object<'a>: Default {
    /// Takes the value of the field `name` from `map`.
    fn take<A: MapAccess<'a>>(&mut self, name: Cow<'a, str>, map: &mut A) -> Result<(), A::Error>;
}

fn read_object<'de, D: Deserializer<'de>, T: Object<'de>>(deserializer: D) -> Result<T, D::Error> {
    struct ObjectVisitor<T>(T);
    impl<'de, T: Object<'de>> Visitor<'de> for ObjectVisitor<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_unit<E>(self) -> Result<T, E> {
            Ok(self.0)
        }

        fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<T, A::Error> {
            while let Some(Text(name)) = map.next_key()? {
                self.0.take(name, &mut map)?;
            }
            Ok(self.0)
        }
    }
    deserializer.deserialize_any(ObjectVisitor(T::default()))
}

macro_rules! read_as_object {
    ($($name:ident),*) => {$(
        impl<'de> Deserialize<'de> for $name<'de> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                read_object(deserializer)
            }
        }
    )*};
}

read_as_object!(Fields, Envelope, Choice, Message, CallPart, FunctionPart);

/// Any object.
#[derive(Default)]
pub(super) struct Fields<'a>(pub Vec<Field<'a>>);

impl<'a> Fields<'a> {
    pub fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }
}

impl<'a> Object<'a> for Fields<'a> {
    fn take<A: MapAccess<'a>>(&mut self, name: Cow<'a, str>, map: &mut A) -> Result<(), A::Error> {
        self.0.push((name, map.next_value()?));
        Ok(())
    }
}

/// A whole reply, or one event of a streamed one.
#[derive(Default)]
pub(super) struct Envelope<'a> {
    pub id: Option<Cow<'a, str>>,
    pub model: Option<Cow<'a, str>>,
    pub choices: Option<Vec<Choice<'a>>>,
    pub usage: Option<Usage>,
    pub error: Option<&'a RawValue>,
    /// `{"object": "error", "message": …}` carries its error in the open.
    pub object: Option<Cow<'a, str>>,
}

impl<'a> Object<'a> for Envelope<'a> {
    fn take<A: MapAccess<'a>>(&mut self, name: Cow<'a, str>, map: &mut A) -> Result<(), A::Error> {
        if name == "choices" {
            self.choices = map.next_value()?;
            return Ok(());
        }
        let value: &RawValue = map.next_value()?;
        match &*name {
            "id" => self.id = word_of(value),
            "model" => self.model = word_of(value),
            "object" => self.object = word_of(value),
            "error" => self.error = Some(value),
            "usage" => self.usage = usage_of(value).or(self.usage),
            "x_groq" => {
                let inner = serde_json::from_str::<Fields<'_>>(value.get()).ok();
                let usage = inner.and_then(|inner| inner.get("usage")).and_then(usage_of);
                self.usage = usage.or(self.usage);
            }
            _ => {}
        }
        Ok(())
    }
}

/// One of the alternatives of a reply.
#[derive(Default)]
pub(super) struct Choice<'a> {
    pub index: i64,
    pub message: Option<Message<'a>>,
    pub finish: Option<Cow<'a, str>>,
    pub native_finish: Option<Cow<'a, str>>,
    pub usage: Option<Usage>,
    pub error: Option<&'a RawValue>,
}

impl<'a> Object<'a> for Choice<'a> {
    fn take<A: MapAccess<'a>>(&mut self, name: Cow<'a, str>, map: &mut A) -> Result<(), A::Error> {
        if name == "delta" || name == "message" {
            let message: Message<'a> = map.next_value()?;
            if self.message.is_none() || !message.is_empty() {
                self.message = Some(message); // Some send both, one of them empty.
            }
            return Ok(());
        }
        let value: &RawValue = map.next_value()?;
        match &*name {
            "index" => self.index = value.get().parse().unwrap_or_default(),
            "finish_reason" => self.finish = word_of(value).filter(|word| word != "null"),
            "native_finish_reason" => self.native_finish = word_of(value),
            "usage" => self.usage = usage_of(value),
            "error" => self.error = Some(value),
            _ => {}
        }
        Ok(())
    }
}

/// A message, or a piece of one.
#[derive(Default)]
pub(super) struct Message<'a> {
    pub role: Option<Cow<'a, str>>,
    pub content: Option<&'a RawValue>,
    pub calls: Option<Vec<CallPart<'a>>>,
    pub function_call: Option<FunctionPart<'a>>,
    pub tool_call_id: Option<Cow<'a, str>>,
    pub extra: Vec<Field<'a>>,
}

impl Message<'_> {
    fn is_empty(&self) -> bool {
        self.content.is_none()
            && self.calls.is_none()
            && self.function_call.is_none()
            && self.extra.is_empty()
    }
}

impl<'a> Object<'a> for Message<'a> {
    fn take<A: MapAccess<'a>>(&mut self, name: Cow<'a, str>, map: &mut A) -> Result<(), A::Error> {
        match &*name {
            "tool_calls" => self.calls = map.next_value()?,
            "function_call" => {
                let call: FunctionPart<'a> = map.next_value()?;
                self.function_call = Some(call).filter(|call| !call.is_empty());
            }
            "role" => self.role = word_of(map.next_value()?),
            "tool_call_id" => self.tool_call_id = word_of(map.next_value()?),
            "content" => self.content = Some(map.next_value()?),
            _ => self.extra.push((name, map.next_value()?)),
        }
        Ok(())
    }
}

/// A call, or a piece of one.
#[derive(Default)]
pub(super) struct CallPart<'a> {
    pub index: Option<i64>,
    pub id: Option<Cow<'a, str>>,
    pub function: FunctionPart<'a>,
    pub extra: Vec<Field<'a>>,
}

impl<'a> Object<'a> for CallPart<'a> {
    fn take<A: MapAccess<'a>>(&mut self, name: Cow<'a, str>, map: &mut A) -> Result<(), A::Error> {
        if name == "function" {
            self.function = map.next_value()?;
            return Ok(());
        }
        let value: &RawValue = map.next_value()?;
        match &*name {
            "index" => self.index = value.get().parse().ok(),
            "id" => self.id = word_of(value),
            "type" => {}
            _ => self.extra.push((name, value)),
        }
        Ok(())
    }
}

/// The `function` of a call, or a piece of it.
#[derive(Default)]
pub(super) struct FunctionPart<'a> {
    pub name: Option<Cow<'a, str>>,
    pub arguments: Option<&'a RawValue>,
    pub extra: Vec<Field<'a>>,
}

impl FunctionPart<'_> {
    fn is_empty(&self) -> bool {
        self.name.is_none() && self.arguments.is_none()
    }
}

impl<'a> Object<'a> for FunctionPart<'a> {
    fn take<A: MapAccess<'a>>(&mut self, name: Cow<'a, str>, map: &mut A) -> Result<(), A::Error> {
        let value: &RawValue = map.next_value()?;
        match &*name {
            "name" => self.name = word_of(value),
            "arguments" => self.arguments = Some(value).filter(|value| value.get() != "null"),
            _ => self.extra.push((name, value)),
        }
        Ok(())
    }
}

/// The text of a `content`, which may be a list of parts, and the reasoning among the parts.
pub(super) fn content_of(content: &RawValue) -> (Cow<'_, str>, Cow<'_, str>) {
    if let Some(text) = text_of(content) {
        return (text, Cow::Borrowed(""));
    }
    let parts: Vec<Fields<'_>> = serde_json::from_str(content.get()).unwrap_or_default();
    let (mut text, mut reasoning) = (String::new(), String::new());
    for part in &parts {
        if let Some(piece) = part.get("text").and_then(text_of) {
            text.push_str(&piece);
        } else if let Some(thinking) = part.get("thinking") {
            reasoning.push_str(&content_of(thinking).0);
        }
    }
    (text.into(), reasoning.into())
}

fn usage_of(value: &RawValue) -> Option<Usage> {
    let fields: Fields<'_> = serde_json::from_str(value.get()).ok()?;
    let number = |fields: &Fields<'_>, name: &str| fields.get(name)?.get().parse::<u64>().ok();
    let detail = |outer: &str, inner: &str| {
        let details = fields.get(outer)?;
        number(&serde_json::from_str(details.get()).ok()?, inner)
    };
    let input = number(&fields, "prompt_tokens").or_else(|| number(&fields, "input_tokens"));
    let output = number(&fields, "completion_tokens").or_else(|| number(&fields, "output_tokens"));
    if input.is_none() && output.is_none() {
        return None;
    }
    Some(Usage {
        input_tokens: input.unwrap_or_default(),
        output_tokens: output.unwrap_or_default(),
        cached_tokens: detail("prompt_tokens_details", "cached_tokens").unwrap_or_default(),
        reasoning_tokens: detail("completion_tokens_details", "reasoning_tokens")
            .unwrap_or_default(),
    })
}
