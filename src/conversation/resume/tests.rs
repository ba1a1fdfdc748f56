use super::*;
use crate::conversation::sample::{self, replied};
use crate::conversation::{Approval, Decision, Mode, SessionId, TurnEnd, VERSION};

const MS: u64 = 1000;

fn started() -> [Event; 2] {
    [sample::started(), Event::ModelAsked { round: 1, attempt: 1, model: None }]
}

fn began(ordinal: u32, tool: &str) -> Event {
    sample::began(1, ordinal, tool, None)
}

fn began_early(ordinal: u32, tool: &str) -> Event {
    sample::began(1, ordinal, tool, Some("{}"))
}

fn ended(ordinal: u32, tool: &str) -> Event {
    sample::ended(ordinal, tool, "done")
}

fn effects(tool: &str) -> Option<Effects> {
    match tool {
        "read" => Some(Effects::None),
        "put" => Some(Effects::Idempotent),
        "pay" => Some(Effects::Once),
        _ => None,
    }
}

fn state(events: &[Event]) -> SessionState {
    let mut state = SessionState::new(16);
    for event in events {
        let _ = state.on(event);
    }
    state
}

fn plan(events: &[Event]) -> ResumePlan {
    ResumePlan::of(&state(events), &effects).expect("the turn is open")
}

fn fates(plan: &ResumePlan) -> Vec<String> {
    plan.calls.iter().map(|call| format!("{} {}", call.tool, call.fate)).collect()
}

#[test]
fn a_session_between_turns_has_nothing_to_resume() {
    assert_eq!(ResumePlan::of(&state(&[]), &effects), None);
    let [start, asked] = started();
    let end =
        Event::TurnEnded { turn: 1, end: TurnEnd::Cancelled, usage: None, orphans: Arc::default() };
    assert_eq!(ResumePlan::of(&state(&[start, asked, end]), &effects), None);
}

#[test]
fn what_was_said_of_a_tool_when_its_call_began_holds() {
    let once = |mut event: Event| {
        let Event::CallStarted { once, .. } = &mut event else { panic!("{event:?}") };
        *once = true;
        event
    };
    let mut events = started().to_vec();
    events.push(once(began_early(0, "read")));
    let unknown = "read is answered unknown_outcome: the process ended while the call ran";
    assert_eq!(fates(&plan(&events)), [unknown], "while its reply is written");
    let mut events = started().to_vec();
    events.push(replied(&["read", "read"], Mode::Parallel));
    events.extend([once(began(0, "read")), began(1, "read")]);
    let again = "read had begun: runs again under the same key";
    assert_eq!(fates(&plan(&events)), [unknown, again]);
}

#[test]
fn each_call_has_the_fate_that_its_record_and_its_effects_allow() {
    let tools = ["read", "read", "read", "put", "pay", "pay", "gone", "gone"];
    let mut events = started().to_vec();
    events.push(replied(&tools, Mode::Parallel));
    let begun = [(0, "read"), (1, "read"), (3, "put"), (4, "pay"), (6, "gone")];
    events.extend(begun.map(|(ordinal, tool)| began(ordinal, tool)));
    events.push(ended(0, "read"));
    let plan = plan(&events);
    assert_eq!(
        fates(&plan),
        [
            "read has ended: its result is used",
            "read had begun: runs again under the same key",
            "read never began: runs",
            "put had begun: runs again under the same key",
            "pay is answered unknown_outcome: the process ended while the call ran",
            "pay never began: runs",
            "gone is answered unknown_outcome: the process ended while the call ran, and the tool is gone",
            "gone is answered unavailable: the tool is not there any more; not run",
        ]
    );
    let Fate::Answer(outcome) = &plan.calls[4].fate else { panic!("{plan:?}") };
    assert!(outcome.content.contains("may have taken effect"), "{}", outcome.content);
    assert_eq!(plan.next, Action::RunCalls(0..8));
    assert!(matches!(plan.events()[0], Event::TurnResumed { turn: 1 }));
}

#[test]
fn a_turn_cut_while_the_model_wrote_asks_it_again_in_a_further_try() {
    let plan = plan(&started());
    assert_eq!((plan.calls.len(), plan.next), (0, Action::AskModel { round: 1, attempt: 2 }));
}

#[test]
fn a_turn_cut_before_the_model_was_asked_asks_it() {
    let [start, _] = started();
    assert_eq!(plan(&[start]).next, Action::AskModel { round: 1, attempt: 1 });
}

#[test]
fn calls_that_began_early_keep_their_places_and_the_model_is_asked_again() {
    let mut events = started().to_vec();
    let begun = [(0, "read"), (1, "read"), (2, "pay")];
    events.extend(begun.map(|(ordinal, tool)| began_early(ordinal, tool)));
    events.push(ended(1, "read"));
    let plan = plan(&events);
    assert_eq!(
        fates(&plan),
        [
            "read had begun: runs again under the same key",
            "read has ended: its result is used",
            "pay is answered unknown_outcome: the process ended while the call ran",
        ]
    );
    assert_eq!(plan.next, Action::AskModel { round: 1, attempt: 2 });
    let again = plan.events();
    assert!(again.contains(&began_early(0, "read")), "{again:?}");
    assert_eq!(again.len(), 3, "{again:?}");
}

#[test]
fn a_call_that_ended_the_process_three_times_is_not_run_a_fourth_time() {
    let mut events = started().to_vec();
    events.push(replied(&["read", "put"], Mode::Parallel));
    for _ in 0..2 {
        events.extend([began(0, "read"), Event::TurnResumed { turn: 1 }]);
    }
    events.push(began(0, "read"));
    let answer = "read is answered unknown_outcome: the process ended 3 times while the call ran";
    assert_eq!(fates(&plan(&events)), [answer, "put never began: runs"]);
}

#[test]
fn what_blocks_one_thread_is_not_run_on_another() {
    let mut events = started().to_vec();
    events.push(replied(&["read", "put", "read"], Mode::Parallel));
    events.extend([began(0, "read"), began(1, "put")]);
    let plan = ResumePlan::without(Some("read"), &state(&events), &effects).expect("it is open");
    let why = "the tool blocked its thread, and nobody waits for it any more";
    assert_eq!(
        fates(&plan),
        [
            &*format!("read is answered unknown_outcome: {why}"),
            "put had begun: runs again under the same key",
            "read never began: runs",
        ]
    );
}

#[test]
fn a_round_whose_last_calls_cannot_run_goes_on_to_the_model() {
    let mut events = started().to_vec();
    events.extend([replied(&["pay", "read"], Mode::Parallel), began(0, "pay"), began(1, "read")]);
    events.push(ended(1, "read"));
    assert_eq!(plan(&events).next, Action::AskModel { round: 2, attempt: 1 });
}

#[test]
fn a_sequential_round_goes_on_with_the_next_call() {
    let mut events = started().to_vec();
    events.extend([replied(&["pay", "read", "put"], Mode::Sequential), began(0, "pay")]);
    let plan = plan(&events);
    assert_eq!(plan.next, Action::RunCalls(1..2));
    let mut after = state(&events);
    let wishes: Vec<_> = plan.events().iter().map(|event| after.on(event)).collect();
    assert_eq!(wishes.last(), Some(&Action::RunCalls(1..2)));
}

#[test]
fn a_resume_that_is_cut_itself_is_planned_like_any_other() {
    let mut events = started().to_vec();
    events.extend([replied(&["pay", "put"], Mode::Parallel), began(0, "pay"), began(1, "put")]);
    events.extend(plan(&events).events());
    assert_eq!(
        fates(&plan(&events)),
        ["pay has ended: its result is used", "put had begun: runs again under the same key"]
    );
}

fn records(events: &[(u64, Event)]) -> Vec<Record> {
    let record = |(seq, (at_ms, event)): (usize, &(u64, Event))| Record {
        v: VERSION,
        seq: seq as u64 + 1,
        at_us: at_ms * MS,
        session: SessionId::new("s"),
        event: event.clone(),
    };
    events.iter().enumerate().map(record).collect()
}

fn used(events: &[(u64, Event)]) -> TimeUsed {
    TimeUsed::of(&records(events))
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn the_time_of_a_turn_stands_still_while_the_process_is_down() {
    let [start, asked] = started();
    let mut events = vec![(1000, start), (1000, asked)];
    assert_eq!(used(&events), TimeUsed { turn: ms(0), round: None, elapsed: ms(0) });
    events.push((1300, replied(&["read", "read"], Mode::Parallel)));
    events.extend([(1300, began(0, "read")), (1700, ended(0, "read"))]);
    assert_eq!(used(&events), TimeUsed { turn: ms(700), round: Some(ms(400)), elapsed: ms(700) });
    events.push((900_000, Event::TurnResumed { turn: 1 }));
    events.push((900_000, began(1, "read")));
    assert_eq!(used(&events), TimeUsed { turn: ms(700), round: Some(ms(400)), elapsed: ms(700) });
    events.push((900_050, ended(1, "read")));
    events.push((900_050, Event::ModelAsked { round: 2, attempt: 1, model: None }));
    assert_eq!(used(&events), TimeUsed { turn: ms(750), round: None, elapsed: ms(750) });
}

#[test]
fn a_call_that_waits_for_approval_is_asked_about_unless_it_was_decided() {
    let mut events = started().to_vec();
    let mut reply = replied(&["pay", "pay", "pay", "gone"], Mode::Parallel);
    if let Event::Replied { calls, .. } = &mut reply {
        Arc::make_mut(calls).iter_mut().for_each(|call| call.approval = Approval::Always);
    }
    events.push(reply);
    events.extend((0..3).map(|ordinal| sample::approval_asked(ordinal, "pay")));
    let denied = Decision::Denied { reason: None };
    events.push(sample::approval_decided(1, "pay", Decision::Approved, false));
    events.push(sample::approval_decided(2, "pay", denied, false));
    let plan = plan(&events);
    assert_eq!(
        fates(&plan),
        [
            "pay waits for approval: is asked about",
            "pay never began: runs",
            "pay is answered denied: the call was not approved and was not run",
            "gone is answered unavailable: the tool is not there any more; not run",
        ]
    );
    assert_eq!(plan.next, Action::RunCalls(0..4));
}

#[test]
fn a_wait_for_a_person_is_no_time_used() {
    let [start, asked] = started();
    let approved = |ordinal| sample::approval_decided(ordinal, "pay", Decision::Approved, false);
    let events = [
        (0, start),
        (100, asked),
        (300, replied(&["pay", "pay", "read"], Mode::Parallel)),
        (300, sample::approval_asked(0, "pay")),
        (300, sample::approval_asked(1, "pay")),
        (300, began(2, "read")),
        (5_000, ended(2, "read")),
        (6_000, approved(0)),
        (6_000, began(0, "pay")),
        (7_000, approved(1)), // From here on nobody is awaited.
        (7_000, began(1, "pay")),
        (7_040, ended(0, "pay")),
    ];
    let expected = TimeUsed { turn: ms(340), round: Some(ms(40)), elapsed: ms(7_040) };
    assert_eq!(used(&events), expected);
    let mut again = events[..8].to_vec();
    again.push((9_000, Event::TurnResumed { turn: 1 }));
    again.push((9_050, sample::approval_asked(1, "pay")));
    again.push((9_999, approved(1)));
    let expected = TimeUsed { turn: ms(350), round: Some(ms(50)), elapsed: ms(6_000 + 999) };
    assert_eq!(used(&again), expected, "whoever was asked before is gone");
}
