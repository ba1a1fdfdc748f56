//! The scripted tools: they do what their arguments say, and a witness sees when each call comes
//! and goes.

use std::pin::Pin;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;

use callsheet::session::Clock;
use callsheet::tools::{self, Tool, ToolFuture};
use callsheet::{CallContext, ToolSet, ToolType};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use super::behaviour::{Behaviour, DEAF_MS, schema};
use super::scenario::ToolPlan;
use crate::support::seeds::SCRIPTED;

/// Sees what tools really do, whatever the record says.
pub struct Witness {
    clock: Clock,
    sightings: Mutex<Vec<Sighting>>,
    failed_makes: Mutex<Vec<FailedMake>>,
    tools: AtomicUsize,
}

/// A tool that could not be made when it was to be.
#[derive(Clone, Debug, PartialEq)]
pub struct FailedMake {
    pub tool: &'static str,
    pub at: u64,
}

/// A try of a call that a tool was given. Times as in the record.
#[derive(Clone, Debug, PartialEq)]
pub struct Sighting {
    pub key: String,
    /// Which try of the call it says it is.
    pub number: u32,
    pub began_at: u64,
    /// When its future was dropped.
    pub gone_at: Option<u64>,
}

impl Witness {
    pub fn new(clock: Clock) -> Arc<Self> {
        let (sightings, failed_makes, tools) = Default::default();
        Arc::new(Self { clock, sightings, failed_makes, tools })
    }

    /// All calls so far, in the order in which they began.
    pub fn sightings(&self) -> Vec<Sighting> {
        self.locked().clone()
    }

    /// All makes so far that failed.
    pub fn failed_makes(&self) -> Vec<FailedMake> {
        self.failed_makes.lock().expect("nobody panics with the lock").clone()
    }

    /// How many calls are not gone.
    pub fn calls_alive(&self) -> usize {
        self.locked().iter().filter(|sighting| sighting.gone_at.is_none()).count()
    }

    /// How many tools are made and not dropped.
    pub fn tools_alive(&self) -> usize {
        self.tools.load(Ordering::Relaxed)
    }

    fn locked(&self) -> MutexGuard<'_, Vec<Sighting>> {
        self.sightings.lock().expect("nobody panics with the lock")
    }

    fn see(self: &Arc<Self>, context: &CallContext) -> Seen {
        let mut sightings = self.locked();
        let (key, number) = (context.key().to_string(), context.attempt());
        let began_at = self.clock.micros_at(Instant::now());
        sightings.push(Sighting { key, number, began_at, gone_at: None });
        Seen { witness: Arc::clone(self), place: sightings.len() - 1 }
    }

    fn see_failed_make(&self, tool: &'static str) {
        let at = self.clock.micros_at(Instant::now());
        let mut failed = self.failed_makes.lock().expect("nobody panics with the lock");
        failed.push(FailedMake { tool, at });
    }
}

/// A call while it is there.
struct Seen {
    witness: Arc<Witness>,
    place: usize,
}

impl Drop for Seen {
    fn drop(&mut self) {
        let now = self.witness.clock.micros_at(Instant::now());
        self.witness.locked()[self.place].gone_at = Some(now);
    }
}

/// The tools of a scenario.
pub fn tool_set(plans: &[ToolPlan], witness: &Arc<Witness>) -> ToolSet {
    let tool = |plan: &ToolPlan| {
        let (witness, failed_makes, name) = (Arc::clone(witness), plan.failed_makes, plan.name);
        let made = AtomicU32::new(0);
        let make = move || {
            if made.fetch_add(1, Ordering::Relaxed) < failed_makes {
                witness.see_failed_make(name);
                panic!("{SCRIPTED}: it cannot be made");
            }
            witness.tools.fetch_add(1, Ordering::Relaxed);
            ScriptedTool(Arc::clone(&witness))
        };
        plan.limit(ToolType::new(name, "for a test", schema(), make).effects(plan.effects))
    };
    ToolSet::new(plans.iter().map(tool)).expect("the tools are well formed")
}

impl ToolPlan {
    /// Sets the limits of `tool` that the plan has.
    fn limit(&self, tool: ToolType) -> ToolType {
        fn set<T>(tool: ToolType, limit: Option<T>, by: fn(ToolType, T) -> ToolType) -> ToolType {
            match limit {
                Some(limit) => by(tool, limit),
                None => tool,
            }
        }
        let tool = set(tool, self.time_limit, ToolType::time_limit);
        let tool = set(tool, self.try_limit, ToolType::attempt_time_limit);
        let tool = set(tool, self.silence_limit, ToolType::silence_limit);
        let tool = set(tool, self.max_concurrency, ToolType::max_concurrency);
        let tool = set(tool, self.max_queue, ToolType::max_queue);
        let tool = set(tool, self.early, ToolType::early);
        let tool = tool.retries(self.retries);
        if self.exclusive { tool.exclusive() } else { tool }
    }
}

struct ScriptedTool(Arc<Witness>);

impl Drop for ScriptedTool {
    fn drop(&mut self) {
        self.0.tools.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Tool for ScriptedTool {
    fn call(&self, arguments: &str, context: CallContext) -> ToolFuture {
        let _seen = self.0.see(&context);
        let behaviour = Behaviour::read("", arguments).at_try(context.attempt());
        assert!(behaviour != Behaviour::PanicInCall, "{SCRIPTED}");
        let explodes = matches!(behaviour, Behaviour::PanicInDrop { .. });
        Box::pin(Work { act: Box::pin(act(behaviour, context)), explodes, _seen })
    }
}

/// The future of a call.
struct Work {
    act: ToolFuture,
    explodes: bool,
    _seen: Seen,
}

impl Future for Work {
    type Output = Result<String, tools::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.act.as_mut().poll(cx)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        assert!(!self.explodes || std::thread::panicking(), "{SCRIPTED} in drop");
    }
}

/// What an answer to the call says.
pub fn answer(key: &str) -> String {
    format!("answer to {key}")
}

/// What a failed call says.
pub fn failure(key: &str) -> String {
    format!("no luck with {key}")
}

async fn act(behaviour: Behaviour, context: CallContext) -> Result<String, tools::Error> {
    let key = context.key().to_string();
    match behaviour {
        Behaviour::Succeed { ms } | Behaviour::PanicInDrop { ms } => rest(ms).await,
        Behaviour::Report { ms, steps } => {
            for step in 0..steps {
                rest(ms * (step + 1) / steps - ms * step / steps).await;
                context.report_progress(step.to_string());
            }
        }
        Behaviour::Fail { ms } => {
            rest(ms).await;
            return Err(tools::Error::new(failure(&key)));
        }
        Behaviour::PanicAtOnce => panic!("{SCRIPTED}"),
        Behaviour::PanicLate { ms } => {
            rest(ms).await;
            panic!("{SCRIPTED}");
        }
        Behaviour::Hang => context.over().await,
        Behaviour::HangDeaf => {
            let (keep, never) = oneshot::channel::<()>();
            actix_rt::spawn(async move {
                sleep(Duration::from_millis(DEAF_MS)).await;
                drop(keep);
            });
            drop(never.await);
        }
        Behaviour::PanicInCall
        | Behaviour::Recover { .. }
        | Behaviour::UnknownTool
        | Behaviour::BreakSchema
        | Behaviour::Malformed
        | Behaviour::Truncated => unreachable!("{behaviour:?} was to be dealt with"),
    }
    Ok(answer(&key))
}

async fn rest(ms: u64) {
    if ms > 0 {
        sleep(Duration::from_millis(ms)).await;
    }
}
