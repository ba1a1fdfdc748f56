//! `ask`: one question, one answer.

use std::io::{IsTerminal, Read};
use std::pin::pin;

use anyhow::Context;

use crate::cli::args::{Ask, Common, Output};
use crate::cli::document::Document;
use crate::cli::live::Live;
use crate::cli::screen::Screen;
use crate::cli::signals::Signals;
use crate::cli::status::{Closed, Status, UsageError};
use crate::cli::{logging, setup};
use crate::conversation::{Event, Record};
use crate::session::{Answer, Cause, Error, EventStream, Session};

pub(in crate::cli) fn run(common: &Common, ask: Ask, screen: &Screen) -> anyhow::Result<Status> {
    let config = setup::load(common)?;
    logging::start(&config, common, screen);
    let prompt = prompt(ask.prompt)?;
    let id = ask.session.as_deref().map(setup::session_id).transpose()?;
    let tools = setup::tools(&config, ask.choice.tools.as_deref())?;
    let answerer = setup::answerer(&config, &ask.choice, screen)?;
    let options = answerer.options(&config, &ask.choice, tools);
    let options = match id {
        Some(id) => options.id(id),
        None => options,
    };
    let runtime = setup::runtime(&config)?;
    let session = runtime.session(options);
    let mut show = Show::new(screen);
    let signals = Signals::listen();
    let asked = setup::executor()?.block_on(converse(&session, prompt, &mut show, &signals))?;
    show.end(asked)
}

/// The question: what was typed, and what came on standard input.
fn prompt(typed: Option<String>) -> anyhow::Result<String> {
    let stdin = std::io::stdin();
    let alone = matches!(typed.as_deref(), None | Some("-"));
    let mut piped = Vec::new();
    if alone && stdin.is_terminal() && typed.is_none() {
        return Err(UsageError("ask what? give a question, or pipe one in".into()).into());
    }
    if !stdin.is_terminal() {
        stdin.lock().read_to_end(&mut piped).context("cannot read standard input")?;
    }
    let piped = String::from_utf8(piped)
        .map_err(|_| UsageError("standard input is not UTF-8 text".into()))?;
    let typed = typed.filter(|_| !alone).unwrap_or_default();
    let parts = [typed.trim(), piped.trim()];
    let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    if parts.is_empty() {
        return Err(UsageError("the question is empty".into()).into());
    }
    Ok(parts.join("\n\n"))
}

/// Asks, shows what happens, and cancels the turn on a signal or when nobody reads on.
async fn converse(
    session: &Session,
    prompt: String,
    show: &mut Show<'_>,
    signals: &Signals,
) -> anyhow::Result<Result<Answer, Error>> {
    let mut events = session.events();
    let mut asked = pin!(session.ask(prompt));
    let mut interrupted = pin!(signals.interrupted());
    let mut closed = None;
    let mut cancelling = false;
    let answer = loop {
        tokio::select! {
            biased;
            () = &mut interrupted, if !cancelling => {
                cancelling = true;
                session.cancel().await;
            }
            Some(record) = events.next() => {
                if let Err(error) = show.record(&record) {
                    closed = Some(error);
                    session.cancel().await;
                }
            }
            answer = &mut asked => break answer,
        }
    };
    let shown = rest(&mut events, show, &answer).await;
    match closed.or(shown.err()) {
        Some(closed) => Err(closed.into()),
        None => Ok(answer),
    }
}

/// Shows what was said before the answer and not heard yet.
async fn rest(
    events: &mut EventStream,
    show: &mut Show<'_>,
    answer: &Result<Answer, Error>,
) -> Result<(), Closed> {
    if !matches!(answer, Ok(_) | Err(Error::Turn(_))) || show.over {
        return Ok(());
    }
    while let Some(record) = events.next().await {
        show.record(&record)?;
        if show.over {
            break;
        }
    }
    Ok(())
}

/// Shows a turn in the format that was asked for.
struct Show<'a> {
    screen: &'a Screen,
    live: Live<'a>,
    /// The end of the turn was shown.
    over: bool,
}

impl<'a> Show<'a> {
    fn new(screen: &'a Screen) -> Self {
        Self { screen, live: Live::new(screen), over: false }
    }

    fn record(&mut self, record: &Record) -> Result<(), Closed> {
        self.over |= matches!(record.event, Event::TurnEnded { .. });
        match self.screen.output {
            Output::Text => self.live.show(record),
            Output::Json => Ok(()),
            Output::Jsonl => {
                let line = serde_json::to_string(record).expect("an event is JSON");
                self.screen.data_line(&line)
            }
        }
    }

    fn end(mut self, asked: Result<Answer, Error>) -> anyhow::Result<Status> {
        match (self.screen.output, asked) {
            (Output::Text, Ok(answer)) => self.live.finish(&answer.text)?,
            (Output::Json, Ok(answer)) => print(self.screen, &Document::of_answer(&answer))?,
            (Output::Jsonl, Ok(_)) => {}
            (output, Err(error)) => {
                self.live.clear();
                if let (Output::Json, Error::Turn(failed)) = (output, &error) {
                    print(self.screen, &Document::of_failure(failed))?;
                }
                if let Error::Turn(failed) = &error
                    && matches!(failed.cause, Cause::Cancelled)
                {
                    self.screen.note("interrupted");
                    return Ok(Status::Interrupted);
                }
                return Err(error.into());
            }
        }
        Ok(Status::Done)
    }
}

fn print(screen: &Screen, document: &Document<'_>) -> anyhow::Result<()> {
    screen.data_line(&serde_json::to_string(document)?)?;
    Ok(())
}
