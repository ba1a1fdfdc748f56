//! Calls that were decided beforehand, as a round of their own.

use std::sync::Arc;

use super::setup;
use super::signals::Signals;
use crate::config::Config;
use crate::conversation::{Budgets, Limits, Mode};
use crate::model::FixedModel;
use crate::session::{Cause, Error, FailedTurn, Runtime};
use crate::supervision::RoundReport;
use crate::tools::ToolSet;

/// Runs the calls of `model` as a round of their own and gives its report.
///
/// # Errors
/// Those of [`crate::Session::ask`], but for a round that was broken off and has a report.
pub(super) async fn round(
    model: Arc<FixedModel>,
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
    let options = setup::plain_options(config, model, tools).limits(limits);
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
