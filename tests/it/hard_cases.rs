//! Hard cases: stores that are slow or refuse, models and tools that panic where nobody expects
//! it, limits without end, and what is said of calls that never began.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::{Actor, Context, Handler};
use callsheet::conversation::{Batch, CallTimes, Outcome, Record, TurnEnd};
use callsheet::model::{Events, Model, Request};
use callsheet::session::{Cause, SessionEvent};
use callsheet::store::{Access, Error as StoreError, Journal, MemoryStore, Pending};
use callsheet::supervision::{Backoff, RestartLimits, Rounds};
use callsheet::testing::{self, Scripted, ScriptedModel, reply, silence};
use callsheet::tools::{Tool, ToolFuture};
use callsheet::{
    CallContext, Effects, Error, Event, Limits, Mode, OutcomeKind, Runtime, Session, SessionId,
    SessionOptions, ToolSet, ToolType,
};
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::support::{
    bomb, dynamic, hanger, limits, outcomes, seconds, sleeper, stage, stage_with,
};

#[derive(Clone, Copy)]
enum How {
    Now,
    After(Duration),
    Never,
    Refused,
}

type Judge = Box<dyn Fn(&[Record]) -> How + Send + Sync>;

struct Slow {
    inner: Arc<MemoryStore>,
    /// Of an append by its records; of the opening by none.
    how: Judge,
}

impl Journal for Slow {
    fn open(&self, s: &SessionId, access: Access) -> Pending<Result<u64, StoreError>> {
        let (inner, s) = (Arc::clone(&self.inner), s.clone());
        match (self.how)(&[]) {
            How::Now => inner.open(&s, access),
            How::After(d) => Pending::Later(Box::pin(async move {
                sleep(d).await;
                inner.open(&s, access).await
            })),
            How::Never => Pending::Later(Box::pin(std::future::pending())),
            How::Refused => {
                Pending::Later(Box::pin(async move { Err(StoreError::Fenced { session: s }) }))
            }
        }
    }
    fn append(
        &self,
        s: &SessionId,
        seq: u64,
        epoch: u64,
        records: Batch,
    ) -> Pending<Result<(), StoreError>> {
        let (inner, s) = (Arc::clone(&self.inner), s.clone());
        match (self.how)(&records) {
            How::Now => inner.append(&s, seq, epoch, records),
            How::After(d) => Pending::Later(Box::pin(async move {
                sleep(d).await;
                inner.append(&s, seq, epoch, records).await
            })),
            How::Never => Pending::Later(Box::pin(std::future::pending())),
            How::Refused => {
                Pending::Later(Box::pin(async move { Err(StoreError::Fenced { session: s }) }))
            }
        }
    }
    fn read(&self, s: &SessionId, after: u64) -> Pending<Result<Vec<Record>, StoreError>> {
        self.inner.read(s, after)
    }
    fn close(&self, s: &SessionId, epoch: u64) {
        self.inner.close(s, epoch);
    }
}

struct Set {
    model: Arc<ScriptedModel>,
    session: Session,
    journal: Arc<MemoryStore>,
}

fn set(
    how: impl Fn(&[Record]) -> How + Send + Sync + 'static,
    limits: Limits,
    script: impl IntoIterator<Item = Scripted>,
    tools: impl IntoIterator<Item = ToolType>,
) -> Set {
    let journal = Arc::new(MemoryStore::keeping());
    let slow = Arc::new(Slow { inner: journal.clone(), how: Box::new(how) });
    let runtime = testing::builder().journal(slow).in_current_system().unwrap();
    let model = ScriptedModel::new(script);
    let options = SessionOptions::new(model.clone(), Arc::new(ToolSet::new(tools).unwrap()));
    let session = runtime.session(options.limits(limits).id(SessionId::new("s")));
    Set { model, session, journal }
}

fn told(model: &ScriptedModel) -> Vec<String> {
    let history = model.requests().pop().unwrap_or_default();
    history.into_iter().filter(|m| m.tool_call_id.is_some()).map(|m| m.text).collect()
}

fn any() -> serde_json::Value {
    json!({"type": "object"})
}

struct Flag(Arc<AtomicBool>);
impl Drop for Flag {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn is_end_of_call(records: &[Record]) -> bool {
    records.iter().any(|r| matches!(r.event, Event::CallEnded { .. }))
}

#[test]
fn a_turn_ends_at_its_limit_though_the_journal_hangs() {
    testing::run(async {
        let limits = Limits { turn_time_limit: seconds(30), ..limits() };
        let how = |r: &[Record]| if is_end_of_call(r) { How::Never } else { How::Now };
        let set = set(how, limits, [reply().call("sleep", r#"{"s": 1}"#), reply()], [sleeper()]);
        let ended = timeout(seconds(1000), set.session.ask("go")).await;
        assert!(ended.is_ok(), "no answer 1000 s after a turn limit of 30 s");
    });
}

#[test]
fn cancel_stops_running_calls_while_an_append_is_pending() {
    testing::run(async {
        let dropped = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&dropped);
        let watched = dynamic("watched", any(), move |_, _| {
            let flag = Flag(Arc::clone(&flag));
            async move {
                let _flag = flag;
                std::future::pending().await
            }
        });
        let how = |r: &[Record]| if is_end_of_call(r) { How::After(seconds(60)) } else { How::Now };
        let calls = reply().call("sleep", r#"{"s": 1}"#).call("watched", "{}");
        let set = set(how, limits(), [calls, reply()], [sleeper(), watched]);
        let session = set.session.clone();
        tokio::join!(async { drop(set.session.ask("go").await) }, async {
            sleep(seconds(5)).await;
            assert!(session.cancel().await);
            sleep(seconds(1)).await;
            assert!(
                dropped.load(Ordering::Relaxed),
                "the call still runs 1 s after cancel answered true"
            );
        });
    });
}

#[test]
fn a_late_call_stops_at_its_deadline_though_the_journal_is_slow() {
    testing::run(async {
        let dropped = Arc::new(AtomicBool::new(false));
        let flag = dropped.clone();
        let tool = dynamic("hang", any(), move |_, _| {
            let flag = Flag(flag.clone());
            async move {
                let _flag = flag;
                std::future::pending().await
            }
        });
        let how = |r: &[Record]| if is_end_of_call(r) { How::After(seconds(20)) } else { How::Now };
        let limits = Limits { call_time_limit: seconds(5), ..limits() };
        let calls = reply().call("sleep", r#"{"s": 1}"#).call("hang", "{}");
        let set = set(how, limits, [calls, reply()], [sleeper(), tool]);
        let (answer, ()) = tokio::join!(set.session.ask("go"), async {
            sleep(seconds(4)).await;
            assert!(!dropped.load(Ordering::Relaxed));
            sleep(Duration::from_millis(1100)).await;
            assert!(dropped.load(Ordering::Relaxed), "it still runs after its time limit");
        });
        assert_eq!(outcomes(&answer.unwrap().report.rounds[0]), ["ok", "timed_out"]);
    });
}

#[test]
fn a_deadline_is_heard_though_an_append_is_kept_at_the_same_moment() {
    testing::run(async {
        let how = |r: &[Record]| if is_end_of_call(r) { How::After(seconds(4)) } else { How::Now };
        let limits = Limits { call_time_limit: seconds(5), ..limits() };
        let calls = reply().call("sleep", r#"{"s": 1}"#).call("hang", "{}");
        let set = set(how, limits, [calls, reply()], [sleeper(), hanger()]);
        let answer = timeout(seconds(100), set.session.ask("go")).await;
        let report = answer.expect("the turn ends").unwrap().report;
        assert_eq!(outcomes(&report.rounds[0]), ["ok", "timed_out"]);
        assert_eq!(report.elapsed, seconds(9), "at 5 s the hanging call ends, kept 4 s later");
    });
}

#[test]
fn a_session_whose_last_handle_goes_in_the_middle_of_a_turn_ends_with_it() {
    testing::run(async {
        for opening in [0, 5] {
            let how = move |r: &[Record]| match r.is_empty() {
                true => How::After(seconds(opening)),
                false => How::Now,
            };
            let script = [reply().text("bye").after(seconds(9))];
            let Set { session, .. } = set(how, limits(), script, []);
            let mut events = session.events();
            assert!(timeout(seconds(1), session.ask("go")).await.is_err());
            drop(session);
            let mut last = None;
            let ended = timeout(seconds(60), async {
                while let Some(record) = events.next().await {
                    last = Some(record);
                }
            });
            assert!(ended.await.is_ok(), "the session is still there");
            assert!(matches!(last.unwrap().event, Event::TurnEnded { end: TurnEnd::Answered, .. }));
        }
    });
}

#[test]
fn a_call_given_up_behind_a_slow_journal_takes_no_other_along() {
    testing::run(async {
        let slow = AtomicBool::new(true);
        let how = move |r: &[Record]| match is_end_of_call(r) && slow.swap(false, Ordering::Relaxed)
        {
            true => How::After(seconds(5)),
            false => How::Now,
        };
        let limits = Limits { round_time_limit: seconds(10), ..limits() };
        let first = reply().call("sleep", r#"{"s": 9}"#).call("sleep", r#"{"s": 99}"#);
        let second = reply().call("hang", "{}").call("sleep", r#"{"s": 9}"#);
        let tools = [sleeper(), hanger().time_limit(seconds(2))];
        let set = set(how, limits, [first, second, reply()], tools);
        let answer = set.session.ask("go").await.unwrap();
        let all: Vec<_> = answer.report.rounds.iter().map(|round| outcomes(round)).collect();
        assert_eq!(all, [["ok", "timed_out"], ["timed_out", "ok"]]);
    });
}

/// Not on the paused clock, which stands still while a task is busy.
#[test]
fn a_call_that_never_pauses_holds_neither_its_siblings_nor_the_limits() {
    let greedy = dynamic("greedy", any(), |_, _| async {
        loop {
            tokio::task::coop::consume_budget().await;
        }
    });
    let nap = dynamic("nap", any(), |_, _| async {
        sleep(Duration::from_millis(20)).await;
        Ok("rested".to_owned())
    });
    let limits = Limits { call_time_limit: Duration::from_millis(300), ..limits() };
    let calls = reply().call("greedy", "{}").call("nap", "{}");
    let model = ScriptedModel::new([calls, reply().text("done")]);
    let tools = Arc::new(ToolSet::new([greedy, nap]).unwrap());
    let runtime = Runtime::builder().arbiters(1).start().unwrap();
    let session = runtime.session(SessionOptions::new(model, tools).limits(limits));
    let waiting = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let answer = waiting.block_on(async { timeout(seconds(20), session.ask("go")).await });
    let answer = answer.expect("the limit holds").unwrap();
    assert_eq!(outcomes(&answer.report.rounds[0]), ["timed_out", "ok"]);
}

#[test]
fn a_result_that_comes_at_its_deadline_counts_however_slow_the_journal_is() {
    testing::run(async {
        for slow in [0, 20] {
            let how = move |r: &[Record]| match is_end_of_call(r) {
                true => How::After(seconds(slow)),
                false => How::Now,
            };
            let limits = Limits { call_time_limit: seconds(5), ..limits() };
            let calls = reply().call("sleep", r#"{"s": 1}"#).call("sleep", r#"{"s": 5}"#);
            let set = set(how, limits, [calls, reply()], [sleeper()]);
            let answer = set.session.ask("go").await.unwrap();
            assert_eq!(outcomes(&answer.report.rounds[0]), ["ok", "ok"], "{slow}");
        }
    });
}

#[test]
fn a_result_that_came_in_time_is_not_lost_behind_a_slow_append() {
    testing::run(async {
        let how = |r: &[Record]| if is_end_of_call(r) { How::After(seconds(5)) } else { How::Now };
        let limits = Limits { call_time_limit: seconds(3), ..limits() };
        let calls = reply().call("sleep", r#"{"s": 1}"#).call("sleep", r#"{"s": 2}"#);
        let set = set(how, limits, [calls, reply()], [sleeper()]);
        let answer = set.session.ask("go").await.unwrap();
        assert_eq!(outcomes(&answer.report.rounds[0]), ["ok", "ok"]);
    });
}

#[test]
fn a_call_given_up_in_an_earlier_round_does_not_lend_its_facts_to_a_later_one() {
    testing::run(async {
        let broken = ToolType::new("broken", "x", any(), || -> Counting { panic!("no licence") })
            .effects(Effects::None)
            .time_limit(seconds(3));
        let script = [reply().call("broken", "{}"), reply().call("hang", "{}"), reply()];
        let stage = stage(script, [broken, hanger()]);
        let (failed, ()) = tokio::join!(stage.ask_in_vain(), async {
            sleep(seconds(10)).await;
            assert!(stage.session.cancel().await);
        });
        let call = &failed.report.rounds[1].calls[0];
        let round = &failed.report.rounds[1];
        println!("{round:?}");
        assert!(call.ran <= round.clock, "ran {:?} in a round of {:?}", call.ran, round.clock);
        assert!(call.result.as_ref().unwrap().contains("may have taken effect"), "{call:?}");
    });
}

/// Panics when told to.
struct Counting(u32);
impl Tool for Counting {
    fn call(&self, arguments: &str, _: CallContext) -> ToolFuture {
        let n = self.0;
        assert!(!arguments.contains("panic"), "told to");
        Box::pin(async move { Ok(format!("made {n}")) })
    }
}

fn counting() -> ToolType {
    let made = std::sync::atomic::AtomicU32::new(0);
    ToolType::new("count", "x", any(), move || Counting(made.fetch_add(1, Ordering::Relaxed) + 1))
}

#[test]
fn a_once_call_that_times_out_in_the_queue_is_not_said_to_have_begun() {
    testing::run(async {
        let script =
            [reply().call("count", r#"{"panic": 1}"#), reply().call("count", "{}"), reply()];
        let tool = counting().time_limit(Duration::from_millis(50));
        let stage = stage(script, [tool]);
        let answer = stage.ask().await;
        let call = &answer.report.rounds[1].calls[0];
        println!("{call:?}");
        assert_eq!(call.outcome, Some(OutcomeKind::TimedOut));
        assert!(!stage.told()[1].contains("it had begun"), "{}", stage.told()[1]);
    });
}

#[test]
fn a_call_that_times_out_in_the_queue_of_a_resting_worker_did_not_run() {
    testing::run(async {
        let script =
            [reply().call("count", r#"{"panic": 1}"#), reply().call("count", "{}"), reply()];
        let tool = counting().time_limit(Duration::from_millis(50));
        let stage = stage(script, [tool]);
        let answer = stage.ask().await;
        let round = &answer.report.rounds[1];
        let call = &round.calls[0];
        assert_eq!((call.ran, call.attempts), (Duration::ZERO, 0), "{call:?}");
    });
}

struct Owner {
    session: Session,
    _flag: Flag,
}
impl Actor for Owner {
    type Context = Context<Self>;
    fn started(&mut self, ctx: &mut Self::Context) {
        use actix::AsyncContext;
        self.session.subscribe(ctx.address().recipient());
    }
}
impl Handler<SessionEvent> for Owner {
    type Result = ();
    fn handle(&mut self, _: SessionEvent, _: &mut Self::Context) {}
}

#[test]
fn an_actor_that_holds_its_session_and_hears_it_ends_with_its_last_address() {
    testing::run(async {
        let gone = Arc::new(AtomicBool::new(false));
        let stage = stage([reply().text("hi")], []);
        let mut events = stage.session.events();
        let owner = Owner { session: stage.session.clone(), _flag: Flag(gone.clone()) }.start();
        stage.ask().await;
        drop((owner, stage));
        let ended = timeout(seconds(1000), async { while events.next().await.is_some() {} }).await;
        assert!(
            gone.load(Ordering::Relaxed) && ended.is_ok(),
            "the actor and its session live for ever"
        );
    });
}

#[test]
fn a_context_that_a_tool_keeps_does_not_keep_the_session() {
    testing::run(async {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let keeps = Arc::clone(&kept);
        let keeper = dynamic("keep", any(), move |_, context| {
            keeps.lock().unwrap().push(context);
            async { Ok("kept".to_owned()) }
        });
        let stage = stage([reply().call("keep", "{}"), reply()], [keeper]);
        let mut events = stage.session.events();
        stage.ask().await;
        drop(stage);
        let ended = timeout(seconds(1000), async { while events.next().await.is_some() {} }).await;
        assert!(ended.is_ok(), "the session lives as long as the context");
    });
}

#[test]
fn a_call_behind_a_panic_in_the_queue_waits_for_the_new_worker() {
    testing::run(async {
        let calls = reply().call("count", r#"{"panic": 1}"#).call("count", "{}");
        let stage = stage([calls, reply()], [counting()]);
        stage.ask().await;
        assert_eq!(stage.told()[1], "made 2", "a value that panicked is thrown away");
    });
}

#[test]
fn back_off_over_several_failures_is_back_off() {
    testing::run(async {
        let made = std::sync::atomic::AtomicU32::new(0);
        let tool = ToolType::new("late", "x", any(), move || {
            let n = made.fetch_add(1, Ordering::Relaxed);
            assert!(n >= 2, "not yet");
            Counting(n)
        });
        let stage = stage([reply().call("late", "{}"), reply()], [tool]);
        let answer = stage.ask().await;
        let call = &answer.report.rounds[0].calls[0];
        println!("{call:?}");
        assert!(call.backoff >= Duration::from_millis(239), "{call:?}");
        assert!(answer.report.rounds[0].restarts == 2, "{}", answer.report.rounds[0].restarts);
    });
}

#[test]
fn no_limit_is_a_limit_one_may_set() {
    testing::run(async {
        let limits = Limits { turn_time_limit: Duration::MAX, ..limits() };
        let stage = stage_with([reply().text("hi")], [], limits);
        let answer = stage.session.ask("go").await;
        assert!(answer.is_ok(), "{answer:?}");
    });
}

#[test]
fn no_call_limit_is_a_limit_one_may_set() {
    testing::run(async {
        let tool = sleeper().time_limit(Duration::MAX);
        let stage = stage([reply().call("sleep", r#"{"s": 1}"#), reply().text("hi")], [tool]);
        let answer = stage.session.ask("go").await;
        assert!(answer.is_ok(), "{answer:?}");
    });
}

#[test]
fn the_numbers_of_events_never_go_back() {
    testing::run(async {
        let talker = dynamic("talk", any(), |_, context| async move {
            for _ in 0..10 {
                sleep(seconds(1)).await;
                context.report_progress("on and on");
            }
            Ok("done".to_owned())
        });
        let how = |r: &[Record]| if is_end_of_call(r) { How::After(seconds(3)) } else { How::Now };
        let calls = reply().call("sleep", r#"{"s": 1}"#).call("talk", "{}");
        let set = set(how, limits(), [calls, reply()], [sleeper(), talker]);
        let mut events = set.session.events();
        set.session.ask("go").await.unwrap();
        drop(set);
        let (mut last, mut kept) = (0, HashSet::new());
        while let Some(record) = events.next().await {
            if record.event.is_durable() {
                assert!(kept.insert(record.seq), "number {} twice", record.seq);
            }
            assert!(record.seq >= last, "{} after {last}: {:?}", record.seq, record.event);
            last = record.seq;
        }
    });
}

async fn finished_journal(script: Vec<Scripted>, tools: Vec<ToolType>) -> Vec<Record> {
    let set = set(|_: &[Record]| How::Now, limits(), script, tools);
    set.session.ask("go").await.unwrap();
    set.journal.read(&SessionId::new("s"), 0).await.unwrap()
}

async fn reopened(prefix: &[Record], tools: Vec<ToolType>) -> (Vec<Record>, Arc<ScriptedModel>) {
    let id = SessionId::new("s");
    let journal = Arc::new(MemoryStore::keeping());
    let epoch = journal.open(&id, Access::TakeOver).await.unwrap();
    journal.append(&id, 0, epoch, Arc::new(prefix.to_vec())).await.unwrap();
    let runtime = testing::builder().journal(journal.clone()).in_current_system().unwrap();
    let model = ScriptedModel::new([reply().text("again")]);
    let tools = Arc::new(ToolSet::new(tools).unwrap());
    let options = SessionOptions::new(model.clone(), tools).id(id.clone()).take_over();
    runtime.session(options).ask("still there?").await.unwrap();
    (journal.read(&id, 0).await.unwrap(), model)
}

#[test]
fn a_turn_whose_answer_is_in_the_journal_is_answered_after_a_crash() {
    testing::run(async {
        let records = finished_journal(vec![reply().text("42")], vec![]).await;
        assert!(matches!(records.last().unwrap().event, Event::TurnEnded { .. }));
        let cut = records.len() - 1;
        let (records, _) = reopened(&records[..cut], vec![]).await;
        let Event::TurnEnded { end, .. } = &records[cut].event else {
            panic!("{:?}", records[cut])
        };
        assert_eq!(*end, TurnEnd::Answered);
    });
}

#[test]
fn a_call_that_had_not_started_before_a_crash_is_not_said_to_have_perhaps_happened() {
    testing::run(async {
        let script = vec![reply().call("sleep", r#"{"s": 1}"#), reply()];
        let records = finished_journal(script, vec![sleeper()]).await;
        let cut =
            records.iter().position(|r| matches!(r.event, Event::CallStarted { .. })).unwrap();
        let (_, model) = reopened(&records[..cut], vec![sleeper()]).await;
        let told = told(&model);
        assert!(!told[0].contains("may have taken effect"), "{told:?}");
    });
}

fn event_replied(round: u64) -> Event {
    Event::Replied {
        round,
        attempt: 1,
        message: "{}".into(),
        text: "".into(),
        calls: vec![callsheet::conversation::AskedCall {
            id: "a".into(),
            tool: "bomb".into(),
            arguments: "{}".into(),
            refused: None,
            begun: None,
            approval: callsheet::Approval::Never,
            part_of: None,
        }]
        .into(),
        mode: Mode::Parallel,
        finish: "tool_calls".into(),
        model: None,
        origin: None,
        usage: None,
        first_token_at_us: None,
        orphans: [].into(),
    }
}

#[test]
fn restarts_of_a_later_process_count_in_the_replay_too() {
    let mut rounds = Rounds::default();
    for turn in 1..=2 {
        // Two processes, or two owners: the workers of each begin at generation 0.
        let at = turn * 1000;
        let ended = Event::CallEnded {
            round: turn,
            reply_attempt: 1,
            ordinal: 0,
            id: "a".into(),
            tool: "bomb".into(),
            outcome: Outcome::failed(OutcomeKind::Panicked, "boom"),
            times: CallTimes { dispatched_at_us: at + 5, attempts: 1, ..CallTimes::default() },
        };
        for event in [
            Event::TurnStarted { turn, prompt: "go".into(), goes_on: false, key: None },
            Event::ModelAsked { round: turn, attempt: 1, model: None },
            event_replied(turn),
            ended,
            Event::TurnEnded { turn, end: TurnEnd::Cancelled, usage: None, orphans: [].into() },
        ] {
            rounds.on(at, &event);
        }
    }
    let restarts: Vec<_> = rounds.done().iter().map(|round| round.restarts).collect();
    assert_eq!(restarts, [1, 1]);
}

struct Rude;
impl Model for Rude {
    fn name(&self) -> &str {
        "rude"
    }
    fn ask(&self, _: Request<'_>) -> Events {
        panic!("no")
    }
}

#[test]
fn a_model_that_panics_fails_the_turn_and_not_the_session() {
    testing::run(async {
        let options = SessionOptions::new(Arc::new(Rude), Arc::new(ToolSet::default()));
        let session = testing::runtime().session(options);
        let first = session.ask("go").await;
        assert!(matches!(first, Err(Error::Turn(_))), "{first:?}");
        assert!(session.status().await.is_ok());
    });
}

#[test]
fn a_subscriber_of_the_first_moment_hears_the_session_open() {
    testing::run(async {
        let stage = stage([reply().text("hi")], []);
        let mut events = stage.session.events();
        stage.ask().await;
        let first = events.next().await.unwrap();
        assert!(matches!(first.event, Event::SessionOpened { .. }), "{first:?}");
    });
}

#[test]
fn a_turn_that_the_store_ends_is_reported_and_told() {
    testing::run(async {
        let how = |r: &[Record]| if is_end_of_call(r) { How::Refused } else { How::Now };
        let set = set(how, limits(), [reply().call("sleep", r#"{"s": 1}"#), reply()], [sleeper()]);
        let mut events = set.session.events();
        let Err(Error::Turn(failed)) = set.session.ask("go").await else { panic!("store") };
        assert!(matches!(failed.cause, Cause::Store(_)));
        drop(set);
        let mut last = None;
        while let Some(record) = events.next().await {
            last = Some(record);
        }
        println!("rounds {} last {last:?}", failed.report.rounds.len());
        assert_eq!(failed.report.rounds.len(), 1, "the rounds so far");
        assert!(matches!(last.unwrap().event, Event::TurnEnded { .. }));
    });
}

#[test]
fn a_once_call_cancelled_before_its_start_was_kept_did_not_begin() {
    testing::run(async {
        let ran = Arc::new(AtomicBool::new(false));
        let flag = ran.clone();
        let tool = dynamic("pay", any(), move |_, _| {
            flag.store(true, Ordering::Relaxed);
            std::future::pending()
        });
        let is_start = |r: &Record| matches!(r.event, Event::CallStarted { .. });
        let how = move |r: &[Record]| match r.iter().any(is_start) {
            true => How::After(seconds(10)),
            false => How::Now,
        };
        let set = set(how, limits(), [reply().call("pay", "{}"), reply().text("2")], [tool]);
        let session = set.session.clone();
        tokio::join!(async { drop(set.session.ask("go").await) }, async {
            sleep(seconds(5)).await;
            assert!(session.cancel().await);
        });
        set.session.ask("2").await.unwrap();
        assert!(!ran.load(Ordering::Relaxed));
        assert!(!told(&set.model)[0].contains("had begun"), "{:?}", told(&set.model));
    });
}

struct Stateful(#[expect(dead_code)] Flag);
impl Tool for Stateful {
    fn call(&self, _: &str, _: CallContext) -> ToolFuture {
        panic!("boom")
    }
}

#[test]
fn a_worker_that_rests_ends_with_its_session() {
    testing::run(async {
        let gone = Arc::new(AtomicBool::new(false));
        let flag = gone.clone();
        let tool = ToolType::new("t", "x", any(), move || Stateful(Flag(flag.clone())));
        let model = ScriptedModel::new([reply().call("t", "{}"), reply()]);
        let options = SessionOptions::new(model, Arc::new(ToolSet::new([tool]).unwrap()))
            .supervision(resting(Backoff { min: seconds(3600), max: seconds(3600) }));
        let session = testing::runtime().session(options);
        session.ask("go").await.unwrap();
        drop(session);
        sleep(seconds(60)).await;
        assert!(gone.load(Ordering::Relaxed), "the tool lives on while its worker rests");
    });
}

#[test]
fn a_restart_is_in_the_journal_though_the_store_is_slow() {
    testing::run(async {
        let how = |_: &[Record]| How::After(Duration::from_millis(2));
        let set =
            set(how, limits(), [reply().call("bomb", "{}"), reply().after(seconds(1))], [bomb()]);
        set.session.ask("go").await.unwrap();
        let records = set.journal.read(&SessionId::new("s"), 0).await.unwrap();
        assert!(records.iter().any(|r| matches!(r.event, Event::WorkerRestarted { .. })));
    });
}

#[test]
fn a_restart_counts_in_the_report_though_the_store_is_slow() {
    testing::run(async {
        let made = std::sync::atomic::AtomicU32::new(0);
        let tool = ToolType::new("late", "x", any(), move || {
            let n = made.fetch_add(1, Ordering::Relaxed);
            assert!(n >= 1, "not yet");
            Counting(n)
        });
        // The end of the sleeping call is being written while the worker fails.
        let how = |r: &[Record]| if is_end_of_call(r) { How::After(seconds(1)) } else { How::Now };
        let calls = reply().call("sleep", r#"{"s": 0}"#).call("late", "{}");
        let set = set(how, limits(), [calls, reply()], [sleeper(), tool]);
        let answer = set.session.ask("go").await.unwrap();
        assert_eq!(answer.report.rounds[0].restarts, 1);
    });
}

#[test]
fn a_cancel_that_answers_true_has_cancelled() {
    testing::run(async {
        let is_end = |r: &Record| matches!(r.event, Event::TurnEnded { .. });
        let how = move |r: &[Record]| match r.iter().any(is_end) {
            true => How::After(seconds(10)),
            false => How::Now,
        };
        let set = set(how, limits(), [reply().text("hi")], []);
        let session = set.session.clone();
        let (answer, cancelled) = tokio::join!(set.session.ask("go"), async {
            sleep(seconds(5)).await;
            session.cancel().await
        });
        assert_eq!(cancelled, answer.is_err(), "cancel said {cancelled}, the turn {answer:?}");
    });
}

#[test]
fn opening_that_hangs_does_not_hold_the_session_for_ever() {
    testing::run(async {
        let how = |r: &[Record]| if r.is_empty() { How::Never } else { How::Now };
        let limits = Limits { turn_time_limit: seconds(30), ..limits() };
        let set = set(how, limits, [reply().text("hi")], []);
        let (status, answer) = tokio::join!(
            timeout(seconds(1), set.session.status()),
            timeout(seconds(1000), set.session.ask("go"))
        );
        assert!(status.is_ok(), "status waits");
        assert!(answer.is_ok(), "the question waits");
    });
}

#[test]
fn a_late_call_of_a_gone_round_answers_nobody() {
    testing::run(async {
        // Both the round's limit and the rest of the worker end at about the same time.
        let script = [
            reply().call("count", r#"{"panic": 1}"#),
            reply().call("count", "{}").call("sleep", r#"{"s": 1}"#),
            reply().call("hang", "{}"),
            reply(),
        ];
        let limits = Limits { round_time_limit: Duration::from_millis(95), ..limits() };
        let stage = stage_with(script, [counting(), sleeper(), hanger()], limits);
        let answer = stage.ask().await;
        let all: Vec<_> = answer.report.rounds.iter().map(|r| outcomes(r)).collect();
        println!("{all:?} {:?}", stage.told());
        assert_eq!(outcomes(&answer.report.rounds[2]), ["timed_out"]);
    });
}

#[test]
fn a_silent_model_and_a_slow_store_still_end() {
    testing::run(async {
        let how = |_: &[Record]| How::After(Duration::from_millis(3));
        let limits = Limits { turn_time_limit: seconds(30), ..limits() };
        let set = set(how, limits, [silence()], []);
        let Err(Error::Turn(failed)) = set.session.ask("go").await else { panic!() };
        assert!(matches!(failed.cause, Cause::TimedOut));
    });
}

#[test]
fn the_numbers_of_events_never_go_back_in_a_batch() {
    testing::run(async {
        let talker = dynamic("talk", any(), |_, context| async move {
            for _ in 0..10 {
                sleep(seconds(1)).await;
                context.report_progress("on and on");
            }
            Ok("done".to_owned())
        });
        let how = |r: &[Record]| if is_end_of_call(r) { How::After(seconds(3)) } else { How::Now };
        let calls =
            reply().call("sleep", r#"{"s": 1}"#).call("sleep", r#"{"s": 1}"#).call("talk", "{}");
        let set = set(how, limits(), [calls, reply()], [sleeper(), talker]);
        let mut events = set.session.events();
        set.session.ask("go").await.unwrap();
        drop(set);
        let mut last = 0;
        while let Some(record) = events.next().await {
            assert!(record.seq >= last, "{} after {last}: {:?}", record.seq, record.event);
            last = record.seq;
        }
    });
}

struct Chatter(usize);
impl Model for Chatter {
    fn name(&self) -> &str {
        "chatter"
    }
    fn ask(&self, _: Request<'_>) -> Events {
        use callsheet::model::Event as E;
        let many = (0..self.0).map(|_| Ok(E::Text("x".into())));
        Box::pin(futures_util::stream::iter(many.collect::<Vec<_>>()))
    }
}

#[test]
fn a_model_that_always_has_something_to_say_can_be_cancelled() {
    testing::run(async {
        let options = SessionOptions::new(Arc::new(Chatter(100_000)), Arc::new(ToolSet::default()));
        let session = testing::runtime().session(options);
        let mut events = session.events();
        let canceller = session.clone();
        let cancelled = async {
            while !matches!(events.next().await.unwrap().event, Event::TextStreamed { .. }) {}
            canceller.cancel().await
        };
        let (asked, cancelled) = tokio::join!(session.ask("go"), cancelled);
        assert!(cancelled, "all 100000 pieces went through first");
        drop(asked);
    });
}

#[test]
fn a_refusal_does_not_repeat_a_megabyte() {
    testing::run(async {
        let long = "x".repeat(1_000_000);
        let calls = reply().call("sleep", &format!(r#"{{"s": "{long}"}}"#));
        let stage = stage([calls, reply()], [sleeper()]);
        stage.ask().await;
        assert!(stage.told()[0].len() < 10_000, "{} bytes", stage.told()[0].len());
    });
}

#[test]
fn a_result_is_not_lost_because_its_future_panics_when_dropped() {
    struct Sore;
    impl Drop for Sore {
        fn drop(&mut self) {
            assert!(std::thread::panicking(), "dropped");
        }
    }
    struct Ready(Sore);
    impl Future for Ready {
        type Output = Result<String, String>;
        fn poll(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Self::Output> {
            std::task::Poll::Ready(Ok("paid".into()))
        }
    }
    testing::run(async {
        struct T;
        impl Tool for T {
            fn call(&self, _: &str, _: CallContext) -> ToolFuture {
                struct F(Ready);
                impl Future for F {
                    type Output = Result<String, callsheet::tools::Error>;
                    fn poll(
                        mut self: std::pin::Pin<&mut Self>,
                        cx: &mut std::task::Context<'_>,
                    ) -> std::task::Poll<Self::Output> {
                        std::pin::Pin::new(&mut self.0)
                            .poll(cx)
                            .map_err(callsheet::tools::Error::new)
                    }
                }
                Box::pin(F(Ready(Sore)))
            }
        }
        let stage =
            stage([reply().call("pay", "{}"), reply()], [ToolType::new("pay", "x", any(), || T)]);
        stage.ask().await;
        assert_eq!(stage.told()[0], "paid");
    });
}

#[test]
fn a_turn_under_way_ends_with_its_runtime() {
    let runtime = Runtime::builder().arbiters(1).start().unwrap();
    let model = ScriptedModel::new([reply().call("hang", "{}")]);
    let session =
        runtime.session(SessionOptions::new(model, Arc::new(ToolSet::new([hanger()]).unwrap())));
    let tokio = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    tokio.block_on(async {
        let asked = session.ask("go");
        let stop = async {
            sleep(Duration::from_millis(100)).await;
            drop(runtime);
        };
        let (asked, ()) = tokio::join!(timeout(seconds(5), asked), stop);
        assert!(matches!(asked, Ok(Err(Error::Closed))), "{asked:?}");
        assert!(session.status().await.is_err());
        assert!(!session.cancel().await);
    });
}

#[test]
fn a_runtime_may_be_dropped_by_its_own_tool() {
    let runtime = Runtime::builder().arbiters(1).start().unwrap();
    let slot = Arc::new(Mutex::new(None));
    let inner = slot.clone();
    let tool = dynamic("drop", any(), move |_, _| {
        let inner = inner.clone();
        async move {
            drop(inner.lock().unwrap().take());
            std::future::pending().await
        }
    });
    let model = ScriptedModel::new([reply().call("drop", "{}")]);
    let session =
        runtime.session(SessionOptions::new(model, Arc::new(ToolSet::new([tool]).unwrap())));
    *slot.lock().unwrap() = Some(runtime);
    let tokio = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let asked = tokio.block_on(async { timeout(seconds(5), session.ask("go")).await });
    assert!(matches!(asked, Ok(Err(Error::Closed))), "{asked:?}");
}

#[test]
fn a_session_on_an_arbiter_that_ended_is_closed() {
    actix_rt::System::new().block_on(async {
        let arbiter = actix_rt::Arbiter::new();
        let (send, receive) = tokio::sync::oneshot::channel();
        arbiter.spawn_fn(move || drop(send.send(Runtime::builder().in_current_system().unwrap())));
        let runtime = receive.await.unwrap();
        arbiter.stop();
        arbiter.join().unwrap();
        let model = ScriptedModel::new([reply()]);
        let session = runtime.session(SessionOptions::new(model, Arc::new(ToolSet::default())));
        let mut events = session.events();
        let asked = timeout(seconds(5), session.ask("go")).await;
        assert!(matches!(asked, Ok(Err(Error::Closed))), "{asked:?}");
        assert!(timeout(seconds(5), events.next()).await.unwrap().is_none());
    });
}

struct Brittle(MemoryStore);
impl Journal for Brittle {
    fn open(&self, s: &SessionId, access: Access) -> Pending<Result<u64, StoreError>> {
        self.0.open(s, access)
    }
    fn append(
        &self,
        s: &SessionId,
        seq: u64,
        epoch: u64,
        r: Batch,
    ) -> Pending<Result<(), StoreError>> {
        self.0.append(s, seq, epoch, r)
    }
    fn read(&self, s: &SessionId, after: u64) -> Pending<Result<Vec<Record>, StoreError>> {
        self.0.read(s, after)
    }
    fn close(&self, _: &SessionId, _: u64) {
        panic!("a poisoned lock, say");
    }
}

#[test]
fn a_panic_of_a_model_does_not_abort_the_process() {
    testing::run(async {
        let runtime = Runtime::builder()
            .journal(Arc::new(Brittle(MemoryStore::new())))
            .in_current_system()
            .unwrap();
        let session =
            runtime.session(SessionOptions::new(Arc::new(Rude), Arc::new(ToolSet::default())));
        drop(session.ask("go").await);
    });
}

#[test]
fn time_limit_zero_and_longer_than_the_rounds() {
    testing::run(async {
        let limits = Limits { round_time_limit: seconds(5), ..limits() };
        let calls = reply().call("sleep", r#"{"s": 1}"#).call("hang", "{}");
        let tools = [sleeper().time_limit(Duration::ZERO), hanger().time_limit(seconds(50))];
        let stage = stage_with([calls, reply()], tools, limits);
        let answer = stage.ask().await;
        assert_eq!(outcomes(&answer.report.rounds[0]), ["timed_out", "timed_out"]);
        assert_eq!(answer.report.rounds[0].wall, seconds(5));
        assert!(!stage.told()[0].contains("had begun"));
        assert!(stage.told()[1].contains("round"));
    });
}

#[test]
fn a_supervisor_survives_an_endless_back_off() {
    testing::run(async {
        let model = ScriptedModel::new([
            reply().call("bomb", r#"{"n": 1}"#).call("bomb", r#"{"n": 2}"#),
            reply(),
            reply().call("bomb", r#"{"n": 3}"#),
            reply(),
        ]);
        let options = SessionOptions::new(model, Arc::new(ToolSet::new([bomb()]).unwrap()))
            .limits(Limits { call_time_limit: seconds(5), ..limits() })
            .supervision(resting(Backoff { min: Duration::ZERO, max: Duration::MAX }));
        let session = testing::runtime().session(options);
        session.ask("go").await.unwrap();
        sleep(seconds(1)).await;
        let answer = session.ask("go").await.unwrap();
        sleep(seconds(1)).await;
        println!("{:?}", answer.report.rounds[0].calls[0]);
        assert!(answer.report.rounds[0].calls[0].result.as_ref().unwrap().contains("boom"));
    });
}

#[test]
fn a_restart_while_the_end_of_a_turn_is_kept_is_still_heard() {
    testing::run(async {
        let broken = ToolType::new("broken", "x", any(), || {
            panic!("no licence");
            #[expect(unreachable_code, reason = "gives the closure its type")]
            |_: &str, _: CallContext| -> ToolFuture { Box::pin(std::future::pending()) }
        });
        let is_end = |r: &Record| matches!(r.event, Event::TurnEnded { .. });
        let how = move |r: &[Record]| {
            if r.iter().any(is_end) { How::After(seconds(60)) } else { How::Now }
        };
        let script = [reply().call("broken", "{}"), reply().text("done")];
        let set = set(how, limits(), script, [broken.time_limit(seconds(1))]);
        let mut events = set.session.events();
        set.session.ask("go").await.unwrap();
        let (mut restarts, mut withdrawals) = (0, 0);
        while let Ok(Some(record)) = timeout(Duration::from_millis(1), events.next()).await {
            restarts += u32::from(matches!(record.event, Event::WorkerRestarted { .. }));
            withdrawals += u32::from(matches!(record.event, Event::CircuitOpened { .. }));
        }
        // Four in the second of the call, and the others in the minute of the append.
        assert_eq!((restarts, withdrawals), (5, 1));
    });
}

fn resting(backoff: Backoff) -> RestartLimits {
    RestartLimits { backoff, ..RestartLimits::default() }
}
