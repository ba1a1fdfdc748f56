//! Random conversations under random budgets: whatever leaves a history, what is left is what the
//! strictest provider takes, no longer than it may be if that can be had, and the same when the record
//! is read back. A compaction that cuts anywhere is found out.

use std::sync::Arc;

use callsheet::conversation::{
    AskedCall, CallTimes, Compaction, ContextBudget, Mode, Orphan, Outcome, Place, SessionState,
    TooLong, TurnEnd,
};
use callsheet::testing::{self, Sabotage, violations};
use callsheet::wire::chat::{self, Message, Role};
use callsheet::{Event, OutcomeKind};

use crate::support::dice::Dice;

/// How many bytes a token is taken to have before any was counted.
const BYTES_A_TOKEN: usize = 3;

/// How many conversations.
const COURSES: u64 = 120;

/// A conversation as it grows.
struct Course {
    dice: Dice,
    budget: ContextBudget,
    tools_bytes: usize,
    state: SessionState,
    events: Vec<Event>,
    prompt: String,
    faults: Vec<String>,
    compactions: usize,
}

impl Course {
    fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let modes = [Compaction::DropOldest, Compaction::Summarise];
        let budget =
            ContextBudget { tokens: dice.between(60, 1_500), compaction: dice.one_of(&modes) };
        let tools_bytes = dice.one_of(&[0, 30, 300]);
        let mut course = Self {
            dice,
            budget,
            tools_bytes,
            state: SessionState::new(1_000),
            events: Vec::new(),
            prompt: String::new(),
            faults: Vec::new(),
            compactions: 0,
        };
        let system = course.dice.percent(70).then(|| "be kind".into());
        course.record(Event::SessionOpened { system, history: None });
        course
    }

    fn record(&mut self, event: Event) {
        let _ = self.state.on(&event);
        self.events.push(event);
    }

    fn text(&mut self) -> String {
        let words = self.dice.one_of(&[0, 1, 5, 40, 200]);
        format!("{} \"ü\" {}", self.dice.between(0, 1_000_000), "word ".repeat(words))
    }

    /// The history, message by message.
    fn messages(&self) -> Vec<Message> {
        chat::decode_messages(self.state.transcript().as_bytes()).expect("it is JSON")
    }

    fn size(&self) -> usize {
        self.state.transcript().as_bytes().len() + self.tools_bytes
    }

    /// The model is about to be asked: what is to leave leaves, and is looked at.
    fn ask(&mut self, round: u64, attempt: u32) {
        let refused = self.dice.percent(10);
        let why = if refused { TooLong::Refused } else { TooLong::Estimated };
        let cut = self.state.compaction(&self.budget, self.tools_bytes, why);
        let max = self.budget.tokens as usize * BYTES_A_TOKEN;
        if let Some(cut) = cut {
            self.compactions += 1;
            let seen = self.state.to_summarise(&cut);
            let seen = chat::decode_messages(seen.as_bytes()).expect("it is JSON");
            self.complain(violations(&seen));
            let has_room = cut.summary_bytes > 0;
            let summary = (has_room && self.dice.percent(80)).then(|| {
                let text = format!("SUMMARY {}", self.compactions);
                Arc::from(text + &"x".repeat(cut.summary_bytes - 100))
            });
            let (dropped, usage, problem) = (cut.dropped.into(), None, None);
            let (tokens_before, tokens_after) = (cut.tokens_before, cut.tokens_after);
            let last_round = last_round(&self.messages());
            self.record(Event::ContextCompacted {
                dropped,
                summary,
                problem,
                usage,
                tokens_before,
                tokens_after,
            });
            self.look_at(&last_round);
        }
        if why == TooLong::Estimated && self.size() > max && self.least() <= max {
            self.faults.push(format!("{} bytes where {max} could be had", self.size()));
        }
        self.record(Event::ModelAsked { round, attempt, model: None });
    }

    fn look_at(&mut self, last_round: &[String]) {
        let messages = self.messages();
        self.complain(violations(&messages));
        let question = messages.iter().rfind(|message| message.role == Role::User);
        if question.is_none_or(|question| question.text != self.prompt) {
            self.faults.push("the question is gone".to_owned());
        }
        if self::last_round(&messages) != last_round {
            self.faults.push("the last round is gone".to_owned());
        }
        let has_system = messages.first().is_some_and(|first| first.role == Role::System);
        let had = matches!(&self.events[0], Event::SessionOpened { system: Some(_), .. });
        if has_system != had {
            self.faults.push("the system prompt is gone".to_owned());
        }
        let begins = messages.iter().find(|message| message.role != Role::System);
        if begins.is_none_or(|first| first.role != Role::User) {
            self.faults.push("it begins with no question".to_owned());
        }
    }

    /// What a request has at least: the system prompt, the question, and the last round.
    fn least(&self) -> usize {
        let transcript = String::from_utf8_lossy(self.state.transcript().as_bytes()).into_owned();
        let list = format!("[{transcript}]");
        let raws: Vec<&serde_json::value::RawValue> =
            serde_json::from_str(&list).expect("it is JSON");
        let messages = self.messages();
        let question = messages.iter().rposition(|it| it.role == Role::User).unwrap_or_default();
        let round = messages.iter().rposition(|it| it.role == Role::Assistant);
        let round = round.filter(|round| *round > question).unwrap_or(messages.len());
        let stays = |place: usize| {
            messages[place].role == Role::System || place == question || place >= round
        };
        let bytes =
            (0..raws.len()).filter(|place| stays(*place)).map(|at| raws[at].get().len() + 1);
        bytes.sum::<usize>() + self.tools_bytes
    }

    fn complain(&mut self, violations: Vec<String>) {
        self.faults.extend(violations);
    }

    fn turn(&mut self, turn: u64) {
        self.prompt = self.text();
        self.record(Event::TurnStarted {
            turn,
            prompt: self.prompt.as_str().into(),
            goes_on: false,
            key: None,
        });
        let rounds = self.dice.one_of(&[0, 1, 2, 15]);
        for _ in 0..rounds {
            let round = self.state.rounds() + 1;
            self.ask(round, 1);
            self.round(round);
        }
        let round = self.state.rounds() + 1;
        self.ask(round, 1);
        if self.dice.percent(15) {
            let (end, usage, orphans) = (TurnEnd::Cancelled, None, Arc::default());
            self.record(Event::TurnEnded { turn, end, usage, orphans });
            return;
        }
        let text = self.text();
        self.reply(round, &text, &[], Arc::default());
        let (end, usage, orphans) = (TurnEnd::Answered, None, Arc::default());
        self.record(Event::TurnEnded { turn, end, usage, orphans });
    }

    /// A round of calls; sometimes one had begun early and is not asked for.
    fn round(&mut self, round: u64) {
        let mut orphans = Vec::new();
        if self.dice.percent(20) {
            let (reply_attempt, ordinal) = (1, 7);
            let (id, tool): (Arc<str>, Arc<str>) = (format!("o{round}").into(), "pay".into());
            self.record(Event::CallStarted {
                round,
                reply_attempt,
                ordinal,
                id: Arc::clone(&id),
                tool: Arc::clone(&tool),
                arguments: Some("{}".into()),
                once: true,
            });
            self.end(round, ordinal, &id, "paid");
            orphans.push(Orphan { place: Place { reply_attempt, ordinal }, id, name: tool });
        }
        let count = self.dice.between(1, 4) as u32;
        let calls: Vec<AskedCall> = (0..count).map(|ordinal| asked(round, ordinal)).collect();
        self.reply(round, "", &calls, orphans.into());
        for call in (0..count).zip(&calls) {
            let (ordinal, call) = call;
            let text = self.text();
            self.end(round, ordinal, &call.id, &text);
        }
    }

    fn reply(&mut self, round: u64, text: &str, calls: &[AskedCall], orphans: Arc<[Orphan]>) {
        let call = |call: &AskedCall| {
            serde_json::json!({"id": &*call.id, "type": "function",
                "function": {"name": &*call.tool, "arguments": "{}"}})
        };
        let mut message = serde_json::json!({"role": "assistant", "content": text});
        if !calls.is_empty() {
            message["tool_calls"] = calls.iter().map(call).collect();
        }
        let origin = self.dice.one_of(&["one", "other"]);
        self.record(Event::Replied {
            round,
            attempt: 1,
            message: message.to_string().into(),
            text: text.into(),
            calls: calls.into(),
            mode: Mode::Parallel,
            finish: "stop".into(),
            model: None,
            origin: Some(origin.into()),
            usage: None,
            first_token_at_us: None,
            orphans,
        });
    }

    fn end(&mut self, round: u64, ordinal: u32, id: &Arc<str>, text: &str) {
        let outcome = match self.dice.percent(90) {
            true => Outcome::ok(text),
            false => Outcome::failed(OutcomeKind::ToolError, "no"),
        };
        let (reply_attempt, tool) = (1, "pay".into());
        let (id, times) = (Arc::clone(id), CallTimes::default());
        self.record(Event::CallEnded { round, reply_attempt, ordinal, id, tool, outcome, times });
    }

    /// The record, read back, is the same conversation.
    fn read_back(&mut self) {
        let mut state = SessionState::new(1_000);
        for event in &self.events {
            let json = serde_json::to_string(event).expect("it is JSON");
            let _ = state.on(&serde_json::from_str(&json).expect("and is read again"));
        }
        if state.transcript() != self.state.transcript() {
            self.faults.push("the record is another conversation".to_owned());
        }
        let ids = state.transcript().ids();
        let messages = self.messages();
        let calls = messages.iter().flat_map(|message| &message.calls);
        if !calls.clone().all(|call| ids.contains(&call.id)) {
            self.faults.push("an id is not known".to_owned());
        }
        let replies = messages.iter().filter(|message| message.role == Role::Assistant).count();
        let known = (0..replies).filter(|it| state.transcript().author(*it).is_some()).count();
        if known != replies || state.transcript().author(replies).is_some() {
            self.faults.push(format!("{known} authors of {replies} replies"));
        }
    }
}

fn asked(round: u64, ordinal: u32) -> AskedCall {
    AskedCall {
        id: format!("r{round}c{ordinal}").into(),
        tool: "pay".into(),
        arguments: "{}".into(),
        refused: None,
        begun: None,
        approval: callsheet::Approval::Never,
        part_of: None,
    }
}

/// The ids of the calls of the last message that has any, if no question follows it.
fn last_round(messages: &[Message]) -> Vec<String> {
    let of_turn = messages.rsplit(|message| message.role == Role::User).next().unwrap_or_default();
    let last = of_turn.iter().rfind(|message| message.role == Role::Assistant);
    last.into_iter().flat_map(|message| &message.calls).map(|call| call.id.to_string()).collect()
}

/// What was wrong with the conversation of `seed`, and how often something left its history.
fn faults(seed: u64) -> (Vec<String>, usize) {
    let mut course = Course::new(seed);
    for turn in 1..=course.dice.between(1, 12) {
        course.turn(turn);
    }
    course.read_back();
    (course.faults, course.compactions)
}

#[test]
fn whatever_leaves_a_history_what_is_left_is_whole_and_no_longer_than_it_may_be() {
    let mut compactions = 0;
    for seed in 0..COURSES {
        let (faults, count) = faults(seed);
        assert_eq!(faults, Vec::<String>::new(), "seed {seed}");
        compactions += count;
    }
    assert!(compactions > 300, "{compactions} are too few to say anything");
}

#[test]
fn a_compaction_that_cuts_anywhere_is_found_out() {
    testing::sabotage(Some(Sabotage::CutAnywhere));
    let found = (0..COURSES).any(|seed| !faults(seed).0.is_empty());
    testing::sabotage(None);
    assert!(found);
}
