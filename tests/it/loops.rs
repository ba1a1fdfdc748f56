//! A model in a loop: it is told that it repeats itself, then its calls are not run, then its turn ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use callsheet::conversation::SessionState;
use callsheet::session::Cause;
use callsheet::store::{Journal, MemoryStore};
use callsheet::testing::{self, Scripted, ScriptedModel, reply};
use callsheet::{
    Effects, Error, Event, Limits, ModelRetries, Record, Session, SessionId, SessionOptions,
    ToolSet, ToolType,
};
use serde_json::json;

use crate::support::journal::{faults, kept};
use crate::support::{dynamic, limits, outcomes, seconds, stage_with};

/// A tool that counts how often it runs, and says the same each time or not.
fn counter(name: &str, ran: &Arc<AtomicU32>, changes: bool) -> ToolType {
    let ran = Arc::clone(ran);
    dynamic(name, json!({"type": "object"}), move |_, _| {
        let times = ran.fetch_add(1, Ordering::SeqCst) + 1;
        async move { Ok(if changes { format!("{times}") } else { "pending".to_owned() }) }
    })
}

fn within(most: u32) -> Limits {
    Limits { max_identical_calls: most, ..limits() }
}

fn call(arguments: &str) -> Scripted {
    reply().call("poll", arguments)
}

#[test]
fn a_model_that_makes_one_call_over_and_over_is_told_then_refused_then_stopped() {
    testing::run(async {
        let ran = Arc::default();
        // However it is written.
        let written = [r#"{"a":1,"b":2}"#, r#"{ "b": 2, "a": 1 }"#];
        let script = (0..9).map(|n| call(written[n % 2])).chain([reply().text("ok")]);
        let stage = stage_with(script, [counter("poll", &ran, false)], within(3));
        let failed = stage.ask_in_vain().await;
        assert!(matches!(failed.cause, Cause::Loop(_)), "{failed:?}");
        let why = "the model goes on making the same calls, whose results were the same 3 times in a \
                   row (`turn.max_identical_calls`)";
        assert_eq!((failed.cause.code(), &*failed.cause.to_string()), ("loop", why));
        let rounds: Vec<_> = failed.report.rounds.iter().map(|round| outcomes(round)).collect();
        assert_eq!(rounds, [["ok"], ["ok"], ["ok"], ["denied"], ["denied"]]);
        assert_eq!(ran.load(Ordering::SeqCst), 3);
        let call = &failed.report.rounds[3].calls[0];
        assert_eq!(call.error.as_ref().map(|error| &*error.code), Some("repeated_call"));
        let note = "pending\n[note: this call has been made 3 times in a row with the same result; it \
                    will not be run once more]";
        assert_eq!(stage.told()[1..], ["pending", note, stage.told()[3].as_str()]);
        assert!(stage.told()[3].starts_with("error: the same call"), "{:?}", stage.told());
        assert_eq!(stage.model.requests().len(), 5);
        // The next turn begins anew, with a whole history.
        assert_eq!(outcomes(&stage.ask().await.report.rounds[0]), ["ok"]);
    });
}

#[test]
fn a_model_that_heeds_it_goes_on() {
    testing::run(async {
        let ran = Arc::default();
        let same = || call("{}");
        let script = [same(), same(), same(), call(r#"{"a":1}"#), same(), reply().text("ok")];
        let stage = stage_with(script, [counter("poll", &ran, false)], within(2));
        let answer = stage.ask().await;
        let rounds: Vec<_> = answer.report.rounds.iter().map(|round| outcomes(round)).collect();
        assert_eq!(rounds, [["ok"], ["ok"], ["denied"], ["ok"], ["ok"]]);
    });
}

#[test]
fn a_call_whose_result_changes_is_no_loop_and_with_0_none_is() {
    testing::run(async {
        for (changes, most) in [(true, 2), (false, 0)] {
            let ran = Arc::default();
            let script = (0..12).map(|_| call("{}")).chain([reply().text("ok")]);
            let stage = stage_with(script, [counter("poll", &ran, changes)], within(most));
            assert_eq!(stage.ask().await.report.rounds.len(), 12);
            assert_eq!(ran.load(Ordering::SeqCst), 12);
        }
    });
}

#[test]
fn equal_calls_of_one_round_count_once_and_new_ones_beside_them_keep_the_turn_alive() {
    testing::run(async {
        let ran = Arc::default();
        let both = |n: u32| call("{}").call("poll", "{}").call("poll", &format!(r#"{{"n":{n}}}"#));
        let script = (0..6).map(both).chain([reply().text("ok")]);
        let stage = stage_with(script, [counter("poll", &ran, false)], within(2));
        let answer = stage.ask().await;
        let rounds: Vec<_> = answer.report.rounds.iter().map(|round| outcomes(round)).collect();
        assert_eq!(rounds[..2], [["ok", "ok", "ok"], ["ok", "ok", "ok"]]);
        assert_eq!(rounds[2..], vec![["denied", "denied", "ok"]; 4]);
    });
}

#[test]
fn a_call_that_repeats_itself_does_not_begin_early() {
    testing::run(async {
        let ran = Arc::default();
        let poll = counter("poll", &ran, false).effects(Effects::None);
        let paced = || call("{}").paced(seconds(1));
        let script = [paced(), paced(), paced(), reply().text("ok")];
        let stage = stage_with(script, [poll], within(2));
        let answer = stage.ask().await;
        let last = answer.report.rounds.last().expect("three rounds");
        assert_eq!((outcomes(last), last.discarded.len()), (vec!["denied"], 0));
        assert_eq!(ran.load(Ordering::SeqCst), 2);
        let note = "[note: this call has been made 2 times";
        assert!(stage.told()[1].contains(note), "an early one is noted, too: {:?}", stage.told());
    });
}

/// A session on `journal` whose model has said as much as `said`.
fn opened(journal: &Arc<MemoryStore>, said: usize) -> (Session, Arc<ScriptedModel>) {
    let script: Vec<_> = (said..9).map(|_| call("{}")).collect();
    let model = ScriptedModel::new(script);
    let poll = counter("poll", &Arc::default(), false).effects(Effects::Idempotent);
    let tools = Arc::new(ToolSet::new([poll]).expect("the tool is well formed"));
    let options = SessionOptions::new(model.clone(), tools)
        .id(SessionId::new("s"))
        .take_over()
        .limits(within(2))
        .model_retries(ModelRetries::none());
    let runtime = testing::builder().journal(journal.clone()).in_current_system();
    (runtime.expect("within `testing::run`").session(options), model)
}

fn history(records: &[Record]) -> String {
    let mut state = SessionState::new(16);
    for record in records {
        let _ = state.on(&record.event);
    }
    String::from_utf8_lossy(state.transcript().as_bytes()).into_owned()
}

#[test]
fn a_loop_is_one_from_every_prefix_of_its_journal() {
    testing::run(async {
        let (journal, id) = (Arc::new(MemoryStore::keeping()), SessionId::new("s"));
        let (session, _) = opened(&journal, 0);
        assert!(session.ask("go").await.is_err());
        let whole = journal.read(&id, 0).await.expect("memory does not fail");
        assert_eq!(faults(&whole), Vec::<String>::new());
        for length in 2..whole.len() {
            let prefix = whole[..length].to_vec();
            let said = prefix.iter().filter(|r| matches!(r.event, Event::Replied { .. })).count();
            let journal = Arc::new(kept(&prefix).await);
            let (session, model) = opened(&journal, said);
            let Err(Error::Turn(failed)) = session.resume().await else { panic!("{length}") };
            assert_eq!(failed.cause.code(), "loop", "after {length} events");
            let records = journal.read(&id, 0).await.expect("memory does not fail");
            assert_eq!(history(&records), history(&whole), "after {length} events");
            assert_eq!((model.requests().len() + said, model.violations().len()), (4, 0));
        }
    });
}
