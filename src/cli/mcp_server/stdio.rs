//! One client, over standard input and output.

use std::time::Duration;

use anyhow::Context;
use rmcp::ServiceExt;
use rmcp::service::{QuitReason, ServerInitializeError};
use rmcp::transport::io::stdio_pipes;
use tokio::time::timeout;

use super::{LEAVING, Served};
use crate::cli::signals::Signals;

/// Serves until standard input ends or a signal comes. Calls that are under way when the input ends have
/// five seconds to be answered; a signal cancels them.
///
/// # Errors
/// If the client begins in a way that is not the protocol's.
pub(in crate::cli) async fn serve(served: Served, signals: &Signals) -> anyhow::Result<()> {
    served.tell_changes();
    let began = tokio::select! {
        began = served.clone().serve(stdio_pipes()) => began,
        () = signals.interrupted() => return Ok(()),
    };
    let service = match began {
        Ok(service) => service,
        Err(ServerInitializeError::ConnectionClosed(_)) => return Ok(()), // It has asked nothing.
        Err(error) => return Err(error).context("the client does not speak the protocol"),
    };
    let end = service.cancellation_token();
    let mut ended = std::pin::pin!(service.waiting());
    let ended = tokio::select! {
        ended = &mut ended => ended,
        () = signals.interrupted() => {
            served.0.runtime.shutdown(Duration::ZERO).await; // Every call is answered.
            end.cancel();
            match timeout(LEAVING, ended).await {
                Ok(ended) => ended,
                Err(_) => return Ok(()), // The client reads no more.
            }
        }
    };
    match ended {
        Ok(QuitReason::JoinError(error)) | Err(error) => Err(error).context("the service failed"),
        Ok(_) => Ok(()),
    }
}
