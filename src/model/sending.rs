//! A request on its way, once more without a field that the provider does not take.

use std::sync::Arc;

use bytes::Bytes;
use reqwest::{Client, Response, Url};
use tracing::warn;

use super::body::{Change, Template};
use super::dialect::TokenLimitField;
use super::refusal::refused_field;
use crate::wire::ApiError;
use crate::wire::chat::Fields;

/// How many fields of one request are given up, each once.
const MAX_CHANGES: usize = 3;

/// A request that is sent as it is polled.
pub(super) struct Sending {
    client: Client,
    url: Url,
    body: Bytes,
    template: Arc<Template>,
    changes: Vec<Change>,
}

impl Sending {
    pub fn new(client: Client, url: Url, body: Vec<u8>, template: Arc<Template>) -> Self {
        Self { client, url, body: body.into(), template, changes: Vec::new() }
    }

    /// Sends the request as it is by now.
    pub async fn send(&self) -> reqwest::Result<Response> {
        self.client.post(self.url.clone()).body(self.body.clone()).send().await
    }

    /// Gives up the field that the provider refuses in an error with this body, if there is one and it
    /// was not given up before: then it is worth to send once more.
    pub fn give_up(&mut self, status: u16, error: Option<&ApiError>, body: &str) -> bool {
        if self.changes.len() == MAX_CHANGES {
            return false;
        }
        let Some(mut fields) = Fields::of(&self.body) else { return false };
        let Some(field) = refused_field(status, error, body, fields.names()) else { return false };
        let change = Change { field: field.to_owned(), to: self.other_name(field) };
        if !change.on(&mut fields) {
            return false;
        }
        self.body = fields.body().into();
        self.changes.push(change);
        true
    }

    /// The limit of tokens has two names; no model is asked without it because it knows one alone.
    fn other_name(&self, field: &str) -> Option<&'static str> {
        let names = TokenLimitField::ALL.iter().map(|name| name.as_str());
        let is_new = self.changes.iter().all(|change| change.to != Some(field));
        let other = names.clone().find(|name| *name != field);
        other.filter(|_| is_new && names.clone().any(|name| name == field))
    }

    /// The provider took the request: what was given up is not sent to this model again.
    pub fn accepted(&self, model: &str) {
        if self.changes.is_empty() {
            return;
        }
        for Change { field, to } in self.template.learn(&self.changes) {
            match to {
                Some(to) => {
                    warn!(model, field, to, "the provider wants a field under another name")
                }
                None => warn!(model, field, "the provider does not take a field; it is left out"),
            }
        }
    }
}
