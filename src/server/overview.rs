//! What a list of sessions says of each: a fold over its records that goes on where it was.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use utoipa::ToSchema;

use super::problem::Problem;
use crate::conversation::{Event, Record, SessionId, TurnEnd};
use crate::document::exact;
use crate::session::Cause;
use crate::store::{Journal, Summary};

/// So many sessions are remembered; the rest is read again.
const MOST: usize = 20_000;

/// What is known of sessions, by the last of their records that was looked at.
#[derive(Default)]
pub(super) struct Overviews(Mutex<HashMap<SessionId, (u64, Arc<Overview>)>>);

/// What the records of a session say, in short.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Overview {
    /// Rounds that have begun.
    pub rounds: u64,
    /// Turns that failed.
    pub failed: u64,
    /// Why the last turn failed, if it did.
    pub last_error: Option<Failure>,
    /// The calls that wait for a person, in order.
    pub waiting: BTreeMap<WaitingKey, Waiting>,
    /// The calls of the last reply: the arguments of those that will wait.
    asked: Vec<(u32, Arc<str>)>,
}

/// Round, try of the reply, place in the reply.
type WaitingKey = (u64, u32, u32);

/// Why a turn failed.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(super) struct Failure {
    /// Which it is, for programs.
    code: String,
    /// One line.
    message: String,
}

/// A call that waits for a person's approval.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(super) struct Waiting {
    /// What a decision is told with.
    call: String,
    /// Its id on the wire.
    id: String,
    /// The tool's name.
    tool: String,
    /// What it would be called with: the text of a JSON object.
    arguments: String,
    /// Since when, as RFC 3339.
    asked_at: String,
}

impl Overviews {
    /// That of the session of `summary`.
    pub async fn of(
        &self,
        journal: &dyn Journal,
        summary: &Summary,
    ) -> Result<Arc<Overview>, Problem> {
        let known = self.locked().get(&summary.session).cloned();
        let (seq, overview) = known.filter(|(seq, _)| *seq <= summary.last_seq).unwrap_or_default();
        if seq == summary.last_seq {
            return Ok(overview);
        }
        let records = journal.read(&summary.session, seq).await?;
        let Some(last) = records.last().map(|last| last.seq) else { return Ok(overview) };
        let mut overview = Arc::unwrap_or_clone(overview);
        records.iter().for_each(|record| overview.on(record));
        let overview = Arc::new(overview);
        let mut all = self.locked();
        if all.len() >= MOST {
            all.clear(); // They are read again as they are asked for.
        }
        all.insert(summary.session.clone(), (last, Arc::clone(&overview)));
        Ok(overview)
    }

    pub fn forget(&self, session: &SessionId) {
        self.locked().remove(session);
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, HashMap<SessionId, (u64, Arc<Overview>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Overview {
    fn on(&mut self, record: &Record) {
        match &record.event {
            Event::TurnStarted { .. } => self.last_error = None,
            Event::Replied { round, attempt, calls, .. } => {
                if !calls.is_empty() {
                    self.rounds = self.rounds.max(*round);
                }
                let arguments = calls.iter().map(|call| (*attempt, Arc::clone(&call.arguments)));
                self.asked = arguments.collect();
            }
            Event::ApprovalAsked { round, reply_attempt, ordinal, id, tool } => {
                let place = usize::try_from(*ordinal).unwrap_or(usize::MAX);
                let asked = self.asked.get(place).filter(|(attempt, _)| attempt == reply_attempt);
                let waiting = Waiting {
                    call: format!("{round}-{reply_attempt}-{ordinal}"),
                    id: id.to_string(),
                    tool: tool.to_string(),
                    arguments: asked.map(|(_, text)| text.to_string()).unwrap_or_default(),
                    asked_at: exact(record.at_us),
                };
                self.waiting.insert((*round, *reply_attempt, *ordinal), waiting);
            }
            Event::ApprovalDecided { round, reply_attempt, ordinal, .. }
            | Event::CallEnded { round, reply_attempt, ordinal, .. } => {
                self.waiting.remove(&(*round, *reply_attempt, *ordinal));
            }
            Event::TurnEnded { end, .. } => {
                self.waiting.clear();
                self.asked.clear();
                let failure = match end {
                    TurnEnd::Answered | TurnEnd::Cancelled => None,
                    TurnEnd::TimedOut => {
                        let cause = Cause::TimedOut;
                        let (code, message) = (cause.code().to_owned(), cause.to_string());
                        Some(Failure { code, message })
                    }
                    TurnEnd::Failed { problem } => {
                        let code = problem.code.to_string();
                        Some(Failure { code, message: problem.message.clone() })
                    }
                };
                self.failed += u64::from(failure.is_some());
                self.last_error = failure;
            }
            _ => {}
        }
    }
}
