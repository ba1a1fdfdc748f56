//! One call for a client: run as a round, its progress told, and its outcome put in the client's terms.

use std::pin::pin;
use std::sync::Arc;

use futures_util::FutureExt;
use rmcp::ErrorData;
use rmcp::model::{
    CallToolRequestParams, CallToolResult, ContentBlock, MetaObject, ProgressNotificationParam,
    ProgressToken,
};
use rmcp::service::{Peer, RequestContext, RoleServer};
use serde_json::json;

use super::Served;
use crate::conversation::{Catalogue, Event, OutcomeKind, Record};
use crate::document::millis;
use crate::model::FixedModel;
use crate::session::{Error, FailedTurn};
use crate::supervision::CallReport;
use crate::wire::Arguments;

/// Where the report of a call stands, in the `_meta` of its result.
const REPORT: &str = "callsheet/report";

impl Served {
    /// Runs a call to its end; a cancel ends it within milliseconds.
    ///
    /// # Errors
    /// If there is no such tool, or the runtime is shutting down. What goes wrong with the call itself is
    /// a result.
    pub(super) async fn call(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResult, ErrorData> {
        let CallToolRequestParams { name, arguments, .. } = request;
        let Some(tool) = self.tools().own_name(&name) else { return Err(unknown(&name)) };
        let arguments = serde_json::to_string(&arguments.unwrap_or_default());
        let arguments = arguments.map_err(|error| internal(&error))?;
        let model = FixedModel::new(1, &tool, &Arguments::from_text(arguments));
        let session = self.0.runtime.session(self.0.options.clone().model(model));
        let mut progress = Progress::new(&context);
        let mut events = session.events();
        let mut asked = pin!(session.ask("run the call"));
        let mut cancelled = false;
        let asked = loop {
            tokio::select! {
                biased; // The call is asked for before it is cancelled.
                asked = &mut asked => break asked,
                () = context.ct.cancelled(), if !cancelled => {
                    session.cancel().await;
                    cancelled = true;
                }
                Some(record) = events.next() => progress.tell(&record).await,
            }
        };
        while let Some(Some(record)) = events.next().now_or_never() {
            progress.tell(&record).await;
        }
        let report = match asked {
            Ok(answer) => answer.report,
            Err(Error::Turn(failed)) => {
                let FailedTurn { report, .. } = *failed;
                report
            }
            Err(error) => return Err(internal(&error)),
        };
        let Some(call) = report.rounds.last().and_then(|round| round.calls.first()) else {
            return Err(internal(&"the call has not begun"));
        };
        match call.outcome {
            // It has gone in between.
            Some(OutcomeKind::UnknownTool) => Err(unknown(&name)),
            outcome => Ok(result(call, outcome)),
        }
    }
}

/// The text is what a model would be told, word for word.
fn result(call: &CallReport, outcome: Option<OutcomeKind>) -> CallToolResult {
    let text = call.result.as_deref().unwrap_or_default();
    let content = vec![ContentBlock::text(text)];
    let result = match outcome {
        Some(OutcomeKind::Ok) => CallToolResult::success(content),
        _ => CallToolResult::error(content),
    };
    let report = json!({
        "outcome": outcome.map(OutcomeKind::as_str),
        "error": call.error,
        "attempts": call.attempts,
        "queued_ms": millis(call.queued),
        "startup_ms": millis(call.startup),
        "backoff_ms": millis(call.backoff),
        "ran_ms": millis(call.ran),
    });
    let mut meta = MetaObject::default();
    meta.insert(REPORT.to_owned(), report);
    result.with_meta(Some(meta))
}

fn unknown(name: &str) -> ErrorData {
    ErrorData::invalid_params(format!("Unknown tool: {name}"), None)
}

fn internal(error: &impl ToString) -> ErrorData {
    ErrorData::internal_error(error.to_string(), None)
}

/// Passes on what a tool says while it works, if the client wants to hear it.
struct Progress {
    client: Peer<RoleServer>,
    token: Option<ProgressToken>,
    /// How often it has said something: the protocol wants a number that grows.
    said: u32,
}

impl Progress {
    fn new(context: &RequestContext<RoleServer>) -> Self {
        let token = context.meta.get_progress_token();
        Self { client: context.peer.clone(), token, said: 0 }
    }

    async fn tell(&mut self, record: &Arc<Record>) {
        let (Some(token), Event::CallProgressed { message, .. }) = (&self.token, &record.event)
        else {
            return;
        };
        self.said += 1;
        let news = ProgressNotificationParam::new(token.clone(), f64::from(self.said));
        // A client that has gone cancels the call.
        let _ = self.client.notify_progress(news.with_message(message)).await;
    }
}
