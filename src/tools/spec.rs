//! A tool type: what the model is shown of a tool, its limits, and how to make one.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use serde_json::Value;
use tokio::time::Instant;

use super::cache::{CacheScope, Caching};
use super::shared::Shared;
use super::threads::Function;
use super::{CallContext, CallLimits, Error, RateLimit, ToolHealth, message_of};
use crate::conversation::{Approval, Effects};
use crate::wire::Certainty;

/// The work of one call: the text that answers it, or the tool's own failure.
///
/// It runs on one thread from start to end, so it need not be `Send`. It is dropped when the call
/// is cancelled or its time limit passes.
pub type ToolFuture = LocalBoxFuture<'static, Result<String, Error>>;

/// Something the model can call.
///
/// Most tools are plain async functions: see [`ToolType::typed`]. Implement the trait for a tool
/// with state of its own, such as a connection: each worker makes its own value (see
/// [`ToolType::new`]), and a value that panicked is thrown away and made anew.
pub trait Tool: 'static {
    /// Starts a call. `arguments` is the text of a JSON object that fits the schema.
    ///
    /// Must return at once: whatever waits belongs into the future, and whatever computes for
    /// more than some 50 µs belongs on a thread of its own (`tokio::task::spawn_blocking`).
    /// A panic, here or in the future, is caught and answers this call alone.
    fn call(&self, arguments: &str, context: CallContext) -> ToolFuture;
}

impl<F> Tool for F
where
    F: Fn(&str, CallContext) -> ToolFuture + 'static,
{
    fn call(&self, arguments: &str, context: CallContext) -> ToolFuture {
        self(arguments, context)
    }
}

/// Makes the tool of a new worker, and again each time the worker is rebuilt.
pub type Make = Arc<dyn Fn() -> Rc<dyn Tool> + Send + Sync>;

/// A named tool with its description, schema, limits and effects. Cheap to clone; clones share
/// their limits and their [health](ToolType::health), in all sessions of the process.
///
/// A clone made before a limit was set does not have it. A call waits for its turn within its own
/// time limit, and leaves the line at once when it is cancelled.
#[derive(Clone)]
pub struct ToolType {
    pub(super) name: Arc<str>,
    pub(super) description: Arc<str>,
    pub(super) parameters: Value,
    pub(super) effects: Effects,
    pub(super) early: Option<bool>,
    pub(super) approval: Approval,
    pub(super) origin: Origin,
    pub(super) limits: CallLimits,
    pub(super) work: Work,
    /// By all clones of it, in all sessions.
    pub(super) shared: Arc<Shared>,
}

/// What runs the calls.
#[derive(Clone)]
pub(super) enum Work {
    /// A value per worker, on the session's own thread.
    Async(Make),
    /// A function, each call on a thread of its own.
    Blocking(Arc<Function>),
    /// The built-in tool, made of each session's own results.
    ReadResults,
}

/// Where a tool comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// `rust`, `demo`, `http`, `command` or `mcp`.
    pub kind: &'static str,
    /// The server that offers it, if one does.
    pub server: Option<Arc<str>>,
}

impl Default for Origin {
    /// A Rust function of the program's own.
    fn default() -> Self {
        Self { kind: "rust", server: None }
    }
}

impl Origin {
    /// A tool of this `kind` that no server offers.
    #[must_use]
    pub fn of(kind: &'static str) -> Self {
        Self { kind, server: None }
    }
}

impl ToolType {
    /// A tool with the JSON Schema `parameters` for its arguments; `make` makes one for each worker.
    ///
    /// Its effects are taken for [`Effects::Once`] until [`ToolType::effects`] says better.
    pub fn new<T: Tool>(
        name: impl Into<Arc<str>>,
        description: impl Into<Arc<str>>,
        parameters: Value,
        make: impl Fn() -> T + Send + Sync + 'static,
    ) -> Self {
        let make: Make = Arc::new(move || Rc::new(make()));
        Self::of(name.into(), description.into(), parameters, Work::Async(make))
    }

    pub(super) fn of(name: Arc<str>, description: Arc<str>, parameters: Value, work: Work) -> Self {
        let (effects, early, approval, origin, limits, shared) = Default::default();
        Self {
            name,
            description,
            parameters,
            effects,
            early,
            approval,
            origin,
            limits,
            work,
            shared,
        }
    }

    /// Says what running the tool twice would do; [`Effects::Once`] if it is not said.
    #[must_use]
    pub fn effects(mut self, effects: Effects) -> Self {
        self.effects = effects;
        self
    }

    /// Says whether a person has to approve calls before they begin: never, if it is not said.
    ///
    /// A call that waits holds nothing up and takes no place in a line; the time limits of its round and
    /// its turn stand still, and its own begins when it does. Who decides tells the session so
    /// ([`crate::Session::decide`]). It does not begin while the model still writes, unless its tool is
    /// approved for the session.
    #[must_use]
    pub fn approval(mut self, approval: Approval) -> Self {
        self.approval = approval;
        self
    }

    /// Says where the tool comes from, for listings; [`Origin::default`] if it is not said.
    #[must_use]
    pub fn with_origin(mut self, origin: Origin) -> Self {
        self.origin = origin;
        self
    }

    /// Says whether calls may begin while the model still writes the rest of its reply; those of a
    /// tool with effects [`Effects::None`] may, and no others, if it is not said.
    ///
    /// A reply may break off, or be asked for again, after a call has begun, and then not ask for the
    /// call any more: it has happened, or may have. The report tells of it, and so does the history,
    /// unless its effects are [`Effects::None`]: there it stands as a call of its own with its
    /// outcome, before the reply that does not ask for it or at the end of its turn, so that the model
    /// does not ask for it again unawares. Nothing takes it back, though. So with other effects than
    /// [`Effects::None`] this is a choice: such a call begins when the next one opens or the reply is
    /// finished, and no earlier.
    ///
    /// Calls of an [exclusive](ToolType::exclusive) tool, and all in sequential mode
    /// ([`crate::Mode::Sequential`]), wait for the end in any case.
    #[must_use]
    pub fn early(mut self, early: bool) -> Self {
        self.early = Some(early);
        self
    }

    /// How certain the arguments of a call must be for it to begin before its reply has ended.
    pub(super) fn begins(&self) -> Option<Certainty> {
        match (self.early, self.effects) {
            _ if self.limits.exclusive => None,
            (Some(false), _) | (None, Effects::Idempotent | Effects::Once) => None,
            (_, Effects::None) => Some(Certainty::Closed),
            (Some(true), Effects::Idempotent | Effects::Once) => Some(Certainty::Sealed),
        }
    }

    /// Sets the time limit of one call, waiting and retries included, in place of the session's
    /// ([`crate::Limits::call_time_limit`], 30 s if it is not said). Then the call is dropped and
    /// answered `timed_out`.
    #[must_use]
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.limits.time_limit = Some(limit);
        self
    }

    /// Has a call that failed, panicked or whose try took too long tried again, up to `retries`
    /// times, with the same key: 0, that is never, if it is not said.
    ///
    /// Before each try the call rests, longer each time
    /// ([`backoff`](crate::supervision::RestartLimits::backoff)), and holds up nobody meanwhile. A
    /// rest that would outlast the call's time limit is not begun; a cancel ends it at once. The
    /// call is answered what its last try came to.
    ///
    /// Only for tools whose effects are [`Effects::None`] or [`Effects::Idempotent`]: a call with
    /// effects [`Effects::Once`] that has begun is never run again. An [`Error::permanent`] is not
    /// tried again, nor are arguments that crashed twice without an answer in between.
    #[must_use]
    pub fn retries(mut self, retries: u32) -> Self {
        self.limits.retries = retries;
        self
    }

    /// Sets the time limit of one try, within that of the call; none of its own if it is not said.
    /// It begins with the try: waiting for a turn does not count. A try that is late is dropped, and
    /// the call tried again if it may be, else answered `timed_out`.
    #[must_use]
    pub fn attempt_time_limit(mut self, limit: Duration) -> Self {
        self.limits.attempt_time_limit = Some(limit);
        self
    }

    /// Ends a try that has not reported progress for so long ([`CallContext::report_progress`]), as
    /// if its time limit had passed: a tool that works for an hour and says so may, one that hangs is
    /// found in seconds. Any silence is taken for work if it is not said.
    #[must_use]
    pub fn silence_limit(mut self, limit: Duration) -> Self {
        self.limits.silence_limit = Some(limit);
        self
    }

    /// Lets so many calls run at a time, in all sessions of the process together; the others wait,
    /// first come, first served. Any number may if it is not said. With 0 none would: it counts as 1.
    #[must_use]
    pub fn max_concurrency(mut self, calls: usize) -> Self {
        self.limits.max_concurrency = Some(calls.max(1));
        self.with_new_gate()
    }

    /// Lets one call run at a time in each session, in the order they were asked for. Calls of
    /// other tools do not wait.
    #[must_use]
    pub fn exclusive(mut self) -> Self {
        self.limits.exclusive = true;
        self.with_new_gate()
    }

    /// Has calls with the same value of `argument` run one after the other, in all sessions of the
    /// process together: two writes to one file, two bookings from one account. `argument` is a
    /// member of the arguments' object, and its values are compared as JSON. Calls without it wait
    /// for nobody.
    #[must_use]
    pub fn serial_by(mut self, argument: impl Into<String>) -> Self {
        self.limits.serial_by = Some(argument.into());
        self.with_new_gate()
    }

    /// Lets so many calls begin in a time, in the whole process: all at once after a pause, then
    /// evenly spread. The others wait. Each try of a call counts. Any number may if it is not said.
    #[must_use]
    pub fn rate_limit(mut self, limit: RateLimit) -> Self {
        self.limits.rate = Some(limit);
        self.with_new_gate()
    }

    /// Lets so many calls wait for their turn, in the whole process (1,000 if it is not said); one
    /// more is answered `overloaded` at once.
    #[must_use]
    pub fn max_queue(mut self, calls: usize) -> Self {
        self.limits.max_queue = calls;
        self
    }

    /// Has identical calls of one round (the same arguments, in whatever order of their fields) run once:
    /// the first runs, and its outcome, also a failure, answers all of them. Each has its own events and
    /// its own line in the report; that of a call that did not run says `shared`, with 0 tries. They
    /// share the time limit of the first. One that is cancelled leaves the others alone: the work stops
    /// with the last of them.
    ///
    /// Only for tools whose effects are [`Effects::None`]; [`ToolSet::new`](super::ToolSet::new) refuses
    /// others.
    #[must_use]
    pub fn single_flight(mut self) -> Self {
        self.limits.single_flight = true;
        self
    }

    /// Keeps what calls were answered, if they ended well, for so long: the same call of the same session
    /// is then answered with that and does not run, however its tool is meanwhile. Its line in the report
    /// says `cached`, with 0 tries. The results of a tool that are kept have 16 MB and number 1,000 at
    /// most; then the oldest go, and one of more than 1 MB is not kept at all.
    ///
    /// A question that brings a [context](crate::Question::context) of its own has its calls run:
    /// another one may be another tenant's.
    ///
    /// Only for tools whose effects are [`Effects::None`]; [`ToolSet::new`](super::ToolSet::new) refuses
    /// others.
    #[must_use]
    pub fn cache_for(mut self, lifetime: Duration) -> Self {
        let scope = self.limits.caching.map(|caching| caching.scope).unwrap_or_default();
        self.limits.caching = Some(Caching { lifetime, scope });
        self
    }

    /// Says who may be answered with what [`ToolType::cache_for`] keeps; [`CacheScope::Session`] if it is
    /// not said, and nothing without that. With [`CacheScope::Process`] results must not depend on who
    /// asks: a session or a question that has a context ([`CallContext::get`]) has its calls run.
    #[must_use]
    pub fn cache_scope(mut self, scope: CacheScope) -> Self {
        if let Some(caching) = &mut self.limits.caching {
            caching.scope = scope;
        }
        self
    }

    /// What was made before this limit was set has its own.
    fn with_new_gate(mut self) -> Self {
        self.shared = Arc::default();
        self
    }

    /// Says to the model what the tool is good for, in place of what it was made with.
    #[must_use]
    pub fn with_description(mut self, description: impl Into<Arc<str>>) -> Self {
        self.description = description.into();
        self
    }

    /// Sets another JSON Schema for the arguments.
    #[must_use]
    pub fn with_parameters(mut self, schema: Value) -> Self {
        self.parameters = schema;
        self
    }

    /// The name the model calls.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What the model reads to choose.
    #[must_use]
    pub fn description(&self) -> &str {
        &self.description
    }

    /// The JSON Schema of the arguments.
    #[must_use]
    pub fn parameters(&self) -> &Value {
        &self.parameters
    }

    /// What running it twice would do.
    #[must_use]
    pub fn declared_effects(&self) -> Effects {
        self.effects
    }

    /// Whether a person has to approve its calls.
    #[must_use]
    pub fn declared_approval(&self) -> Approval {
        self.approval
    }

    /// Where it comes from.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Its calls may have to wait for a server.
    pub(super) fn needs_server(&self) -> bool {
        self.origin.server.is_some()
    }

    /// The time limit of one call, if the tool sets one.
    #[must_use]
    pub fn declared_time_limit(&self) -> Option<Duration> {
        self.limits.time_limit
    }

    /// Says whether its calls run on threads of their own.
    #[must_use]
    pub fn is_blocking(&self) -> bool {
        matches!(self.work, Work::Blocking(_))
    }

    /// The limits of its calls.
    pub(crate) fn limits(&self) -> &CallLimits {
        &self.limits
    }

    /// Makes the tool as a worker would, on the caller's thread, and drops it without having called
    /// it: what cannot be made can be found before a model asks for it. Nothing is counted, and no
    /// worker is touched. Of a [blocking](ToolType::blocking) tool there is nothing to make.
    ///
    /// # Errors
    /// What the making, or the dropping, panicked with.
    pub fn try_make(&self) -> Result<(), String> {
        match &self.work {
            Work::Async(make) => {
                catch_unwind(AssertUnwindSafe(|| drop(make()))).map_err(message_of)
            }
            Work::Blocking(_) | Work::ReadResults => Ok(()),
        }
    }

    /// Says whether `other` is a clone of it, with the same limits.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// What all workers of it share.
    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Its condition in the whole process, at this moment. From any thread, and without waiting for
    /// a call.
    #[must_use]
    pub fn health(&self) -> ToolHealth {
        self.shared.health(&self.name, Instant::now())
    }
}

impl fmt::Debug for ToolType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToolType")
            .field("name", &self.name)
            .field("effects", &self.effects)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn made_by<T: Tool>(make: impl Fn() -> T + Send + Sync + 'static) -> Result<(), String> {
        ToolType::new("t", "a tool", json!({}), make).try_make()
    }

    fn never_called(_: &str, _: CallContext) -> ToolFuture {
        unreachable!("it is only made")
    }

    #[test]
    fn a_tool_that_can_be_made_is_not_called() {
        assert_eq!(made_by(|| never_called), Ok(()));
        let blocking = |_: Value, _: CallContext| -> Result<(), String> { unreachable!() };
        assert_eq!(ToolType::blocking("t", "a tool", blocking).try_make(), Ok(()));
    }

    #[test]
    fn a_panic_of_the_maker_is_told_and_goes_no_further() {
        let make = || -> fn(&str, CallContext) -> ToolFuture { panic!("no connection") };
        assert_eq!(made_by(make), Err("no connection".to_owned()));
    }

    #[test]
    fn a_panic_of_a_tool_that_is_dropped_is_told_as_well() {
        struct Clumsy;
        impl Tool for Clumsy {
            fn call(&self, arguments: &str, context: CallContext) -> ToolFuture {
                never_called(arguments, context)
            }
        }
        impl Drop for Clumsy {
            fn drop(&mut self) {
                panic!("clumsy");
            }
        }
        assert_eq!(made_by(|| Clumsy), Err("clumsy".to_owned()));
    }
}
