//! How each session is that something has happened in.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

use super::lock;
use crate::conversation::{Event, Place, Problem, Record, SessionId, TurnEnd};

/// So many are remembered where nothing else is said.
const CAPACITY: usize = 10_000;

/// How a session is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionView {
    /// What it is doing.
    pub doing: Doing,
    /// Its turns so far.
    pub turns: u64,
    /// Its rounds so far.
    pub rounds: u64,
    /// Turns that have failed or timed out, as far as that was heard.
    pub failed: u64,
    /// It was heard from its beginning: `failed` leaves out none.
    pub whole: bool,
    /// Why its last turn failed, if it did.
    pub last_error: Option<Problem>,
    /// Its last event, and when that was, in microseconds since 1970.
    pub last_seq: u64,
    /// When that was, in microseconds since 1970.
    pub updated_at_us: u64,
}

/// What a session is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Doing {
    /// No turn is under way.
    #[default]
    Idle,
    /// A turn is.
    Running,
    /// A call of it waits for a person.
    Waiting,
}

impl Doing {
    /// `idle`, `running` or `waiting`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Running => "running",
            Self::Waiting => "waiting",
        }
    }
}

/// How each session is that something has happened in since the process began: of those that are
/// too many, those without a turn under way are forgotten where nothing has happened for longest.
pub struct Sessions {
    capacity: usize,
    all: Mutex<HashMap<SessionId, Seen>>,
}

#[derive(Default)]
struct Seen {
    is_running: bool,
    waiting: HashSet<Place>,
    turns: u64,
    rounds: u64,
    failed: u64,
    whole: bool,
    last_error: Option<Problem>,
    last_seq: u64,
    updated_at_us: u64,
}

impl Default for Sessions {
    fn default() -> Self {
        Self::with_capacity(CAPACITY)
    }
}

impl Sessions {
    fn with_capacity(capacity: usize) -> Self {
        Self { capacity, all: Mutex::default() }
    }

    /// The session `id`; `None` if nothing has happened in it, or that was too long ago.
    #[must_use]
    pub fn of(&self, id: &SessionId) -> Option<SessionView> {
        lock(&self.all).get(id).map(Seen::view)
    }

    /// All that are remembered, the last active first.
    #[must_use]
    pub fn snapshot(&self) -> Vec<(SessionId, SessionView)> {
        let all = lock(&self.all);
        let mut all: Vec<_> = all.iter().map(|(id, seen)| (id.clone(), seen.view())).collect();
        all.sort_unstable_by_key(|(_, seen)| Reverse(seen.updated_at_us));
        all
    }

    /// The session `id` was removed from the store.
    pub fn forget(&self, id: &SessionId) {
        lock(&self.all).remove(id);
    }

    pub(super) fn on(&self, record: &Record) {
        let mut all = lock(&self.all);
        if let Some(seen) = all.get_mut(&record.session) {
            return seen.on(record);
        }
        if all.len() >= self.capacity {
            make_room(&mut all);
        }
        all.entry(record.session.clone()).or_default().on(record);
    }
}

/// Forgets an eighth.
fn make_room(all: &mut HashMap<SessionId, Seen>) {
    let mut quiet: Vec<_> =
        all.iter().map(|(id, seen)| ((seen.is_running, seen.updated_at_us), id.clone())).collect();
    quiet.sort_unstable();
    let count = (quiet.len() / 8).max(1);
    for (_, id) in quiet.into_iter().take(count) {
        all.remove(&id);
    }
}

impl Seen {
    fn on(&mut self, record: &Record) {
        self.last_seq = self.last_seq.max(record.seq);
        self.updated_at_us = self.updated_at_us.max(record.at_us);
        match &record.event {
            Event::SessionOpened { .. } => self.whole = true,
            Event::TurnStarted { turn, .. } | Event::TurnResumed { turn } => {
                (self.is_running, self.turns) = (true, *turn);
                self.waiting.clear();
            }
            Event::Replied { round, calls, .. } if !calls.is_empty() => {
                self.rounds = self.rounds.max(*round);
            }
            Event::CallStarted { round, .. } => self.rounds = self.rounds.max(*round),
            Event::ApprovalAsked { reply_attempt, ordinal, .. } => {
                self.waiting.insert(Place { reply_attempt: *reply_attempt, ordinal: *ordinal });
            }
            Event::ApprovalDecided { reply_attempt, ordinal, .. }
            | Event::CallEnded { reply_attempt, ordinal, .. } => {
                self.waiting.remove(&Place { reply_attempt: *reply_attempt, ordinal: *ordinal });
            }
            Event::TurnEnded { turn, end, .. } => {
                (self.is_running, self.turns) = (false, *turn);
                self.waiting.clear();
                self.last_error = match end {
                    TurnEnd::Failed { problem } => Some(problem.clone()),
                    TurnEnd::TimedOut => Some(Problem {
                        code: "turn_timed_out".into(),
                        message: "no answer within the turn's time limit".to_owned(),
                    }),
                    TurnEnd::Answered | TurnEnd::Cancelled => None,
                };
                self.failed += u64::from(self.last_error.is_some());
            }
            _ => {}
        }
    }

    fn view(&self) -> SessionView {
        SessionView {
            doing: match (self.is_running, self.waiting.is_empty()) {
                (false, _) => Doing::Idle,
                (true, true) => Doing::Running,
                (true, false) => Doing::Waiting,
            },
            turns: self.turns,
            rounds: self.rounds,
            failed: self.failed,
            whole: self.whole,
            last_error: self.last_error.clone(),
            last_seq: self.last_seq,
            updated_at_us: self.updated_at_us,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::conversation::VERSION;

    fn tell(sessions: &Sessions, id: &str, at_us: u64, event: Event) {
        let session = SessionId::new(id);
        sessions.on(&Record { v: VERSION, seq: at_us, at_us, session, event });
    }

    fn started() -> Event {
        Event::TurnStarted { turn: 1, prompt: "go".into(), key: None, goes_on: false }
    }

    fn ended(end: TurnEnd) -> Event {
        Event::TurnEnded { turn: 1, end, usage: None, orphans: Arc::default() }
    }

    #[test]
    fn of_too_many_the_quiet_ones_are_forgotten_and_no_running_one() {
        let sessions = Sessions::with_capacity(8);
        tell(&sessions, "runs", 1, started());
        for number in 2..100 {
            tell(&sessions, &number.to_string(), number, ended(TurnEnd::Answered));
        }
        let kept = sessions.snapshot();
        assert_eq!(kept.len(), 8);
        assert_eq!(kept[0].0.as_str(), "99");
        assert_eq!(kept[7].0.as_str(), "runs");
    }

    #[test]
    fn the_last_error_is_that_of_the_last_turn() {
        let sessions = Sessions::default();
        let view = || sessions.of(&SessionId::new("s")).expect("it was told of");
        tell(&sessions, "s", 1, started());
        assert_eq!((view().doing, view().whole), (Doing::Running, false));
        tell(&sessions, "s", 2, ended(TurnEnd::TimedOut));
        assert_eq!((view().doing, view().failed), (Doing::Idle, 1));
        assert_eq!(view().last_error.expect("it failed").code, "turn_timed_out");
        tell(&sessions, "s", 3, ended(TurnEnd::Answered));
        assert_eq!((view().failed, view().last_error, view().last_seq), (1, None, 3));
        sessions.forget(&SessionId::new("s"));
        assert_eq!(sessions.of(&SessionId::new("s")), None);
    }
}
