//! Calls that do not run because another one like them does, or has: a single flight for the identical
//! calls of a round, and results that are kept for a while.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use callsheet::conversation::Reused;
use callsheet::store::{Journal, MemoryStore};
use callsheet::testing::{self, ScriptedModel, reply};
use callsheet::tools::{CacheScope, SetError};
use callsheet::{
    Effects, Event, Limits, Mode, Question, Record, RoundReport, Runtime, Session, SessionId,
    SessionOptions, ToolSet, ToolType,
};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::support::journal::{faults, faults_of_cut, kept};
use crate::support::{Stage, dynamic, limits, outcomes, seconds, stage, stage_with};

/// What a tool has done.
#[derive(Clone, Default)]
struct Done {
    began: Arc<AtomicU32>,
    /// Calls that were dropped before they had ended.
    dropped: Arc<AtomicU32>,
    keys: Arc<Mutex<Vec<String>>>,
}

struct Counted(Arc<AtomicU32>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Done {
    /// A tool that answers with its number after `{"s": seconds}`; it fails if there is an `"error"`, and
    /// panics if there is a `"panic"`.
    fn tool(&self) -> ToolType {
        let done = self.clone();
        let tool = dynamic("read", json!({"type": "object"}), move |arguments, context| {
            let number = done.began.fetch_add(1, Ordering::SeqCst) + 1;
            done.keys.lock().expect("no panic holds it").push(context.key().to_string());
            let counted = Counted(done.dropped.clone());
            async move {
                sleep(seconds(arguments["s"].as_u64().unwrap_or_default())).await;
                std::mem::forget(counted);
                assert!(arguments.get("panic").is_none(), "as planned");
                match arguments.get("error") {
                    Some(error) => Err(error.to_string()),
                    None => Ok(number.to_string()),
                }
            }
        });
        tool.effects(Effects::None)
    }

    fn began(&self) -> u32 {
        self.began.load(Ordering::SeqCst)
    }

    fn dropped(&self) -> u32 {
        self.dropped.load(Ordering::SeqCst)
    }
}

/// Of each call: how it ended, its tries, and whose result it has.
fn shown(round: &RoundReport) -> Vec<String> {
    let show = |call: &callsheet::CallReport| {
        let outcome = call.outcome.map_or("open", |outcome| outcome.as_str());
        let reused = call.reused.map_or("own", Reused::as_str);
        format!("{outcome} {} {reused}", call.attempts)
    };
    round.calls.iter().map(show).collect()
}

const THREE: &str = r#"{"s":3,"x":1}"#;
/// The same.
const AGAIN: &str = r#"{ "x": 1, "s": 3 }"#;

#[test]
fn identical_calls_of_a_round_run_once_and_each_is_answered_in_its_place() {
    testing::run(async {
        let done = Done::default();
        let calls = || {
            let other = r#"{"s":1}"#;
            reply().call("read", THREE).call("read", other).call("read", AGAIN).call("read", THREE)
        };
        let script = [calls(), calls(), reply().text("ok")];
        let stage = stage(script, [done.tool().single_flight()]);
        let began = Instant::now();
        let answer = stage.ask().await;
        assert_eq!(began.elapsed(), seconds(6));
        assert_eq!(done.began(), 4, "two in each round");
        assert_eq!(stage.told()[..4], ["1", "2", "1", "1"]);
        assert_eq!(stage.told()[4..], ["3", "4", "3", "3"], "a round has runs of its own");
        let round = &answer.report.rounds[0];
        assert_eq!(shown(round), ["ok 1 own", "ok 1 own", "ok 0 shared", "ok 0 shared"]);
        assert_eq!((round.sum, round.wall, round.clock), (seconds(4), seconds(3), seconds(3)));
        assert_eq!(round.critical_call.as_deref(), Some("call_0"), "the one that ran");
        assert_eq!((round.calls[3].queued, round.calls[3].ran), (seconds(3), seconds(0)));
    });
}

#[test]
fn a_failure_answers_all_and_so_do_a_panic_and_a_time_limit() {
    testing::run(async {
        for (arguments, kind) in [
            (r#"{"s":1,"error":"no"}"#, "tool_error"),
            (r#"{"s":1,"panic":true}"#, "panicked"),
            (r#"{"s":9}"#, "timed_out"),
        ] {
            let done = Done::default();
            let two = reply().call("read", arguments).call("read", arguments);
            let tool = done.tool().single_flight().time_limit(seconds(5));
            let stage = stage([two, reply().text("ok")], [tool]);
            let answer = stage.ask().await;
            assert_eq!(outcomes(&answer.report.rounds[0]), [kind, kind]);
            assert_eq!(done.began(), 1, "{kind}");
            assert_eq!(stage.told()[0], stage.told()[1]);
        }
    });
}

/// Asks, and cancels the calls `ids` a second later.
async fn cancelled(stage: &Stage, ids: &[&str]) -> callsheet::Answer {
    let cancel = async {
        sleep(seconds(1)).await;
        for id in ids {
            assert!(stage.session.cancel_call(id).await, "{id}");
        }
    };
    let (answer, ()) = tokio::join!(stage.session.ask("go"), cancel);
    stage.assert_whole();
    answer.expect("the turn ends well")
}

#[test]
fn a_call_that_is_cancelled_leaves_the_others_their_result() {
    testing::run(async {
        let three = || (0..3).fold(reply(), |reply, _| reply.call("read", THREE));
        for (ids, expected, stops) in [
            (&["call_0"][..], ["cancelled 1 own", "ok 0 shared", "ok 0 shared"], false),
            (&["call_1"], ["ok 1 own", "cancelled 0 own", "ok 0 shared"], false),
            (&["call_0", "call_2"], ["cancelled 1 own", "ok 0 shared", "cancelled 0 own"], false),
            (
                &["call_1", "call_0", "call_2"],
                ["cancelled 1 own", "cancelled 0 own", "cancelled 0 own"],
                true,
            ),
        ] {
            let done = Done::default();
            let stage = stage([three(), reply().text("ok")], [done.tool().single_flight()]);
            let began = Instant::now();
            let answer = cancelled(&stage, ids).await;
            let round = &answer.report.rounds[0];
            assert_eq!(shown(round), expected, "{ids:?}");
            let took = if stops { seconds(1) } else { seconds(3) };
            assert_eq!((began.elapsed(), round.clock), (took, took), "{ids:?}");
            let parts = round.model + round.wall + round.overhead;
            assert_eq!(parts - round.overlap, round.clock, "the times add up: {round:?}");
            assert_eq!((done.began(), done.dropped()), (1, u32::from(stops)), "{ids:?}");
        }
    });
}

#[test]
fn a_turn_that_is_cancelled_stops_a_run_that_was_left_to_others() {
    testing::run(async {
        let done = Done::default();
        let two = reply().call("read", r#"{"s":100}"#).call("read", r#"{"s":100}"#);
        let stage = stage([two], [done.tool().single_flight()]);
        let cancel = async {
            sleep(seconds(1)).await;
            assert!(stage.session.cancel_call("call_0").await);
            sleep(seconds(1)).await;
            assert_eq!(done.dropped(), 0);
            stage.session.cancel().await;
        };
        let (asked, ()) = tokio::join!(stage.session.ask("go"), cancel);
        assert!(asked.is_err());
        sleep(seconds(1)).await;
        assert_eq!(done.dropped(), 1);
    });
}

#[test]
fn a_call_that_comes_later_in_the_stream_joins_the_run_or_has_its_result() {
    testing::run(async {
        // The second one comes while the first one runs; the third one when it has ended.
        let calls = reply().call("read", THREE).call("read", AGAIN).call("read", THREE);
        let stage = {
            let done = Done::default();
            let tool = done.tool().single_flight();
            let stage = stage([calls.paced(seconds(1)), reply().text("ok")], [tool]);
            let answer = stage.ask().await;
            assert_eq!(done.began(), 1);
            let round = &answer.report.rounds[0];
            assert_eq!(shown(round), ["ok 1 own", "ok 0 shared", "ok 0 shared"]);
            assert!(round.calls.iter().all(|call| call.early), "{round:?}");
            assert_eq!(round.calls[1].queued, seconds(1));
            assert_eq!(round.calls[2].queued, seconds(0));
            stage
        };
        assert_eq!(stage.told(), ["1", "1", "1"]);
    });
}

#[test]
fn in_sequence_the_calls_behind_the_first_have_its_result() {
    testing::run(async {
        let done = Done::default();
        let three = (0..3).fold(reply(), |reply, _| reply.call("read", THREE));
        let one_by_one = Limits { mode: Mode::Sequential, ..limits() };
        let script = [three, reply().text("ok")];
        let stage = stage_with(script, [done.tool().single_flight()], one_by_one);
        let began = Instant::now();
        let answer = stage.ask().await;
        assert_eq!((began.elapsed(), done.began()), (seconds(3), 1));
        let expected = ["ok 1 own", "ok 0 shared", "ok 0 shared"];
        assert_eq!(shown(&answer.report.rounds[0]), expected);
    });
}

/// A session on `journal` whose model has said as much as `said`.
fn opened(journal: &Arc<MemoryStore>, tool: ToolType, said: usize) -> Session {
    let two = reply().call("read", THREE).call("read", AGAIN).call("read", r#"{"s":1}"#);
    let script: Vec<_> = [two, reply().text("ok")].into_iter().skip(said).collect();
    let model = ScriptedModel::new(script);
    let tools = Arc::new(ToolSet::new([tool]).expect("the tool is well formed"));
    let options = SessionOptions::new(model, tools).id(SessionId::new("s")).take_over();
    let runtime = testing::builder().journal(journal.clone()).in_current_system();
    runtime.expect("within `testing::run`").session(options.limits(limits()))
}

#[test]
fn a_turn_that_was_cut_runs_identical_calls_once_more_at_most() {
    testing::run(async {
        let (journal, id) = (Arc::new(MemoryStore::keeping()), SessionId::new("s"));
        let session = opened(&journal, Done::default().tool().single_flight(), 0);
        session.ask("go").await.expect("the turn ends well");
        let whole: Vec<Record> = journal.read(&id, 0).await.expect("memory does not fail");
        assert_eq!(faults(&whole), Vec::<String>::new(), "each call has a beginning and an end");
        for length in 2..whole.len() {
            let prefix = whole[..length].to_vec();
            let said = prefix.iter().filter(|r| matches!(r.event, Event::Replied { .. })).count();
            let journal = Arc::new(kept(&prefix).await);
            let done = Done::default();
            let session = opened(&journal, done.tool().single_flight(), said);
            session.resume().await.expect("the turn ends well");
            assert!(done.began() <= 2, "after {length} events: {:?}", done.keys);
            let records = journal.read(&id, 0).await.expect("memory does not fail");
            assert_eq!(faults_of_cut(&records), Vec::<String>::new(), "after {length} events");
        }
    });
}

#[test]
fn a_thousand_identical_calls_are_one_run_and_are_given_up_at_once() {
    testing::run(async {
        let done = Done::default();
        let many = (0..1_000).fold(reply(), |reply, _| reply.call("read", r#"{"s":50}"#));
        let tool = done.tool().single_flight();
        let limits =
            Limits { max_calls_per_round: 1_000, round_time_limit: seconds(9), ..limits() };
        let stage = stage_with([many, reply().text("ok")], [tool], limits);
        let answer = stage.ask().await;
        assert_eq!(outcomes(&answer.report.rounds[0]), vec!["timed_out"; 1_000]);
        assert_eq!((done.began(), done.dropped()), (1, 1));
    });
}

#[test]
fn a_tool_with_effects_has_neither() {
    let refused = |tool: ToolType| match ToolSet::new([tool]) {
        Err(error @ SetError::Reuse { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    };
    for effects in [Effects::Idempotent, Effects::Once] {
        let tool = || Done::default().tool().effects(effects);
        assert_eq!(
            refused(tool().single_flight()),
            "the tool `read` has effects, so that it cannot have a single flight for identical calls"
        );
        let cached = tool().cache_for(seconds(1));
        assert_eq!(refused(cached), "the tool `read` has effects, so that it cannot have a cache");
    }
    let never = Done::default().tool().cache_for(Duration::ZERO);
    assert!(matches!(ToolSet::new([never]), Err(SetError::Limit { .. })));
}

/// Sessions that use the same tools.
struct Sessions {
    runtime: Runtime,
    tools: Arc<ToolSet>,
}

impl Sessions {
    fn new(tool: ToolType) -> Self {
        let tools = Arc::new(ToolSet::new([tool]).expect("the tool is well formed"));
        Self { runtime: testing::runtime(), tools }
    }

    /// A session whose model asks for the call in each turn, `turns` times.
    fn session(&self, turns: usize, with: impl Fn(SessionOptions) -> SessionOptions) -> Session {
        let turn = || [reply().call("read", AGAIN), reply().text("ok")];
        let model = ScriptedModel::new((0..turns).flat_map(|_| turn()));
        self.runtime.session(with(SessionOptions::new(model, self.tools.clone()).limits(limits())))
    }
}

/// Asks, and says how the call came to its result.
async fn asked(session: &Session, question: impl Into<Question>) -> String {
    let answer = session.ask(question).await.expect("the turn ends well");
    shown(&answer.report.rounds[0]).remove(0)
}

const RAN: &str = "ok 1 own";
const CACHED: &str = "ok 0 cached";

#[test]
fn a_result_that_is_kept_answers_the_same_call_at_once_until_it_is_old() {
    testing::run(async {
        let done = Done::default();
        let sessions = Sessions::new(done.tool().cache_for(seconds(60)));
        let session = sessions.session(4, |options| options);
        assert_eq!(asked(&session, "go").await, RAN);
        let began = Instant::now();
        let answer = session.ask("go").await.expect("the turn ends well");
        assert_eq!((began.elapsed(), done.began()), (seconds(0), 1));
        let round = &answer.report.rounds[0];
        assert_eq!((shown(round), round.sum), (vec![CACHED.to_owned()], seconds(0)));
        assert_eq!(round.calls[0].result.as_deref(), Some("1"));
        sleep(seconds(59)).await;
        assert_eq!(asked(&session, "go").await, CACHED);
        sleep(seconds(1)).await;
        assert_eq!(asked(&session, "go").await, RAN);
    });
}

#[test]
fn a_failure_is_not_kept() {
    testing::run(async {
        let done = Done::default();
        let bad = || reply().call("read", r#"{"error":"no"}"#);
        let tool = done.tool().cache_for(seconds(60));
        let stage = stage([bad(), bad(), reply().text("ok")], [tool]);
        let answer = stage.ask().await;
        let rounds: Vec<_> = answer.report.rounds.iter().flat_map(|round| shown(round)).collect();
        assert_eq!(rounds, ["tool_error 1 own"; 2]);
        assert_eq!(done.began(), 2);
    });
}

#[test]
fn a_session_has_its_own_results_and_those_of_others_only_where_the_tool_says_so() {
    testing::run(async {
        for (scope, second) in [(CacheScope::Session, RAN), (CacheScope::Process, CACHED)] {
            let tool = Done::default().tool().cache_for(seconds(60)).cache_scope(scope);
            let sessions = Sessions::new(tool);
            let (one, other) = (sessions.session(2, |it| it), sessions.session(1, |it| it));
            assert_eq!(asked(&one, "go").await, RAN);
            assert_eq!(asked(&other, "go").await, second, "{scope:?}");
            assert_eq!(asked(&one, "go").await, CACHED, "{scope:?}");
        }
    });
}

#[test]
fn what_one_tenant_was_told_is_not_told_to_another() {
    testing::run(async {
        let question = |tenant: u32| Question::new("go").context(tenant);
        for scope in [CacheScope::Session, CacheScope::Process] {
            let tool = Done::default().tool().cache_for(seconds(60)).cache_scope(scope);
            let sessions = Sessions::new(tool);
            let session = sessions.session(5, |options| options);
            assert_eq!(asked(&session, question(1)).await, RAN);
            assert_eq!(asked(&session, question(2)).await, RAN, "{scope:?}");
            assert_eq!(asked(&session, "go").await, RAN, "nor to nobody, {scope:?}");
            assert_eq!(asked(&session, question(1)).await, RAN, "{scope:?}");
            assert_eq!(asked(&session, "go").await, CACHED, "{scope:?}");
            // A session that is a tenant's has results of its own.
            let of_tenant = sessions.session(3, |options| options.context(1u32));
            assert_eq!(asked(&of_tenant, "go").await, RAN, "{scope:?}");
            let again = if scope == CacheScope::Session { CACHED } else { RAN };
            assert_eq!(asked(&of_tenant, "go").await, again, "{scope:?}");
            assert_eq!(asked(&of_tenant, question(1)).await, RAN, "{scope:?}");
        }
    });
}

#[test]
fn a_run_that_is_kept_and_shared_is_one_run() {
    testing::run(async {
        let done = Done::default();
        let two = || reply().call("read", THREE).call("read", THREE);
        let tool = done.tool().single_flight().cache_for(seconds(60));
        let stage = stage([two(), two().paced(seconds(1)), reply().text("ok")], [tool]);
        let answer = stage.ask().await;
        let rounds: Vec<_> = answer.report.rounds.iter().map(|round| shown(round)).collect();
        assert_eq!(rounds, [["ok 1 own", "ok 0 shared"], ["ok 0 cached", "ok 0 cached"]]);
        assert_eq!(done.began(), 1);
        assert!(answer.report.rounds[1].calls[0].early);
    });
}

#[test]
fn a_record_says_whose_result_a_call_has() {
    testing::run(async {
        let tool = Done::default().tool().single_flight();
        let two = reply().call("read", THREE).call("read", THREE);
        let stage = stage([two, reply().text("ok")], [tool]);
        let mut events = stage.session.events();
        stage.ask().await;
        let mut said = Vec::new();
        while said.len() < 2 {
            let record = events.next().await.expect("the turn is told of");
            if let Event::CallEnded { times, .. } = &record.event {
                let json = serde_json::to_value(&record).expect("an event is JSON");
                let back: Record = serde_json::from_value(json.clone()).expect("as it was");
                assert_eq!(back, *record);
                said.push((json.get("reused").cloned(), times.attempts));
            }
        }
        assert_eq!(said, [(None, 1), (Some(json!("shared")), 0)]);
    });
}
