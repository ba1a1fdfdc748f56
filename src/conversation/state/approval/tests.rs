use std::borrow::Cow;

use super::*;
use crate::conversation::sample::{self, approval_asked, approval_decided, ended, started};
use crate::conversation::{Effects, Mode, OutcomeKind};
use crate::wire::Certainty;

/// Tools that take objects with a member `ok` only.
struct Tools;

impl Catalogue for Tools {
    fn check(&self, name: &str, arguments: &str) -> Result<Arc<str>, Refusal> {
        match arguments.contains("ok") {
            true => Ok(name.into()),
            false => Err(Refusal::BadArguments { message: "no `ok`".into() }),
        }
    }

    fn begins(&self, _: &str) -> Option<Certainty> {
        None
    }

    fn effects(&self, _: &str) -> Effects {
        Effects::Once
    }

    fn own_name(&self, written: &str) -> Option<Arc<str>> {
        Some(written.into())
    }

    fn wire_name<'a>(&'a self, written: &'a str) -> Cow<'a, str> {
        Cow::Borrowed(written)
    }
}

/// A reply that asks for a call of each tool: `always` and `once` need approval as they say.
fn replied(tools: &[&str], mode: Mode) -> Event {
    let mut event = sample::replied(tools, mode);
    if let Event::Replied { calls, .. } = &mut event {
        for call in Arc::make_mut(calls) {
            call.approval = match &*call.tool {
                "always" => Approval::Always,
                "once" => Approval::OncePerSession,
                _ => Approval::Never,
            };
        }
    }
    event
}

fn at(ordinal: u32) -> Place {
    Place { reply_attempt: 1, ordinal }
}

/// A session whose model asks for these calls, with what is due recorded as a coordinator would.
struct Course(SessionState);

impl Course {
    fn new(tools: &[&str], mode: Mode) -> Self {
        let mut course = Self(SessionState::new(16));
        let _ = course.0.on(&started());
        course.on(&replied(tools, mode));
        course
    }

    /// Takes in `event`, carries out what it asks for, and says what was recorded for that.
    fn on(&mut self, event: &Event) -> Vec<String> {
        let wish = self.0.on(event);
        self.carry_out(wish)
    }

    fn carry_out(&mut self, wish: Action) -> Vec<String> {
        let mut told = Vec::new();
        let Action::RunCalls(calls) = wish else { return told };
        for ordinal in calls {
            let tool = self.0.calls().expect("a round")[ordinal as usize].tool.to_string();
            match self.0.due(ordinal) {
                None => {}
                Some(Due::Begin) => {
                    let _ = self.0.on(&sample::began(1, ordinal, &tool, None));
                    told.push(format!("{tool} {ordinal} begins"));
                }
                Some(Due::Ask) => {
                    let asked = self.0.approval_asked(ordinal).expect("a call of the round");
                    assert_eq!(asked, approval_asked(ordinal, &tool));
                    let _ = self.0.on(&asked);
                    told.push(format!("{tool} {ordinal} asks"));
                }
                Some(Due::Answer(outcome)) => {
                    told.push(format!("{tool} {ordinal} {}", outcome.kind.as_str()));
                }
            }
        }
        told
    }

    fn decide(&mut self, ordinal: u32, decision: Decision) -> Result<Vec<String>, NotDecided> {
        let events = self.0.decided(1, at(ordinal), decision, &Tools)?;
        let wish = events.iter().map(|event| self.0.on(event)).last().unwrap_or(Action::Wait);
        Ok(self.carry_out(wish))
    }

    fn waiting(&self) -> Vec<u32> {
        self.0.awaiting_approval().map(|place| place.ordinal).collect()
    }
}

fn edited(arguments: &str) -> Decision {
    Decision::Edited { arguments: arguments.into() }
}

const DENIED: Decision = Decision::Denied { reason: None };

#[test]
fn only_calls_that_need_it_are_asked_about_and_the_others_begin() {
    let mut state = SessionState::new(16);
    let _ = state.on(&started());
    let mut course = Course(state);
    let told = course.on(&replied(&["free", "always", "once", "free"], Mode::Parallel));
    assert_eq!(told, ["free 0 begins", "always 1 asks", "once 2 asks", "free 3 begins"]);
    assert_eq!(course.waiting(), [1, 2]);
    assert!(course.0.needs_approval(1) && !course.0.needs_approval(0));
}

#[test]
fn an_approved_call_begins_and_a_denied_one_is_answered() {
    let mut course = Course::new(&["always", "always"], Mode::Parallel);
    assert_eq!(course.decide(0, Decision::Approved), Ok(vec!["always 0 begins".into()]));
    assert_eq!(course.decide(1, DENIED), Ok(vec!["always 1 denied".into()]));
    assert_eq!(course.waiting(), [0; 0]);
}

#[test]
fn the_first_decision_counts_and_what_does_not_wait_cannot_be_decided() {
    let mut course = Course::new(&["always", "free", "always"], Mode::Parallel);
    assert!(course.decide(0, Decision::Approved).is_ok());
    assert_eq!(course.decide(0, DENIED), Err(NotDecided::Already));
    for ordinal in [1, 7] {
        assert_eq!(course.decide(ordinal, DENIED), Err(NotDecided::NotWaiting));
    }
    let of_another_round = course.0.decided(2, at(2), DENIED, &Tools);
    assert_eq!(of_another_round, Err(NotDecided::NotWaiting));
    course.on(&ended(2, "always", "cancelled, say"));
    assert_eq!(course.decide(2, DENIED), Err(NotDecided::NotWaiting));
}

#[test]
fn an_approval_once_per_session_stands_for_those_that_wait_and_for_later_rounds() {
    let mut course = Course::new(&["once", "always", "once"], Mode::Parallel);
    let begun = course.decide(2, Decision::Approved).unwrap();
    assert_eq!(begun, ["once 0 begins", "once 2 begins"]);
    assert_eq!((course.waiting(), course.decide(0, DENIED)), (vec![1], Err(NotDecided::Already)));
    assert!(course.0.approved().has("once") && !course.0.approved().has("always"));
}

#[test]
fn an_edited_call_runs_as_it_was_edited_and_stands_for_no_other() {
    let mut course = Course::new(&["once", "once"], Mode::Parallel);
    let bad = |text: &str| match text {
        "[1]" => "they are not a JSON object",
        "{" => "they are not valid JSON",
        _ => "no `ok`",
    };
    for text in ["[1]", "{", r#"{"no":1}"#] {
        let message = bad(text).to_owned();
        assert_eq!(course.decide(0, edited(text)), Err(NotDecided::BadArguments { message }));
    }
    assert_eq!(course.decide(0, edited(r#"{"ok":1}"#)), Ok(vec!["once 0 begins".into()]));
    assert_eq!(course.0.edited(at(0)).map(|text| &**text), Some(r#"{"ok":1}"#));
    let told = course.0.with_edit(at(0), Outcome::ok("done"));
    assert!(told.content.starts_with("done\n") && told.content.contains(r#"{"ok":1}"#));
    assert_eq!(
        (course.waiting(), course.0.with_edit(at(1), Outcome::ok("done"))),
        (vec![1], Outcome::ok("done"))
    );
}

#[test]
fn arguments_that_are_the_models_own_are_no_edit() {
    let mut course = Course::new(&["once", "once"], Mode::Parallel);
    let begun = course.decide(0, edited(" { } ")).unwrap();
    assert_eq!(begun, ["once 0 begins", "once 1 begins"]);
    assert_eq!(course.0.edited(at(0)), None);
}

#[test]
fn in_sequence_a_call_is_asked_about_when_its_turn_has_come() {
    let mut course = Course::new(&["always", "free", "always"], Mode::Sequential);
    assert_eq!((course.waiting(), course.0.needs_approval(2)), (vec![0], true));
    assert_eq!(course.decide(2, Decision::Approved), Err(NotDecided::NotWaiting));
    assert_eq!(course.decide(0, Decision::Approved), Ok(vec!["always 0 begins".into()]));
    assert_eq!(course.on(&ended(0, "always", "")), ["free 1 begins"]);
    assert_eq!(course.on(&ended(1, "free", "")), ["always 2 asks"]);
}

#[test]
fn a_resumed_turn_asks_again_for_what_is_undecided_and_honours_what_was_decided() {
    let mut course = Course::new(&["always", "always", "always", "once", "once"], Mode::Parallel);
    // Cut between the decisions and what comes of them.
    let approved = |ordinal| approval_decided(ordinal, "always", Decision::Approved, false);
    let decided = [approved(0), approval_decided(1, "always", DENIED, false)];
    decided.iter().for_each(|event| drop(course.0.on(event)));
    let for_session = approval_decided(3, "once", Decision::Approved, true);
    let _ = course.0.on(&for_session);
    assert_eq!(
        course.on(&Event::TurnResumed { turn: 1 }),
        ["always 0 begins", "always 1 denied", "always 2 asks", "once 3 begins", "once 4 begins"]
    );
}

#[test]
fn a_call_that_is_refused_anyway_is_not_asked_about() {
    let mut event = replied(&["always", "always"], Mode::Parallel);
    if let Event::Replied { calls, .. } = &mut event {
        let refused = Outcome::failed(OutcomeKind::BadArguments, "no");
        Arc::make_mut(calls)[0].refused = Some(refused);
    }
    let mut state = SessionState::new(16);
    let _ = state.on(&started());
    assert_eq!(Course(state).on(&event), ["always 1 asks"]);
}
