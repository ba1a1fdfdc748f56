//! Tools that are HTTP endpoints: a request with places for the arguments of a call.
//!
//! The origin of a tool's URL is fixed; what a model says is data in one segment of the path, one
//! value of the query or a header, or in the body. Unless [`HttpTool::allow_private`] names them, no
//! address is reached that is not public: literal addresses are checked before a request is sent, and
//! names when they are resolved, so that the addresses that were checked are those that are connected
//! to. No proxy is used, and redirects are followed within the origin alone.
//!
//! Absent: settings, and whether a call is tried again, which its effects decide.

mod address;
mod arguments;
mod body;
mod client;
mod exchange;
mod header;
mod networks;
mod plan;
mod pointer;
mod redirect;
mod reply;
mod resolver;
mod template;
mod url;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use serde_json::Value;

use super::{CallContext, Origin, Tool, ToolFuture, ToolType};
use crate::model::ApiKey;
use plan::Plan;
use resolver::{Lookup, NotResolved, system_lookup};

/// An HTTP endpoint as a tool. Texts may have places for arguments: `{name}` for an argument of the
/// call, `${env:NAME}` for a secret, `{{` and `}}` for braces.
#[derive(Clone)]
pub struct HttpTool {
    /// `GET`, `HEAD`, `POST`, `PUT`, `PATCH`, `DELETE` or `OPTIONS`.
    pub method: String,
    /// Where requests go: `http` or `https`, a fixed host, and places in the path and in the values
    /// of the query. An argument fills one segment of the path, whatever is in it, and cannot be left
    /// out there.
    pub url: String,
    /// What is added to the query. An entry that is nothing but an argument is left out with it.
    pub query: Vec<(String, String)>,
    /// Headers of the request. An entry that is nothing but an argument is left out with it.
    pub headers: Vec<(String, String)>,
    /// The body; `None` = all arguments that stand nowhere else for `POST`, `PUT` and `PATCH`, and
    /// none for the others.
    pub body: Option<HttpBody>,
    /// A JSON pointer (RFC 6901) to the part of the reply that is the result, such as `/data/0`.
    pub pointer: Option<String>,
    /// Networks that may be reached although they are not public, such as `127.0.0.0/8`.
    pub allow_private: Vec<String>,
    /// The most bytes of a reply; of one that is larger nothing is told.
    pub max_response_bytes: usize,
    /// What `${env:NAME}` stands for, by name. No result and no error repeats it.
    pub secrets: Vec<(String, ApiKey)>,
}

/// The body of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum HttpBody {
    /// None.
    None,
    /// One JSON object of all arguments that stand nowhere else.
    Arguments,
    /// This JSON, with places in its texts. The value of an argument, of whatever type, takes the place
    /// of a text that is nothing else, and an entry is left out with it.
    Json(Value),
}

/// What is wrong with the description of a tool: one line that names it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

impl HttpTool {
    /// Such a request, without anything beyond its URL; of a reply a million bytes are taken.
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        Self {
            method: method.into(),
            url: url.into(),
            query: Vec::new(),
            headers: Vec::new(),
            body: None,
            pointer: None,
            allow_private: Vec::new(),
            max_response_bytes: 1_000_000,
            secrets: Vec::new(),
        }
    }

    /// What it is known to have in confidence: what no result and no error of any tool may repeat.
    #[cfg(feature = "cli")]
    pub(crate) fn known_secrets(&self) -> Vec<ApiKey> {
        plan::secrets_of(self)
    }

    /// The host of its URL and the addresses that the name leads to, all of which may be reached.
    /// Nothing is sent to them.
    ///
    /// # Errors
    /// What is wrong with the tool, why the name leads nowhere, or which of its addresses must not
    /// be reached.
    pub async fn resolve_host(&self) -> Result<(String, Vec<IpAddr>), Error> {
        let (origin, resolver) = plan::origin(self, system_lookup()).map_err(Error)?;
        let host = origin.host_str().unwrap_or_default().to_owned();
        let addresses = match resolver::literal(&origin) {
            Some(address) => vec![address],
            None => resolver.addresses(host.clone()).await.map_err(|error| match error {
                NotResolved::Private(private) => Error(private.to_string()),
                NotResolved::Unknown(error) => Error(format!("{host}: {error}")),
            })?,
        };
        Ok((host, addresses))
    }
}

impl fmt::Debug for HttpTool {
    /// Without what may hold a secret: somebody writes one into a header all the same.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpTool").field("method", &self.method).finish_non_exhaustive()
    }
}

impl ToolType {
    /// A tool whose calls are requests to an HTTP endpoint. Every try of a call sends the call's key as
    /// `Idempotency-Key`.
    ///
    /// Status 2xx is a result. 408, 425, 429 and 5xx are failures that another try may mend, not before
    /// the time that the reply asks for; anything else is a failure for good.
    ///
    /// # Errors
    /// The first thing that is wrong with `tool`, or a place in it that is none of the `properties`
    /// of `parameters`.
    pub fn http(
        name: impl Into<Arc<str>>,
        description: impl Into<Arc<str>>,
        parameters: Value,
        tool: &HttpTool,
    ) -> Result<Self, Error> {
        Self::http_with(name, description, parameters, tool, system_lookup())
    }

    fn http_with(
        name: impl Into<Arc<str>>,
        description: impl Into<Arc<str>>,
        parameters: Value,
        tool: &HttpTool,
        lookup: Lookup,
    ) -> Result<Self, Error> {
        let plan = Plan::new(tool, &parameters, lookup).map_err(Error)?;
        let plan = Arc::new(plan);
        let make = move || Caller(Arc::clone(&plan));
        Ok(Self::new(name, description, parameters, make).with_origin(Origin::of("http")))
    }
}

/// Calls the endpoint for one worker. What workers share is a connection pool for each thread.
struct Caller(Arc<Plan>);

impl Tool for Caller {
    fn call(&self, arguments: &str, context: CallContext) -> ToolFuture {
        let request = self.0.request(arguments, context.key());
        let request = request.map(|request| request.part_of(context.trace_parent()));
        let plan = Arc::clone(&self.0);
        Box::pin(async move { plan.exchange(request?).await })
    }
}

#[cfg(test)]
mod tests;
