//! One try of a call: the request is sent, redirects are followed, and the reply is read.

use reqwest::{Response, Url};

use super::plan::{Plan, Request};
use super::redirect::{self, MAX_REDIRECTS};
use super::resolver::private_address;
use crate::model;
use crate::tools::Error;

impl Plan {
    /// Sends `request`, and gives the result in the reply.
    pub(super) async fn exchange(&self, request: Request) -> Result<String, Error> {
        let mut url = request.url.clone();
        let mut redirects = 0;
        loop {
            let response = self.send(&url, &request).await?;
            let head = (response.status(), response.headers());
            let Some(target) = redirect::target(&self.method, &url, head, &self.resolver)? else {
                return match response.status().is_success() {
                    true => self.result(response).await,
                    false => Err(self.refusal(response).await),
                };
            };
            if redirects == MAX_REDIRECTS {
                return Err(redirect::too_many(response.status()));
            }
            (url, redirects) = (target, redirects + 1);
        }
    }

    async fn send(&self, url: &Url, request: &Request) -> Result<Response, Error> {
        // The client resolves names, and takes an address as it is.
        self.resolver.check_literal(url).map_err(|private| private.denied())?;
        let client = self.clients.get(url.scheme(), &self.resolver).map_err(Error::unreachable)?;
        let mut builder = client.request(self.method.clone(), url.clone());
        builder = builder.headers(request.headers.clone());
        if let Some(body) = &request.body {
            builder = builder.body(body.clone());
        }
        builder.send().await.map_err(|error| self.not_answered(&error))
    }

    /// Why there is no reply, and whether something may have happened.
    fn not_answered(&self, error: &reqwest::Error) -> Error {
        if let Some(private) = private_address(error) {
            return private.denied();
        }
        let (origin, reason) =
            (self.origin().origin().ascii_serialization(), model::cause_of(error));
        if error.is_connect() {
            let reason = if error.is_timeout() { "it takes too long".to_owned() } else { reason };
            return Error::unreachable(format!("cannot connect to {origin}: {reason}"));
        }
        Error::lost(format!("{origin} did not answer: {reason}"))
    }
}
