//! A model behind a Chat Completions endpoint.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::ThreadId;

use futures_util::{StreamExt, stream};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Url};
use tokio::time::timeout;

use super::body::Template;
use super::endpoint::{Endpoint, masked};
use super::exchange::{Exchange, Sending, chain, secrets};
use super::streamed::streamed;
use super::tls::tls;
use super::{Dialect, Error, Event, Events, Model, Request, RequestSettings, Stage, whole};

/// A model behind a Chat Completions endpoint. Each thread that asks has its own connections, so
/// that one blocked arbiter does not stall the requests of another.
pub struct HttpModel {
    endpoint: Endpoint,
    pub(super) url: Url,
    headers: HeaderMap,
    pub(super) exchange: Arc<Exchange>,
    template: Arc<Template>,
    /// Few: one for each arbiter. Shared with the models at the same endpoint.
    clients: Arc<Mutex<Vec<(ThreadId, Client)>>>,
}

impl HttpModel {
    /// The model `name` at `endpoint`. Nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Unreachable`] if the base URL is none; [`Error::KeyRefused`] if the key cannot be sent
    /// in a header, or another header cannot be sent.
    pub fn new(endpoint: Endpoint, name: impl Into<String>) -> Result<Self, Error> {
        let unreachable =
            |reason: String| Error::Unreachable { url: masked(&endpoint.base_url), reason };
        let url = Url::parse(&endpoint.base_url);
        let mut url = url.map_err(|error| unreachable(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(unreachable("the URL must begin with http:// or https://".into()));
        }
        url.set_path(&format!("{}/chat/completions", url.path().trim_end_matches('/')));
        let headers = headers(&endpoint)?;
        let (shown, model) = (masked(url.as_str()), name.into());
        let template = Arc::new(Template::new(&endpoint, &model));
        let exchange = Arc::new(Exchange {
            origin: origin(&shown, &model),
            shown,
            model,
            secrets: secrets(&endpoint),
            time_limits: endpoint.time_limits,
            dialect: endpoint.dialect,
        });
        Ok(Self { endpoint, url, headers, exchange, template, clients: Arc::default() })
    }

    /// The model `name` at the same endpoint. Both use the same connections. What it costs is not
    /// known.
    #[must_use]
    pub fn with_name(&self, name: impl Into<String>) -> Self {
        let model = name.into();
        let origin = origin(&self.exchange.shown, &model);
        let exchange = Exchange { model, origin, ..Exchange::clone(&self.exchange) };
        Self {
            template: Arc::new(Template::new(&self.endpoint, &exchange.model)),
            endpoint: Endpoint { price: None, ..self.endpoint.clone() },
            url: self.url.clone(),
            headers: self.headers.clone(),
            exchange: Arc::new(exchange),
            clients: Arc::clone(&self.clients),
        }
    }

    /// What the provider does differently.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.endpoint.dialect
    }

    /// This thread's client.
    pub(super) fn client(&self) -> Result<Client, Error> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let thread = std::thread::current().id();
        if let Some((_, client)) = clients.iter().find(|(owner, _)| *owner == thread) {
            return Ok(client.clone());
        }
        let client = self.build_client()?;
        clients.push((thread, client.clone()));
        Ok(client)
    }

    fn build_client(&self) -> Result<Client, Error> {
        let unreachable =
            |reason: String| Error::Unreachable { url: self.exchange.shown.clone(), reason };
        let tls =
            tls(self.url.scheme() == "https").map_err(|error| unreachable(error.to_string()))?;
        let mut builder = Client::builder()
            .tls_backend_preconfigured(tls)
            .default_headers(self.headers.clone())
            .redirect(reqwest::redirect::Policy::none()) // A key does not travel on.
            .retry(reqwest::retry::never().max_retries_per_request(0)) // That is ours to decide.
            .connect_timeout(self.endpoint.time_limits.connect)
            .tcp_nodelay(true);
        if is_loopback(&self.url) {
            builder = builder.no_proxy();
        }
        builder.build().map_err(|error| unreachable(chain(&error)))
    }
}

impl fmt::Debug for HttpModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpModel")
            .field("name", &self.exchange.model)
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

impl Model for HttpModel {
    fn name(&self) -> &str {
        &self.exchange.model
    }

    fn origin(&self) -> &str {
        &self.exchange.origin
    }

    fn dialect(&self) -> Dialect {
        self.endpoint.dialect
    }

    fn with_settings(&self, settings: &RequestSettings) -> Option<Arc<dyn Model>> {
        let settings = self.endpoint.settings.with(settings);
        let endpoint = Endpoint { settings, ..self.endpoint.clone() };
        let template = Template::new(&endpoint, &self.exchange.model);
        let template = Arc::new(template.learns_with(&self.template));
        Some(Arc::new(Self {
            endpoint,
            url: self.url.clone(),
            headers: self.headers.clone(),
            exchange: Arc::clone(&self.exchange),
            template,
            clients: Arc::clone(&self.clients),
        }))
    }

    fn ask(&self, request: Request<'_>) -> Events {
        let exchange = Arc::clone(&self.exchange);
        let client = match self.client() {
            Ok(client) => client,
            Err(error) => return stream::once(std::future::ready(Err(error))).boxed_local(),
        };
        let (url, body) = (self.url.clone(), self.template.write(request));
        let sending = Sending::new(client, url, body, Arc::clone(&self.template));
        let events = if self.endpoint.stream {
            streamed(exchange, sending)
        } else {
            stream::once(whole(exchange, sending)).flat_map(stream::iter).boxed_local()
        };
        match self.endpoint.price {
            Some(price) => events.map(move |event| Ok(price.on(event?))).boxed_local(),
            None => events,
        }
    }
}

/// The name of a model together with where it is; nothing secret.
fn origin(shown: &str, model: &str) -> String {
    format!("{model} at {}", shown.trim_end_matches("/chat/completions"))
}

/// The headers of every request.
fn headers(endpoint: &Endpoint) -> Result<HeaderMap, Error> {
    let refused = |message: String| Error::KeyRefused { url: masked(&endpoint.base_url), message };
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(key) = &endpoint.key {
        let value = HeaderValue::try_from(format!("Bearer {}", key.expose()));
        let unfit = |_| refused("it has characters that no header may hold".to_owned());
        let mut value = value.map_err(unfit)?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    for header in &endpoint.headers {
        let name = HeaderName::try_from(&header.name);
        let value = HeaderValue::try_from(header.value.expose());
        let (Ok(name), Ok(mut value)) = (name, value) else {
            let name = &header.name;
            return Err(refused(format!("the header {name:?} has characters that none may hold")));
        };
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}

/// What a reply without streaming says. One timer serves the whole exchange.
async fn whole(exchange: Arc<Exchange>, sending: Sending) -> Vec<Result<Event, Error>> {
    let work = async { whole::body(exchange.head(sending).await?, &exchange).await };
    let body = timeout(exchange.time_limits.first_token, work).await;
    match body.map_err(|_| exchange.late(Stage::FirstToken)).flatten() {
        Ok(body) => {
            // The connection's task has its turn to give the connection back: a request that follows
            // at once would open another.
            tokio::task::yield_now().await;
            whole::said(&body, &exchange)
        }
        Err(error) => vec![Err(error)],
    }
}

pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost") => true,
        Some(host) => host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback()),
        None => false,
    }
}
