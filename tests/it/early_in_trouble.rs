//! Trouble while calls are in flight that began before their reply had ended: while the model
//! writes, while the session rests after its reply broke off, and while it writes again. Whatever
//! happens then, the one who asked hears of it, nothing goes on running, nothing runs twice, every
//! call has one end on record, and the session goes on with a history that a provider takes.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use callsheet::conversation::Record;
use callsheet::store::{Journal, MemoryStore};
use callsheet::supervision::Backoff;
use callsheet::testing::{self, Scripted, ScriptedModel, reply};
use callsheet::{
    Answer, Effects, Error, Event, Limits, ModelRetries, OutcomeKind, Runtime, Session, SessionId,
    SessionOptions, ToolSet, ToolType,
};
use serde_json::json;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use crate::support::journal::{Asked, Does, faults, rigged};
use crate::support::{dynamic, limits, seconds};

/// Longer than the course takes that nothing troubles: 75 s.
const TURN_TIME_LIMIT: Duration = Duration::from_secs(200);

/// How long a store may take beyond the time limit of a turn.
const PATIENCE: Duration = Duration::from_secs(1);

/// What has been told to stop does within it.
const A_MOMENT: Duration = Duration::from_millis(1);

/// A chunk every two seconds. Of the first try, three calls have begun when it breaks off after 12 s;
/// one ends a second later, within the rest of 8 to 12 s. The second try asks for two of them again,
/// for another one, and for one that waits for the end of the reply.
fn course() -> [Scripted; 3] {
    let first = reply()
        .call("read", r#"{"s": 50}"#)
        .call("pay", r#"{"s": 60}"#)
        .call("read", r#"{"s": 1}"#);
    let second = reply()
        .call("pay", r#"{"s": 60}"#)
        .call("read", r#"{"s": 2}"#)
        .call("put", r#"{"s": 3}"#)
        .call("read", r#"{"s": 50}"#);
    let (first, second) = (first.paced(seconds(2)), second.paced(seconds(2)));
    [first.broken_off_after(6), second, reply().text("a").after(seconds(5))]
}

/// How often a course that nothing troubles appends to the journal: the question, three beginnings,
/// the failure and the end of a call within the rest, the second question to the model, a beginning
/// and its end, the reply, the ends of three calls, and the answer.
const APPENDS: u32 = 14;

/// What tools see of calls.
#[derive(Default)]
struct Seen(Mutex<Vec<Sighting>>);

/// A call that a tool was given.
#[derive(Clone, Debug)]
struct Sighting {
    key: String,
    began: Instant,
    /// When it was dropped.
    gone: Option<Instant>,
}

impl Seen {
    fn all(&self) -> Vec<Sighting> {
        self.locked().clone()
    }

    fn keys(&self) -> Vec<String> {
        self.locked().iter().map(|call| call.key.clone()).collect()
    }

    fn running(&self) -> usize {
        self.locked().iter().filter(|call| call.gone.is_none()).count()
    }

    fn begin(self: &Arc<Self>, key: String) -> Running {
        let mut all = self.locked();
        all.push(Sighting { key, began: Instant::now(), gone: None });
        Running { seen: Arc::clone(self), place: all.len() - 1 }
    }

    fn locked(&self) -> MutexGuard<'_, Vec<Sighting>> {
        self.0.lock().expect("no panic holds it")
    }
}

/// A call while it runs.
struct Running {
    seen: Arc<Seen>,
    place: usize,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.seen.locked()[self.place].gone = Some(Instant::now());
    }
}

/// A tool that sleeps `{"s": seconds}`.
fn tool(name: &str, effects: Effects, seen: &Arc<Seen>) -> ToolType {
    let parameters = json!({"type": "object", "properties": {"s": {"type": "integer"}}});
    let seen = Arc::clone(seen);
    let tool = dynamic(name, parameters, move |arguments, context| {
        let running = seen.begin(context.key().to_string());
        async move {
            let _running = running;
            let s = arguments["s"].as_u64().unwrap_or_default();
            sleep(seconds(s)).await;
            Ok(format!("slept {s}"))
        }
    });
    tool.effects(effects)
}

/// What somebody does a second after the trouble began.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Then {
    Nothing,
    Cancel,
    CancelCalls,
    ShutDown,
}

/// A session that is to come into trouble.
struct Scene {
    runtime: Runtime,
    journal: Arc<MemoryStore>,
    model: Arc<ScriptedModel>,
    options: SessionOptions,
    turn_time_limit: Duration,
    seen: Arc<Seen>,
    watch: Arc<Watch>,
}

/// What the journal has been asked for.
#[derive(Default)]
struct Watch {
    appends: AtomicU32,
    /// Told when the trouble begins.
    begins: Notify,
    /// How many calls ran then.
    in_flight: AtomicUsize,
    is_over: AtomicBool,
}

/// How a turn in trouble ended.
struct Ended {
    asked: Result<Answer, Error>,
    elapsed: Duration,
    /// How many calls ran when the trouble began.
    in_flight: usize,
    appends: u32,
}

impl Ended {
    /// The code of the failure; `None` if the turn was answered.
    fn code(&self) -> Option<&'static str> {
        match &self.asked {
            Ok(answer) => {
                assert_eq!(&*answer.text, "a");
                None
            }
            Err(Error::Turn(failed)) => Some(failed.cause.code()),
            Err(error) => panic!("no failure of a turn: {error:?}"),
        }
    }

    /// Says what is wrong with the account of the turn: a round whose parts are not its whole, or a
    /// call without an end. What a store has lost has none.
    fn faults(&self) -> Vec<String> {
        let rounds = match &self.asked {
            Ok(answer) => &answer.report.rounds,
            Err(Error::Turn(failed)) => &failed.report.rounds,
            Err(error) => panic!("no failure of a turn: {error:?}"),
        };
        let is_lost = self.code() == Some("store_failed");
        let mut faults = Vec::new();
        for round in rounds.iter() {
            if round.clock + round.overlap != round.model + round.wall + round.overhead {
                faults.push(format!("the parts are not the whole: {round:?}"));
            }
            let mut calls = round.calls.iter().chain(&round.discarded);
            if !is_lost && calls.any(|call| call.outcome.is_none()) {
                faults.push(format!("a call without an end: {round:?}"));
            }
        }
        faults
    }
}

impl Scene {
    /// A session whose journal `does` so at the `nth` append of a turn, and from then on as `later`
    /// says.
    fn new(nth: u32, (does, later): (Does, Does), turn_time_limit: Duration) -> Self {
        let (seen, watch) = (Arc::new(Seen::default()), Arc::new(Watch::default()));
        let (sees, watches) = (Arc::clone(&seen), Arc::clone(&watch));
        let (runtime, journal) = rigged(move |asked| {
            if !matches!(asked, Asked::Append(_)) || watches.is_over.load(Relaxed) {
                return Does::AsAsked;
            }
            let number = watches.appends.fetch_add(1, Relaxed) + 1;
            if number == nth {
                watches.in_flight.store(sees.running(), Relaxed);
                watches.begins.notify_one();
            }
            match number.cmp(&nth) {
                Ordering::Less => Does::AsAsked,
                Ordering::Equal => does,
                Ordering::Greater => later,
            }
        });
        let model = ScriptedModel::new(course());
        let tools = [
            tool("read", Effects::None, &seen),
            tool("pay", Effects::Once, &seen).early(true),
            tool("put", Effects::Once, &seen),
        ];
        let tools = Arc::new(ToolSet::new(tools).expect("well formed"));
        let backoff = Backoff { min: seconds(10), max: seconds(10) };
        let options = SessionOptions::new(model.clone(), tools).id(SessionId::new("s"));
        let options = options.limits(Limits { turn_time_limit, ..limits() });
        let options = options.model_retries(ModelRetries { retries: 1, backoff });
        Self { runtime, journal, model, options, turn_time_limit, seen, watch }
    }

    /// Lets the trouble come, and checks what is to hold whatever it is; `case` says which.
    async fn run(&self, then: Then, case: &str) -> Ended {
        let session = self.runtime.session(self.options.clone());
        let began = Instant::now();
        let patience = self.turn_time_limit + PATIENCE + seconds(1);
        let ask = async {
            let asked = timeout(patience, session.ask("go")).await;
            self.watch.is_over.store(true, Relaxed);
            self.watch.begins.notify_one(); // If it has not.
            (asked.unwrap_or_else(|_| panic!("{case}: nobody answers")), began.elapsed())
        };
        let meddle = async {
            self.watch.begins.notified().await;
            sleep(seconds(1)).await;
            self.meddle(&session, then, case).await
        };
        let ((asked, elapsed), cancelled_at) = tokio::join!(ask, meddle);
        sleep(A_MOMENT).await;
        assert_eq!(self.seen.running(), 0, "{case}: calls go on");
        let in_flight = self.watch.in_flight.load(Relaxed);
        let appends = self.watch.appends.load(Relaxed);
        let ended = Ended { asked, elapsed, in_flight, appends };
        assert_eq!(ended.faults(), Vec::<String>::new(), "{case}");
        let case = format!("{case}: {:?}", ended.asked);
        self.assert_stopped(then, cancelled_at, &case).await;
        self.assert_goes_on(&session, &case).await;
        ended
    }

    /// Does what is to be done, and says when.
    async fn meddle(&self, session: &Session, then: Then, case: &str) -> Instant {
        let now = Instant::now();
        match then {
            Then::Nothing => return now,
            Then::Cancel => drop(session.cancel().await),
            Then::CancelCalls => {
                for id in ["call_0", "call_1", "call_2", "call_3"] {
                    session.cancel_call(id).await;
                }
                return now;
            }
            Then::ShutDown => drop(self.runtime.shutdown(Duration::ZERO).await),
        }
        sleep(A_MOMENT).await;
        assert_eq!(self.seen.running(), 0, "{case}: calls go on, whatever the store does");
        now
    }

    /// What was cancelled at `at` has not gone on, nor begun.
    async fn assert_stopped(&self, then: Then, at: Instant, case: &str) {
        let kept = self.records().await;
        let cancelled = |key: &str| {
            kept.iter().any(|record| match &record.event {
                Event::CallEnded { outcome, .. } => {
                    key_of(&record.event).as_deref() == Some(key)
                        && outcome.content.contains("the call was cancelled")
                }
                _ => false,
            })
        };
        for Sighting { key, began, gone } in self.seen.all() {
            let is_cancelled = match then {
                Then::Nothing => false,
                Then::Cancel | Then::ShutDown => true,
                Then::CancelCalls => cancelled(&key),
            };
            let has_stopped = began <= at && gone.is_some_and(|gone| gone <= at + A_MOMENT);
            assert!(!is_cancelled || has_stopped, "{case}: {key} went on after {at:?}");
        }
    }

    async fn records(&self) -> Vec<Record> {
        self.journal.read(&SessionId::new("s"), 0).await.expect("memory can be read")
    }

    /// Asks once more, where it must be in a session that takes over from this one, and looks at all
    /// that is on record by then.
    async fn assert_goes_on(&self, session: &Session, case: &str) {
        let calls = reply().call("read", r#"{"s": 0}"#).call("pay", r#"{"s": 0}"#);
        self.model.rewrite([calls.paced(Duration::from_millis(10)), reply().text("b")]);
        let again = match session.ask("again").await {
            Err(Error::ShuttingDown | Error::Store(_)) => {
                let next = testing::builder().journal(self.journal.clone()).in_current_system();
                let next = next.expect("within `testing::run`");
                next.session(self.options.clone().take_over()).ask("again").await
            }
            again => again,
        };
        assert_eq!(&*again.expect(case).text, "b", "{case}");
        assert_eq!(self.model.violations(), Vec::<String>::new(), "{case}");
        let kept = self.records().await;
        assert_eq!(faults(&kept), Vec::<String>::new(), "{case}");

        let ran = self.seen.keys();
        let distinct: HashSet<_> = ran.iter().collect();
        assert_eq!(distinct.len(), ran.len(), "{case}: one ran twice: {ran:?}");
        let started = |event: &Event| matches!(event, Event::CallStarted { .. });
        let started = kept.iter().filter(|record| started(&record.event));
        let started: HashSet<_> = started.filter_map(|record| key_of(&record.event)).collect();
        assert!(ran.iter().all(|key| started.contains(key)), "{case}: not on record: {ran:?}");
        for event in kept.iter().map(|record| &record.event) {
            let Event::CallEnded { tool, outcome, .. } = event else { continue };
            let key = key_of(event).expect("it is of a call");
            let is_said = outcome.content.contains("may have taken effect");
            let may_have = !outcome.is_ok() && &**tool != "read" && ran.contains(&key);
            // A rebuilt session cannot know whether what is on record as started has begun.
            let is_doubtful = outcome.kind == OutcomeKind::UnknownOutcome && &**tool != "read";
            assert_eq!(is_said, may_have || is_doubtful, "{case}: {key} {outcome:?}");
        }
    }
}

/// The key of the call whose beginning or end `event` is.
fn key_of(event: &Event) -> Option<String> {
    match event {
        Event::CallStarted { round, reply_attempt, ordinal, .. }
        | Event::CallEnded { round, reply_attempt, ordinal, .. } => {
            Some(format!("s/{round}/{reply_attempt}/{ordinal}"))
        }
        _ => None,
    }
}

/// The journal does as it is asked.
const WELL: (Does, Does) = (Does::AsAsked, Does::AsAsked);

/// The journal is slow from some append on.
fn slow(delay: Duration) -> (Does, Does) {
    (Does::AsAskedAfter(delay), Does::AsAskedAfter(delay))
}

/// Has every append of the course come into the trouble that the journal `does` so, then and later, and
/// that somebody does `then`, one after another. `due` says whether the turn ended as it should if it
/// was the `nth`.
fn at_every_append(does: (Does, Does), then: Then, due: impl Fn(u32, &Ended) -> bool) {
    testing::run(async {
        let mut in_flight = 0;
        for nth in 1..=APPENDS {
            let case = format!("{does:?}, then {then:?} at append {nth}");
            let ended = Scene::new(nth, does, TURN_TIME_LIMIT).run(then, &case).await;
            assert!(due(nth, &ended), "{case}: {:?} after {:?}", ended.asked, ended.elapsed);
            in_flight += ended.in_flight;
        }
        assert!(in_flight >= 15, "calls were in flight: {in_flight}");
    });
}

#[test]
fn without_trouble_the_course_is_as_it_is_said_to_be() {
    testing::run(async {
        let scene = Scene::new(0, WELL, TURN_TIME_LIMIT);
        let ended = scene.run(Then::Nothing, "no trouble").await;
        assert_eq!((ended.code(), ended.elapsed), (None, seconds(75)));
        assert_eq!(ended.appends, APPENDS);
        let keys = ["s/1/1/0", "s/1/1/1", "s/1/1/2", "s/1/2/1", "s/1/2/2", "s/2/1/0", "s/2/1/1"];
        assert_eq!(scene.seen.keys(), keys);
    });
}

/// The last append holds the answer: what comes later does not take it back.
fn unless_answered(nth: u32, code: &'static str) -> Option<&'static str> {
    (nth < APPENDS).then_some(code)
}

#[test]
fn a_panic_of_the_coordinator_ends_early_calls_and_the_session_is_rebuilt() {
    for does in [Does::Panics, Does::PanicsAfterwards, Does::PanicsLater, Does::PanicsTwice] {
        at_every_append((does, Does::AsAsked), Then::Nothing, |nth, ended| match does {
            Does::PanicsAfterwards if nth == APPENDS => ended.code().is_none(),
            _ => ended.code() == Some("coordinator_crashed"),
        });
    }
}

#[test]
fn a_cancel_ends_early_calls_at_once() {
    for later in [Does::AsAsked, Does::AsAskedAfter(seconds(5))] {
        at_every_append((Does::AsAsked, later), Then::Cancel, |nth, ended| {
            ended.code() == unless_answered(nth, "cancelled")
        });
    }
}

#[test]
fn a_cancel_ends_early_calls_while_the_store_is_slow() {
    at_every_append(slow(seconds(5)), Then::Cancel, |nth, ended| {
        ended.code() == unless_answered(nth, "cancelled")
    });
}

#[test]
fn every_early_call_can_be_cancelled_alone() {
    for does in [WELL, slow(seconds(5))] {
        at_every_append(does, Then::CancelCalls, |_, ended| ended.code().is_none());
    }
}

#[test]
fn a_shutdown_cuts_early_calls() {
    for does in [WELL, slow(Duration::from_millis(1_500))] {
        at_every_append(does, Then::ShutDown, |nth, ended| {
            ended.code() == unless_answered(nth, "shut_down")
        });
    }
}

#[test]
fn a_slow_store_delays_early_calls_and_changes_nothing_else() {
    at_every_append(slow(seconds(5)), Then::Nothing, |_, ended| {
        ended.code().is_none() && ended.elapsed <= seconds(75 + 5 * u64::from(APPENDS))
    });
}

#[test]
fn a_store_that_fails_ends_early_calls_at_once() {
    for does in [Does::Fails, Does::Refuses] {
        at_every_append((does, does), Then::Nothing, |_, ended| {
            ended.code() == Some("store_failed") && ended.elapsed <= seconds(75)
        });
    }
}

#[test]
fn a_store_that_hangs_holds_early_calls_no_longer_than_their_turn() {
    let last = TURN_TIME_LIMIT + PATIENCE;
    for then in [Then::Nothing, Then::Cancel, Then::CancelCalls, Then::ShutDown] {
        at_every_append((Does::Hangs, Does::Hangs), then, |_, ended| {
            ended.code() == Some("store_failed") && ended.elapsed <= last
        });
    }
}

#[test]
fn the_time_limit_of_a_turn_ends_early_calls() {
    testing::run(async {
        for half_seconds in 1..=152 {
            let limit = Duration::from_millis(500 * half_seconds + 1);
            let case = format!("a turn of {limit:?}");
            let ended = Scene::new(0, WELL, limit).run(Then::Nothing, &case).await;
            match ended.code() {
                None => assert!(limit > seconds(75), "{case}"),
                Some("turn_timed_out") => assert_eq!(ended.elapsed, limit, "{case}"),
                // A rest that would outlast the turn is not begun.
                Some("stream_cut") => {
                    assert_eq!(ended.elapsed, seconds(12), "{case}");
                    assert!((seconds(12)..seconds(24)).contains(&limit), "{case}");
                }
                Some(other) => panic!("{case}: {other}"),
            }
        }
    });
}

#[test]
fn the_time_limit_of_a_turn_stops_early_calls_while_the_store_is_slow() {
    testing::run(async {
        for half_seconds in 1..=160 {
            let limit = Duration::from_millis(500 * half_seconds + 1);
            let case = format!("a turn of {limit:?}");
            let scene = Scene::new(1, slow(Duration::from_millis(400)), limit);
            let began = Instant::now();
            let ended = scene.run(Then::Nothing, &case).await;
            assert!(ended.elapsed <= limit + seconds(1), "{case}: {:?}", ended.elapsed);
            let last = began + limit + A_MOMENT;
            let over = began + ended.elapsed;
            let is_late = |call: &Sighting| call.began <= over && call.gone > Some(last);
            let late: Vec<_> = scene.seen.all().into_iter().filter(is_late).collect();
            assert!(late.is_empty(), "{case}: {late:?}");
        }
    });
}
