//! What a session is made of.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use super::ModelRetries;
use crate::conversation::{
    Budgets, ContextBudget, Decision, GivenHistory, Limits, SessionId, SessionState,
};
use crate::model::{Model, RequestSettings};
use crate::store::{Access, Journal, MemoryStore};
use crate::supervision::RestartLimits;
use crate::tools::{Rules, Secrets, ToolSet, ToolSource, TypedContext};

/// How much of a result the model is told, where nothing else is said.
const MAX_RESULT_BYTES: usize = 100_000;

/// What a session is made of: its model, tools, system prompt and limits. Cheap to clone.
#[derive(Clone)]
pub struct SessionOptions {
    pub(super) id: Option<SessionId>,
    pub(super) access: Access,
    /// The one that is asked, and those that are asked where it fails; never empty.
    pub(super) models: Vec<Arc<dyn Model>>,
    pub(super) retries: ModelRetries,
    tools: Arc<ToolSet>,
    pub(super) source: Option<ToolSource>,
    pub(super) system: Option<Arc<str>>,
    pub(super) history: Option<GivenHistory>,
    /// Where its records go, if not to the runtime's store.
    pub(super) journal: Option<Arc<dyn Journal>>,
    pub(super) limits: Limits,
    pub(super) budgets: Budgets,
    pub(super) context_budget: ContextBudget,
    pub(super) supervision: Arc<RestartLimits>,
    pub(super) rules: Arc<Rules>,
    pub(super) max_concurrency: Option<usize>,
    pub(super) typed: Option<TypedContext>,
    /// The tools that need no person, whatever they say themselves.
    approved: Arc<[String]>,
    denies_unasked: bool,
    cuts_large_results: bool,
}

impl SessionOptions {
    /// A session with `model` and `tools`, no system prompt and the usual limits.
    pub fn new(model: Arc<dyn Model>, tools: Arc<ToolSet>) -> Self {
        let supervision = Arc::<RestartLimits>::default();
        let rules = Arc::new(supervision.rules(MAX_RESULT_BYTES));
        Self {
            id: None,
            access: Access::IfFree,
            models: vec![model],
            retries: ModelRetries::default(),
            tools,
            source: None,
            system: None,
            history: None,
            journal: None,
            limits: Limits::default(),
            budgets: Budgets::default(),
            context_budget: ContextBudget::default(),
            supervision,
            rules,
            max_concurrency: None,
            typed: None,
            approved: Arc::default(),
            denies_unasked: false,
            cuts_large_results: false,
        }
    }

    /// Uses this id in place of a fresh one. A session that the store knows goes on from where it
    /// was. While somebody else has it open, questions are answered
    /// [`store::Error::Busy`](crate::store::Error::Busy).
    #[must_use]
    pub fn id(mut self, id: SessionId) -> Self {
        self.id = Some(id);
        self
    }

    /// Takes the session over from whoever has it open, and fences that owner: it begins nothing any
    /// more, and what it had begun is not recorded.
    #[must_use]
    pub fn take_over(mut self) -> Self {
        self.access = Access::TakeOver;
        self
    }

    /// Offers the tools of `source` as they are each time the model is asked, in place of fixed ones.
    #[must_use]
    pub fn tool_source(mut self, source: ToolSource) -> Self {
        self.source = Some(source);
        self
    }

    /// The names of its models: of the one that is asked, and of those that are asked where it fails.
    #[cfg(feature = "server")]
    pub(crate) fn model_names(&self) -> impl Iterator<Item = &str> {
        self.models.iter().map(|model| model.name())
    }

    /// The name of the model that is asked.
    #[cfg(feature = "server")]
    pub(crate) fn model_name(&self) -> &str {
        self.models[0].name()
    }

    /// Sets the system prompt. Ignored where a known session goes on.
    #[must_use]
    pub fn system(mut self, prompt: impl Into<Arc<str>>) -> Self {
        self.system = Some(prompt.into());
        self
    }

    /// Has the session begin with these messages behind its system prompt, as if they had been said in it.
    /// A system prompt among them counts in place of that of the options. Ignored where a known session
    /// goes on.
    #[must_use]
    pub fn history(mut self, history: GivenHistory) -> Self {
        self.history = Some(history);
        self
    }

    /// Keeps the records of the session in memory, and only as long as it lives: it leaves nothing in the
    /// runtime's store, is not found there, and does not sleep.
    #[must_use]
    pub fn ephemeral(mut self) -> Self {
        self.journal = Some(Arc::new(MemoryStore::new()));
        self
    }

    /// Asks its models with these settings where they are set, in place of their own. A model that does
    /// not [take any](Model::with_settings) is asked as it is.
    #[must_use]
    pub fn request_settings(mut self, settings: &RequestSettings) -> Self {
        for model in &mut self.models {
            if let Some(other) = model.with_settings(settings) {
                *model = other;
            }
        }
        self
    }

    /// Offers these tools in place of those that the options were made with, and of any source.
    #[must_use]
    pub fn tools(mut self, tools: Arc<ToolSet>) -> Self {
        (self.tools, self.source) = (tools, None);
        self
    }

    /// Sets what a turn may cost, in place of [`Limits::default`].
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets how many tokens and how much money turns and the session may spend; as much as they like
    /// if it is not said.
    ///
    /// With the request that would follow, a turn whose budget is used up fails
    /// ([`Cause::Budget`](super::Cause::Budget)), and the calls of the reply that used it up are answered
    /// `denied`; once that of the session is, no turn begins ([`Error::Budget`](super::Error::Budget)).
    /// What was spent is read from the record, so that a restart does not forget it, and a larger budget
    /// lets the session go on.
    #[must_use]
    pub fn budgets(mut self, budgets: Budgets) -> Self {
        self.budgets = budgets;
        self
    }

    /// Sets how long a request may be, and what leaves the history where it would be longer, in place of
    /// [`ContextBudget::default`]: as long as the model takes, and the oldest turns do.
    ///
    /// The record keeps what has left the history; the model does not see it any more.
    #[must_use]
    pub fn context_budget(mut self, budget: ContextBudget) -> Self {
        self.context_budget = budget;
        self
    }

    /// Sets how often the model is asked again for a reply that came to nothing, and when, in place of
    /// [`ModelRetries::default`].
    #[must_use]
    pub fn model_retries(mut self, retries: ModelRetries) -> Self {
        self.retries = retries;
        self
    }

    /// Asks this model, in place of the one that the options were made with.
    #[must_use]
    pub fn model(mut self, model: Arc<dyn Model>) -> Self {
        self.models[0] = model;
        self
    }

    /// Names a further model, that is asked where those before it failed for good: it refused, or its
    /// tries are used up. It then answers for the rest of the turn; the next turn begins with the
    /// first model again.
    #[must_use]
    pub fn fallback(mut self, model: Arc<dyn Model>) -> Self {
        self.models.push(model);
        self
    }

    /// Sets how failing workers are dealt with, and how long calls rest before they are tried again,
    /// in place of [`RestartLimits::default`].
    #[must_use]
    pub fn supervision(mut self, limits: RestartLimits) -> Self {
        let secrets = self.rules.secrets.clone();
        self.rules = Arc::new(Rules { secrets, ..limits.rules(self.rules.max_result_bytes) });
        self.supervision = Arc::new(limits);
        self
    }

    /// Lets so many calls of the session run at a time, of all tools together; the others wait, first
    /// come, first served, within their time limits. Any number may if it is not said. 0 counts as 1.
    #[must_use]
    pub fn max_concurrency(mut self, calls: usize) -> Self {
        self.max_concurrency = Some(calls.max(1));
        self
    }

    /// Names what no result, error or progress of a tool may tell: it is taken out before that is
    /// recorded, or told to the model. Nothing, if it is not said.
    #[must_use]
    pub fn secrets(mut self, secrets: Secrets) -> Self {
        Arc::make_mut(&mut self.rules).secrets = secrets;
        self
    }

    /// Sets how many bytes of a result the model is told; 100,000 if it is not said.
    ///
    /// Of a larger result the model is told the first quarter of that, how large it is, and a handle:
    /// the store keeps the whole ([`Journal::keep_result`](crate::store::Journal::keep_result)), and
    /// from then on the model is offered a tool that reads on in it, `read_result`. Where there is no
    /// such tool, because one of the session's own would be meant by its name or because the model
    /// takes no further tool, and where the store does not keep it, the result is cut there and a mark
    /// at its end says so. So is the text of an error, anyway. All cuts are between two characters.
    #[must_use]
    pub fn max_result_bytes(mut self, bytes: usize) -> Self {
        let secrets = self.rules.secrets.clone();
        self.rules = Arc::new(Rules { secrets, ..self.supervision.rules(bytes) });
        self
    }

    /// Cuts results that are too large, with a mark at the end, in place of keeping them for the model to
    /// read on in: it will not be asked again.
    #[must_use]
    pub fn cut_large_results(mut self) -> Self {
        self.cuts_large_results = true;
        self
    }

    /// Approves every call of these tools that would wait for a person. It is on record as asked and
    /// approved; of a tool that is approved [once per session](crate::Approval::OncePerSession), the
    /// session keeps that.
    #[must_use]
    pub fn approve_tools<T: Into<String>>(mut self, tools: impl IntoIterator<Item = T>) -> Self {
        self.approved = tools.into_iter().map(Into::into).collect();
        self
    }

    /// The state of a session without a past.
    pub(super) fn state(&self) -> SessionState {
        SessionState::within(&self.limits, &self.budgets)
    }

    /// Denies every call that would wait for a person, but for those of
    /// [approved tools](SessionOptions::approve_tools): nobody is there to decide. If it is not said, such
    /// a call waits until somebody does ([`Session::decide`](super::Session::decide)).
    #[must_use]
    pub fn deny_unasked(mut self) -> Self {
        self.denies_unasked = true;
        self
    }

    /// What is decided beforehand about each call of `tool` that needs approval.
    pub(super) fn standing_decision(&self, tool: &str) -> Option<Decision> {
        if self.approved.iter().any(|approved| approved == tool) {
            return Some(Decision::Approved);
        }
        let reason = Some("nobody is there to approve it".into());
        self.denies_unasked.then_some(Decision::Denied { reason })
    }

    /// What a turn may cost.
    #[cfg(feature = "server")]
    pub(crate) fn turn_limits(&self) -> &Limits {
        &self.limits
    }

    /// The time limit of a call whose tool sets none.
    #[cfg(any(all(feature = "cli", feature = "mcp"), feature = "server"))]
    pub(crate) fn call_time_limit(&self) -> std::time::Duration {
        self.limits.call_time_limit
    }

    /// Says whether results that are too large are kept for the model to read on in them.
    pub(super) fn reads_large_results(&self, tools: &ToolSet) -> bool {
        let most = self.models.iter().filter_map(|model| model.dialect().max_tools).min();
        let has_room = most.is_none_or(|most| tools.len() < most as usize);
        !self.cuts_large_results && has_room && tools.has_room_for_reader()
    }

    /// Says whether they are kept as long as the tool that reads them can be offered.
    pub(super) fn keeps_large_results(&self) -> bool {
        !self.cuts_large_results
    }

    /// The `tools` of a session in this `state`: with the one that reads large results, if it has any.
    pub(super) fn with_reader<'a>(
        &self,
        tools: &'a Arc<ToolSet>,
        state: &SessionState,
    ) -> &'a Arc<ToolSet> {
        match state.has_stored_results() && self.reads_large_results(tools) {
            true => tools.with_reader().unwrap_or(tools),
            false => tools,
        }
    }

    /// The tools that a session begins with.
    pub(crate) fn first_tools(&self) -> Arc<ToolSet> {
        self.source.as_ref().map_or_else(|| Arc::clone(&self.tools), ToolSource::current)
    }

    /// Hands `value` to every call ([`crate::CallContext::get`]) whose question brings none.
    #[must_use]
    pub fn context<T: Any + Send + Sync>(mut self, value: T) -> Self {
        self.typed = Some(Arc::new(value));
        self
    }
}

impl fmt::Debug for SessionOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionOptions")
            .field("id", &self.id)
            .field("model", &self.models[0].name())
            .field("tools", &self.first_tools().len())
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
