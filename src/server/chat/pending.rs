//! Half-done rounds: the client has calls of its own to run, and ours go on meanwhile.
//!
//! A round is known by the ids of the calls that were returned, which are made up here so that nobody can
//! guess them, and belongs to the token that they were returned to. It goes on with the request whose
//! history ends with a result for each of them; ids that are not known, not any more or not to this token
//! are plain history. If that request does not come in time the turn is cancelled and forgotten: by a
//! sweeper that lives with the sessions, for whoever serves a request may end with it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use serde_json::value::RawValue;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::run::Run;
use crate::server::access::Owner;
use crate::server::problem::Problem;
use crate::session::Runtime;
use crate::tools::later;
use crate::wire::chat::{Message, Role, decode_messages};

/// How many rounds of one token may be half done. With one more the one that waits longest is cancelled.
const MOST: usize = 256;

/// The rounds that wait for their clients.
pub(in crate::server) struct Pending {
    patience: Duration,
    rounds: Mutex<Rounds>,
    /// Wakes the sweeper: there is a first round to wait for, or nothing any more.
    changed: Arc<Notify>,
}

#[derive(Default)]
struct Rounds {
    /// By their numbers: the first is the oldest, and the first that is late.
    waiting: BTreeMap<u64, Waiting>,
    /// The round that a returned call belongs to.
    calls: HashMap<Arc<str>, u64>,
    next: u64,
    /// The server ends: nobody can come again.
    closed: bool,
}

struct Waiting {
    owner: Owner,
    /// The client is not awaited any longer.
    until: Instant,
    /// The calls that were returned.
    ids: Vec<Arc<str>>,
    run: Run,
}

impl Pending {
    /// None yet. A client has so long to come again; on `runtime` it is seen to that it does.
    pub fn start(runtime: &Runtime, patience: Duration) -> Arc<Self> {
        let changed = Arc::<Notify>::default();
        let pending =
            Arc::new(Self { patience, rounds: Mutex::default(), changed: Arc::clone(&changed) });
        runtime.spawn(sweep(Arc::downgrade(&pending), changed));
        pending
    }

    /// Keeps `run`, of which the calls `ids` were returned to `owner`.
    pub(super) fn keep(&self, owner: Owner, ids: Vec<Arc<str>>, run: Run) {
        self.drop_late();
        let mut rounds = self.locked();
        if rounds.closed {
            drop(rounds);
            return drop(run); // Its turn is cancelled.
        }
        let mut of_owner = rounds.waiting.iter().filter(|(_, waiting)| waiting.owner == owner);
        let oldest = of_owner.next().map(|(round, _)| *round);
        let is_full = of_owner.count() + 1 >= MOST;
        let evicted = oldest.filter(|_| is_full).and_then(|oldest| rounds.remove(oldest));
        let round = rounds.next;
        rounds.next += 1;
        rounds.calls.extend(ids.iter().map(|id| (Arc::clone(id), round)));
        let until = later(Instant::now(), self.patience);
        rounds.waiting.insert(round, Waiting { owner, until, ids, run });
        let is_first = rounds.waiting.len() == 1;
        drop(rounds);
        drop(evicted); // Its turn is cancelled.
        if is_first {
            self.changed.notify_one();
        }
    }

    /// The round that goes on with the results at the end of `messages`; `None` if they are plain history.
    ///
    /// # Errors
    /// If there is not exactly one result of each of its calls: then it still waits.
    pub(super) fn take(
        &self,
        owner: &Owner,
        messages: &[Box<RawValue>],
    ) -> Result<Option<Run>, Problem> {
        let results = last_results(messages);
        self.drop_late();
        let mut rounds = self.locked();
        let mut known = results.iter().filter_map(|(_, result)| {
            let round = *rounds.calls.get(result.tool_call_id.as_deref()?)?;
            rounds.waiting.get(&round).is_some_and(|it| it.owner == *owner).then_some(round)
        });
        let Some(round) = known.next() else { return Ok(None) };
        let ids = rounds.waiting.get(&round).map(|waiting| waiting.ids.clone()).unwrap_or_default();
        let mut answers: HashMap<Arc<str>, Arc<str>> = HashMap::new();
        for (at, result) in results {
            let wrong = |why: String| {
                Err(Problem::bad_request("bad_results", why).about(format!("messages[{at}]")))
            };
            let id = result.tool_call_id.unwrap_or_default();
            let Some(id) = ids.iter().find(|known| ***known == *id) else {
                return wrong(format!("no call before it has the id `{id}`"));
            };
            if has_more_than_text(messages[at].get()) {
                return wrong("the result of a tool is text".to_owned());
            }
            if answers.insert(Arc::clone(id), result.text.into()).is_some() {
                return wrong(format!("a second result of `{id}`"));
            }
        }
        if let Some(missing) = ids.iter().find(|id| !answers.contains_key(*id)) {
            let why = format!("the call `{missing}` has no result; it is awaited still");
            return Err(Problem::bad_request("bad_results", why).about("messages"));
        }
        let Some(mut waiting) = rounds.remove(round) else { return Ok(None) };
        waiting.run.go_on(&answers);
        Ok(Some(waiting.run))
    }

    /// Cancels the turns of the rounds that are late, and says until when the next one waits.
    fn drop_late(&self) -> Option<Instant> {
        let (now, mut late) = (Instant::now(), Vec::new());
        let mut rounds = self.locked();
        let next = loop {
            match rounds.waiting.first_key_value() {
                Some((round, waiting)) if waiting.until <= now => {
                    let round = *round;
                    late.extend(rounds.remove(round));
                }
                first => break first.map(|(_, waiting)| waiting.until),
            }
        };
        drop(rounds);
        drop(late);
        next
    }

    /// No client comes again: cancels the turns of all rounds.
    pub fn clear(&self) {
        let mut rounds = self.locked();
        rounds.closed = true;
        rounds.calls.clear();
        let waiting = std::mem::take(&mut rounds.waiting);
        drop(rounds);
        drop(waiting);
    }

    fn locked(&self) -> MutexGuard<'_, Rounds> {
        self.rounds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.changed.notify_one();
    }
}

/// Drops the rounds that are late, one after another, as long as there is somebody who keeps any.
async fn sweep(pending: Weak<Pending>, changed: Arc<Notify>) {
    while let Some(next) = pending.upgrade().map(|pending| pending.drop_late()) {
        match next {
            Some(until) => drop(timeout_at(until, changed.notified()).await),
            None => changed.notified().await,
        }
    }
}

impl Rounds {
    fn remove(&mut self, round: u64) -> Option<Waiting> {
        let waiting = self.waiting.remove(&round)?;
        for id in &waiting.ids {
            self.calls.remove(id);
        }
        Some(waiting)
    }
}

/// The results that a history ends with, and their places in it.
fn last_results(messages: &[Box<RawValue>]) -> Vec<(usize, Message)> {
    let mut results = Vec::new();
    for (at, message) in messages.iter().enumerate().rev() {
        let message = decode_messages(message.get().as_bytes()).ok().and_then(|mut all| all.pop());
        match message.filter(|message| message.role == Role::Tool) {
            Some(result) => results.push((at, result)),
            None => break,
        }
    }
    results.reverse();
    results
}

/// Says whether the content of a message has parts that are no text.
fn has_more_than_text(message: &str) -> bool {
    let message: serde_json::Value = serde_json::from_str(message).unwrap_or_default();
    let parts = message["content"].as_array().map(Vec::as_slice).unwrap_or_default();
    parts.iter().any(|part| part["type"] != "text")
}
