//! Events of the first round of a session, for tests.

use std::sync::Arc;

use super::{Approval, AskedCall, CallTimes, Decision, Event, Mode, Outcome};

/// The user asks.
pub fn started() -> Event {
    Event::TurnStarted { turn: 1, prompt: "go".into(), goes_on: false, key: None }
}

/// The model asks for a call of each of `tools`.
pub fn replied(tools: &[&str], mode: Mode) -> Event {
    let call = |(n, tool): (usize, &&str)| AskedCall {
        id: format!("call_{n}").into(),
        tool: (*tool).into(),
        arguments: "{}".into(),
        refused: None,
        begun: None,
        approval: Approval::Never,
        part_of: None,
    };
    Event::Replied {
        round: 1,
        attempt: 1,
        message: "{}".into(),
        text: "".into(),
        calls: tools.iter().enumerate().map(call).collect(),
        mode,
        finish: "tool_calls".into(),
        model: None,
        origin: None,
        usage: None,
        first_token_at_us: None,
        orphans: Arc::default(),
    }
}

/// A call of `tool` begins, as the reply attempt of this number asks; with arguments before its reply
/// has ended.
pub fn began(reply_attempt: u32, ordinal: u32, tool: &str, arguments: Option<&str>) -> Event {
    let (id, tool) = (format!("call_{ordinal}").into(), tool.into());
    let arguments = arguments.map(Into::into);
    Event::CallStarted { round: 1, reply_attempt, ordinal, id, tool, arguments, once: false }
}

/// A call of `tool` ends well.
pub fn ended(ordinal: u32, tool: &str, content: &str) -> Event {
    let (id, tool) = (format!("call_{ordinal}").into(), tool.into());
    let (outcome, times) = (Outcome::ok(content), CallTimes::default());
    Event::CallEnded { round: 1, reply_attempt: 1, ordinal, id, tool, outcome, times }
}

/// A person is asked about a call of `tool`.
pub fn approval_asked(ordinal: u32, tool: &str) -> Event {
    let (id, tool) = (format!("call_{ordinal}").into(), tool.into());
    Event::ApprovalAsked { round: 1, reply_attempt: 1, ordinal, id, tool }
}

/// A person has decided about a call of `tool`.
pub fn approval_decided(ordinal: u32, tool: &str, decision: Decision, for_session: bool) -> Event {
    let (id, tool) = (format!("call_{ordinal}").into(), tool.into());
    let (round, reply_attempt) = (1, 1);
    Event::ApprovalDecided { round, reply_attempt, ordinal, id, tool, decision, for_session }
}
