//! A scripted model that reads only so much, counts as a provider does, and notes what it was asked.

use std::sync::{Arc, Mutex};

use callsheet::model::{Dialect, Error, Event, Events, Model, Request};
use callsheet::testing::{Scripted, ScriptedModel};
use futures_util::{StreamExt, stream};

/// So many bytes are a token to it.
pub const BYTES_A_TOKEN: usize = 4;

/// Says what its script says to a request that is not too long.
pub struct Bounded {
    pub script: Arc<ScriptedModel>,
    /// What it says where it may not call the tools that are listed: there it is to sum up.
    pub summaries: Arc<ScriptedModel>,
    most: usize,
    asked: Mutex<Vec<Asked>>,
}

/// A request.
#[derive(Clone, Debug)]
pub struct Asked {
    pub messages: String,
    pub tokens: usize,
    pub may_call: bool,
}

impl Bounded {
    /// A model that reads `most` tokens.
    pub fn new(most: usize, script: impl IntoIterator<Item = Scripted>) -> Arc<Self> {
        Self::of(most, ScriptedModel::new(script))
    }

    pub fn of(most: usize, script: Arc<ScriptedModel>) -> Arc<Self> {
        let summaries = ScriptedModel::new([]);
        Arc::new(Self { script, summaries, most, asked: Mutex::default() })
    }

    /// What it was asked, in order.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("nobody panics with it").clone()
    }
}

impl Model for Bounded {
    fn name(&self) -> &str {
        self.script.name()
    }

    fn dialect(&self) -> Dialect {
        self.script.dialect()
    }

    fn ask(&self, request: Request<'_>) -> Events {
        let messages = String::from_utf8_lossy(request.messages).into_owned();
        let tokens = (request.messages.len() + request.tools.len()) / BYTES_A_TOKEN;
        let asked = Asked { messages, tokens, may_call: request.may_call };
        self.asked.lock().expect("nobody panics with it").push(asked);
        if tokens > self.most {
            let (url, message) = ("the script".into(), "context_length_exceeded".into());
            return stream::iter([Err(Error::TooLong { url, status: 400, message })]).boxed_local();
        }
        let counted = move |event| match event {
            Ok(Event::Reply(mut reply)) => {
                let usage = reply.usage.get_or_insert_default();
                usage.input_tokens = tokens as u64;
                Ok(Event::Reply(reply))
            }
            event => event,
        };
        let script = if request.may_call { &self.script } else { &self.summaries };
        script.ask(request).map(counted).boxed_local()
    }
}
