//! How spans leave: a thread of its own sends them in batches, over our own HTTP client.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter as Otlp, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{BatchSpanProcessor, SpanData, SpanExporter, SpanProcessor};
use tracing::warn;

use super::TraceSettings;
use crate::model;

/// For one request.
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// What the receiver answers is not read further than this.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// Why no traces are sent.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// What the settings or the variables say is no use.
    #[error("cannot send traces: {0}")]
    Settings(String),
    /// The operating system gave no thread, or trusts no certificates.
    #[error("cannot start what sends traces")]
    System(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The queue of spans, and the thread behind it.
pub(super) struct Export(BatchSpanProcessor);

impl Export {
    pub fn start(settings: &TraceSettings) -> Result<Self, StartError> {
        let refused = |error: &dyn fmt::Display| StartError::Settings(error.to_string());
        let mut otlp = Otlp::builder().with_http().with_http_client(Client::new()?);
        if let Some(endpoint) = &settings.endpoint {
            let base = endpoint.trim_end_matches('/');
            let is_whole = base.ends_with("/v1/traces");
            let url = if is_whole { base.to_owned() } else { format!("{base}/v1/traces") };
            reqwest::Url::parse(&url).map_err(|error| refused(&error))?;
            otlp = otlp.with_endpoint(url);
        }
        let otlp = otlp.build().map_err(|error| refused(&error))?;
        let exporter = Quiet { inner: otlp, failures: AtomicU64::new(0) };
        let mut processor = BatchSpanProcessor::builder(exporter).build();
        let resource = Resource::builder().with_service_name(settings.service_name.clone());
        processor.set_resource(&resource.build());
        Ok(Self(processor))
    }

    /// Never waits.
    pub fn send(&self, span: SpanData) {
        self.0.on_end(span);
    }

    pub fn shutdown(&self, limit: Duration) -> bool {
        self.0.shutdown_with_timeout(limit).is_ok()
    }
}

/// Says that the receiver does not take spans, but not each time.
#[derive(Debug)]
struct Quiet {
    inner: Otlp,
    failures: AtomicU64,
}

impl SpanExporter for Quiet {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let exported = self.inner.export(batch).await;
        match &exported {
            Ok(()) => self.failures.store(0, Ordering::Relaxed),
            Err(error) => {
                let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
                if failures.is_power_of_two() {
                    warn!(%error, spans, failures, "traces are not taken");
                }
            }
        }
        exported
    }

    fn shutdown_with_timeout(&self, limit: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(limit)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// Our own HTTP client, for a thread that may block: the exporter's own.
struct Client {
    http: reqwest::Client,
    /// Until it is dropped.
    io: Option<tokio::runtime::Runtime>,
}

impl Client {
    fn new() -> Result<Self, StartError> {
        let system = |error: Box<dyn std::error::Error + Send + Sync>| StartError::System(error);
        let tls = model::tls(true).map_err(|error| system(error.into()))?;
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(reqwest::redirect::Policy::none()) // Its headers may hold a key.
            .pool_max_idle_per_host(0) // Nobody looks after a connection between two batches.
            .timeout(TIME_LIMIT)
            .build()
            .map_err(|error| system(error.into()))?;
        let io = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Ok(Self { http, io: Some(io.map_err(|error| system(error.into()))?) })
    }

    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let mut answer = self.http.execute(request.try_into()?).await?;
        let mut response = Response::builder().status(answer.status());
        if let Some(headers) = response.headers_mut() {
            std::mem::swap(headers, answer.headers_mut());
        }
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await?
            && body.len() + piece.len() <= MAX_ANSWER_BYTES
        {
            body.extend_from_slice(&piece);
        }
        Ok(response.body(body.into())?)
    }
}

#[async_trait::async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let io = self.io.as_ref().ok_or("it is gone")?;
        io.block_on(self.send(request))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Not as it is: on a thread of another runtime that would panic.
        if let Some(io) = self.io.take() {
            io.shutdown_background();
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}
