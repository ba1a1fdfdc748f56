//! Runs one session of a scenario through the real actors, and writes down what it came to.

use std::sync::Arc;
use std::time::Duration;

use callsheet::conversation::{Compaction, ContextBudget};
use callsheet::model::{Error, Events, Model, Request};
use callsheet::session::{Clock, Status};
use callsheet::store::{Access, Journal, MemoryStore, Store};
use callsheet::testing::{self, Scripted, ScriptedModel, failure, reply, silence};
use callsheet::wire::chat::Message;
use callsheet::{Record, RoundReport, Runtime, Session, SessionId, SessionOptions};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::behaviour::{Behaviour, DEAF_MS};
use super::scenario::{Meddle, Meddling, Pace, ReplyPlan, Says, Scenario, TurnPlan};
use super::tools::{FailedMake, Sighting, Witness, tool_set};

/// The name of the session.
pub const SESSION: &str = "simulated";

/// The name of the model that is asked where the first one fails for good.
pub const SECOND: &str = "second";

/// Longer than any session takes that does not hang.
const FOR_EVER: Duration = Duration::from_secs(10 * 3600);

/// What a session came to. Times in microseconds, as in the record.
#[derive(Debug)]
pub struct Run {
    /// What a subscriber heard.
    pub heard: Vec<Arc<Record>>,
    /// What the journal has.
    pub kept: Vec<Record>,
    pub turns: Vec<TurnRun>,
    /// What a last plain question came to.
    pub last_words: String,
    /// What the model was sent with it.
    pub history: Vec<Message>,
    /// What a strict provider would have refused on the way.
    pub wire_violations: Vec<String>,
    /// What tools saw of calls.
    pub sightings: Vec<Sighting>,
    pub failed_makes: Vec<FailedMake>,
    /// What is still there when all is over.
    pub left: Vec<String>,
}

/// A turn as the one who asked saw it.
#[derive(Debug)]
pub struct TurnRun {
    pub asked_at: u64,
    pub answered_at: u64,
    /// The code of the turn's failure; `None` if it was answered.
    pub failed: Option<String>,
    pub rounds: Vec<Arc<RoundReport>>,
    pub meddled: Vec<Meddled>,
    /// Calls that were still there when the turn was over.
    pub still_working: usize,
}

/// Something done from outside, and what came of it.
#[derive(Debug)]
pub struct Meddled {
    pub at: u64,
    /// How long it waited for its answer.
    pub took: Duration,
    pub answer: Response,
}

#[derive(Debug)]
pub enum Response {
    Cancelled(bool),
    Status(Option<Status>),
}

/// Runs the session to its end; `None` if it hangs.
pub fn run(scenario: &Scenario) -> Option<Run> {
    testing::run(async { timeout(FOR_EVER, live(scenario)).await.ok() })
}

fn scripted(plan: &ReplyPlan) -> Scripted {
    let said = match &plan.says {
        Says::Calls(calls) => {
            let cut = calls.iter().any(|call| call.behaviour == Behaviour::Truncated);
            let reply = if cut { reply().finish("length") } else { reply() };
            calls.iter().fold(reply, |reply, call| {
                reply.call(call.tool, &call.behaviour.arguments(call.number))
            })
        }
        Says::Text => reply().text("done"),
        Says::Failure => failure(Error::Cut { url: "x".into(), reason: "as planned".into() }),
        Says::Refusal => {
            failure(Error::KeyRefused { url: "x".into(), message: "as planned".into() })
        }
        Says::Silence => silence(),
    };
    let said = said.after(plan.delay);
    let Some(Pace { pause, doubtful, broken_off_after }) = plan.pace else { return said };
    let said = said.paced(pause);
    let said = if doubtful { said.with_doubtful_braces() } else { said };
    match broken_off_after {
        Some(chunks) => said.broken_off_after(chunks),
        None => said,
    }
}

/// The model that is asked where the first one fails for good. It goes on with the same script.
struct Second(Arc<ScriptedModel>);

impl Model for Second {
    fn name(&self) -> &str {
        SECOND
    }

    fn ask(&self, request: Request<'_>) -> Events {
        self.0.ask(request)
    }
}

async fn live(scenario: &Scenario) -> Run {
    let clock = Clock::at(Duration::from_secs(1_000_000_000));
    let journal = Arc::new(MemoryStore::keeping());
    // A watchdog would wake the thread by the machine's time.
    let runtime = Runtime::builder().clock(clock).journal(journal.clone()).watchdog(None);
    let runtime = runtime.in_current_system().expect("within `testing::run`");
    sleep(Duration::from_millis(1)).await; // The runtime's own actors begin.

    let (witness, model) = (Witness::new(clock), ScriptedModel::new([]));
    let tools = Arc::new(tool_set(&scenario.tools, &witness));
    let name: Arc<str> = SESSION.into();
    let id = SessionId::new(Arc::clone(&name));
    let options = SessionOptions::new(model.clone(), Arc::clone(&tools));
    let options = options.id(id.clone()).limits(scenario.limits.clone());
    let options = options.supervision(scenario.supervision.clone());
    let options = options.model_retries(scenario.model_retries);
    let (tokens, compaction) = (scenario.context_tokens, Compaction::DropOldest);
    let options = options.context_budget(ContextBudget { tokens, compaction });
    let options = match scenario.has_fallback {
        true => options.fallback(Arc::new(Second(Arc::clone(&model)))),
        false => options,
    };
    let options = match scenario.max_concurrency {
        Some(calls) => options.max_concurrency(calls),
        None => options,
    };
    let session = runtime.session(options);
    let mut events = session.events();

    let mut turns = Vec::new();
    for plan in &scenario.turns {
        model.rewrite(plan.replies.iter().map(scripted));
        turns.push(turn(&session, plan, clock, &witness).await);
    }
    model.rewrite([reply().text("all is well")]);
    let last_words = match session.ask("is all well?").await {
        Ok(answer) => answer.text.to_string(),
        Err(error) => error.to_string(),
    };
    drop(session);
    sleep(Duration::from_millis(DEAF_MS)).await; // Deaf work ends.

    let mut heard = Vec::new();
    while let Ok(Some(record)) = timeout(Duration::from_secs(1), events.next()).await {
        heard.push(record);
    }
    let kept = journal.read(&id, 0).await.expect("memory does not fail");
    journal.remove(&id, Access::TakeOver).await.expect("memory does not fail");
    // tokio does not count the tasks of an arbiter. But each actor of a session knows its id, and
    // so does whatever a call leaves behind.
    let known_here = 2 + heard.len() + kept.len(); // `name` and `id`, and the records.
    let left = [
        ("who know the session", Arc::strong_count(&name) - known_here),
        ("who hold its model", Arc::strong_count(&model) - 1),
        ("who hold its tools", Arc::strong_count(&tools) - 1),
        ("calls", witness.calls_alive()),
        ("tools", witness.tools_alive()),
    ];
    let left = left.into_iter().filter(|(_, count)| *count > 0);
    Run {
        kept,
        heard,
        turns,
        last_words,
        history: model.requests().pop().unwrap_or_default(),
        wire_violations: model.violations(),
        sightings: witness.sightings(),
        failed_makes: witness.failed_makes(),
        left: left.map(|(what, count)| format!("{count} {what}")).collect(),
    }
}

async fn turn(session: &Session, plan: &TurnPlan, clock: Clock, witness: &Witness) -> TurnRun {
    let asked = Instant::now();
    let ask = async {
        let answer = session.ask("go").await;
        let answered_at = clock.micros_at(Instant::now());
        // Those who were told to stop have their turn, but no time to wait.
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        (answer, answered_at, witness.calls_alive())
    };
    let meddling = async {
        let mut meddled = Vec::new();
        for meddling in &plan.meddling {
            sleep_until(asked + meddling.after).await;
            meddled.push(meddle(session, *meddling, clock).await);
        }
        meddled
    };
    let ((answer, answered_at, still_working), meddled) = tokio::join!(ask, meddling);
    let (failed, rounds) = match answer {
        Ok(answer) => (None, answer.report.rounds.to_vec()),
        Err(callsheet::Error::Turn(failed)) => {
            (Some(failed.cause.code().to_owned()), failed.report.rounds.to_vec())
        }
        Err(error) => (Some(error.to_string()), Vec::new()),
    };
    let asked_at = clock.micros_at(asked);
    TurnRun { asked_at, answered_at, failed, rounds, meddled, still_working }
}

async fn meddle(session: &Session, meddling: Meddling, clock: Clock) -> Meddled {
    let began = Instant::now();
    let answer = match meddling.what {
        Meddle::Cancel => Response::Cancelled(session.cancel().await),
        Meddle::AskForStatus => Response::Status(session.status().await.ok()),
    };
    Meddled { at: clock.micros_at(began), took: began.elapsed(), answer }
}
