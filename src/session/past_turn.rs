//! What a turn came to, by the record.

use std::borrow::Cow;
use std::sync::Arc;

use crate::conversation::{Event, Record, TimeUsed, TurnEnd};
use crate::wire::Usage;

/// What the records of one turn say of it.
#[derive(Debug, Default)]
pub(super) struct PastTurn {
    /// The tokens of its replies, also of those that came to nothing.
    pub usage: Usage,
    /// The model, as it named itself last.
    pub model: Option<Arc<str>>,
    /// The text of its last reply, and why it stopped.
    pub reply: Option<(Arc<str>, Cow<'static, str>)>,
    /// How it ended; `None` if it was cut.
    pub end: Option<TurnEnd>,
    /// How much of their time limits it and its last round have used.
    pub time_used: TimeUsed,
}

impl PastTurn {
    /// By the `records` of the turn, in order.
    pub fn of(records: &[Record]) -> Self {
        let mut past = Self { time_used: TimeUsed::of(records), ..Self::default() };
        for Record { event, .. } in records {
            match event {
                Event::Replied { text, finish, model, usage, .. } => {
                    past.usage += usage.unwrap_or_default();
                    past.model = model.clone().or(past.model);
                    past.reply = Some((Arc::clone(text), finish.clone()));
                }
                Event::ModelFailed { usage, .. } | Event::ContextCompacted { usage, .. } => {
                    past.usage += usage.unwrap_or_default()
                }
                Event::TurnEnded { end, usage, .. } => {
                    past.usage += usage.unwrap_or_default();
                    past.end = Some(end.clone());
                }
                _ => {}
            }
        }
        past
    }
}
