//! One call, as a provider writes it: in pieces, each with what it says of the call.

use serde_json::{Value, json};

use super::dialect::{Dialect, Ids, Index, Names, Style};
use super::flaw::Flaw;
use super::truth::{News, Note, Written};
use super::wish::Wish;
use crate::support::dice::Dice;

/// A piece of a call.
#[derive(Clone, Debug)]
pub struct Bit {
    pub json: String,
    /// What it says, and behind which of its bytes it has said so.
    pub notes: Vec<Note>,
}

/// A call of a stream, to be written.
pub struct Writing<'a> {
    pub call: usize,
    pub wish: &'a Wish,
    pub flaw: &'a Flaw,
    pub style: Style,
    pub dialect: &'a Dialect,
}

/// What a piece holds besides its call's number.
#[derive(Default)]
struct Content<'a> {
    name: Option<&'a str>,
    /// A JSON value.
    arguments: Option<String>,
    news: Option<News>,
}

impl Writing<'_> {
    /// Its pieces, and those that come after the next call has begun.
    pub fn bits(&self, dice: &mut Dice) -> (Vec<Bit>, Vec<Bit>) {
        let mut contents = self.head();
        contents.extend(self.arguments(dice));
        if let Flaw::GoesOn { more, late: false } = self.flaw {
            let (arguments, news) = (Some(text(more)), Some(News::GoesOn(self.call)));
            contents.push(Content { arguments, news, ..Content::default() });
        }
        if self.dialect.names == Names::Late {
            let arguments = dice.percent(30).then(|| text(""));
            contents.push(Content { name: Some(self.wish.tool), arguments, news: None });
        }
        // A call is complete when its arguments are, and its name.
        let ends = |content: &Content<'_>| content.news == Some(News::Complete(self.call));
        if self.dialect.names == Names::Late
            && *self.flaw == Flaw::None
            && let Some(last) = contents.iter().rposition(ends)
        {
            contents[last].news = None;
            contents.last_mut().expect("the name is one").news = Some(News::Complete(self.call));
        }
        let mut bits: Vec<Bit> = Vec::new();
        for content in contents {
            bits.push(self.bit(dice, bits.len(), content));
        }
        let opened = Note { behind: bits[0].json.len(), news: News::Opened(self.call) };
        bits[0].notes.push(opened);
        let late = match self.flaw {
            Flaw::GoesOn { more, late: true } => {
                let (arguments, news) = (Some(text(more)), Some(News::GoesOn(self.call)));
                let content = Content { arguments, news, ..Content::default() };
                vec![self.bit(dice, bits.len(), content)]
            }
            _ => Vec::new(),
        };
        (bits, late)
    }

    /// The pieces that come before the arguments.
    fn head(&self) -> Vec<Content<'_>> {
        let name = self.wish.tool;
        let named = |name| Content { name: Some(name), ..Content::default() };
        match self.dialect.names {
            Names::InTwo => vec![named(&name[..2]), named(&name[2..])],
            Names::Growing => vec![named(&name[..2]), named(name)],
            Names::Once | Names::Always | Names::ThenEmpty | Names::Late => Vec::new(),
        }
    }

    fn arguments(&self, dice: &mut Dice) -> Vec<Content<'_>> {
        let whole = self.wish.arguments();
        let complete = Some(News::Complete(self.call));
        let of = |json: String| Content { arguments: Some(json), ..Content::default() };
        let last = |json: String| Content { news: complete, ..of(json) };
        let (intended, style) = match self.flaw {
            Flaw::None if self.style == Style::Object && self.wish.is_blank() => {
                (whole, Style::Whole)
            }
            Flaw::NoObject(wrong) => {
                return split(dice, wrong).iter().map(|part| of(text(part))).collect();
            }
            Flaw::Stops(at) => {
                let begun = &whole[..*at];
                let mut contents = match self.style {
                    Style::Placeholder => vec![of(text("{}"))],
                    Style::ObjectPlaceholder => vec![of("{}".to_owned())],
                    _ => vec![of(text(""))],
                };
                contents.extend(split(dice, begun).iter().map(|part| of(text(part))));
                return contents;
            }
            Flaw::GoesOn { .. } => (whole, Style::Pieces),
            Flaw::None => (whole, self.style),
        };
        let pieces = |dice: &mut Dice, whole: &str| {
            let mut contents: Vec<_> =
                split(dice, whole).iter().map(|part| of(text(part))).collect();
            if let Some(content) = contents.last_mut() {
                content.news = complete;
            }
            contents
        };
        match style {
            _ if self.is_blank() => {
                let blank = [None, Some(text("")), Some("null".to_owned()), Some(text("null"))];
                let arguments = blank[dice.between(0, 3) as usize].clone();
                vec![Content { arguments, news: complete, ..Content::default() }]
            }
            Style::Pieces => {
                let mut contents: Vec<_> = (0..dice.between(0, 1)).map(|_| of(text(""))).collect();
                contents.extend(pieces(dice, &intended));
                contents.extend((0..dice.between(0, 3) / 3).map(|_| of(text(""))));
                contents
            }
            Style::Whole => vec![last(text(&intended))],
            Style::Object => vec![last(self.wish.compact().arguments())],
            Style::Placeholder | Style::ObjectPlaceholder => {
                let empty = "{}".to_owned();
                let mut contents =
                    vec![of(if style == Style::Placeholder { text(&empty) } else { empty })];
                contents.extend(pieces(dice, &intended));
                contents
            }
            Style::Repeated => {
                let mut contents = pieces(dice, &intended);
                contents.push(of(text(&intended)));
                contents
            }
            Style::Flushed => {
                let cut = boundary(&intended, dice.between(1, intended.len() as u64 - 1));
                let mut contents: Vec<_> =
                    split(dice, &intended[..cut]).iter().map(|part| of(text(part))).collect();
                contents.push(last(text(&intended)));
                contents
            }
            Style::Twice => pieces(dice, &text(&intended)),
        }
    }

    /// What its arguments may be read as, one after another.
    fn readings(&self) -> Vec<String> {
        match self.flaw {
            Flaw::None if self.style == Style::Object => vec![self.wish.compact().arguments()],
            // What was empty was a placeholder.
            Flaw::GoesOn { more, .. } if self.wish.is_blank() => {
                vec![self.wish.arguments(), (*more).to_owned()]
            }
            Flaw::None | Flaw::GoesOn { .. } | Flaw::Stops(_) => vec![self.wish.arguments()],
            Flaw::NoObject(_) => Vec::new(),
        }
    }

    /// What there is to say of it.
    pub fn written(&self) -> Written {
        let is = |style| *self.flaw == Flaw::None && self.style == style;
        let wish = if is(Style::Object) { self.wish.compact() } else { self.wish.clone() };
        Written {
            tool: self.wish.tool,
            readings: self.readings(),
            is_whole: *self.flaw == Flaw::None,
            is_nothing: self.is_blank(),
            is_shy: self.wish.is_blank() || is(Style::Flushed),
            parts: wish.parts.iter().map(|part| (part.tool, part.arguments())).collect(),
        }
    }

    /// Says whether its arguments are written as nothing at all.
    fn is_blank(&self) -> bool {
        let may_be = *self.flaw == Flaw::None && self.style == Style::Pieces;
        may_be && self.wish.is_blank() && !self.dialect.needs_arguments()
    }

    fn bit(&self, dice: &mut Dice, place: usize, content: Content<'_>) -> Bit {
        let mut fields = Vec::new();
        let number = self.call as i64;
        match self.dialect.index {
            Index::FromZero => fields.push(format!("\"index\":{number}")),
            Index::FromOne => fields.push(format!("\"index\":{}", number + 1)),
            Index::WithGaps => fields.push(format!("\"index\":{}", number * 7 + 3)),
            Index::AllZero => fields.push("\"index\":0".to_owned()),
            Index::Missing => {}
        }
        let own = || json!(format!("id_{number}"));
        let id = match (self.dialect.ids, place) {
            (Ids::Missing, _) | (Ids::Once, 1..) => None,
            (Ids::SameForAll, _) => Some(json!("id")),
            (Ids::ThenEmpty, 1..) => Some(json!("")),
            (Ids::ThenNull, 1..) => Some(Value::Null),
            (Ids::Rotating, place) => Some(json!(format!("id_{number}_{place}"))),
            (Ids::Once | Ids::Always | Ids::ThenEmpty | Ids::ThenNull, _) => Some(own()),
        };
        fields.extend(id.map(|id| format!("\"id\":{id}")));
        if dice.percent(50) {
            fields.push("\"type\":\"function\"".to_owned());
        }
        let name = content.name.or(match (self.dialect.names, place) {
            (Names::Always, _) | (Names::Once | Names::ThenEmpty, 0) => Some(self.wish.tool),
            (Names::ThenEmpty, _) => Some(""),
            _ => None,
        });
        let mut json = format!("{{{}", fields.join(","));
        json.push_str(if fields.is_empty() { "\"function\":{" } else { ",\"function\":{" });
        if self.dialect.legacy {
            "{".clone_into(&mut json);
        }
        if let Some(name) = name {
            json.push_str(&format!("\"name\":\"{name}\""));
        }
        let mut said = json.len();
        if let Some(arguments) = content.arguments {
            json.push_str(if name.is_some() { ",\"arguments\":" } else { "\"arguments\":" });
            json.push_str(&arguments);
            said = json.len() - usize::from(arguments.ends_with('"')); // Before the quote.
        }
        json.push_str(if self.dialect.legacy { "}" } else { "}}" });
        Bit {
            json,
            notes: content.news.map(|news| Note { behind: said, news }).into_iter().collect(),
        }
    }
}

/// `text` as JSON.
fn text(text: &str) -> String {
    json!(text).to_string()
}

/// The first boundary of a character at `at` or behind it.
pub fn boundary(text: &str, at: u64) -> usize {
    (at as usize..).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len())
}

/// `whole` in random pieces.
fn split<'a>(dice: &mut Dice, whole: &'a str) -> Vec<&'a str> {
    let mut parts = Vec::new();
    let mut rest = whole;
    let longest = dice.one_of(&[2, 6, 12, 40, 200]);
    while !rest.is_empty() {
        let at = boundary(rest, dice.between(1, longest).min(rest.len() as u64));
        let (part, behind) = rest.split_at(at);
        parts.push(part);
        rest = behind;
    }
    parts
}
