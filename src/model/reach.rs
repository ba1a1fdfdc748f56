//! Whether an endpoint answers at all, without asking a model anything.

use std::time::Duration;

use tokio::time::timeout;

use super::endpoint::masked;
use super::exchange::Exchange;
use super::{Error, HttpModel, Stage};

impl HttpModel {
    /// Asks the endpoint for the list of its models (`GET {base_url}/models`, with the key), and
    /// gives the HTTP status it answers with, good or bad. No model is asked, nothing is read.
    ///
    /// It uses the connections, certificates and proxies that a question would use. Dropping the
    /// future gives it up.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Cut`], or [`Error::TimedOut`] after `limit`.
    pub async fn reach(&self, limit: Duration) -> Result<u16, Error> {
        let mut url = self.url.clone();
        let base = url.path().strip_suffix("/chat/completions").unwrap_or_default().to_owned();
        url.set_path(&format!("{base}/models"));
        let shown = masked(url.as_str());
        let exchange = Exchange { shown, ..Exchange::clone(&self.exchange) };
        match timeout(limit, self.client()?.get(url).send()).await {
            Ok(Ok(response)) => Ok(response.status().as_u16()),
            Ok(Err(error)) => Err(exchange.unreachable(&error)),
            Err(_elapsed) => {
                Err(Error::TimedOut { url: exchange.shown, stage: Stage::Connect, limit })
            }
        }
    }
}
