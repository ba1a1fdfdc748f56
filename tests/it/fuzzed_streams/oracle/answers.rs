//! Every call of the final reply is answered once, in order, with what its own tool said.

use std::collections::VecDeque;

use callsheet::conversation::{AskedCall, Place};
use callsheet::{Effects, Outcome, OutcomeKind};
use serde_json::Value;

use super::{Case, are_same};
use crate::fuzzed_streams::ledger::{Ask, Call, Reply};
use crate::fuzzed_streams::tools::ANSWER;
use crate::fuzzed_streams::truth::{CallTruth, Fate, Truth};
use crate::fuzzed_streams::wish::{STRICT, UNKNOWN};

pub fn every_event_has_its_place(case: &Case<'_>) -> Vec<String> {
    case.ledger.strays.clone()
}

/// No provider would have refused a request on the way.
pub fn the_model_saw_whole_histories(case: &Case<'_>) -> Vec<String> {
    case.run.violations.clone()
}

/// The replies with calls, each with the try of it.
fn replies<'a>(case: &Case<'a>) -> impl Iterator<Item = (&'a Ask<'a>, &'a Reply)> {
    case.ledger.asks.iter().filter_map(|ask| Some((ask, ask.reply.as_ref()?)))
}

/// How the call at `ordinal` of a reply ended.
fn outcome<'a>(
    case: &Case<'a>,
    ask: &Ask<'_>,
    ordinal: usize,
    asked: &'a AskedCall,
) -> Option<&'a Outcome> {
    let own = Place { reply_attempt: ask.attempt, ordinal: ordinal as u32 };
    let end =
        || case.ledger.end_of(ask.round, asked.begun.unwrap_or(own)).map(|(_, outcome)| outcome);
    asked.refused.as_ref().or_else(end)
}

/// The last history, sent after whatever happened, has every call with arguments that are a JSON
/// object, and behind them the answer to each, in order. So it has the calls with effects that began
/// early and that no reply asks for, as they began.
pub fn every_call_has_its_answer_in_the_history(case: &Case<'_>) -> Vec<String> {
    let mut found = Vec::new();
    let mut awaited: VecDeque<&str> = VecDeque::new();
    let mut asked = VecDeque::new();
    let mut told = Vec::new();
    for message in &case.run.history {
        if message["role"] == "tool" {
            let id = message["tool_call_id"].as_str().unwrap_or_default();
            if awaited.pop_front() != Some(id) {
                found.push(format!("nobody awaits the answer to `{id}`"));
            }
            let content = message["content"].as_str().unwrap_or_default();
            told.push(Told { call: asked.pop_front().unwrap_or(&Value::Null), content });
            continue;
        }
        asked = message["tool_calls"].as_array().into_iter().flatten().collect();
        found.extend(awaited.drain(..).map(|id| format!("`{id}` has no answer")));
        for call in message["tool_calls"].as_array().into_iter().flatten() {
            let arguments = call["function"]["arguments"].as_str().unwrap_or_default();
            let is_object =
                serde_json::from_str(arguments).is_ok_and(|value: Value| value.is_object());
            match call["id"].as_str() {
                Some(id) if is_object && !awaited.contains(&id) && !id.is_empty() => {
                    awaited.push_back(id)
                }
                _ => found.push(format!("no provider takes {call}")),
            }
        }
    }
    let due = due_answers(case);
    let differs = |(told, due): (&Told<'_>, &Due<'_>)| !due.is(told);
    if told.len() != due.len() || told.iter().zip(&due).any(differs) {
        found.push(format!("the model was told {told:?}, due were {due:?}"));
    }
    found.extend(ids_of_others(&case.run.history, &due));
    found
}

/// A call of the history and its answer.
#[derive(Debug)]
struct Told<'a> {
    call: &'a Value,
    content: &'a str,
}

/// What an answer of the history is to hold.
#[derive(Debug)]
struct Due<'a> {
    /// The results of one call, or of all in a wrapper.
    contents: Vec<&'a str>,
    /// The call, if no reply asks for it.
    orphan: Option<&'a Call>,
}

impl Due<'_> {
    fn is(&self, told: &Told<'_>) -> bool {
        let function = &told.call["function"];
        let is_call = self.orphan.is_none_or(|call| {
            let arguments = function["arguments"].as_str();
            function["name"] == *call.tool && arguments == call.arguments.as_deref()
        });
        is_call && is_answer(told.content, &self.contents)
    }
}

/// No call that no reply asks for has the id of a call before it, or of the reply behind it.
fn ids_of_others(history: &[Value], due: &[Due<'_>]) -> Vec<String> {
    let ids = |message: &Value| -> Vec<String> {
        let calls = message["tool_calls"].as_array().into_iter().flatten();
        calls.filter_map(|call| Some(call["id"].as_str()?.to_owned())).collect()
    };
    let mut found = Vec::new();
    let (mut before, mut due) = (Vec::new(), due.iter());
    for (place, message) in history.iter().enumerate() {
        let behind = history[place + 1..].iter().find(|message| message["role"] != "tool");
        let behind = behind.map(ids).unwrap_or_default();
        for id in ids(message) {
            let is_orphan = due.next().is_some_and(|due| due.orphan.is_some());
            if is_orphan && (before.contains(&id) || behind.contains(&id)) {
                found.push(format!("`{id}` is the id of two calls"));
            }
            before.push(id);
        }
    }
    found
}

/// What each answer of the history holds, in order.
fn due_answers<'a>(case: &Case<'a>) -> Vec<Due<'a>> {
    let mut due = Vec::new();
    for ask in &case.ledger.asks {
        let is_last = case
            .ledger
            .tries(ask.round)
            .last()
            .is_some_and(|last| (last.turn, last.attempt) == (ask.turn, ask.attempt));
        if is_last {
            due.extend(orphans(case, ask));
        }
        let Some(reply) = &ask.reply else { continue };
        let calls: Vec<_> = reply.calls.iter().enumerate().collect();
        let is_one = |one: &AskedCall, next: &AskedCall| {
            one.part_of.is_some() && one.part_of == next.part_of
        };
        for group in calls.chunk_by(|(_, one), (_, next)| is_one(one, next)) {
            let content = |(ordinal, asked): &(usize, &'a AskedCall)| {
                Some(&*outcome(case, ask, *ordinal, asked)?.content)
            };
            due.push(Due { contents: group.iter().filter_map(content).collect(), orphan: None });
        }
    }
    due
}

/// The calls with effects that began before the end of `ask`, the last try of its round, and that it
/// neither asks for nor answers as calls that changed; with their outcomes.
fn orphans<'a>(case: &Case<'a>, ask: &Ask<'a>) -> Vec<Due<'a>> {
    let calls = ask.reply.as_ref().map_or(&[][..], |reply| &reply.calls);
    let is_answered = |call: &Call| {
        let is_own = call.place.reply_attempt == ask.attempt;
        let is_in_place = is_own && calls.get(call.place.ordinal as usize).is_some();
        is_in_place || calls.iter().any(|asked| asked.begun == Some(call.place))
    };
    let has_effects = |call: &Call| {
        call.arguments.is_some()
            && case.tool(&call.tool).is_some_and(|tool| tool.effects != Effects::None)
    };
    let of_the_round = case.ledger.calls.iter().filter(|call| call.round == ask.round);
    let orphans = of_the_round.filter(|call| has_effects(call) && !is_answered(call));
    let due = |call: &'a Call| {
        let contents = call.ends.first().map(|(_, outcome)| &*outcome.content);
        Due { contents: contents.into_iter().collect(), orphan: Some(call) }
    };
    orphans.map(due).collect()
}

/// Says whether `told` is the one result, or the list of all.
fn is_answer(told: &str, due: &[&str]) -> bool {
    let parts: Vec<Value> = serde_json::from_str(told).unwrap_or_default();
    let is_part = |(part, due): (&Value, &&str)| {
        let said = part["result"].as_str().or(part["error"].as_str()).unwrap_or_default();
        due.strip_prefix("error: ").unwrap_or(due) == said
    };
    due == [told] || (parts.len() == due.len() && parts.iter().zip(due).all(is_part))
}

/// A reply that ends well asks for what the stream meant: whole calls can be run, and what is not
/// whole is refused.
pub fn whole_calls_stand(case: &Case<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for ask in &case.ledger.asks {
        let Some(truth) = ask.sent.and_then(|sent| sent.truth.as_ref()) else { continue };
        if !case.took_its_course(ask.turn) || !truth.is_sure {
            continue;
        }
        let name = format!("round {} attempt {}", ask.round, ask.attempt);
        let Some(reply) = &ask.reply else {
            if truth.fate != Fate::Failed {
                found.push(format!("{name} has no reply: {truth:?}"));
            }
            continue;
        };
        if truth.fate == Fate::Failed || reply.calls.len() != truth.calls.len() {
            found.push(format!("{name} has another reply: {:?}, {truth:?}", reply.calls));
            continue;
        }
        for (asked, meant) in reply.calls.iter().zip(&truth.calls) {
            if !is_due(case, truth, asked, meant) {
                found.push(format!("{name} asks for {asked:?}, {:?}: {meant:?}", truth.fate));
            }
        }
    }
    found
}

fn is_due(case: &Case<'_>, truth: &Truth, asked: &AskedCall, meant: &CallTruth) -> bool {
    let limits = &case.scenario.limits;
    let is_limited = limits.max_rounds < 16 || limits.max_calls_per_round < 128;
    let reading = meant.readings.iter().find(|reading| reading.until.is_none());
    let is_same = reading.is_some_and(|reading| *reading.arguments == *asked.arguments);
    let is_blank = reading.is_some_and(|reading| reading.arguments == "{}");
    let is_refused = match asked.refused.as_ref().map(|outcome| outcome.kind) {
        None => return is_same && *asked.tool == *meant.tool,
        Some(OutcomeKind::Denied) => is_limited,
        Some(OutcomeKind::Truncated) => truth.fate != Fate::Good || !truth.is_closed,
        // Its name may not have come.
        Some(OutcomeKind::UnknownTool) => meant.tool == UNKNOWN || !meant.stands,
        Some(OutcomeKind::BadArguments) => !meant.stands || (is_blank && meant.tool == STRICT),
        Some(_) => false,
    };
    let is_filtered = truth.fate == Fate::Filtered && asked.begun.is_none();
    let may_be_refused = !meant.stands || is_filtered || is_limited || meant.tool == UNKNOWN;
    is_refused && (may_be_refused || (is_blank && meant.tool == STRICT))
}

/// A call is answered with what its own tool said of its own arguments, also if it began in an
/// earlier try of the reply.
pub fn an_answer_is_what_the_tool_said(case: &Case<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for (ask, reply) in replies(case) {
        for (ordinal, asked) in reply.calls.iter().enumerate() {
            let Some(outcome) = outcome(case, ask, ordinal, asked) else { continue };
            let said = outcome.content.strip_prefix(ANSWER);
            let is_right = match outcome.kind {
                OutcomeKind::Ok => said.is_some_and(|said| are_same(said, &asked.arguments)),
                _ => said.is_none(),
            };
            if !is_right {
                found.push(format!("{asked:?} was answered {outcome:?}"));
            }
        }
    }
    found
}

/// A call of the final reply that ended as cancelled was cancelled by somebody, or has begun in an
/// earlier try, was stopped when it changed, and must not run again.
pub fn nothing_is_cancelled_that_nobody_cancelled(case: &Case<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for (ask, reply) in replies(case).filter(|(ask, _)| case.took_its_course(ask.turn)) {
        for (ordinal, asked) in reply.calls.iter().enumerate() {
            let outcome = outcome(case, ask, ordinal, asked);
            let has_effects =
                case.tool(&asked.tool).is_some_and(|tool| tool.effects != Effects::None);
            let was_before = asked.begun.is_some_and(|begun| begun.reply_attempt < ask.attempt);
            let is_explained = has_effects && was_before;
            if outcome.is_none_or(|outcome| outcome.kind == OutcomeKind::Cancelled && !is_explained)
            {
                found.push(format!("{asked:?} ended as {outcome:?}"));
            }
        }
    }
    found
}
