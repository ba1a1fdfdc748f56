use super::*;
use crate::conversation::sample::{self, started};

fn replied(calls: usize, mode: Mode) -> Event {
    sample::replied(&vec!["t"; calls], mode)
}

fn ended(ordinal: u32, content: &str) -> Event {
    sample::ended(ordinal, "t", content)
}

fn at(reply_attempt: u32, ordinal: u32) -> Place {
    Place { reply_attempt, ordinal }
}

/// The beginning of a call; with arguments it begins before its reply has ended.
fn began(reply_attempt: u32, ordinal: u32, arguments: Option<&str>) -> Event {
    sample::began(reply_attempt, ordinal, "t", arguments)
}

fn state(events: &[Event]) -> (SessionState, Vec<Action>) {
    let mut state = SessionState::new(16);
    let actions = events.iter().map(|event| state.on(event)).collect();
    (state, actions)
}

#[test]
fn the_first_answer_to_a_call_counts_and_a_second_asks_for_nothing() {
    let events = [
        started(),
        replied(2, Mode::Parallel),
        ended(1, "first"),
        ended(1, "second"),
        ended(0, "zero"),
        ended(0, "late"),
    ];
    let (state, actions) = state(&events);
    let next = Action::AskModel { round: 2, attempt: 1 };
    assert_eq!(
        actions[1..],
        [Action::RunCalls(0..2), Action::Wait, Action::Wait, next, Action::Wait]
    );
    let text = String::from_utf8_lossy(state.transcript().as_bytes()).into_owned();
    assert!(text.contains("first") && text.contains("zero"), "{text}");
    assert!(!text.contains("second") && !text.contains("late"), "{text}");
}

#[test]
fn a_second_reply_to_the_same_question_is_not_taken() {
    let events = [started(), replied(1, Mode::Parallel), replied(3, Mode::Parallel)];
    let (state, actions) = state(&events);
    assert_eq!(actions[2], Action::Wait);
    assert_eq!(state.unanswered().collect::<Vec<_>>(), [at(1, 0)]);
}

#[test]
fn in_sequence_a_call_answered_before_its_turn_starts_no_other() {
    let started_call = began(1, 0, None);
    let events = [
        started(),
        replied(3, Mode::Sequential),
        started_call,
        ended(1, "cancelled"),
        ended(0, "done"),
    ];
    let (_, actions) = state(&events);
    assert_eq!(actions[1], Action::RunCalls(0..1));
    assert_eq!(actions[3..], [Action::Wait, Action::RunCalls(2..3)]);
}

#[test]
fn an_answer_of_another_round_is_not_taken() {
    let mut late = ended(0, "late");
    if let Event::CallEnded { round, .. } = &mut late {
        *round = 7;
    }
    let (state, _) = state(&[started(), replied(1, Mode::Parallel), late]);
    assert!(state.is_unanswered(at(1, 0)));
}

/// A reply of the try `attempt` with calls that have begun, or not.
fn replied_with(attempt: u32, begun: &[Option<Place>]) -> Event {
    let mut event = replied(begun.len(), Mode::Parallel);
    if let Event::Replied { attempt: number, calls, .. } = &mut event {
        *number = attempt;
        for (call, begun) in Arc::make_mut(calls).iter_mut().zip(begun) {
            call.begun = *begun;
        }
    }
    event
}

#[test]
fn a_call_that_began_and_ended_before_its_reply_is_answered_by_it() {
    let events = [
        started(),
        began(1, 0, Some("{}")),
        ended(0, "early"),
        replied_with(1, &[Some(at(1, 0)), None]),
        ended(1, "late"),
    ];
    let (state, actions) = state(&events);
    let next = Action::AskModel { round: 2, attempt: 1 };
    assert_eq!(actions[1..], [Action::Wait, Action::Wait, Action::RunCalls(0..2), next]);
    let text = String::from_utf8_lossy(state.transcript().as_bytes()).into_owned();
    assert!(text.find("early") < text.find("late"), "{text}");
}

#[test]
fn a_call_of_an_earlier_try_answers_the_call_that_it_is() {
    let events = [
        started(),
        began(1, 0, Some("{}")),
        began(2, 0, Some("{}")),
        replied_with(2, &[Some(at(2, 0)), Some(at(1, 0))]),
    ];
    let (mut state, actions) = state(&events);
    assert_eq!(actions[3], Action::RunCalls(0..2));
    assert!(state.has_started(at(1, 0)) && state.has_started(at(2, 0)));
    assert_eq!(state.unanswered().collect::<Vec<_>>(), [at(2, 0), at(1, 0)]);
    assert!(!state.is_unanswered(at(2, 1)), "the second call goes by its first numbers");
    assert_eq!(state.on(&ended(0, "first try")), Action::Wait);
    assert_eq!(state.unanswered().collect::<Vec<_>>(), [at(2, 0)]);
}

#[test]
fn a_call_that_the_reply_does_not_ask_for_answers_nothing() {
    let events = [
        started(),
        began(1, 0, Some("{}")),
        replied_with(2, &[None]),
        ended(0, "of the first try"),
    ];
    let (state, actions) = state(&events);
    assert_eq!(actions[3], Action::Wait);
    assert_eq!(state.unanswered().collect::<Vec<_>>(), [at(2, 0)]);
}

#[test]
fn a_round_whose_calls_began_is_not_counted_again_though_nobody_asked_for_them() {
    let end =
        Event::TurnEnded { turn: 1, end: TurnEnd::Cancelled, usage: None, orphans: Arc::default() };
    let (after, _) = state(&[started(), began(1, 0, Some("{}")), ended(0, "done"), end.clone()]);
    assert_eq!(after.rounds(), 1);
    let (after, _) = state(&[started(), end]);
    assert_eq!(after.rounds(), 0);
}
