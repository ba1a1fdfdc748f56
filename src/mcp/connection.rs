//! A connection to a server: opened, with a revision of the protocol that both know, and closed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rmcp::ClientHandler;
use rmcp::model::{
    ClientCapabilities, ClientConfig, Implementation, ProgressNotificationParam, ProgressToken,
    ProtocolVersion, SubscriptionFilter,
};
use rmcp::service::{
    ClientLifecycleMode, ClientServiceExt, NotificationContext, Peer, RoleClient,
    RunningServiceCancellationToken,
};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::async_rw::AsyncRwTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use tokio::io::BufReader;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use super::child::{Child, Pipes};
use super::http::Posting;
use super::lines::BoundedLines;
use super::stderr::LastWords;
use super::trouble::{chain, not_opened};
use super::{Protocol, Reach, ServerSettings};
use crate::model::{Header, tls};
use crate::tools::CallContext;

/// Requests that run at a time over HTTP: more than any round has, for what is to wait is decided
/// before.
const MAX_REQUESTS: usize = 1024;

/// How long the end of a connection may take.
const GRACE: Duration = Duration::from_millis(500);

/// A connection that is open.
pub(super) struct Connection {
    peer: Peer<RoleClient>,
    /// `None` once it is being closed.
    stop: Option<RunningServiceCancellationToken>,
    /// True once it has ended.
    over: watch::Receiver<bool>,
    child: Option<Child>,
    last_words: LastWords,
    /// The revision that is spoken.
    pub revision: String,
}

impl Connection {
    /// Opens a connection, or says in a line why there is none.
    pub async fn open(
        settings: &ServerSettings,
        ears: Ears,
        protocol: Protocol,
    ) -> Result<Self, String> {
        let mode = lifecycle(protocol);
        let last_words = LastWords::new(settings.secrets.clone());
        let (service, child) = match &settings.reach {
            Reach::Stdio(program) => {
                let started = Child::start(program).await;
                let (mut child, pipes) = started.map_err(|error| {
                    let line = format!("`{}` cannot be started: {error}", program.command);
                    settings.secrets.redacted(line)
                })?;
                let Pipes { stdin, stdout, stderr } = pipes;
                last_words.listen(settings.name.clone(), stderr);
                let lines = BoundedLines::new(BufReader::new(stdout), settings.max_message_bytes);
                let transport =
                    AsyncRwTransport::new_client(lines, stdin).with_max_line_length(usize::MAX);
                match ears.serve_with_lifecycle(transport, mode).await {
                    Ok(service) => (service, Some(child)),
                    Err(error) => {
                        let ended = child.ended().await;
                        let how = ended.map(|status| format!("it ended with {status}"));
                        return Err(because(how, &last_words, &not_opened(&error)).await);
                    }
                }
            }
            Reach::Http { url, headers } => {
                let transport = http(url, headers, settings.max_message_bytes)?;
                let served = ears.serve_with_lifecycle(transport, mode).await;
                (served.map_err(|error| not_opened(&error))?, None)
            }
        };
        let revision = service.peer_info().map(|info| info.protocol_version.to_string());
        let revision = revision.unwrap_or_default();
        let (peer, stop) = (service.peer().clone(), Some(service.cancellation_token()));
        let (end, over) = watch::channel(false);
        tokio::spawn(async move {
            drop(service.waiting().await);
            end.send_replace(true);
        });
        Ok(Self { peer, stop, over, child, last_words, revision })
    }

    /// Who is at the other end. Cheap to clone.
    pub fn peer(&self) -> Peer<RoleClient> {
        self.peer.clone()
    }

    /// The number of its process, if it is one.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref()?.pid()
    }

    /// Has the server say when its tools change, if it does that on being asked; else it may say so
    /// by itself. Ends with the connection.
    pub fn listen_for_changes(&self, changed: Arc<Notify>) {
        let info = self.peer.peer_info();
        let stateless = info.as_ref().is_some_and(|info| !info.protocol_version.has_initialize());
        let tells = info.is_some_and(|info| {
            let tools = info.capabilities.tools.as_ref();
            tools.is_some_and(|tools| tools.list_changed == Some(true))
        });
        if !(stateless && tells) {
            return;
        }
        let peer = self.peer();
        tokio::spawn(async move {
            let filter = SubscriptionFilter::builder().tools_list_changed().build();
            let Ok(mut subscription) = peer.listen(filter).await else { return };
            while let Ok(Some(_)) = subscription.next().await {
                changed.notify_one();
            }
        });
    }

    /// Waits for its end, which comes from the other side, and says in a line what it was. May be
    /// dropped and asked again.
    pub async fn ended(&mut self) -> String {
        let over = self.over.wait_for(|over| *over);
        let Some(child) = &mut self.child else {
            let _ = over.await;
            return "the connection was closed".to_owned();
        };
        let status = tokio::select! {
            status = child.exited() => status,
            _ = over => child.ended().await,
        };
        let how = status.map(|status| format!("it ended with {status}"));
        because(how, &self.last_words, "it closed the connection").await
    }

    /// Ends it in good order: what the server started goes with it.
    pub async fn close(mut self) {
        self.stop();
        let _ = timeout(GRACE, self.over.wait_for(|over| *over)).await;
        if let Some(child) = self.child.take() {
            child.end().await;
        }
    }

    fn stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            stop.cancel();
        }
    }
}

impl Drop for Connection {
    /// Its tasks end with it, whoever has given it up.
    fn drop(&mut self) {
        self.stop();
    }
}

/// What is known of an end: how, and the process's last words; else `otherwise`.
async fn because(how: Option<String>, last_words: &LastWords, otherwise: &str) -> String {
    let how = how.unwrap_or_else(|| otherwise.to_owned());
    match last_words.last_line().await {
        Some(line) => format!("{how}, and said: {line}"),
        None => how,
    }
}

fn lifecycle(protocol: Protocol) -> ClientLifecycleMode {
    let stateless = vec![ProtocolVersion::V_2026_07_28];
    match protocol {
        Protocol::Auto => ClientLifecycleMode::Auto {
            preferred_versions: stateless,
            legacy_version: Some(ProtocolVersion::V_2025_11_25),
        },
        Protocol::Stateless => ClientLifecycleMode::Discover { preferred_versions: stateless },
        Protocol::Handshake => ClientLifecycleMode::Initialize,
    }
}

fn http(
    url: &str,
    headers: &[Header],
    max_bytes: usize,
) -> Result<StreamableHttpClientTransport<Posting>, String> {
    let wrong = |what: &str| format!("{what} cannot be sent");
    let mut all = HashMap::new();
    for Header { name, value, .. } in headers {
        let key = name.parse::<reqwest::header::HeaderName>();
        let value = reqwest::header::HeaderValue::from_str(value.expose());
        let (Ok(key), Ok(mut value)) = (key, value) else {
            return Err(wrong(&format!("the header `{name}`")));
        };
        value.set_sensitive(true);
        all.insert(key, value);
    }
    let is_https = url.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"));
    let tls = tls(is_https).map_err(|error| error.to_string())?;
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none()) // A key does not travel on.
        .connect_timeout(Duration::from_secs(10))
        .tcp_nodelay(true);
    let client = client.build().map_err(|error| chain(&error))?;
    let mut config = StreamableHttpClientTransportConfig::with_uri(url)
        .custom_headers(all)
        .max_sse_event_size(max_bytes)
        .max_json_response_size(max_bytes)
        .max_concurrent_requests(MAX_REQUESTS)
        .reinit_on_expired_session(true);
    config.channel_buffer_capacity = MAX_REQUESTS;
    Ok(StreamableHttpClientTransport::with_client(Posting(client), config))
}

/// What is heard from a server besides answers. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Ears {
    /// The server's tools have changed.
    pub changed: Arc<Notify>,
    /// The calls that may be told of progress.
    running: Arc<Mutex<HashMap<ProgressToken, CallContext>>>,
}

impl Ears {
    /// Tells `call` of its progress from now on.
    pub fn follow(&self, token: ProgressToken, call: CallContext) {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).insert(token, call);
    }

    /// Not any more.
    pub fn forget(&self, token: &ProgressToken) {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(token);
    }
}

impl ClientHandler for Ears {
    fn get_info(&self) -> ClientConfig {
        let us = Implementation::new("callsheet", env!("CARGO_PKG_VERSION"));
        ClientConfig::new(ClientCapabilities::default(), us)
            .with_protocol_version(ProtocolVersion::V_2025_11_25)
    }

    async fn on_progress(
        &self,
        progress: ProgressNotificationParam,
        _: NotificationContext<RoleClient>,
    ) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(call) = running.get(&progress.progress_token) {
            call.report_progress(told(&progress));
        }
    }

    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.changed.notify_one();
    }
}

/// How far a call is: its server's words, or its numbers.
fn told(progress: &ProgressNotificationParam) -> String {
    let ProgressNotificationParam { progress: done, total, message, .. } = progress;
    let numbers = match total {
        Some(total) => format!("{done} of {total}"),
        None => done.to_string(),
    };
    match message {
        Some(message) => format!("{message} ({numbers})"),
        None => numbers,
    }
}
