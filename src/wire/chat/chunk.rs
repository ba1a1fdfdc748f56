//! The shape of a reply: a chunk of a stream and a reply that came whole differ in one field name.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::super::assembler::{Fragment, Piece};
use super::super::extra::{Fields, MAX_FIELDS, size};
use super::super::json::{Array, Object, Unread, raw, read};
use super::super::shape::{Number, Raw, Shape, Text, Whole};
use super::super::{MAX_CALLS, Usage};
use super::usage::{Counted, Dollars, Timings};

/// Unknown fields of a delta that are never sent back: padding against guessing by length, or not the message's.
const NOISE: [&str; 5] = ["obfuscation", "p", "padding", "index", "name"];

/// The fields that hold reasoning, by every name in use.
pub(in super::super) const REASONING: [&str; 3] = ["reasoning_content", "reasoning", "thinking"];

/// A chunk of a stream, or the whole body of a reply.
#[derive(Debug, Default)]
pub(in super::super) struct Chunk<'de> {
    pub id: Option<Cow<'de, str>>,
    pub model: Option<Cow<'de, str>>,
    /// True if there is a `choices` array, also an empty one.
    pub has_choices: bool,
    /// The choice with index 0; all others are skipped.
    pub choice: Option<Choice<'de>>,
    pub usage: Option<Usage>,
    /// `error`, wherever it was, unless it is empty.
    pub error: Option<&'de RawValue>,
    /// The body calls itself an error.
    pub is_error: bool,
}

/// One choice of a chunk.
#[derive(Debug, Default)]
pub(in super::super) struct Choice<'de> {
    pub index: Option<i64>,
    /// Boxed, as is all that is large and rare: a chunk is moved often while it is read.
    pub delta: Option<Box<Delta<'de>>>,
    pub message: Option<Box<Delta<'de>>>,
    pub finish_reason: Option<Cow<'de, str>>,
    pub native_finish_reason: Option<Cow<'de, str>>,
    pub usage: Option<Usage>,
    pub error: Option<&'de RawValue>,
}

/// What a chunk adds to the message, or the message itself.
#[derive(Debug, Default)]
pub(in super::super) struct Delta<'de> {
    pub content: Content<'de>,
    pub tool_calls: Vec<Piece<'de>>,
    pub function_call: Option<Box<Piece<'de>>>,
    pub extra: Fields<'de>,
}

/// The text of a message, and the reasoning some providers write between it.
#[derive(Debug, Default)]
pub(in super::super) struct Content<'de> {
    pub text: Cow<'de, str>,
    pub thinking: String,
}

impl Chunk<'_> {
    /// How many bytes it adds to the reply.
    pub fn size(&self) -> usize {
        let delta = self.choice.as_ref().and_then(|choice| {
            let Choice { delta, message, .. } = choice;
            delta.as_deref().or(message.as_deref())
        });
        delta.map_or(0, Delta::size)
    }
}

impl Delta<'_> {
    fn size(&self) -> usize {
        let Delta { content: Content { text, thinking }, tool_calls, function_call, extra } = self;
        let calls = tool_calls.iter().chain(function_call.as_deref()).map(Piece::size);
        text.len() + thinking.len() + calls.sum::<usize>() + size(extra)
    }
}

/// True if `error` says something: some providers send an empty one with every chunk.
fn is_said(error: &&RawValue) -> bool {
    !matches!(error.get(), "false" | "\"\"" | "{}" | "[]" | "0")
}

impl<'de> Shape<'de> for Chunk<'de> {
    fn fields(mut fields: Object<'_, 'de>) -> Result<Self, Unread> {
        let mut chunk = Chunk::default();
        let (mut cost, mut timings) = (Dollars::default(), Timings::default());
        while let Some(field) = fields.name()? {
            match &*field {
                "id" => chunk.id = fields.value::<Text<'de>>()?.0,
                "model" => chunk.model = fields.value::<Text<'de>>()?.0,
                "choices" => {
                    let Choices { is_array, first } = fields.value()?;
                    chunk.has_choices |= is_array;
                    chunk.choice = first;
                }
                "usage" => {
                    let Counted(usage) = fields.value()?;
                    chunk.usage = usage.or(chunk.usage);
                }
                "x_groq" => {
                    let Groq { usage, error } = fields.value()?;
                    chunk.usage = chunk.usage.or(usage);
                    chunk.error = chunk.error.or(error);
                }
                "cost" => cost = fields.value()?,
                "timings" => timings = fields.value()?,
                "error" => chunk.error = Raw::value(&mut fields)?.0.filter(is_said).or(chunk.error),
                "object" => {
                    chunk.is_error |=
                        fields.value::<Text<'de>>()?.0.is_some_and(|kind| kind == "error")
                }
                _ => _ = fields.skip()?,
            }
        }
        if let Some(choice) = &chunk.choice {
            chunk.usage = chunk.usage.or(choice.usage);
            chunk.error = chunk.error.or(choice.error);
        }
        if let Some(usage) = &mut chunk.usage {
            usage.cost = usage.cost.or(cost.0);
            usage.cached_tokens = usage.cached_tokens.max(timings.cached);
        }
        Ok(chunk)
    }
}

#[derive(Default)]
struct Choices<'de> {
    is_array: bool,
    first: Option<Choice<'de>>,
}

impl<'de> Shape<'de> for Choices<'de> {
    fn items(mut items: Array<'_, 'de>) -> Result<Self, Unread> {
        let mut first = None;
        while let Some(choice) = items.item::<Choice<'de>>()? {
            if first.is_none() && choice.index.unwrap_or(0) == 0 {
                first = Some(choice);
            }
        }
        Ok(Choices { is_array: true, first })
    }
}

impl<'de> Shape<'de> for Choice<'de> {
    fn fields(mut fields: Object<'_, 'de>) -> Result<Self, Unread> {
        let mut choice = Choice::default();
        while let Some(field) = fields.name()? {
            match &*field {
                "index" => choice.index = fields.value::<Whole>()?.0,
                "delta" => choice.delta = fields.value::<Boxed<Delta<'de>>>()?.0,
                "message" => choice.message = fields.value::<Boxed<Delta<'de>>>()?.0,
                "finish_reason" => choice.finish_reason = fields.value::<Text<'de>>()?.0,
                "native_finish_reason" => {
                    choice.native_finish_reason = fields.value::<Text<'de>>()?.0
                }
                "usage" => choice.usage = fields.value::<Counted>()?.0,
                "error" => choice.error = Raw::value(&mut fields)?.0.filter(is_said),
                _ => _ = fields.skip()?,
            }
        }
        Ok(choice)
    }
}

/// A JSON object of a known shape; anything else is absent.
struct Boxed<T>(Option<Box<T>>);

impl<T> Default for Boxed<T> {
    fn default() -> Self {
        Boxed(None)
    }
}

impl<'de, T: Shape<'de>> Shape<'de> for Boxed<T> {
    fn fields(fields: Object<'_, 'de>) -> Result<Self, Unread> {
        Ok(Boxed(Some(Box::new(T::fields(fields)?))))
    }
}

impl<'de> Shape<'de> for Delta<'de> {
    fn fields(mut fields: Object<'_, 'de>) -> Result<Self, Unread> {
        let mut delta = Delta::default();
        while let Some(field) = fields.name()? {
            match &*field {
                "content" => delta.content = fields.value()?,
                "tool_calls" => delta.tool_calls = fields.value::<Pieces<'de>>()?.0,
                "function_call" => {
                    let Boxed(function) = fields.value::<Boxed<Function<'de>>>()?;
                    delta.function_call = function.map(|function| Box::new(function.into_piece()));
                }
                "role" => _ = fields.skip()?,
                noise if NOISE.contains(&noise) => _ = fields.skip()?,
                _ => keep(&mut delta.extra, field, &mut fields)?,
            }
        }
        Ok(delta)
    }
}

fn keep<'de>(
    extra: &mut Fields<'de>,
    field: Cow<'de, str>,
    fields: &mut Object<'_, 'de>,
) -> Result<(), Unread> {
    let Raw(raw) = Raw::value(fields)?;
    if extra.len() < MAX_FIELDS {
        extra.extend(raw.map(|raw| (field, raw)));
    }
    Ok(())
}

impl<'de> Shape<'de> for Content<'de> {
    fn text(text: Cow<'de, str>) -> Self {
        Content { text, thinking: String::new() }
    }

    fn items(mut parts: Array<'_, 'de>) -> Result<Self, Unread> {
        let (mut text, mut thinking) = (String::new(), String::new());
        while let Some(Part(part)) = parts.item()? {
            text.push_str(&part.text);
            thinking.push_str(&part.thinking);
        }
        Ok(Content { text: text.into(), thinking })
    }
}

/// One part of a content array: a text, an object with a text, or an object with thinking.
#[derive(Default)]
struct Part<'de>(Content<'de>);

impl<'de> Shape<'de> for Part<'de> {
    fn text(text: Cow<'de, str>) -> Self {
        Part(Content::text(text))
    }

    fn fields(mut fields: Object<'_, 'de>) -> Result<Self, Unread> {
        let mut part = Content::default();
        while let Some(field) = fields.name()? {
            match &*field {
                "text" => part.text = fields.value::<Text<'de>>()?.0.unwrap_or_default(),
                "thinking" => part.thinking = fields.value::<Content<'de>>()?.text.into_owned(),
                _ => _ = fields.skip()?,
            }
        }
        Ok(Part(part))
    }
}

/// The calls of a message: an array, or one call in its place.
#[derive(Default)]
pub(in super::super) struct Pieces<'de>(pub Vec<Piece<'de>>);

impl<'de> Shape<'de> for Pieces<'de> {
    fn items(mut items: Array<'_, 'de>) -> Result<Self, Unread> {
        let mut pieces = Vec::new();
        while let Some(Listed(piece)) = items.item()? {
            // One more than are allowed, for others to see that there are too many.
            pieces.extend(piece.filter(|_| pieces.len() <= MAX_CALLS));
        }
        Ok(Pieces(pieces))
    }

    fn fields(fields: Object<'_, 'de>) -> Result<Self, Unread> {
        Ok(Pieces(vec![Piece::fields(fields)?]))
    }
}

/// A call in an array; what is no object is none.
#[derive(Default)]
struct Listed<'de>(Option<Piece<'de>>);

impl<'de> Shape<'de> for Listed<'de> {
    fn fields(fields: Object<'_, 'de>) -> Result<Self, Unread> {
        Ok(Listed(Some(Piece::fields(fields)?)))
    }
}

impl<'de> Shape<'de> for Piece<'de> {
    fn fields(mut fields: Object<'_, 'de>) -> Result<Self, Unread> {
        let mut piece = Piece::default();
        let (mut function, mut kind, mut custom) = (None, None, None);
        while let Some(field) = fields.name()? {
            match &*field {
                "index" => piece.index = fields.value::<Whole>()?.0,
                "id" => piece.id = filled(&mut fields)?,
                "function" => function = fields.value::<Boxed<Function<'de>>>()?.0,
                "type" => kind = Some(fields.skip()?),
                "custom" => custom = Raw::value(&mut fields)?.0,
                _ => keep(&mut piece.extra, field, &mut fields)?,
            }
        }
        // A function is a function, whatever the type says. One without a name must not be anything else.
        let is_other =
            |kind: &&str| kind.starts_with('"') && !matches!(*kind, "\"function\"" | "\"\"");
        let is_named = function.as_ref().is_none_or(|function| function.name.is_some());
        if let Some(kind) = kind.filter(is_other).filter(|_| is_named) {
            piece.extra.splice(..0, raw(kind)?.map(|kind| (Cow::Borrowed("type"), kind)));
        }
        if let Some(custom) = custom {
            piece.extra.push((Cow::Borrowed("custom"), custom));
            function = function.or_else(|| Function::from_custom(custom).map(Box::new));
        }
        if let Some(function) = function {
            let Function { id, name, arguments, extra } = *function;
            piece.id = piece.id.or(id);
            piece.name = name;
            piece.arguments = arguments;
            piece.function_extra = extra;
        }
        Ok(piece)
    }
}

/// A text that says something: neither absent nor empty.
pub(super) fn filled<'de>(fields: &mut Object<'_, 'de>) -> Result<Option<Cow<'de, str>>, Unread> {
    Ok(fields.value::<Text<'de>>()?.0.filter(|text| !text.is_empty()))
}

/// The `function` of a call. Old llama.cpp writes the id here.
#[derive(Default)]
struct Function<'de> {
    id: Option<Cow<'de, str>>,
    name: Option<Cow<'de, str>>,
    arguments: Fragment<'de>,
    extra: Fields<'de>,
}

impl<'de> Function<'de> {
    /// A custom tool's call, `{"name", "input"}`. All of it goes back as it came, in the call's own `custom` field.
    fn from_custom(custom: &'de RawValue) -> Option<Self> {
        let function: Self = read(custom.get()).ok()?;
        let input = function.extra.iter().find(|(field, _)| field == "input");
        let arguments = match input {
            Some((_, input)) => {
                let Text(text) = read(input.get()).unwrap_or_default();
                Fragment::Input(text.unwrap_or(Cow::Borrowed(input.get())))
            }
            None => Fragment::None,
        };
        Some(Function { arguments, extra: Fields::new(), ..function })
    }

    fn into_piece(self) -> Piece<'de> {
        let Function { id, name, arguments, extra } = self;
        Piece { id, name, arguments, function_extra: extra, ..Piece::default() }
    }
}

impl<'de> Shape<'de> for Function<'de> {
    fn fields(mut fields: Object<'_, 'de>) -> Result<Self, Unread> {
        let mut function = Function::default();
        while let Some(field) = fields.name()? {
            match &*field {
                "id" => function.id = filled(&mut fields)?,
                "name" => function.name = filled(&mut fields)?,
                "arguments" => function.arguments = fields.value()?,
                _ => keep(&mut function.extra, field, &mut fields)?,
            }
        }
        Ok(function)
    }
}

impl<'de> Shape<'de> for Fragment<'de> {
    fn text(text: Cow<'de, str>) -> Self {
        Fragment::Text(text)
    }

    fn number(number: Number) -> Self {
        Fragment::Json(number.to_string())
    }

    fn items(mut items: Array<'_, 'de>) -> Result<Self, Unread> {
        let mut json = String::from("[");
        while let Some(item) = items.skip()? {
            json.push_str(if json.len() > 1 { "," } else { "" });
            json.push_str(item);
        }
        json.push(']');
        Ok(Fragment::Json(json))
    }

    fn fields(mut fields: Object<'_, 'de>) -> Result<Self, Unread> {
        let mut json = vec![b'{'];
        while let Some(field) = fields.name()? {
            if json.len() > 1 {
                json.push(b',');
            }
            super::write_string(&mut json, &field);
            json.push(b':');
            json.extend_from_slice(fields.skip()?.as_bytes());
        }
        json.push(b'}');
        Ok(Fragment::Json(String::from_utf8(json).expect("every part is text")))
    }
}

/// Groq's own corner.
#[derive(Default)]
struct Groq<'de> {
    usage: Option<Usage>,
    error: Option<&'de RawValue>,
}

impl<'de> Shape<'de> for Groq<'de> {
    fn fields(mut fields: Object<'_, 'de>) -> Result<Self, Unread> {
        let mut groq = Groq::default();
        while let Some(field) = fields.name()? {
            match &*field {
                "usage" => groq.usage = fields.value::<Counted>()?.0,
                "error" => groq.error = Raw::value(&mut fields)?.0.filter(is_said),
                _ => _ = fields.skip()?,
            }
        }
        Ok(groq)
    }
}
