//! Random rounds whose calls need approval or do not, with a person who decides at random, or not at all
//! before the turn is cancelled: whatever happens, nothing begins unapproved, every call is answered once,
//! and the account of each round adds up.

use std::sync::Arc;
use std::time::Duration;

use callsheet::session::Clock;
use callsheet::store::{Journal, MemoryStore};
use callsheet::testing::{self, Sabotage, Scripted, ScriptedModel, reply};
use callsheet::{
    Approval, Decision, Effects, Error, Event, Limits, Mode, ModelRetries, Runtime, Session,
    SessionOptions, ToolSet, ToolType,
};
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::support::dice::Dice;
use crate::support::journal::{faults_but_unbegun, faults_of_approvals};
use crate::support::{dynamic, limits, seconds};

/// How many sessions.
const COURSES: u64 = 150;

const TOOLS: [(&str, Approval); 3] =
    [("free", Approval::Never), ("once", Approval::OncePerSession), ("always", Approval::Always)];

fn tool((name, approval): (&'static str, Approval), effects: Effects) -> ToolType {
    let parameters = json!({"type": "object", "properties": {"s": {"type": "integer"}}});
    let tool = dynamic(name, parameters, |arguments, _| async move {
        sleep(seconds(arguments["s"].as_u64().unwrap_or_default())).await;
        Ok(arguments.to_string())
    });
    tool.approval(approval).effects(effects)
}

fn script(dice: &mut Dice) -> Vec<Scripted> {
    let mut script = Vec::new();
    for _ in 0..dice.between(1, 4) {
        let mut round = reply();
        for _ in 0..dice.between(1, 6) {
            let (name, _) = dice.one_of(&TOOLS);
            let arguments = dice.one_of(&[r#"{"s": 1}"#, r#"{"s": 40}"#, "{}", r#"{"s": "x"}"#]);
            round = round.call(name, arguments);
        }
        script.push(if dice.percent(30) { round.paced(seconds(1)) } else { round });
    }
    script.push(reply().text("done"));
    script
}

fn decision(dice: &mut Dice) -> Decision {
    match dice.between(0, 4) {
        0 => Decision::Denied { reason: None },
        1 => Decision::Edited { arguments: r#"{"s": 3}"#.into() },
        2 => Decision::Edited { arguments: "[]".into() }, // That is not taken.
        _ => Decision::Approved,
    }
}

/// Decides about each call at some time, until one decision is taken; cancels some in place of that.
fn person(session: &Session, mut dice: Dice) {
    let (session, mut events) = (session.clone(), session.events());
    actix_rt::spawn(async move {
        while let Some(record) = events.next().await {
            let Some(call) = record.event.waiting_call(session.id()) else { continue };
            let Event::ApprovalAsked { id, .. } = &record.event else { continue };
            let (session, id) = (session.clone(), Arc::clone(id));
            let is_cancelled = dice.percent(10);
            let decisions: Vec<_> = (0..9)
                .map(|_| (dice.one_of(&[0, 1, 20, 5_000]), decision(&mut dice)))
                .chain([(0, Decision::Approved)])
                .collect();
            actix_rt::spawn(async move {
                for (after, decision) in decisions {
                    sleep(seconds(after)).await;
                    if is_cancelled && after > 0 {
                        session.cancel_call(&id).await;
                    } else if session.decide(&call, decision).await.is_ok() {
                        break;
                    }
                }
            });
        }
    });
}

/// Runs a session, and says what is wrong with what comes of it.
async fn run(seed: u64) -> Vec<String> {
    let mut dice = Dice::new(seed);
    let script = script(&mut dice);
    let effects = dice.one_of(&[Effects::None, Effects::Once]);
    let mode = dice.one_of(&[Mode::Parallel, Mode::Parallel, Mode::Sequential]);
    let limits = Limits { mode, call_time_limit: seconds(30), ..limits() };
    let model = ScriptedModel::new(script);
    let tools = ToolSet::new(TOOLS.map(|it| tool(it, effects))).expect("well formed");
    let options = SessionOptions::new(model.clone(), Arc::new(tools)).limits(limits);
    let options = options.model_retries(ModelRetries::none());
    let journal = Arc::new(MemoryStore::keeping());
    let builder = Runtime::builder().journal(journal.clone()).watchdog(None);
    let runtime = builder.clock(Clock::at(seconds(1_000_000))).in_current_system();
    let session = runtime.expect("within `testing::run`").session(options);
    person(&session, Dice::new(seed ^ 1));
    let cancels = dice.percent(20).then(|| seconds(dice.between(1, 9_000)));
    let asked = timeout(seconds(10_000_000), async {
        let asked = session.ask("go");
        match cancels {
            None => asked.await,
            Some(after) => {
                let cancel = async {
                    sleep(after).await;
                    session.cancel().await;
                };
                tokio::join!(asked, cancel).0
            }
        }
    });
    let mut faults = Vec::new();
    let report = match asked.await {
        Err(_) => return vec!["it hangs".to_owned()],
        Ok(Ok(answer)) => answer.report,
        Ok(Err(Error::Turn(failed))) if cancels.is_some() => failed.report,
        Ok(Err(other)) => return vec![format!("{other:?}")],
    };
    for round in report.rounds.iter() {
        let sum = round.model + round.wall + round.overhead;
        if round.clock + round.overlap != sum || round.overhead > Duration::from_millis(1) {
            faults.push(format!("the account does not add up: {round:?}"));
        }
        if round.calls.iter().any(|call| call.outcome.is_none() || call.awaits_approval) {
            faults.push(format!("a call is open: {round:?}"));
        }
    }
    faults.extend(model.violations());
    let records = journal.read(session.id(), 0).await.expect("memory does not fail");
    faults.extend(faults_but_unbegun(&records));
    faults.extend(faults_of_approvals(&records, &["once", "always"]));
    faults
}

#[test]
fn whatever_a_person_does_nothing_runs_unapproved_and_every_call_is_answered() {
    for seed in 0..COURSES {
        let faults = testing::run(run(seed));
        assert_eq!(faults, Vec::<String>::new(), "seed {seed}");
    }
}

#[test]
fn a_runtime_that_does_not_wait_is_found_out() {
    let found = (0..COURSES).any(|seed| {
        testing::run(async move {
            testing::sabotage(Some(Sabotage::Unapproved));
            let faults = run(seed).await;
            testing::sabotage(None);
            !faults.is_empty()
        })
    });
    assert!(found);
}
