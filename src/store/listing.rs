//! What a store knows of a session without reading all of it.

use std::sync::Arc;

use super::Owner;
use crate::conversation::{Event, Record, SessionId};

/// How many bytes of a session's first question are its title.
const TITLE_BYTES: usize = 120;

/// What a store knows of a session without reading all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The conversation.
    pub session: SessionId,
    /// When it was made, or the time of its first event, in microseconds since 1970.
    pub created_at_us: u64,
    /// The time of its last event, in the middle of a turn to a second; of one without, when it was made.
    pub updated_at_us: u64,
    /// The number of its last event; 0 if it has none.
    pub last_seq: u64,
    /// What its events say.
    pub digest: Digest,
    /// Who has it open; `None` also of an owner that is dead.
    pub owner: Option<Owner>,
    /// The session that it was forked from.
    pub forked_from: Option<SessionId>,
}

impl Summary {
    /// What the session is doing, in a word: its last turn has ended (`idle`), is under way (`running`),
    /// or was cut (`cut`).
    #[must_use]
    pub fn state(&self) -> &'static str {
        match (self.digest.is_open, &self.owner) {
            (false, _) => "idle",
            (true, Some(_)) => "running",
            (true, None) => "cut",
        }
    }
}

/// What the events of a session say, in short: a fold that looks at few of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Digest {
    /// The beginning of the first question, on one line.
    pub title: Arc<str>,
    /// How many turns have begun.
    pub turns: u64,
    /// The last turn has not ended: it is under way, or was cut.
    pub is_open: bool,
}

impl Digest {
    /// Takes in `event`, and says whether it made a difference.
    pub fn on(&mut self, event: &Event) -> bool {
        match event {
            Event::TurnStarted { turn, prompt, .. } => {
                if self.turns == 0 {
                    self.title = title(prompt);
                }
                (self.turns, self.is_open) = (*turn, true);
                true
            }
            Event::TurnEnded { .. } => std::mem::replace(&mut self.is_open, false),
            _ => false,
        }
    }

    /// That of `records`, the first ones of a session.
    #[must_use]
    pub fn of<'a>(records: impl IntoIterator<Item = &'a Record>) -> Self {
        let mut digest = Self::default();
        for record in records {
            digest.on(&record.event);
        }
        digest
    }
}

/// The beginning of `prompt` in one line without control characters.
fn title(prompt: &str) -> Arc<str> {
    let mut title = String::new();
    for word in prompt.split(|c: char| c.is_whitespace() || c.is_control()) {
        let gap = usize::from(!title.is_empty() && !word.is_empty());
        let room = TITLE_BYTES.saturating_sub(title.len() + gap);
        let part = &word[..word.floor_char_boundary(room)];
        if !part.is_empty() {
            title.push_str(&" "[..gap]);
            title.push_str(part);
        }
        if part.len() < word.len() {
            break;
        }
    }
    title.into()
}

/// Which sessions are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// At most so many.
    pub limit: usize,
    /// Only those behind this one, the last of the page before.
    pub after: Option<Cursor>,
    /// Only those whose last turn has not ended.
    pub open_only: bool,
    /// Only those whose ids begin with this.
    pub prefix: Arc<str>,
}

/// A place in the list of sessions, which begins with the one that was last active.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// When the session was last active.
    pub updated_at_us: u64,
    /// The session.
    pub session: SessionId,
}

/// Some of the sessions, those first that were last active.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The sessions.
    pub sessions: Vec<Summary>,
    /// Where the next page begins; `None` if there is none.
    pub next: Option<Cursor>,
}

impl Page {
    /// The first `limit` of `found`, which are in order.
    pub(super) fn of(mut found: Vec<Summary>, limit: usize) -> Self {
        let is_last = found.len() <= limit;
        found.truncate(limit);
        let cursor = |last: &Summary| Cursor {
            updated_at_us: last.updated_at_us,
            session: last.session.clone(),
        };
        let next = found.last().filter(|_| !is_last).map(cursor);
        Self { sessions: found, next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::TurnEnd;

    #[test]
    fn a_title_is_one_short_line() {
        assert_eq!(&*title("  What\n\tis  this\u{1b}[0m? "), "What is this [0m?");
        assert_eq!(&*title(""), "");
        let long = title(&"wörter ".repeat(50));
        assert!(long.len() <= TITLE_BYTES && long.len() > TITLE_BYTES - 10, "{long}");
        assert_eq!(title(&"ö".repeat(500)).len(), TITLE_BYTES);
    }

    #[test]
    fn a_digest_knows_the_first_question_and_whether_the_last_turn_is_open() {
        let mut digest = Digest::default();
        let start = |turn, prompt: &str| Event::TurnStarted {
            turn,
            prompt: prompt.into(),
            goes_on: false,
            key: None,
        };
        let end = Event::TurnEnded {
            turn: 1,
            end: TurnEnd::Answered,
            usage: None,
            orphans: Arc::default(),
        };
        assert!(digest.on(&start(1, "one")));
        assert!(!digest.on(&Event::ModelAsked { round: 1, attempt: 1, model: None }));
        assert!(digest.is_open);
        assert!(digest.on(&end));
        assert!(!digest.on(&end), "it was over already");
        digest.on(&start(2, "two"));
        assert_eq!(digest, Digest { title: "one".into(), turns: 2, is_open: true });
    }
}
