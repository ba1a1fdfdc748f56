//! The tools: they do what their arguments say, and write down every execution.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;

use callsheet::session::Clock;
use callsheet::tools::{self, Tool, ToolFuture};
use callsheet::{CallContext, CallKey, ToolSet, ToolType};
use tokio::time::{Instant, sleep};

use super::scenario::ToolPlan;
use super::wish::{Deed, deed, schema};
use crate::support::seeds::SCRIPTED;

/// A call that a tool was given. Times in microseconds, as in the record.
#[derive(Clone, Debug, PartialEq)]
pub struct Execution {
    pub key: CallKey,
    pub tool: &'static str,
    pub arguments: String,
    pub began_at: u64,
    /// When its future was dropped.
    pub gone_at: Option<u64>,
}

/// Writes down what tools are asked to do, whatever the record says.
pub struct Witness {
    clock: Clock,
    executions: Mutex<Vec<Execution>>,
}

impl Witness {
    pub fn new(clock: Clock) -> Arc<Self> {
        Arc::new(Self { clock, executions: Mutex::default() })
    }

    /// All so far, in the order in which they began.
    pub fn executions(&self) -> Vec<Execution> {
        self.locked().clone()
    }

    /// How many are not gone.
    pub fn running(&self) -> usize {
        self.locked().iter().filter(|execution| execution.gone_at.is_none()).count()
    }

    fn locked(&self) -> MutexGuard<'_, Vec<Execution>> {
        self.executions.lock().expect("nobody panics with the lock")
    }

    fn see(self: &Arc<Self>, tool: &'static str, arguments: &str, context: &CallContext) -> Seen {
        let mut executions = self.locked();
        let (key, arguments) = (context.key().clone(), arguments.to_owned());
        let began_at = self.clock.micros_at(Instant::now());
        executions.push(Execution { key, tool, arguments, began_at, gone_at: None });
        Seen { witness: Arc::clone(self), place: executions.len() - 1 }
    }
}

/// An execution while it is there.
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
        let (witness, name) = (Arc::clone(witness), plan.name);
        let make = move || Scripted { witness: Arc::clone(&witness), name };
        let tool = ToolType::new(name, "for a test", schema(name), make).effects(plan.effects);
        let tool = plan.early.into_iter().fold(tool, ToolType::early);
        let tool = plan.time_limit.into_iter().fold(tool, ToolType::time_limit);
        if plan.exclusive { tool.exclusive() } else { tool }
    };
    ToolSet::new(plans.iter().map(tool)).expect("the tools are well formed")
}

struct Scripted {
    witness: Arc<Witness>,
    name: &'static str,
}

impl Tool for Scripted {
    fn call(&self, arguments: &str, context: CallContext) -> ToolFuture {
        let seen = self.witness.see(self.name, arguments, &context);
        let arguments = arguments.to_owned();
        Box::pin(Work { act: Box::pin(act(arguments)), _seen: seen })
    }
}

/// The future of a call.
struct Work {
    act: ToolFuture,
    _seen: Seen,
}

impl Future for Work {
    type Output = Result<String, tools::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.act.as_mut().poll(cx)
    }
}

/// What an answer begins with; then come the arguments that it answers.
pub const ANSWER: &str = "did ";

async fn act(arguments: String) -> Result<String, tools::Error> {
    let (deed, ms) = deed(&serde_json::from_str(&arguments).unwrap_or_default());
    if ms > 0 {
        sleep(Duration::from_millis(ms)).await;
    }
    match deed {
        Deed::Answer => Ok(format!("{ANSWER}{arguments}")),
        Deed::Fail => Err(tools::Error::new("no luck")),
        Deed::Panic => panic!("{SCRIPTED}"),
        Deed::Hang => std::future::pending().await,
    }
}
