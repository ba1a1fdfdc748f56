//! What a turn and a session may cost: calls, tokens and money.

use std::sync::Arc;

use callsheet::conversation::{Compaction, SessionState};
use callsheet::session::Cause;
use callsheet::store::{Journal, MemoryStore};
use callsheet::testing::{self, Scripted, ScriptedModel, failure, reply};
use callsheet::wire::Usage;
use callsheet::{
    Budget, Budgets, Error, Event, Limits, ModelRetries, Session, SessionId, SessionOptions,
    ToolSet, model,
};
use tokio::time::Instant;

use crate::support::journal::{faults, faults_of_cut, kept};
use crate::support::{failer, limits, outcomes, seconds, sleeper, stage_with};

fn naps(s: u64) -> Scripted {
    reply().call("sleep", &format!(r#"{{"s": {s}}}"#))
}

/// So many tokens, half of them the model's, and what they cost.
fn counted(tokens: u64, cost: Option<f64>) -> Option<Usage> {
    let input_tokens = tokens / 2;
    let output_tokens = tokens - input_tokens;
    Some(Usage { input_tokens, output_tokens, cost, ..Usage::default() })
}

fn of_turn(tokens: Option<u64>, cost: Option<f64>) -> Budgets {
    Budgets { turn: Budget { tokens, cost }, ..Budgets::default() }
}

fn of_session(tokens: Option<u64>, cost: Option<f64>) -> Budgets {
    Budgets { session: Budget { tokens, cost }, ..Budgets::default() }
}

struct Stage {
    model: Arc<ScriptedModel>,
    session: Session,
    journal: Arc<MemoryStore>,
}

/// The session of `journal`, with these budgets.
fn opened(script: Vec<Scripted>, budgets: Budgets, journal: &Arc<MemoryStore>) -> Stage {
    let model = ScriptedModel::new(script);
    let tools = Arc::new(ToolSet::new([sleeper(), failer()]).expect("the tool is well formed"));
    let options = SessionOptions::new(model.clone(), tools)
        .id(SessionId::new("s"))
        .take_over()
        .limits(limits())
        .budgets(budgets)
        .model_retries(ModelRetries { retries: 1, ..ModelRetries::default() });
    let runtime = testing::builder().journal(journal.clone()).in_current_system();
    let session = runtime.expect("within `testing::run`").session(options);
    Stage { model, session, journal: Arc::clone(journal) }
}

fn stage(script: Vec<Scripted>, budgets: Budgets) -> Stage {
    opened(script, budgets, &Arc::new(MemoryStore::keeping()))
}

impl Stage {
    /// Asks, and says how the calls of each round ended and why there is no answer.
    async fn ask(&self) -> (Vec<Vec<&'static str>>, Option<String>) {
        let (report, cause) = match self.session.ask("go").await {
            Ok(answer) => (answer.report, None),
            Err(Error::Turn(failed) | Error::Budget(failed)) => {
                assert_eq!(failed.cause.code(), "budget", "{failed:?}");
                assert!(matches!(failed.cause, Cause::Budget(_)));
                (failed.report, Some(failed.cause.to_string()))
            }
            Err(error) => panic!("{error}"),
        };
        assert_eq!(self.model.violations(), Vec::<String>::new());
        (report.rounds.iter().map(|round| outcomes(round)).collect(), cause)
    }

    fn requests(&self) -> usize {
        self.model.requests().len()
    }

    async fn records(&self) -> Vec<callsheet::Record> {
        self.journal.read(self.session.id(), 0).await.expect("memory does not fail")
    }
}

#[test]
fn calls_beyond_those_of_the_turn_are_denied_and_the_model_may_still_answer() {
    testing::run(async {
        let two = || reply().call("sleep", r#"{"s": 1}"#).call("sleep", r#"{"s": 2}"#);
        let bad = reply().call("nobody", "{}").call("sleep", r#"{"s": 3}"#);
        let script =
            [two(), bad.call("sleep", r#"{"s": 4}"#), naps(5), reply().text("ok"), two(), reply()];
        let limits = Limits { max_calls: 3, ..limits() };
        let stage = stage_with(script, [sleeper()], limits);
        let answer = stage.ask().await;
        let rounds: Vec<_> = answer.report.rounds.iter().map(|round| outcomes(round)).collect();
        assert_eq!(rounds[0], ["ok", "ok"]);
        assert_eq!(rounds[1], ["unknown_tool", "ok", "denied"], "what cannot run is not counted");
        assert_eq!(rounds[2], ["denied"]);
        let call = &answer.report.rounds[2].calls[0];
        assert_eq!(call.error.as_ref().map(|error| &*error.code), Some("budget"));
        let told = "error: the turn has used its 3 calls (`turn.max_calls`); not run";
        assert_eq!(stage.told().last().map(String::as_str), Some(told));
        assert_eq!(
            outcomes(&stage.ask().await.report.rounds[0]),
            ["ok", "ok"],
            "a turn begins anew"
        );
    });
}

#[test]
fn no_call_begins_early_that_is_one_too_many() {
    testing::run(async {
        let three = naps(1).call("sleep", r#"{"s": 1}"#).call("sleep", r#"{"s": 9}"#);
        let script = [three.paced(seconds(1)), reply().text("ok")];
        let stage = stage_with(script, [sleeper()], Limits { max_calls: 2, ..limits() });
        let round = &stage.ask().await.report.rounds[0];
        assert_eq!(outcomes(round), ["ok", "ok", "denied"]);
        assert!(round.discarded.is_empty(), "{round:?}");
    });
}

#[test]
fn a_turn_that_has_used_its_tokens_runs_no_more_calls_and_asks_no_more() {
    testing::run(async {
        let script = vec![naps(1), naps(2), naps(3), reply().text("more")];
        let stage = stage(script, of_turn(Some(30), None));
        let began = Instant::now();
        let (rounds, cause) = stage.ask().await;
        assert_eq!(rounds, [["ok"], ["denied"]]);
        let told = "the turn has used 30 of its 30 tokens (`turn.token_budget`)";
        assert_eq!(cause.as_deref(), Some(told));
        assert_eq!(
            (stage.requests(), began.elapsed()),
            (2, seconds(1)),
            "the second nap is not run"
        );
        assert!(faults(&stage.records().await).is_empty());
        // The next turn has a budget of its own, and a whole history.
        let (rounds, cause) = stage.ask().await;
        assert_eq!((rounds, cause), (vec![vec!["ok"]], None));
        let history = stage.model.last_history();
        assert!(history.contains(&format!("error: {told}; not run")), "{history}");
    });
}

#[test]
fn an_answer_that_goes_beyond_the_budget_is_an_answer() {
    testing::run(async {
        let stage =
            stage(vec![reply().text("ok").counted(counted(1000, None))], of_turn(Some(10), None));
        assert_eq!(stage.ask().await.1, None);
    });
}

#[test]
fn money_is_counted_over_the_turns_of_a_session_and_an_exhausted_one_costs_nothing_more() {
    testing::run(async {
        let dear = |reply: Scripted| reply.counted(counted(10, Some(0.25)));
        let script =
            vec![dear(naps(1)), dear(reply().text("one")), dear(naps(1)), dear(naps(1)), reply()];
        let stage = stage(script, of_session(None, Some(1.0)));
        assert_eq!(stage.ask().await.1, None);
        let (rounds, cause) = stage.ask().await;
        assert_eq!(rounds, [["ok"], ["denied"]]);
        let told = "the session has cost $1.00 of the $1.00 that it may (`session.cost_budget`)";
        assert_eq!(cause.as_deref(), Some(told));
        let before = stage.records().await;
        for _ in 0..3 {
            let (rounds, cause) = stage.ask().await;
            assert!(rounds.is_empty());
            assert_eq!(cause.as_deref(), Some(told));
        }
        assert_eq!(stage.requests(), 4);
        assert_eq!(stage.records().await, before, "a question without a turn leaves no trace");
    });
}

#[test]
fn what_was_spent_outlives_the_process_and_a_larger_budget_lets_the_session_go_on() {
    testing::run(async {
        let first = stage(vec![naps(1), naps(2)], of_session(Some(30), None));
        let (_, spent) = first.ask().await;
        drop(first.session);
        let again = opened(vec![reply().text("ok")], of_session(Some(30), None), &first.journal);
        assert_eq!((again.ask().await.1, again.requests()), (spent, 0));
        drop(again.session);
        let richer = opened(vec![reply().text("ok")], of_session(Some(31), None), &first.journal);
        assert_eq!((richer.ask().await.1, richer.requests()), (None, 1));
        assert!(richer.ask().await.1.is_some());
    });
}

#[test]
fn a_reply_that_nobody_counted_ends_a_turn_with_a_budget_and_no_other() {
    testing::run(async {
        let script = || vec![naps(1).counted(None), reply().text("ok")];
        let (rounds, cause) = stage(script(), of_turn(Some(1_000), None)).ask().await;
        assert_eq!(rounds, [["denied"]]);
        let told = "nobody counted the tokens of some reply of the turn, which may have 1000 \
                    (`turn.token_budget`)";
        assert_eq!(cause.as_deref(), Some(told));
        let (_, cause) = stage(script(), of_turn(None, Some(1.0))).ask().await;
        let told = "nobody said what some reply of the turn has cost, which may cost $1.00 \
                    (`turn.cost_budget`)";
        assert_eq!(cause.as_deref(), Some(told));
        assert_eq!(stage(script(), Budgets::default()).ask().await.1, None);
        // Tokens alone say nothing of the cost, and the cost of nothing is known.
        let unpriced = vec![naps(1).counted(counted(5, None)), reply().text("ok")];
        assert!(stage(unpriced, of_turn(None, Some(1.0))).ask().await.1.is_some());
        let free = vec![naps(1).counted(counted(5, Some(0.0))), reply().text("ok")];
        assert_eq!(stage(free, of_turn(None, Some(1.0))).ask().await.1, None);
    });
}

#[test]
fn a_try_that_came_to_nothing_costs_what_was_counted_of_it() {
    testing::run(async {
        // All of it has come but for the `[DONE]`: counted, and broken off all the same.
        let broken = || {
            let piece = r#"data: {"choices":[{"index":0,"delta":{"content":"a"}}],"usage":{"prompt_tokens":12,"completion_tokens":8}}"#;
            let error = model::Error::Cut { url: "u".into(), reason: "r".into() };
            testing::streamed([(seconds(0), format!("{piece}\n\n"))]).lost_to(error)
        };
        let stage_of =
            |budget| stage(vec![broken(), reply().text("ok")], of_turn(Some(budget), None));
        let poor = stage_of(20);
        let (_, cause) = poor.ask().await;
        let told = "the turn has used 20 of its 20 tokens (`turn.token_budget`)";
        assert_eq!((cause.as_deref(), poor.requests()), (Some(told), 1));
        let kept = poor.records().await.into_iter().find_map(|record| match record.event {
            Event::TurnEnded { usage, .. } => usage,
            _ => None,
        });
        assert_eq!(kept.map(|usage| usage.input_tokens), Some(12), "on record once");
        assert_eq!(stage_of(21).ask().await.1, None);
        // Where there would be no further try, the failure is the model's.
        let refused = model::Error::KeyRefused { url: "u".into(), message: "m".into() };
        let stage = stage(vec![failure(refused)], of_turn(Some(20), None));
        let Err(Error::Turn(failed)) = stage.session.ask("go").await else { panic!() };
        assert_eq!(failed.cause.code(), "key_refused");
    });
}

#[test]
fn a_call_that_began_before_its_reply_used_the_budget_up_is_answered() {
    testing::run(async {
        let two = naps(1).call("fail", "{}").counted(counted(50, None));
        let stage = stage(vec![two.paced(seconds(1)), reply()], of_turn(Some(50), None));
        let (rounds, cause) = stage.ask().await;
        assert_eq!(rounds, [["ok", "denied"]]);
        assert!(cause.is_some());
        assert!(faults(&stage.records().await).is_empty());
    });
}

#[test]
fn a_summary_is_paid_for_from_the_same_budget() {
    testing::run(async {
        let long = "word ".repeat(400);
        let script = || {
            vec![
                reply().text(&long).counted(counted(20, None)),
                reply().text(&long).counted(counted(1_000, None)), // An answer may be dear.
                reply().text("a summary").counted(counted(40, None)),
                reply().text("ok"),
            ]
        };
        let ask = async |budget| {
            let model = ScriptedModel::new(script());
            let context = callsheet::conversation::ContextBudget {
                tokens: 900,
                compaction: Compaction::Summarise,
            };
            let options = SessionOptions::new(model.clone(), Arc::default())
                .limits(limits())
                .context_budget(context)
                .budgets(of_turn(Some(budget), None));
            let session = testing::runtime().session(options);
            for _ in 0..2 {
                session.ask("go").await.expect("it is short enough");
            }
            let last = session.ask("go").await;
            (
                last.map(|answer| answer.text.to_string()).map_err(|e| e.to_string()),
                model.requests().len(),
            )
        };
        let told = "the turn has used 40 of its 40 tokens (`turn.token_budget`)";
        assert_eq!(ask(40).await, (Err(told.to_owned()), 3));
        assert_eq!(ask(41).await, (Ok("ok".to_owned()), 4));
    });
}

#[test]
fn a_turn_beyond_its_budget_ends_alike_from_every_prefix_of_its_journal() {
    testing::run(async {
        let script = || vec![naps(1).call("fail", "{}"), naps(2), reply().text("too much")];
        let budgets = of_turn(Some(30), None);
        let whole = stage(script(), budgets);
        let (_, cause) = whole.ask().await;
        assert!(cause.is_some());
        let (records, history) = (whole.records().await, history(&whole.records().await));
        for length in 2..records.len() {
            let prefix = &records[..length];
            let said = prefix.iter().filter(|r| matches!(r.event, Event::Replied { .. })).count();
            let journal = Arc::new(kept(prefix).await);
            let again = opened(script().split_off(said), budgets, &journal);
            let Err(Error::Turn(failed)) = again.session.resume().await else { panic!("{length}") };
            assert_eq!(Some(failed.cause.to_string()), cause, "after {length} events");
            let records = again.records().await;
            assert_eq!(faults_of_cut(&records), Vec::<String>::new(), "after {length} events");
            assert_eq!(self::history(&records), history, "after {length} events");
            assert_eq!(again.requests() + said, 2, "after {length} events");
        }
    });
}

/// The conversation, but for the words that nobody knows whether a call has happened.
fn history(records: &[callsheet::Record]) -> String {
    let mut state = SessionState::new(16);
    for record in records {
        let _ = state.on(&record.event);
    }
    let said = String::from_utf8_lossy(state.transcript().as_bytes()).into_owned();
    let lost = "the process ended while the call ran; it had begun and may have taken effect: \
                do not repeat it without checking";
    said.replace(lost, "disk on fire")
}

#[test]
fn where_nothing_may_be_spent_nothing_is_asked() {
    testing::run(async {
        for (budgets, told) in [
            (of_turn(Some(0), None), "the turn has used 0 of its 0 tokens (`turn.token_budget`)"),
            (
                of_turn(None, Some(0.0)),
                "the turn has cost $0.00 of the $0.00 that it may (`turn.cost_budget`)",
            ),
        ] {
            let stage = stage(vec![reply().text("never said")], budgets);
            let (rounds, cause) = stage.ask().await;
            assert_eq!((rounds.len(), cause.as_deref(), stage.requests()), (0, Some(told), 0));
            assert!(faults(&stage.records().await).is_empty());
        }
    });
}
