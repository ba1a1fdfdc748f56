//! `sessions resume`: goes on with a turn that was cut, after saying how.

use std::sync::Arc;

use crate::cli::args::{Choice, Output, Resume};
use crate::cli::draw::plan;
use crate::cli::screen::Screen;
use crate::cli::signals::Signals;
use crate::cli::status::Status;
use crate::cli::store::{self, Opened};
use crate::cli::toolbox::Toolbox;
use crate::cli::turn::{Show, Wish, follow};
use crate::cli::{approver, setup};
use crate::config::Config;
use crate::conversation::{Event, Record, ResumePlan, SessionState};
use crate::store::Error;
use crate::tools::ToolSet;

pub(super) fn run(
    config: &Config,
    store: Opened,
    resume: Resume,
    screen: &Screen,
) -> anyhow::Result<Status> {
    let executor = setup::executor()?;
    let summary = executor.block_on(store::find(&*store, &resume.id))?;
    let records = executor.block_on(store::read(&*store, &summary.session))?;
    let toolbox = Toolbox::open(config, resume.tools.as_deref(), screen)?;
    let tools = toolbox.tools();
    if let Some(newer) = Error::newer(&summary.session, &records) {
        return Err(newer.into());
    }
    let plan = plan_of(config, &tools, &records);
    if resume.plan {
        if let (Some(owner), Some(_)) = (&summary.owner, &plan) {
            screen.foreign_note(&format!(
                "not cut, but open in {owner}: this is as if that were killed now"
            ));
        }
        match (screen.output, &plan) {
            (Output::Text, Some(plan)) => screen.data(&plan::plan(&summary.session, plan))?,
            (Output::Text, None) => screen.note("no turn was cut: there is nothing to resume"),
            (Output::Json | Output::Jsonl, plan) => {
                let document = plan::document(&summary.session, plan.as_ref());
                screen.data_line(&document.to_string())?;
            }
        }
        return Ok(Status::Done);
    }
    if plan.is_none() && screen.output == Output::Jsonl {
        for record in last_turn(records) {
            screen.data_line(&serde_json::to_string(&record)?)?;
        }
        return Ok(Status::Done);
    }
    let Resume { model, tools: only, approve, .. } = resume;
    let choice = Choice { model, tools: only, system: None, approve };
    let answerer = setup::answerer(config, &choice, screen)?;
    let options = toolbox.equip(answerer.options(config, &choice, Arc::clone(&tools)));
    let options = approver::settle(options, &choice, &tools, screen).id(summary.session.clone());
    let options = if resume.take_over { options.take_over() } else { options };
    // What runs elsewhere was not cut: opening it is refused, or takes it over.
    match &plan {
        Some(plan) if summary.owner.is_none() || resume.take_over => {
            screen.note(&plan::plan(&summary.session, plan));
        }
        Some(_) => {}
        None => screen.note("no turn was cut: this is the last answer"),
    }
    let runtime = setup::runtime_with(config, store.share())?;
    let session = runtime.session(options);
    let mut show = Show::new(screen, &toolbox);
    let signals = Signals::listen();
    let wish = Wish::Rest(last_turn(records));
    let asked = executor.block_on(follow(&session, wish, &mut show, signals.interrupted()))?;
    show.end(asked)
}

/// What a resume with these tools would do.
fn plan_of(config: &Config, tools: &ToolSet, records: &[Record]) -> Option<ResumePlan> {
    let mut state = SessionState::within(&setup::limits(config), &setup::budgets(config));
    for record in records {
        let _ = state.on(&record.event);
    }
    // As the session has them: with what reads large results, once there are some.
    let reader = tools.with_reader().filter(|_| state.has_stored_results());
    let tools = reader.map_or(tools, |with_reader| with_reader);
    ResumePlan::of(&state, &|tool| Some(tools.get(tool)?.declared_effects()))
}

/// The records of the last turn.
fn last_turn(mut records: Vec<Record>) -> Vec<Record> {
    let is_start = |record: &Record| matches!(record.event, Event::TurnStarted { .. });
    let start = records.iter().rposition(is_start).unwrap_or(records.len());
    records.split_off(start)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Sources};
    use crate::conversation::Fate;

    /// A turn that was cut while it read on in a large result.
    const CUT: [&str; 7] = [
        r#"{"v":1,"seq":1,"at_us":1,"session":"s","type":"turn_started","turn":1,"prompt":"go"}"#,
        r#"{"v":1,"seq":2,"at_us":1,"session":"s","type":"replied","round":1,"attempt":1,"message":"{}","text":"","calls":[{"id":"a","tool":"get_weather","arguments":"{}"}],"mode":"parallel","finish":"tool_calls","model":null,"usage":null,"first_token_at_us":null}"#,
        r#"{"v":1,"seq":3,"at_us":1,"session":"s","type":"call_started","round":1,"ordinal":0,"id":"a","tool":"get_weather"}"#,
        r#"{"v":1,"seq":4,"at_us":1,"session":"s","type":"call_ended","round":1,"ordinal":0,"id":"a","tool":"get_weather","kind":"ok","content":"head","stored":{"id":"x","bytes":9},"dispatched_at_us":1,"queued_us":0,"startup_us":0,"backoff_us":0,"waited_us":0,"ran_us":1,"attempts":1,"worker_generation":0}"#,
        r#"{"v":1,"seq":5,"at_us":1,"session":"s","type":"model_asked","round":2,"attempt":1}"#,
        r#"{"v":1,"seq":6,"at_us":1,"session":"s","type":"replied","round":2,"attempt":1,"message":"{}","text":"","calls":[{"id":"b","tool":"read_result","arguments":"{}"}],"mode":"parallel","finish":"tool_calls","model":null,"usage":null,"first_token_at_us":null}"#,
        r#"{"v":1,"seq":7,"at_us":1,"session":"s","type":"call_started","round":2,"ordinal":0,"id":"b","tool":"read_result"}"#,
    ];

    #[test]
    fn a_plan_knows_the_tool_that_reads_large_results() {
        let config = Config::load(Sources::default()).unwrap();
        let tools = Toolbox::of(&config, None).unwrap().tools();
        let records = CUT.map(|line| serde_json::from_str::<Record>(line).unwrap());
        let plan = plan_of(&config, &tools, &records).unwrap();
        assert_eq!(plan.calls[0].fate, Fate::RunAgain);
    }
}
