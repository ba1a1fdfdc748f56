//! What a resume will do, for people and for programs.

use serde_json::{Value, json};

use super::width::one_line;
use crate::conversation::{Action, CallKey, Fate, ResumePlan, SessionId, TurnEnd};

/// Writes the plan: a line for the turn, one for each call, one for what is done then.
pub fn plan(session: &SessionId, plan: &ResumePlan) -> String {
    let mut text = format!("turn {} of session {} was cut", plan.turn, one_line(session.as_str()));
    match plan.calls.is_empty() {
        true => text += "\n",
        false => text += &format!(" in round {}\n", plan.round),
    }
    for call in &plan.calls {
        text += &format!("  {} {} {}\n", one_line(&call.id), one_line(&call.tool), call.fate);
    }
    text + "  then " + &next(&plan.next, plan) + "\n"
}

fn next(next: &Action, plan: &ResumePlan) -> String {
    match next {
        Action::AskModel { .. } => "the model is asked to go on".to_owned(),
        Action::RunCalls(_) if plan.calls.iter().any(|call| call.fate == Fate::Ask) => {
            "what has no result runs as far as it is approved, and the model is asked to go on"
                .to_owned()
        }
        Action::RunCalls(_) => {
            "what has no result runs, and the model is asked to go on".to_owned()
        }
        Action::EndTurn(TurnEnd::Answered) => "the turn ends: its answer is there".to_owned(),
        Action::EndTurn(end) => format!("the turn ends: {}", how(end)),
        Action::Wait if plan.calls.iter().any(|call| call.fate == Fate::RunAgain) => {
            "the model is asked to go on, while these calls run".to_owned()
        }
        Action::Wait => "the model is asked to go on".to_owned(),
    }
}

fn how(end: &TurnEnd) -> String {
    match end {
        TurnEnd::Answered => "answered".to_owned(),
        TurnEnd::Cancelled => "cancelled".to_owned(),
        TurnEnd::TimedOut => "out of time".to_owned(),
        TurnEnd::Failed { problem } => one_line(&problem.message),
    }
}

/// The same as a document; `null` where nothing was cut.
pub fn document(session: &SessionId, plan: Option<&ResumePlan>) -> Value {
    let Some(plan) = plan else {
        return json!({"session": session, "turn": null, "round": null, "calls": [], "next": "nothing"});
    };
    let calls = plan.calls.iter().map(|call| {
        let (attempt, ordinal) = (call.place.reply_attempt, call.place.ordinal);
        let key = CallKey { session: session.clone(), round: plan.round, attempt, ordinal };
        let (fate, outcome) = match &call.fate {
            Fate::Reuse => ("reuse", None),
            Fate::Run => ("run", None),
            Fate::Ask => ("ask", None),
            Fate::RunAgain => ("run_again", None),
            Fate::Answer(outcome) => ("answer", Some(outcome)),
        };
        json!({"id": call.id, "key": key.to_string(), "tool": call.tool, "fate": fate,
            "outcome": outcome.map(|outcome| outcome.kind.as_str()),
            "told": outcome.map(|outcome| &outcome.content)})
    });
    let next = match plan.next {
        Action::EndTurn(_) => "end_turn",
        Action::RunCalls(_) => "run_calls",
        Action::AskModel { .. } | Action::Wait => "ask_model",
    };
    let calls: Vec<_> = calls.collect();
    json!({"session": session, "turn": plan.turn, "round": plan.round, "calls": calls, "next": next})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::{Effects, SessionState};
    use crate::document::past::tests::{WHOLE, journal};

    fn plan_of(lines: &[&str], effects: Option<Effects>) -> Option<ResumePlan> {
        let mut state = SessionState::new(16);
        for record in journal(lines) {
            let _ = state.on(&record.event);
        }
        ResumePlan::of(&state, &|_| effects)
    }

    #[test]
    fn a_plan_says_what_becomes_of_each_call() {
        let session = SessionId::new("s");
        let again = plan_of(&WHOLE[..7], Some(Effects::None)).unwrap();
        let expected = "\
turn 1 of session s was cut in round 1
  a get_weather has ended: its result is used
  b get_stock had begun: runs again under the same key
  then what has no result runs, and the model is asked to go on
";
        assert_eq!(plan(&session, &again), expected);
        let calls = &document(&session, Some(&again))["calls"];
        assert_eq!((&calls[0]["fate"], &calls[1]["fate"]), (&json!("reuse"), &json!("run_again")));
        assert_eq!(calls[1]["key"], "s/1/1/1");

        let once = plan_of(&WHOLE[..7], Some(Effects::Once)).unwrap();
        let text = plan(&session, &once);
        assert!(
            text.contains("\n  b get_stock is answered unknown_outcome: the process ended"),
            "{text}"
        );
        assert!(text.ends_with("\n  then the model is asked to go on\n"), "{text}");
        let document = document(&session, Some(&once));
        assert_eq!(
            (&document["next"], &document["calls"][1]["outcome"]),
            (&json!("ask_model"), &json!("unknown_outcome"))
        );
    }

    #[test]
    fn where_nothing_is_to_be_run_the_plan_says_what_comes_next() {
        let session = SessionId::new("s");
        let asking = plan_of(&WHOLE[..3], None).unwrap();
        assert_eq!(
            plan(&session, &asking),
            "turn 1 of session s was cut\n  then the model is asked to go on\n"
        );
        let said = plan_of(&WHOLE[..10], None).unwrap();
        assert!(plan(&session, &said).ends_with("the turn ends: its answer is there\n"));
        assert!(plan_of(&WHOLE, None).is_none());
        assert_eq!(document(&session, None)["next"], "nothing");
    }
}
