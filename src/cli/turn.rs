//! One turn of a session as it is shown in the format that was asked for: followed from its question,
//! or from where it is resumed, to its end.

use std::pin::pin;

use futures_util::FutureExt;

use super::approver::{Approver, Wants};
use super::args::Output;
use super::live::Live;
use super::screen::Screen;
use super::status::{Closed, Status};
use super::toolbox::Toolbox;
use crate::conversation::{Event, Record};
use crate::document::Document;
use crate::session::{Answer, Cause, Error, EventStream, Session};

/// What a session is to do.
#[derive(Clone, Debug)]
pub(super) enum Wish {
    /// Answer a question.
    Answer(String),
    /// Go on with the turn that was cut; its records so far.
    Rest(Vec<Record>),
}

/// What came of it.
pub(super) type Asked = Result<Answer, Error>;

/// Has `session` do what is wished, shows what happens, and cancels the turn when it is `interrupted`,
/// or when nobody reads on. Then `show` has all but the end ([`Show::end`]).
pub(super) async fn follow(
    session: &Session,
    wish: Wish,
    show: &mut Show<'_>,
    interrupted: impl Future<Output = ()>,
) -> Result<Asked, Closed> {
    let mut events = session.events();
    let prompt = match wish {
        Wish::Answer(prompt) => {
            show.begun = true; // Or it will.
            Some(prompt)
        }
        Wish::Rest(records) => {
            show.live.catch_up(&records);
            records.iter().for_each(|record| show.approver.catch_up(record));
            None
        }
    };
    let asked = async {
        match prompt {
            Some(prompt) => session.ask(prompt).await,
            None => session.resume().await,
        }
    };
    let (mut asked, mut interrupted) = (pin!(asked), pin!(interrupted));
    let mut closed = None;
    let mut cancelling = false;
    let answer = loop {
        tokio::select! {
            biased;
            () = &mut interrupted, if !cancelling => {
                cancelling = true;
                closed = show.stop_asking().err();
                session.cancel().await;
            }
            Some(record) = events.next() => {
                if let Err(error) = show.record(&record) {
                    closed = Some(error);
                    session.cancel().await;
                }
            }
            answer = &mut asked => break answer,
            // Last: whatever has happened is known before somebody is asked.
            wants = show.approver.wants(), if show.approver.has_question() => {
                match wants {
                    Wants::Decision(call, decision) => {
                        show.approver.decide(session, call, decision).await;
                    }
                    Wants::ToCancel => {
                        cancelling = true;
                        closed = show.stop_asking().err();
                        session.cancel().await;
                    }
                }
                if let Err(error) = show.catch_up() {
                    closed = Some(error);
                    session.cancel().await;
                }
            }
        }
    };
    if !show.begun {
        let _ = session.status().await; // What it told before is heard by now.
        if let Some(Some(record)) = events.next().now_or_never()
            && let Err(error) = show.record(&record)
        {
            closed = Some(error);
        }
    }
    let shown = rest(&mut events, show, &answer).await;
    match closed.or(shown.err()) {
        Some(closed) => Err(closed),
        None => Ok(answer),
    }
}

/// Shows what was said before the answer and not heard yet.
async fn rest(events: &mut EventStream, show: &mut Show<'_>, answer: &Asked) -> Result<(), Closed> {
    let has_turn = show.begun && matches!(answer, Ok(_) | Err(Error::Turn(_)));
    if !has_turn || show.over {
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
pub(super) struct Show<'a> {
    screen: &'a Screen,
    live: Live<'a>,
    approver: Approver<'a>,
    /// What has happened while a person was asked, and is shown afterwards.
    held: Vec<Record>,
    /// The turn has begun, or goes on: a session that has nothing to resume says nothing.
    begun: bool,
    /// The end of the turn was shown.
    over: bool,
}

impl<'a> Show<'a> {
    /// For a session with the tools of `toolbox`.
    pub fn new(screen: &'a Screen, toolbox: &'a Toolbox) -> Self {
        let (live, approver) = (Live::new(screen), Approver::new(screen, toolbox));
        Self { screen, live, approver, held: Vec::new(), begun: false, over: false }
    }

    fn record(&mut self, record: &Record) -> Result<(), Closed> {
        self.begun = true;
        self.over |= matches!(record.event, Event::TurnEnded { .. });
        self.approver.hear(record);
        let is_in_the_way = self.screen.output == Output::Text || self.screen.is_terminal();
        if self.approver.is_asking() && is_in_the_way {
            self.held.push(record.clone());
            return Ok(());
        }
        self.catch_up()?;
        self.show(record)
    }

    /// Asks nobody any more.
    fn stop_asking(&mut self) -> Result<(), Closed> {
        self.approver.stop();
        self.catch_up()
    }

    /// Shows what has happened while a person was asked, unless they still are.
    fn catch_up(&mut self) -> Result<(), Closed> {
        if self.approver.is_asking() {
            return Ok(());
        }
        let held = std::mem::take(&mut self.held);
        held.iter().try_for_each(|record| self.show(record))
    }

    fn show(&mut self, record: &Record) -> Result<(), Closed> {
        match self.screen.output {
            Output::Text => self.live.show(record),
            Output::Json => Ok(()),
            Output::Jsonl => {
                let line = serde_json::to_string(record).expect("an event is JSON");
                self.screen.data_line(&line)
            }
        }
    }

    /// Prints what came of the turn, unless it is on the screen already.
    ///
    /// # Errors
    /// Why there is no answer, but for a turn that was interrupted.
    pub fn end(mut self, asked: Asked) -> anyhow::Result<Status> {
        self.stop_asking()?;
        match (self.screen.output, asked) {
            (Output::Text, Ok(answer)) => self.live.finish(&answer.text)?,
            (Output::Json, Ok(answer)) => print(self.screen, &Document::of_answer(&answer))?,
            (Output::Jsonl, Ok(_)) => {}
            (output, Err(error)) => {
                self.live.clear();
                if let (Output::Json, Error::Turn(failed) | Error::Budget(failed)) =
                    (output, &error)
                {
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
