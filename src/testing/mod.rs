//! What this crate tests itself with, for the tests of your own tools: a scripted model, and a
//! clock that costs no time.
//!
//! ```
//! use std::time::Duration;
//! use callsheet::testing::{self, ScriptedModel, reply};
//! use callsheet::{CallContext, SessionOptions, ToolSet, ToolType};
//! use std::sync::Arc;
//!
//! #[derive(serde::Deserialize, schemars::JsonSchema)]
//! struct Nap { seconds: u64 }
//!
//! async fn nap(nap: Nap, _: CallContext) -> Result<&'static str, String> {
//!     tokio::time::sleep(Duration::from_secs(nap.seconds)).await;
//!     Ok("rested")
//! }
//!
//! testing::run(async {
//!     let model = ScriptedModel::new([
//!         reply().call("nap", r#"{"seconds": 3600}"#).call("nap", r#"{"seconds": 1800}"#),
//!         reply().text("good morning"),
//!     ]);
//!     let limit = Duration::from_secs(7200);
//!     let tool = ToolType::typed("nap", "Sleeps", nap).time_limit(limit);
//!     let limits = callsheet::Limits { round_time_limit: limit, turn_time_limit: limit, ..Default::default() };
//!     let tools = Arc::new(ToolSet::new([tool])?);
//!     let runtime = testing::runtime();
//!     let session = runtime.session(SessionOptions::new(model.clone(), tools).limits(limits));
//!     let answer = session.ask("sleep well").await?;
//!     assert_eq!(&*answer.text, "good morning");
//!     assert_eq!(answer.report.elapsed, Duration::from_secs(3600)); // both at once, in no time
//!     assert_eq!(model.violations(), Vec::<String>::new());
//!     Ok::<_, Box<dyn std::error::Error>>(())
//! }).unwrap();
//! ```

pub mod store;
mod stream;

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix_rt::System;
use futures_util::{StreamExt, stream as streams};

use crate::model::{Dialect, Error, Event, Events, Model, Request};
#[doc(hidden)]
pub use crate::sabotage::Sabotage;
use crate::session::{Clock, Runtime, RuntimeBuilder};
use crate::wire::chat::{self, Message, Role};
use crate::wire::{self, Usage};
use stream::Stream;

/// Runs `test` in an actix System with one thread and a paused clock: when everything waits, time
/// jumps to the next deadline. The same test takes the same course each time.
///
/// # Panics
/// Where `test` does, or if the operating system gives no runtime.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    let system = System::with_tokio_rt(|| {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .expect("the operating system gives a runtime")
    });
    system.block_on(test)
}

/// A runtime within [`run`], with a clock that begins in 2001 and without a watchdog, whose time
/// would be the machine's.
///
/// # Panics
/// Outside of an actix System.
#[must_use]
pub fn runtime() -> Runtime {
    let clock = Clock::at(Duration::from_secs(1_000_000_000));
    builder().clock(clock).in_current_system().expect("within `testing::run`")
}

/// What [`runtime`] is made of, to say more of it: a runtime without a watchdog. That one's thread
/// knows nothing of the paused clock, and where it wakes somebody just as the clock jumps, time limits
/// may pass that are not over.
#[must_use]
pub fn builder() -> RuntimeBuilder {
    Runtime::builder().watchdog(None)
}

/// Breaks the runtime on this thread from now on, to see whether a test notices; `None` mends it.
#[doc(hidden)]
pub fn sabotage(sabotage: Option<Sabotage>) {
    crate::sabotage::set(sabotage);
}

/// One reply of a script. Begin with [`reply`], [`failure`] or [`silence`].
#[derive(Clone, Debug)]
pub struct Scripted {
    delay: Duration,
    end: End,
}

#[derive(Clone, Debug)]
enum End {
    Reply(Spoken),
    Streamed(Stream),
    Failure(Error),
    Silence,
}

#[derive(Clone, Debug, Default)]
struct Spoken {
    text: Vec<String>,
    calls: Vec<(String, String, String)>,
    finish: Option<String>,
    usage: Counted,
}

/// What a reply says of its tokens.
#[derive(Clone, Copy, Debug, Default)]
enum Counted {
    /// 10 of the request and 5 of the reply; of one that is streamed, nothing.
    #[default]
    AsUsual,
    As(Option<Usage>),
}

/// A reply; say what it holds with [`Scripted::text`] and [`Scripted::call`].
#[must_use]
pub fn reply() -> Scripted {
    Scripted { delay: Duration::ZERO, end: End::Reply(Spoken::default()) }
}

/// No reply but `error`.
#[must_use]
pub fn failure(error: Error) -> Scripted {
    Scripted { delay: Duration::ZERO, end: End::Failure(error) }
}

/// A reply that is streamed as these bytes say: server-sent events, in pieces, each so long after the
/// one before. The model's closing braces can be trusted.
#[must_use]
pub fn streamed<B: Into<Vec<u8>>>(pieces: impl IntoIterator<Item = (Duration, B)>) -> Scripted {
    let pieces = pieces.into_iter().map(|(pause, bytes)| (pause, bytes.into())).collect();
    let stream = Stream { pieces, brace_close_trusted: true, lost: None };
    Scripted { delay: Duration::ZERO, end: End::Streamed(stream) }
}

/// A reply that never comes.
#[must_use]
pub fn silence() -> Scripted {
    Scripted { delay: Duration::ZERO, end: End::Silence }
}

impl Scripted {
    /// Comes after `delay`.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Adds a piece of text.
    #[must_use]
    pub fn text(mut self, text: &str) -> Self {
        if let End::Reply(spoken) = &mut self.end {
            spoken.text.push(text.to_owned());
        }
        self
    }

    /// Adds a call of `tool` with the text `arguments`; its id is `call_` and its place.
    #[must_use]
    pub fn call(self, tool: &str, arguments: &str) -> Self {
        let ordinal = match &self.end {
            End::Reply(spoken) => spoken.calls.len(),
            End::Streamed(_) | End::Failure(_) | End::Silence => 0,
        };
        self.call_with_id(&format!("call_{ordinal}"), tool, arguments)
    }

    /// Adds a call under the wire id `id`.
    #[must_use]
    pub fn call_with_id(mut self, id: &str, tool: &str, arguments: &str) -> Self {
        if let End::Reply(spoken) = &mut self.end {
            spoken.calls.push((id.to_owned(), tool.to_owned(), arguments.to_owned()));
        }
        self
    }

    /// Ends for the reason `finish`, such as `length`.
    #[must_use]
    pub fn finish(mut self, finish: &str) -> Self {
        if let End::Reply(spoken) = &mut self.end {
            spoken.finish = Some(finish.to_owned());
        }
        self
    }

    /// Counts its tokens so, in place of 10 and 5; `None` = not at all.
    #[must_use]
    pub fn counted(mut self, usage: Option<Usage>) -> Self {
        if let End::Reply(spoken) = &mut self.end {
            spoken.usage = Counted::As(usage);
        }
        self
    }

    /// Is streamed: a chunk for each text, two for each call (the second one closes its arguments),
    /// and one that ends the reply, each `pause` after the one before. Say last.
    #[must_use]
    pub fn paced(mut self, pause: Duration) -> Self {
        if let End::Reply(Spoken { text, calls, finish, usage }) = &self.end {
            let usage = match usage {
                Counted::As(Some(usage)) => Some(body_of(usage)),
                Counted::AsUsual | Counted::As(None) => None,
            };
            let chunks = stream::chunks(text, calls, finish.as_deref(), usage);
            let pieces = chunks.into_iter().map(|chunk| (pause, chunk)).collect();
            self.end = End::Streamed(Stream { pieces, brace_close_trusted: true, lost: None });
        }
        self
    }

    /// Breaks off after `chunks` pieces of the stream. Only of one that is streamed.
    #[must_use]
    pub fn broken_off_after(mut self, chunks: usize) -> Self {
        if let End::Streamed(stream) = &mut self.end {
            stream.pieces.truncate(chunks);
        }
        self
    }

    /// Ends with `error`, unless its `[DONE]` has come by then. Only of a reply that is streamed.
    #[must_use]
    pub fn lost_to(mut self, error: Error) -> Self {
        if let End::Streamed(stream) = &mut self.end {
            stream.lost = Some(error);
        }
        self
    }

    /// Is of a model whose closing braces cannot be trusted. Only of a reply that is streamed.
    #[must_use]
    pub fn with_doubtful_braces(mut self) -> Self {
        if let End::Streamed(stream) = &mut self.end {
            stream.brace_close_trusted = false;
        }
        self
    }

    fn events(self) -> Events {
        match self.end {
            End::Streamed(stream) => stream.events(),
            end => streams::iter(Self::events_at_once(end)).boxed_local(),
        }
    }

    fn events_at_once(end: End) -> Vec<Result<Event, Error>> {
        match end {
            End::Reply(spoken) => {
                let pieces = spoken.text.iter().map(|text| Ok(Event::Text(text.clone())));
                let mut events: Vec<_> = std::iter::once(Ok(Event::Began)).chain(pieces).collect();
                let reply = chat::decode_reply(spoken.body().to_string().as_bytes());
                events.push(match reply {
                    Ok(reply) => Ok(Event::Reply(Box::new(reply))),
                    Err(error) => Err(Error::Malformed {
                        url: "the script".into(),
                        reason: error.to_string(),
                    }),
                });
                events
            }
            End::Failure(error) => vec![Err(error)],
            End::Streamed(_) | End::Silence => Vec::new(),
        }
    }
}

impl Spoken {
    fn body(&self) -> serde_json::Value {
        let calls: Vec<_> = self
            .calls
            .iter()
            .map(|(id, name, arguments)| {
                serde_json::json!({"id": id, "type": "function",
                    "function": {"name": name, "arguments": arguments}})
            })
            .collect();
        let mut message = serde_json::json!({"role": "assistant", "content": self.text.concat()});
        if !calls.is_empty() {
            message["tool_calls"] = calls.into();
        }
        let usage = match self.usage {
            Counted::AsUsual => serde_json::json!({"prompt_tokens": 10, "completion_tokens": 5}),
            Counted::As(usage) => usage.as_ref().map(body_of).into(),
        };
        serde_json::json!({"model": "scripted", "usage": usage,
            "choices": [{"index": 0, "message": message, "finish_reason": self.finish}]})
    }
}

fn body_of(usage: &Usage) -> serde_json::Value {
    let Usage { input_tokens, output_tokens, cost, .. } = usage;
    serde_json::json!({"prompt_tokens": input_tokens, "completion_tokens": output_tokens,
        "cost": cost})
}

/// A model that says what its script says, reply after reply, and checks each history it is sent
/// as strictly as the strictest provider.
#[derive(Debug)]
pub struct ScriptedModel {
    name: String,
    dialect: Dialect,
    script: Mutex<VecDeque<Scripted>>,
    heard: Mutex<Heard>,
    violations: Mutex<Vec<String>>,
}

/// The histories that a model was sent. Each goes on from the last one, as a rule, and then only what
/// is new of it is decoded.
#[derive(Debug, Default)]
struct Heard {
    histories: Vec<History>,
    /// Of each request: which history it was sent, and how many messages there were then.
    requests: Vec<(usize, usize)>,
}

/// A list of messages, as it came and decoded.
#[derive(Debug, Default)]
struct History {
    bytes: Vec<u8>,
    messages: Vec<Message>,
}

impl Heard {
    /// Takes in the messages of a request, and shows them.
    fn take_in(&mut self, bytes: &[u8]) -> Result<&[Message], wire::Error> {
        let last = self.histories.last().map_or(&[][..], |history| &history.bytes);
        match bytes.strip_prefix(last).and_then(|rest| rest.strip_prefix(b",")) {
            Some(rest) if !last.is_empty() => {
                let added = chat::decode_messages(rest)?;
                if let Some(history) = self.histories.last_mut() {
                    history.bytes = bytes.to_vec();
                    history.messages.extend(added);
                }
            }
            _ => {
                let messages = chat::decode_messages(bytes)?;
                self.histories.push(History { bytes: bytes.to_vec(), messages });
            }
        }
        let messages = self.histories.last().map_or(&[][..], |history| &history.messages);
        self.requests.push((self.histories.len() - 1, messages.len()));
        Ok(messages)
    }
}

impl ScriptedModel {
    /// A model that gives these replies in order, and fails when they are used up.
    #[must_use]
    pub fn new(script: impl IntoIterator<Item = Scripted>) -> Arc<Self> {
        Self::named("scripted", Dialect::generic(), script)
    }

    /// As [`ScriptedModel::new`], under a name, and with the history as `dialect` wants it.
    #[must_use]
    pub fn named(
        name: &str,
        dialect: Dialect,
        script: impl IntoIterator<Item = Scripted>,
    ) -> Arc<Self> {
        let script = Mutex::new(script.into_iter().collect());
        let (heard, violations) = Default::default();
        Arc::new(Self { name: name.to_owned(), dialect, script, heard, violations })
    }

    /// The messages of the last request as they were sent; empty before the first.
    #[must_use]
    pub fn last_history(&self) -> String {
        let heard = locked(&self.heard);
        let bytes = heard.histories.last().map_or(&[][..], |history| &history.bytes);
        String::from_utf8_lossy(bytes).into_owned()
    }

    /// Has it say `script` from now on, in place of what is left of the last one.
    pub fn rewrite(&self, script: impl IntoIterator<Item = Scripted>) {
        *locked(&self.script) = script.into_iter().collect();
    }

    /// The histories it was sent.
    #[must_use]
    pub fn requests(&self) -> Vec<Vec<Message>> {
        let heard = locked(&self.heard);
        let messages = |(history, count): &(usize, usize)| {
            heard.histories[*history].messages[..*count].to_vec()
        };
        heard.requests.iter().map(messages).collect()
    }

    /// What was wrong with them: calls without exactly one answer, answers out of order, or names
    /// that providers refuse. Empty if all was well.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        locked(&self.violations).clone()
    }
}

impl Model for ScriptedModel {
    fn name(&self) -> &str {
        &self.name
    }

    fn dialect(&self) -> Dialect {
        self.dialect
    }

    fn ask(&self, request: Request<'_>) -> Events {
        match locked(&self.heard).take_in(request.messages) {
            Ok(messages) => locked(&self.violations).extend(violations(messages)),
            Err(error) => locked(&self.violations).push(error.to_string()),
        }
        let next = locked(&self.script).pop_front();
        let next = next.unwrap_or_else(|| {
            failure(Error::Cut {
                url: "the script".into(),
                reason: "it has no more replies".into(),
            })
        });
        let delay = next.delay;
        let silent = matches!(next.end, End::Silence);
        let events = next.events();
        let begin = async move {
            if silent {
                std::future::pending::<()>().await;
            }
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            events
        };
        streams::once(begin).flatten().boxed_local()
    }
}

/// What a strict provider would refuse in `messages`.
#[must_use]
pub fn violations(messages: &[Message]) -> Vec<String> {
    let mut found = Vec::new();
    let mut awaited: VecDeque<&str> = VecDeque::new();
    for message in messages {
        match (message.role, awaited.pop_front()) {
            (Role::Tool, Some(id)) if message.tool_call_id.as_deref() == Some(id) => continue,
            (Role::Tool, awaited) => {
                let came = message.tool_call_id.as_deref().unwrap_or("nothing");
                found.push(format!("an answer to `{came}` where {awaited:?} was awaited"));
            }
            (_, Some(id)) => {
                found.push(format!("the call `{id}` has no answer"));
                awaited.clear();
            }
            (_, None) => {}
        }
        awaited.extend(message.calls.iter().map(|call| &*call.id));
        let refused = message.calls.iter().filter(|call| !is_a_name(&call.name));
        found.extend(refused.map(|call| format!("a call of `{}`, which is no name", call.name)));
    }
    found.extend(awaited.iter().map(|id| format!("the call `{id}` has no answer")));
    found
}

/// The rule of Chat Completions for the names of functions.
fn is_a_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
