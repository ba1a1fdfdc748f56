//! `ask`: one question, one answer.

use std::io::{IsTerminal, Read};
use std::sync::Arc;

use anyhow::Context;

use crate::cli::args::{Ask, Common};
use crate::cli::screen::Screen;
use crate::cli::signals::Signals;
use crate::cli::status::{Status, UsageError, store_error};
use crate::cli::toolbox::Toolbox;
use crate::cli::turn::{Show, Wish, follow};
use crate::cli::{approver, going_on, logging, setup, store};

pub(in crate::cli) fn run(common: &Common, ask: Ask, screen: &Screen) -> anyhow::Result<Status> {
    let config = setup::load(common)?;
    logging::start(&config, common, screen);
    let prompt = prompt(ask.prompt)?;
    let toolbox = Toolbox::open(&config, ask.choice.tools.as_deref(), screen)?;
    let tools = toolbox.tools();
    let executor = setup::executor()?;
    let store = executor.block_on(store::open(&config))?;
    let place = executor.block_on(store::which(&*store, &ask.place))?;
    let answerer = setup::answerer(&config, &ask.choice, screen)?;
    let mut options = toolbox.equip(answerer.options(&config, &ask.choice, Arc::clone(&tools)));
    options = approver::settle(options, &ask.choice, &tools, screen);
    if let Some((id, known)) = place {
        let has_begun = known.is_some_and(|known| known.last_seq > 0);
        if has_begun && ask.choice.system.is_some() {
            screen.note("the session keeps the system prompt that it began with");
        }
        options = options.id(id);
    }
    if ask.place.take_over {
        options = options.take_over();
    }
    let runtime = setup::runtime_with(&config, store.share())?;
    let session = runtime.session(options);
    let mut show = Show::new(screen, &toolbox);
    let signals = Signals::listen();
    let wish = Wish::Answer(prompt);
    let asked = executor.block_on(follow(&session, wish, &mut show, signals.interrupted()))?;
    let ended = show.end(asked);
    let was_refused = ended.as_ref().err().is_some_and(|error| store_error(error).is_some());
    if store::outlives_process(&config) && !was_refused {
        going_on::say(screen, "ask", session.id());
    }
    ended
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
