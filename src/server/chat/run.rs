//! A turn that answers a client, as far as the client is told of it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use futures_util::FutureExt;
use ring::rand::{SecureRandom, SystemRandom};

use super::super::problem::Problem;
use crate::conversation::{Approval, AskedCall, CallKey, Decision, Event, Place, Record};
use crate::model;
use crate::session::{Answer, Asked, Cause, Error, EventStream, Question, Session};
use crate::wire::Usage;

/// What stands between the texts of two replies.
pub(super) const BETWEEN: &str = "\n\n";

/// A turn that answers a client. Dropping it cancels the turn.
pub(super) struct Run {
    session: Session,
    events: EventStream,
    asked: Option<Asked>,
    answer: Option<Result<Answer, Error>>,
    /// What the client is to be told, and was not yet.
    steps: VecDeque<Step>,
    /// The tools that the client has.
    their_tools: Vec<String>,
    /// Calls of the client's, and their results as far as they have come.
    theirs: HashMap<CallKey, (Arc<str>, Option<Arc<str>>)>,
    /// Calls that neither the client runs nor we do.
    nobodys: HashSet<CallKey>,
    said: Said,
    /// The tokens of the replies since the last response.
    pub usage: Usage,
    /// When the first event of the response was recorded, in microseconds since 1970.
    pub began_at_us: Option<u64>,
}

/// What a client is told.
pub(super) enum Step {
    /// More of the answer's text.
    Text(String),
    /// The last so many bytes of it are void: the reply came to nothing, and is asked for again.
    Void(usize),
    /// Calls for the client to run: with them the response ends.
    Calls(Vec<Call>),
    /// The answer is whole.
    Done(&'static str),
    Failed(Problem),
}

/// A call for the client to run.
#[derive(Clone)]
pub(super) struct Call {
    /// Made up here.
    pub id: Arc<str>,
    pub tool: Arc<str>,
    /// The text of a JSON object.
    pub arguments: Arc<str>,
}

/// The text of a response so far, as far as it matters for what follows.
#[derive(Default)]
struct Said {
    anything: bool,
    /// What was streamed of the reply that is under way.
    current: String,
    /// What stands between it and the one before, in bytes.
    between: usize,
}

impl Said {
    /// What the client is told where the model says `text`.
    fn piece(&mut self, text: &str) -> Option<String> {
        if text.is_empty() {
            return None;
        }
        let between = if self.anything && self.current.is_empty() { BETWEEN } else { "" };
        if self.current.is_empty() {
            self.between = between.len();
        }
        self.current.push_str(text);
        self.anything = true;
        Some([between, text].concat())
    }

    /// The reply has ended, and says `text` in all: what was not streamed of it.
    fn whole(&mut self, text: &str) -> Option<String> {
        let rest = text.strip_prefix(&*self.current).unwrap_or_default().to_owned();
        let rest = self.piece(&rest);
        self.current.clear();
        rest
    }

    /// The reply came to nothing: so many bytes were told of it.
    fn void(&mut self) -> usize {
        let told = if self.current.is_empty() { 0 } else { self.between + self.current.len() };
        self.current.clear();
        told
    }
}

/// Says whether a client is told of `event`, or it says when a response began. Others must not wait for
/// a client that takes its time: a tool of ours may report anything meanwhile.
fn matters(event: &Event) -> bool {
    matches!(
        event,
        Event::TurnStarted { .. }
            | Event::ContextCompacted { .. }
            | Event::ModelAsked { .. }
            | Event::TextStreamed { .. }
            | Event::ModelFailed { .. }
            | Event::Replied { .. }
            | Event::ApprovalAsked { .. }
            | Event::TurnEnded { .. }
    )
}

impl Run {
    /// Asks `question` in `session`, for a client that has `their_tools` beside ours.
    ///
    /// # Errors
    /// If it cannot be asked.
    pub fn begin(
        session: Session,
        question: Question,
        their_tools: Vec<String>,
    ) -> Result<Self, Error> {
        let events = session.events_where(matters); // From the beginning of the turn.
        let asked = session.begin(question)?;
        Ok(Self {
            session,
            events,
            asked: Some(asked),
            answer: None,
            steps: VecDeque::new(),
            their_tools,
            theirs: HashMap::new(),
            nobodys: HashSet::new(),
            said: Said::default(),
            usage: Usage::default(),
            began_at_us: None,
        })
    }

    /// The client has come again with the results of its calls, by their ids: another response begins.
    pub fn go_on(&mut self, results: &HashMap<Arc<str>, Arc<str>>) {
        for (id, result) in self.theirs.values_mut() {
            if let Some(content) = results.get(id) {
                *result = Some(Arc::clone(content));
            }
        }
        (self.said, self.usage, self.began_at_us) = Default::default();
    }

    /// What the client is told next. A future that is dropped loses nothing.
    pub async fn next(&mut self) -> Step {
        loop {
            if let Some(step) = self.steps.pop_front() {
                return step;
            }
            if self.answer.is_some() {
                // All was told before the answer was.
                match self.events.next().now_or_never().flatten() {
                    Some(record) => self.on(&record).await,
                    None => return self.end(),
                }
                continue;
            }
            let Some(asked) = &mut self.asked else { return Step::Failed(Problem::internal()) };
            tokio::select! {
                biased;
                record = self.events.next() => match record {
                    Some(record) => self.on(&record).await,
                    None => self.answer = Some(asked.await),
                },
                answer = &mut *asked => self.answer = Some(answer),
            }
        }
    }

    async fn on(&mut self, record: &Record) {
        self.began_at_us.get_or_insert(record.at_us);
        match &record.event {
            Event::TextStreamed { text } => {
                self.steps.extend(self.said.piece(text).map(Step::Text));
            }
            Event::ModelFailed { usage, .. } => {
                match self.said.void() {
                    0 => {}
                    told => self.steps.push_back(Step::Void(told)),
                }
                self.usage += usage.unwrap_or_default();
            }
            Event::ContextCompacted { usage, .. } | Event::TurnEnded { usage, .. } => {
                self.usage += usage.unwrap_or_default();
            }
            Event::Replied { round, attempt, text, calls, usage, .. } => {
                self.usage += usage.unwrap_or_default();
                self.steps.extend(self.said.whole(text).map(Step::Text));
                let calls = self.take_theirs((*round, *attempt), calls);
                if !calls.is_empty() {
                    self.steps.push_back(Step::Calls(calls));
                }
            }
            event @ Event::ApprovalAsked { .. } => self.answer_call(event).await,
            _ => {}
        }
    }

    /// The calls of a reply that the client is to run, under ids of their own.
    fn take_theirs(&mut self, (round, attempt): (u64, u32), calls: &[AskedCall]) -> Vec<Call> {
        let mut theirs = Vec::new();
        for (ordinal, call) in (0u32..).zip(calls) {
            if call.refused.is_some() || call.approval != Approval::Outside {
                continue;
            }
            let own = Place { reply_attempt: attempt, ordinal };
            let Place { reply_attempt: attempt, ordinal } = call.begun.unwrap_or(own);
            let key = CallKey { session: self.session.id().clone(), round, attempt, ordinal };
            if !self.their_tools.iter().any(|name| **name == *call.tool) {
                self.nobodys.insert(key);
                continue;
            }
            let (tool, arguments) = (Arc::clone(&call.tool), Arc::clone(&call.arguments));
            let call = Call { id: new_id("call_").into(), tool, arguments };
            self.theirs.insert(key, (Arc::clone(&call.id), None));
            theirs.push(call);
        }
        theirs
    }

    /// The session asks for the result of a call: the client has brought it. One that nobody here could
    /// bring is denied, as those are that somebody would have to approve.
    async fn answer_call(&mut self, asked: &Event) {
        let Some(key) = asked.waiting_call(self.session.id()) else { return };
        let decision = match self.theirs.remove(&key) {
            Some((_, Some(content))) => Decision::Answered { content },
            None if self.nobodys.remove(&key) => {
                Decision::Denied { reason: Some("nobody is there who runs it".into()) }
            }
            Some((_, None)) | None => return,
        };
        // It has ended if that fails; what became of it the next events tell.
        let _ = self.session.decide(&key, decision).await;
    }

    /// How the turn ended.
    fn end(&mut self) -> Step {
        self.asked = None;
        match self.answer.take() {
            Some(Ok(answer)) => Step::Done(finish(&answer.finish)),
            Some(Err(error)) => Step::Failed(problem(error)),
            None => Step::Failed(Problem::internal()),
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // Otherwise it is over.
        if let Some(asked) = self.asked.take().filter(|_| self.answer.is_none()) {
            self.session.withdraw(asked);
        }
    }
}

/// An id that nobody can guess.
pub(super) fn new_id(prefix: &str) -> String {
    use std::fmt::Write;
    let mut bytes = [0u8; 16];
    // Where the system has no randomness, TLS would not work either.
    if SystemRandom::new().fill(&mut bytes).is_err() {
        bytes = uuid::Uuid::now_v7().into_bytes();
    }
    bytes.iter().fold(prefix.to_owned(), |mut id, byte| {
        let _ = write!(id, "{byte:02x}"); // A String takes it.
        id
    })
}

/// Why the answer ends, in OpenAI's words.
fn finish(word: &str) -> &'static str {
    match word {
        "length" => "length",
        "content_filter" => "content_filter",
        _ => "stop",
    }
}

/// Why there is no answer. Once a round has run the client must not have it run again by asking anew.
fn problem(error: Error) -> Problem {
    use actix_web::http::StatusCode;
    let detail = error.to_string();
    let failed = match error {
        Error::Turn(failed) => failed,
        Error::Closed => return Problem::from(error).not_again(), // Who knows what it has done.
        error => return error.into(),
    };
    let has_run = !failed.report.rounds.is_empty();
    let code = failed.cause.code();
    let bad = |code| Problem::bad_request(code, detail.clone());
    let failed_with = |status| Problem::new(status, code, detail.clone());
    let problem = match &failed.cause {
        Cause::Model(model::Error::TooLong { .. }) => bad("context_length_exceeded"),
        Cause::Model(model::Error::Refused { .. }) => bad(code),
        Cause::Model(model::Error::RateLimited { retry_after, .. }) if !has_run => {
            let seconds = retry_after.map_or(1, |rest| rest.as_secs().max(1));
            Problem::overloaded(detail, seconds)
        }
        Cause::TimedOut => failed_with(StatusCode::GATEWAY_TIMEOUT),
        Cause::ShutDown | Cause::Store(_) => Error::Turn(failed).into(),
        _ => failed_with(StatusCode::BAD_GATEWAY),
    };
    if has_run { problem.not_again() } else { problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_texts_of_replies_stand_apart_and_what_was_streamed_is_not_said_again() {
        let mut said = Said::default();
        let mut all = String::new();
        let mut tell = |text: Option<String>| all.push_str(&text.unwrap_or_default());
        tell(said.piece("Let me "));
        tell(said.piece(""));
        tell(said.piece("look."));
        tell(said.whole("Let me look."));
        tell(said.whole(""));
        tell(said.piece("It is"));
        said.void();
        tell(said.piece("It is "));
        tell(said.whole("It is sunny."));
        tell(said.whole("Bye"));
        assert_eq!(all, "Let me look.\n\nIt is\n\nIt is sunny.\n\nBye");
    }

    #[cfg(feature = "testing")]
    #[test]
    fn what_a_client_is_never_told_does_not_wait_for_one_that_takes_its_time() {
        use std::time::Duration;

        use crate::testing::{self, ScriptedModel, reply};
        use crate::tools::{CallContext, ToolFuture, ToolSet, ToolType};
        use crate::{Effects, SessionOptions};

        const SAID: usize = 3000;
        let chatty = |_: &str, context: CallContext| -> ToolFuture {
            Box::pin(async move {
                for n in 0..SAID {
                    context.report_progress(n.to_string());
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                Ok("all said".to_owned())
            })
        };
        let any = || serde_json::json!({"type": "object"});
        let ours = ToolType::new("chatty", "", any(), move || chatty).effects(Effects::None);
        let theirs = ToolType::new("find", "", any(), move || chatty).approval(Approval::Outside);
        testing::run(async {
            let calls = reply().call("find", "{}").call("chatty", "{}");
            let model = ScriptedModel::new([calls, reply().text("found")]);
            let tools = Arc::new(ToolSet::new([ours, theirs]).unwrap());
            let session = testing::runtime().session(SessionOptions::new(model, tools));
            let all = session.events();
            let question = Question::new("go");
            let mut run = Run::begin(session, question, vec!["find".to_owned()]).unwrap();
            let Step::Calls(calls) = run.next().await else { panic!("no calls") };
            tokio::time::sleep(Duration::from_secs(60)).await;
            assert!(all.waiting() > SAID, "{} were told", all.waiting());
            assert!(run.events.waiting() < 5, "{} wait", run.events.waiting());
            run.go_on(&HashMap::from([(Arc::clone(&calls[0].id), "A".into())]));
            assert!(matches!(run.next().await, Step::Text(text) if text == "found"));
            assert!(matches!(run.next().await, Step::Done("stop")));
            assert_eq!(run.events.waiting(), 0);
        });
    }

    #[test]
    fn ids_are_long_and_not_the_same() {
        let (one, other) = (new_id("call_"), new_id("call_"));
        assert_ne!(one, other);
        assert_eq!((one.len(), one.starts_with("call_")), (37, true), "OpenAI takes up to 40");
    }

    #[test]
    fn what_was_told_of_a_reply_that_came_to_nothing_can_be_taken_back_whole() {
        let mut said = Said::default();
        let mut text = said.piece("It is").unwrap();
        text.truncate(text.len() - said.void());
        assert_eq!(text, "");
        text += said.piece("Let me see.").unwrap().strip_prefix(BETWEEN).unwrap();
        assert_eq!(said.whole("Let me see."), None);
        text += &said.piece("Sun").unwrap();
        text += &said.piece("ny").unwrap();
        assert_eq!(text, "Let me see.\n\nSunny");
        text.truncate(text.len() - said.void());
        assert_eq!((text.as_str(), said.void()), ("Let me see.", 0));
    }
}
