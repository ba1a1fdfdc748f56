//! A model that asks for calls that were decided beforehand: tools without a model run through the
//! same workers, guard and report.

use std::sync::Arc;

use futures_util::{StreamExt, stream};

use super::setup;
use super::signals::Signals;
use crate::config::Config;
use crate::conversation::{Budgets, Limits, Mode};
use crate::model::{Event, Events, Model, Request};
use crate::session::{Cause, Error, FailedTurn, Runtime};
use crate::supervision::RoundReport;
use crate::tools::ToolSet;
use crate::wire::{Arguments, Call, Extra, Finish, Reply};

/// Asks for the same calls on every first question, and has nothing to say about the results.
#[derive(Debug)]
pub(super) struct FixedModel {
    calls: Vec<Call>,
}

impl FixedModel {
    /// Asks for `count` calls of `tool`, each with `arguments`.
    pub fn new(count: u32, tool: &str, arguments: &Arguments) -> Arc<Self> {
        let call = |n| Call {
            id: format!("call_{n}").into(),
            name: tool.to_owned(),
            arguments: arguments.clone(),
            extra: Extra::default(),
            function_extra: Extra::default(),
        };
        Arc::new(Self { calls: (1..=count).map(call).collect() })
    }

    /// Runs the calls as a round of their own and gives its report.
    ///
    /// # Errors
    /// Those of [`crate::Session::ask`], but for a round that was broken off and has a report.
    pub async fn round(
        self: Arc<Self>,
        config: &Config,
        runtime: &Runtime,
        tools: Arc<ToolSet>,
        limits: Limits,
        mode: Mode,
        signals: &Signals,
    ) -> Result<(Arc<RoundReport>, Option<Cause>), Error> {
        // Of a model's round and turn; this one was asked for by a person.
        let (max_calls_per_round, max_calls) = (u32::MAX, u32::MAX);
        let limits = Limits { mode, max_calls_per_round, max_calls, ..limits };
        // Whoever types the call approves of it.
        let approved: Vec<_> = tools.iter().map(|tool| tool.name().to_string()).collect();
        let options = setup::plain_options(config, self, tools).limits(limits);
        let options = options.approve_tools(approved).budgets(Budgets::default());
        let session = runtime.session(options);
        let asked = {
            let mut asked = std::pin::pin!(session.ask("run the calls"));
            tokio::select! {
                answer = &mut asked => answer,
                () = signals.interrupted() => {
                    session.cancel().await;
                    asked.await
                }
            }
        };
        let (report, cause) = match asked {
            Ok(answer) => (answer.report, None),
            Err(Error::Turn(failed)) => {
                let FailedTurn { cause, report } = *failed;
                (report, Some(cause))
            }
            Err(error) => return Err(error),
        };
        report.rounds.last().cloned().map(|round| (round, cause)).ok_or(Error::Closed)
    }
}

impl Model for FixedModel {
    fn name(&self) -> &str {
        "none"
    }

    fn ask(&self, request: Request<'_>) -> Events {
        let calls = match answers_follow(request.messages) {
            true => Vec::new(),
            false => self.calls.clone(),
        };
        let finish = if calls.is_empty() { Finish::Stop } else { Finish::ToolCalls };
        let reply = Reply {
            text: String::new(),
            reasoning: String::new(),
            calls,
            finish,
            truncated: false,
            usage: None,
            model: None,
            id: None,
            extra: Extra::default(),
        };
        stream::iter([Ok(Event::Reply(Box::new(reply)))]).boxed_local()
    }
}

/// The history is one user message until the calls are answered.
fn answers_follow(messages: &[u8]) -> bool {
    messages.windows(13).any(|bytes| bytes == b"\"role\":\"tool\"")
}
