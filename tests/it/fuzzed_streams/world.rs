//! Runs one session of a scenario through the real actors, and writes down what it came to.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use callsheet::model::{Error, Events, Model, Request};
use callsheet::session::Clock;
use callsheet::supervision::{Backoff, RestartLimits};
use callsheet::testing::{self, Scripted, ScriptedModel, reply, streamed};
use callsheet::{ModelRetries, Record, RoundReport, Runtime, Session, SessionId, SessionOptions};
use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::hostile::Sent;
use super::scenario::{Scenario, TurnPlan};
use super::tools::{Execution, Witness, tool_set};

/// Longer than any session takes that does not hang.
const FOR_EVER: Duration = Duration::from_secs(10 * 3600);

/// More rounds than a turn has.
const DONE: usize = 20;

/// What a session came to. Times in microseconds, as in the record.
#[derive(Debug)]
pub struct Run {
    pub heard: Vec<Arc<Record>>,
    pub executions: Vec<Execution>,
    pub turns: Vec<TurnRun>,
    /// What a last plain question came to.
    pub last_words: String,
    /// What the model was sent with it: JSON.
    pub history: Vec<Value>,
    /// What a strict provider would have refused on the way.
    pub violations: Vec<String>,
}

/// A turn as the one who asked saw it.
#[derive(Debug)]
pub struct TurnRun {
    pub rounds: Vec<Arc<RoundReport>>,
    /// Somebody cancelled it, or a call of it.
    pub was_meddled_with: bool,
    /// Executions that were still there when the turn was over.
    pub still_running: usize,
}

/// A scripted model that keeps the last history it was sent.
struct Heard {
    name: &'static str,
    script: Arc<ScriptedModel>,
    history: Mutex<Vec<u8>>,
}

impl Model for Heard {
    fn name(&self) -> &str {
        self.name
    }

    fn ask(&self, request: Request<'_>) -> Events {
        *self.history.lock().expect("nobody panics with it") = request.messages.to_vec();
        self.script.ask(request)
    }
}

/// Runs the session to its end; `None` if it hangs.
pub fn run(scenario: &Scenario) -> Option<Run> {
    testing::run(async { timeout(FOR_EVER, live(scenario)).await.ok() })
}

fn scripted(sent: &Sent) -> Scripted {
    let mut script = streamed(sent.pieces.clone());
    if sent.is_lost {
        script = script.lost_to(Error::Cut { url: "x".into(), reason: "as planned".into() });
    }
    if sent.trusted { script } else { script.with_doubtful_braces() }
}

/// As if there were no circuits.
fn supervision() -> RestartLimits {
    let backoff = Backoff { min: Duration::from_millis(10), max: Duration::from_millis(100) };
    RestartLimits {
        max_restarts: u32::MAX,
        max_time_outs: 0,
        max_failure_rate: 1.0,
        backoff,
        ..RestartLimits::default()
    }
}

async fn live(scenario: &Scenario) -> Run {
    let clock = Clock::at(Duration::from_secs(1_000_000_000));
    // A watchdog would wake the thread by the machine's time.
    let runtime = Runtime::builder().clock(clock).watchdog(None);
    let runtime = runtime.in_current_system().expect("within `testing::run`");
    sleep(Duration::from_millis(1)).await; // The runtime's own actors begin.

    let witness = Witness::new(clock);
    let tools = Arc::new(tool_set(&scenario.tools, &witness));
    let models = ["first", "second"].map(|name| {
        let script = ScriptedModel::new([]);
        Arc::new(Heard { name, script, history: Mutex::default() })
    });
    let backoff = Backoff { min: Duration::ZERO, max: Duration::ZERO };
    let options = SessionOptions::new(models[0].clone(), tools)
        .id(SessionId::new("fuzzed"))
        .limits(scenario.limits.clone())
        .supervision(supervision())
        .model_retries(ModelRetries { retries: scenario.retries, backoff });
    let options = match scenario.has_fallback {
        true => options.fallback(models[1].clone()),
        false => options,
    };
    let session = runtime.session(options);
    let mut events = session.events();

    let mut turns = Vec::new();
    for plan in &scenario.turns {
        for (model, script) in models.iter().zip(&plan.scripts) {
            let done = (0..DONE).map(|_| reply().text("done"));
            model.script.rewrite(script.iter().map(scripted).chain(done));
        }
        turns.push(turn(&session, plan, &witness).await);
    }
    models[0].script.rewrite([reply().text("all is well")]);
    let last_words = match session.ask("is all well?").await {
        Ok(answer) => answer.text.to_string(),
        Err(error) => error.to_string(),
    };
    drop(session);
    let mut heard = Vec::new();
    while let Ok(Some(record)) = timeout(Duration::from_secs(1), events.next()).await {
        heard.push(record);
    }
    let history = models[0].history.lock().expect("nobody panics with it");
    let history = [&b"["[..], &**history, b"]"].concat();
    Run {
        heard,
        executions: witness.executions(),
        turns,
        last_words,
        history: serde_json::from_slice(&history).unwrap_or_default(),
        violations: models.iter().flat_map(|model| model.script.violations()).collect(),
    }
}

async fn turn(session: &Session, plan: &TurnPlan, witness: &Witness) -> TurnRun {
    let ask = async {
        let answer = session.ask("go").await;
        // Those who were told to stop have their turn, but no time to wait.
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        (answer, witness.running())
    };
    let cancel = async {
        let Some(after) = plan.cancel_after else { return false };
        sleep(after).await;
        session.cancel().await
    };
    let cancel_call = async {
        let Some((after, id)) = plan.cancel_call else { return false };
        sleep(after).await;
        session.cancel_call(id).await
    };
    let ((answer, still_running), turn, call) = tokio::join!(ask, cancel, cancel_call);
    let was_meddled_with = turn || call;
    let rounds = match answer {
        Ok(answer) => answer.report.rounds.to_vec(),
        Err(callsheet::Error::Turn(failed)) => failed.report.rounds.to_vec(),
        Err(_) => Vec::new(),
    };
    TurnRun { rounds, was_meddled_with, still_running }
}
