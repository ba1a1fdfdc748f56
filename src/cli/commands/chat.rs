//! `chat`: question after question in one session.

use std::sync::Arc;

use tokio::runtime::Runtime as Executor;

use super::tools;
use crate::cli::args::{Chat, Common};
use crate::cli::chat::command::{HELP, Meaning};
use crate::cli::chat::input::{Input, Line};
use crate::cli::chat::interrupts::Interrupts;
use crate::cli::data_dir::data_dir;
use crate::cli::draw::health::count;
use crate::cli::screen::Screen;
use crate::cli::status::{Closed, Status};
use crate::cli::toolbox::Toolbox;
use crate::cli::turn::{Asked, Show, Wish, follow};
use crate::cli::{approver, going_on, live, logging, setup, store};
use crate::config::Config;
use crate::conversation::Record;
use crate::document::past::Past;
use crate::session::{Error, Session};
use crate::store::{self as stores, Summary};
use crate::supervision::{ModelRetry, RoundReport};

pub(in crate::cli) fn run(common: &Common, chat: Chat, screen: &Screen) -> anyhow::Result<Status> {
    let config = setup::load(common)?;
    logging::start(&config, common, screen);
    let toolbox = Toolbox::open(&config, chat.choice.tools.as_deref(), screen)?;
    let tools = toolbox.tools();
    let executor = setup::executor()?;
    let store = executor.block_on(store::open(&config))?;
    let place = executor.block_on(store::which(&*store, &chat.place))?;
    let last = match &place {
        Some((id, Some(known))) => {
            refuse_if_open(known, chat.place.take_over)?;
            last_turn(&executor.block_on(store::read(&*store, id))?)
        }
        Some((_, None)) | None => LastTurn::default(),
    };
    let answerer = setup::answerer(&config, &chat.choice, screen)?;
    let options = answerer.options(&config, &chat.choice, Arc::clone(&tools));
    let mut options = toolbox.equip(options);
    options = approver::settle(options, &chat.choice, &tools, screen);
    if let Some((id, known)) = &place {
        options = options.id(id.clone());
        if let Some(known) = known {
            welcome_back(known, &last, screen);
        }
    }
    if chat.place.take_over {
        options = options.take_over();
    }
    let runtime = setup::runtime_with(&config, store.share())?;
    let session = runtime.session(options);
    let history = data_dir(config.variables()).map(|directory| directory.join("history"));
    let input = Input::open(history)?;
    let interrupts = Interrupts::listen(input.is_typed());
    let (config, toolbox) = (&config, &toolbox);
    let mut talk = Talk { config, screen, executor, toolbox, session, interrupts, last };
    let ended = talk.run(input);
    let has_past = talk.last.prompt.is_some();
    if has_past && store::outlives_process(config) {
        going_on::say(screen, "chat", talk.session.id());
    }
    ended
}

/// A session that somebody else has is refused before anything is typed.
fn refuse_if_open(known: &Summary, take_over: bool) -> Result<(), stores::Error> {
    match &known.owner {
        Some(owner) if !take_over => {
            let (session, owner) = (known.session.clone(), owner.clone());
            Err(stores::Error::Busy { session, owner })
        }
        _ => Ok(()),
    }
}

fn welcome_back(known: &Summary, last: &LastTurn, screen: &Screen) {
    let turns = count(known.digest.turns, "turn");
    screen.foreign_note(&format!("session {}, {turns} so far", known.session));
    if last.open.is_some() {
        screen.note("its last turn was cut: /retry goes on with it, a new question ends it");
    }
}

/// What is known of the last turn.
#[derive(Debug, Default)]
struct LastTurn {
    prompt: Option<String>,
    rounds: Vec<Arc<RoundReport>>,
    retries: Vec<ModelRetry>,
    /// Its records, if it was cut.
    open: Option<Vec<Record>>,
}

/// The last turn on record.
fn last_turn(records: &[Record]) -> LastTurn {
    let Some(turn) = Past::of(records).and_then(|mut past| past.turns.pop()) else {
        return LastTurn::default();
    };
    LastTurn {
        prompt: Some(turn.prompt.to_owned()),
        open: turn.end.is_none().then(|| turn.records.to_vec()),
        rounds: turn.rounds,
        retries: turn.retries,
    }
}

/// A conversation under way.
struct Talk<'a> {
    config: &'a Config,
    screen: &'a Screen,
    executor: Executor,
    toolbox: &'a Toolbox,
    session: Session,
    interrupts: Interrupts,
    last: LastTurn,
}

impl Talk<'_> {
    /// Takes line after line. A person leaves with 0; of what is piped in the first failure counts.
    fn run(&mut self, mut input: Input) -> anyhow::Result<Status> {
        let mut status = Status::Done;
        if input.is_typed() {
            self.screen.note("/help says what can be typed; Ctrl-D leaves");
        }
        loop {
            let wish = match input.next()? {
                Line::End => return Ok(status),
                Line::Interrupted if self.interrupts.key() => return Ok(Status::Interrupted),
                Line::Interrupted => {
                    self.screen.note("Ctrl-C again leaves");
                    continue;
                }
                Line::Text(line) => match Meaning::of(&line) {
                    Meaning::Quit => return Ok(status),
                    Meaning::Question(prompt) => Some(Wish::Answer(prompt)),
                    Meaning::Retry => self.retry(),
                    other => {
                        self.tell(&other);
                        None
                    }
                },
            };
            let Some(wish) = wish else { continue };
            let ended = self.turn(wish)?;
            if self.interrupts.is_ending() {
                return Ok(Status::Interrupted);
            }
            if !input.is_typed() && status == Status::Done {
                status = ended;
            }
        }
    }

    /// Answers a command that asks nobody.
    fn tell(&self, meaning: &Meaning) {
        match meaning {
            Meaning::Tools => {
                self.screen.tell(&tools::table(self.config, &self.toolbox.tools()).join("\n"))
            }
            Meaning::Timing if self.last.rounds.is_empty() && self.last.retries.is_empty() => {
                self.screen.tell("the last turn had no rounds");
            }
            Meaning::Timing => {
                for round in &self.last.rounds {
                    self.screen.tell(&live::draw(self.screen, round));
                }
                if !self.last.retries.is_empty() {
                    self.screen.tell(&live::draw_retries(self.screen, &self.last.retries));
                }
            }
            Meaning::Help => self.screen.tell(HELP),
            Meaning::Unknown(command) => {
                self.screen.foreign_note(&format!(
                    "there is no command {command}; /help names those there are"
                ));
            }
            Meaning::Nothing | Meaning::Question(_) | Meaning::Retry | Meaning::Quit => {}
        }
    }

    fn retry(&mut self) -> Option<Wish> {
        if let Some(records) = self.last.open.take() {
            return Some(Wish::Rest(records));
        }
        let prompt = self.last.prompt.clone();
        if prompt.is_none() {
            self.screen.tell("nothing was asked yet");
        }
        prompt.map(Wish::Answer)
    }

    /// Runs a turn to its end and shows it. What fails the turn alone is told, and the conversation
    /// goes on.
    fn turn(&mut self, wish: Wish) -> anyhow::Result<Status> {
        if let Wish::Answer(prompt) = &wish {
            self.last = LastTurn { prompt: Some(prompt.clone()), ..LastTurn::default() };
        }
        let mut show = Show::new(self.screen, self.toolbox);
        let (executor, session) = (&self.executor, &self.session);
        let asked = self.interrupts.turn(|interrupted| {
            executor.block_on(follow(session, wish, &mut show, interrupted.wait()))
        })?;
        self.keep(&asked);
        let is_over = matches!(&asked, Err(Error::Closed | Error::ShuttingDown | Error::Store(_)));
        match show.end(asked) {
            Ok(status) => Ok(status),
            Err(error) if is_over || error.is::<Closed>() => Err(error),
            Err(error) => {
                self.screen.complain(&error);
                Ok(Status::of(&error))
            }
        }
    }

    /// Keeps what `/timing` may ask for.
    fn keep(&mut self, asked: &Asked) {
        let report = match asked {
            Ok(answer) => &answer.report,
            Err(Error::Turn(failed)) => &failed.report,
            Err(_) => return,
        };
        self.last.rounds = report.rounds.to_vec();
        self.last.retries = report.retries().to_vec();
    }
}
