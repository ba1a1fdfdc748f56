//! Tools that come, go and change while a session uses them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use callsheet::session::Clock;
use callsheet::store::{Journal, MemoryStore};
use callsheet::testing::{self, Scripted, reply};
use callsheet::tools::ToolPublisher;
use callsheet::{
    CallContext, Effects, Event, Record, Session, SessionId, SessionOptions, ToolSet, ToolType,
};
use serde_json::json;

use crate::support::journal::kept;
use crate::support::listening::Listening;
use crate::support::{dynamic, limits, outcomes, seconds, sleeper};

struct Stage {
    model: Arc<Listening>,
    publisher: Arc<ToolPublisher>,
    session: Session,
}

fn set(tools: impl IntoIterator<Item = ToolType>) -> Arc<ToolSet> {
    Arc::new(ToolSet::new(tools).expect("the tools are well formed"))
}

fn stage(
    script: impl IntoIterator<Item = Scripted>,
    tools: impl FnOnce(Arc<ToolPublisher>) -> Vec<ToolType>,
) -> Stage {
    let publisher = Arc::new(ToolPublisher::new(Arc::default()));
    publisher.publish(set(tools(Arc::clone(&publisher))));
    let model = Listening::new(script);
    let options = SessionOptions::new(model.clone(), Arc::default()).limits(limits());
    let options = options.tool_source(publisher.source());
    Stage { session: testing::runtime().session(options), model, publisher }
}

impl Stage {
    fn assert_whole(&self) {
        assert_eq!(self.model.script.violations(), Vec::<String>::new());
    }
}

/// A tool that has `publisher` say that the tools are `then` from now on.
fn changer(
    publisher: &Arc<ToolPublisher>,
    then: impl Fn() -> Vec<ToolType> + Clone + Send + Sync + 'static,
) -> ToolType {
    let publisher = Arc::downgrade(publisher);
    dynamic("change", json!({"type": "object"}), move |_, _| {
        if let Some(publisher) = publisher.upgrade() {
            publisher.publish(set(then()));
        }
        async { Ok("changed".to_owned()) }
    })
}

/// A tool that says how often one of its workers was made, and for the how manieth time it is called.
fn counter(made: &Arc<AtomicU32>) -> ToolType {
    let made = Arc::clone(made);
    ToolType::new("count", "for a test", json!({"type": "object"}), move || {
        let made = made.fetch_add(1, Ordering::Relaxed) + 1;
        let calls = AtomicU32::new(0);
        move |_: &str, _: CallContext| -> callsheet::tools::ToolFuture {
            let call = calls.fetch_add(1, Ordering::Relaxed) + 1;
            Box::pin(async move { Ok(format!("worker {made}, call {call}")) })
        }
    })
    .effects(Effects::None)
}

#[test]
fn a_change_takes_effect_in_the_next_request() {
    testing::run(async {
        let script = [
            reply().call("change", "{}").call("sleep", r#"{"s": 1}"#),
            reply().call("sleep", r#"{"s": 1}"#).call("change", "{}"),
            reply().text("done"),
        ];
        let stage = stage(script, |it| vec![changer(&it, || vec![sleeper()])]);
        let answer = stage.session.ask("go").await.expect("the turn ends well");
        assert_eq!(stage.model.offers(), [vec!["change"], vec!["sleep"], vec!["sleep"]]);
        let ends: Vec<_> = answer.report.rounds.iter().map(|it| outcomes(it)).collect();
        assert_eq!(ends, [["ok", "unknown_tool"], ["ok", "unknown_tool"]]);
        stage.assert_whole();
    });
}

#[test]
fn a_tool_that_stays_keeps_its_worker_wherever_it_is_listed() {
    testing::run(async {
        let made = Arc::new(AtomicU32::new(0));
        let count = counter(&made);
        let moved = count.clone();
        let script = [
            reply().call("count", "{}").call("change", "{}"),
            reply().call("count", "{}").call("sleep", r#"{"s": 1}"#),
            reply().text("done"),
        ];
        let stage =
            stage(script, |it| vec![count, changer(&it, move || vec![sleeper(), moved.clone()])]);
        let answer = stage.session.ask("go").await.expect("the turn ends well");
        let round = &answer.report.rounds[1];
        assert_eq!(outcomes(round), ["ok", "ok"]);
        assert_eq!(round.calls[0].result.as_deref(), Some("worker 1, call 2"));
        stage.assert_whole();
    });
}

#[test]
fn a_tool_of_the_same_name_that_is_another_one_gets_a_worker_of_its_own() {
    testing::run(async {
        let made = Arc::new(AtomicU32::new(0));
        let (count, other) = (counter(&made), counter(&made));
        let script = [
            reply().call("count", "{}").call("change", "{}"),
            reply().call("count", "{}"),
            reply().text("done"),
        ];
        let stage = stage(script, |it| vec![count, changer(&it, move || vec![other.clone()])]);
        let answer = stage.session.ask("go").await.expect("the turn ends well");
        let result = answer.report.rounds[1].calls[0].result.as_deref();
        assert_eq!(result, Some("worker 2, call 1"));
        stage.assert_whole();
    });
}

#[test]
fn a_call_whose_tool_has_gone_meanwhile_goes_on() {
    testing::run(async {
        let script =
            [reply().call("sleep", r#"{"s": 5}"#).call("change", "{}"), reply().text("done")];
        let stage = stage(script, |it| vec![sleeper(), changer(&it, Vec::new)]);
        let answer = stage.session.ask("go").await.expect("the turn ends well");
        let round = &answer.report.rounds[0];
        assert_eq!(outcomes(round), ["ok", "ok"]);
        assert_eq!(round.calls[0].ran, seconds(5));
        assert_eq!(stage.model.offers(), [vec!["sleep", "change"], vec![]]);
        drop(stage.publisher.source());
        stage.assert_whole();
    });
}

/// How many tools there are of those that workers made, and how many there were at most.
#[derive(Default)]
struct Living {
    now: AtomicU32,
    most: AtomicU32,
}

/// One of them.
struct Life(Arc<Living>);

impl Life {
    fn begin(living: &Arc<Living>) -> Self {
        let now = living.now.fetch_add(1, Ordering::Relaxed) + 1;
        living.most.fetch_max(now, Ordering::Relaxed);
        Self(Arc::clone(living))
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Another tool `live` each time it is asked for.
fn mortal(living: &Arc<Living>) -> ToolType {
    let living = Arc::clone(living);
    ToolType::new("live", "for a test", json!({"type": "object"}), move || {
        let life = Life::begin(&living);
        move |_: &str, _: CallContext| -> callsheet::tools::ToolFuture {
            let _ = &life;
            Box::pin(async {
                tokio::time::sleep(seconds(1)).await;
                Ok("lived".to_owned())
            })
        }
    })
}

#[test]
fn tools_that_changed_leave_no_workers_behind() {
    testing::run(async {
        let living = Arc::new(Living::default());
        let first = mortal(&living);
        let others = Arc::clone(&living);
        let rounds = (0..12).map(|_| reply().call("live", "{}").call("change", "{}"));
        let script: Vec<_> = rounds.chain([reply().text("done"), reply().text("done")]).collect();
        let stage = stage(script, |publisher| {
            fn tools(publisher: &Arc<ToolPublisher>, living: &Arc<Living>) -> Vec<ToolType> {
                let (again, others) = (Arc::downgrade(publisher), Arc::clone(living));
                let change = changer(publisher, move || {
                    again.upgrade().map_or_else(Vec::new, |again| tools(&again, &others))
                });
                vec![mortal(living), change]
            }
            let mut all = tools(&publisher, &others);
            all[0] = first;
            all
        });
        let answer = stage.session.ask("go").await.expect("the turn ends well");
        let ends: Vec<_> = answer.report.rounds.iter().map(|it| outcomes(it)).collect();
        assert_eq!(ends, vec![["ok", "ok"]; 12]);
        assert!(living.most.load(Ordering::Relaxed) <= 2, "one goes when the next one comes");
        stage.session.ask("again").await.expect("the turn ends well");
        assert_eq!(living.now.load(Ordering::Relaxed), 0, "the last one has gone, too");
        stage.assert_whole();
    });
}

/// A tool of these effects that takes ten seconds, and counts how often it ran.
fn toll(effects: Effects, ran: &Arc<AtomicU32>) -> ToolType {
    let ran = Arc::clone(ran);
    let tool = dynamic("toll", json!({"type": "object"}), move |_, _| {
        ran.fetch_add(1, Ordering::Relaxed);
        async {
            tokio::time::sleep(seconds(10)).await;
            Ok("done".to_owned())
        }
    });
    tool.effects(effects)
}

#[test]
fn what_a_tool_was_when_its_call_began_decides_whether_it_may_run_again() {
    testing::run(async {
        for (then, now, ends) in [
            (Effects::Once, Effects::None, "unknown_outcome"),
            (Effects::None, Effects::Once, "unknown_outcome"),
            (Effects::None, Effects::Idempotent, "ok"),
        ] {
            let ran = Arc::new(AtomicU32::new(0));
            let session = |journal: Arc<MemoryStore>, effects, script: Vec<Scripted>| {
                let model = Listening::new(script);
                let options = SessionOptions::new(model, set([toll(effects, &ran)]));
                let options = options.id(SessionId::new("s")).take_over().limits(limits());
                let builder = testing::builder().journal(journal).clock(Clock::at(seconds(9)));
                let runtime = builder.in_current_system().expect("within `testing::run`");
                (runtime.session(options), runtime)
            };
            let journal = Arc::new(MemoryStore::keeping());
            let script = vec![reply().call("toll", "{}"), reply().text("done")];
            let (first, _runtime) = session(journal.clone(), then, script);
            first.ask("go").await.expect("it is answered");
            let mut records = journal.read(first.id(), 0).await.expect("memory does not fail");
            let begins = |it: &Record| matches!(it.event, Event::CallStarted { .. });
            records.truncate(records.iter().position(begins).expect("it began") + 1);
            let cut = Arc::new(kept(&records).await);
            let (second, _runtime) = session(cut, now, vec![reply().text("done")]);
            let answer = second.resume().await.expect("it goes on");
            let runs = if ends == "ok" { 2 } else { 1 };
            let ended = (outcomes(&answer.report.rounds[0]), ran.load(Ordering::Relaxed));
            assert_eq!(ended, (vec![ends], runs), "{then:?}, then {now:?}");
        }
    });
}

#[test]
fn a_turn_that_goes_on_has_the_tools_of_that_moment() {
    testing::run(async {
        let ran = Arc::new(AtomicU32::new(0));
        let journal = Arc::new(MemoryStore::keeping());
        let session = |source, script: Vec<Scripted>, journal: Arc<MemoryStore>| {
            let options = SessionOptions::new(Listening::new(script), Arc::default());
            let options = options.id(SessionId::new("s")).take_over().limits(limits());
            let builder = testing::builder().journal(journal).clock(Clock::at(seconds(9)));
            let runtime = builder.in_current_system().expect("within `testing::run`");
            (runtime.session(options.tool_source(source)), runtime)
        };
        let publisher = ToolPublisher::new(set([toll(Effects::None, &ran)]));
        let script = vec![reply().call("toll", "{}"), reply().text("done")];
        let (first, _runtime) = session(publisher.source(), script, journal.clone());
        first.ask("go").await.expect("it is answered");
        let mut records = journal.read(first.id(), 0).await.expect("memory does not fail");
        let begins = |it: &Record| matches!(it.event, Event::CallStarted { .. });
        records.truncate(records.iter().position(begins).expect("it began"));
        let publisher = ToolPublisher::new(Arc::default()); // Its server has not started yet.
        let cut = Arc::new(kept(&records).await);
        let (second, _runtime) = session(publisher.source(), vec![reply().text("done")], cut);
        second.status().await.expect("it lives");
        publisher.publish(set([toll(Effects::None, &ran)]));
        let answer = second.resume().await.expect("it goes on");
        assert_eq!(outcomes(&answer.report.rounds[0]), ["ok"]);
    });
}

#[test]
fn a_large_result_is_kept_as_soon_as_it_can_be_read() {
    testing::run(async {
        let large =
            || dynamic("write", json!({"type": "object"}), |_, _| async { Ok("x".repeat(5_000)) });
        // Its own tool of that name is in the way of the one that reads on.
        let own =
            || dynamic("read_result", json!({"type": "object"}), |_, _| async { Ok("".into()) });
        let both = reply().call("write", "{}").call("change", "{}");
        let script = [both, reply().call("write", "{}"), reply().text("done")];
        let publisher = Arc::new(ToolPublisher::new(Arc::default()));
        publisher.publish(set([large(), own(), changer(&publisher, move || vec![large()])]));
        let model = Listening::new(script);
        let options = SessionOptions::new(model.clone(), Arc::default()).limits(limits());
        let options = options.tool_source(publisher.source()).max_result_bytes(1_000);
        let session = testing::runtime().session(options);
        let answer = session.ask("go").await.expect("the turn ends well");
        let told: Vec<_> = answer
            .report
            .rounds
            .iter()
            .map(|round| {
                round.calls[0]
                    .result
                    .as_deref()
                    .unwrap_or_default()
                    .contains("read on with the tool")
            })
            .collect();
        assert_eq!(told, [false, true]);
    });
}
