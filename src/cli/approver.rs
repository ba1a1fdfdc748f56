//! The person at the terminal who is asked about calls that need approval, one after the other; and what
//! is said where there is none.

use std::collections::{HashSet, VecDeque};
use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::time::Duration;

use rustyline::error::ReadlineError;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::args::Choice;
use super::chat::input;
use super::draw::clean::clean;
use super::draw::json::{on_one_line, pretty};
use super::draw::width::one_line;
use super::screen::Screen;
use super::toolbox::Toolbox;
use super::typed_line::typed_line;
use crate::conversation::{
    Approval, AskedCall, CallKey, Decision, Event, NotDecided, Place, Record,
};
use crate::session::{DecideError, Session, SessionOptions};
use crate::tools::ToolSet;

/// What is typed within this time of a question was typed before it, and is no answer.
const TYPED_AHEAD: Duration = Duration::from_millis(20);

/// Says whether a person can be asked: they see the question and can answer it.
pub(super) fn is_there() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Has `options` approve of what is approved with the command, and deny the rest if nobody can be asked.
pub(super) fn settle(
    options: SessionOptions,
    choice: &Choice,
    tools: &ToolSet,
    screen: &Screen,
) -> SessionOptions {
    check(choice, tools, screen);
    if is_there() { with_approved(options, choice) } else { settle_alone(options, choice) }
}

/// The same for a command that asks nobody.
pub(super) fn settle_alone(options: SessionOptions, choice: &Choice) -> SessionOptions {
    with_approved(options, choice).deny_unasked()
}

/// Says which of the tools that are approved there are not.
pub(super) fn check(choice: &Choice, tools: &ToolSet, screen: &Screen) {
    let approve = choice.approve.iter().flatten();
    for name in approve.filter(|name| tools.get(name).is_none()) {
        screen.note(&format!("--approve {}: there is no such tool", one_line(name)));
    }
}

fn with_approved(options: SessionOptions, choice: &Choice) -> SessionOptions {
    options.approve_tools(choice.approve.as_deref().unwrap_or_default())
}

/// What the person wants.
pub(super) enum Wants {
    /// This, of that call.
    Decision(CallKey, Decision),
    /// To cancel the turn.
    ToCancel,
}

/// Asks the person at the terminal.
pub(super) struct Approver<'a> {
    screen: &'a Screen,
    toolbox: &'a Toolbox,
    present: bool,
    calls: Arc<[AskedCall]>,
    waiting: VecDeque<Waiting>,
    /// The first of them is being asked about.
    asking: Option<Asking>,
    /// The tools that a word was said about why they are denied.
    told: HashSet<Arc<str>>,
}

/// A call that waits.
struct Waiting {
    key: CallKey,
    tool: Arc<str>,
    arguments: Arc<str>,
    approval: Approval,
}

/// How far a question has come.
enum Asking {
    /// The question stands there.
    Answer,
    /// The arguments are in the line editor.
    Edit(oneshot::Receiver<Result<String, ReadlineError>>),
}

impl<'a> Approver<'a> {
    pub fn new(screen: &'a Screen, toolbox: &'a Toolbox) -> Self {
        Self {
            screen,
            toolbox,
            present: is_there(),
            calls: Arc::default(),
            waiting: VecDeque::new(),
            asking: None,
            told: HashSet::new(),
        }
    }

    /// Takes in what happens.
    pub fn hear(&mut self, record: &Record) {
        match &record.event {
            Event::Replied { calls, .. } => self.calls = Arc::clone(calls),
            event @ Event::ApprovalAsked { ordinal, tool, .. } if self.present => {
                let asked = self.calls.get(*ordinal as usize);
                if let (Some(key), Some(asked)) = (event.waiting_call(&record.session), asked) {
                    let (arguments, approval) = (Arc::clone(&asked.arguments), asked.approval);
                    let tool = Arc::clone(tool);
                    self.waiting.push_back(Waiting { key, tool, arguments, approval });
                }
            }
            Event::ApprovalDecided { tool, decision: Decision::Denied { .. }, .. }
                if !self.present =>
            {
                self.tell_of_denial(tool);
            }
            Event::ApprovalDecided { round, reply_attempt, ordinal, .. }
            | Event::CallEnded { round, reply_attempt, ordinal, .. } => {
                self.forget(*round, Place { reply_attempt: *reply_attempt, ordinal: *ordinal });
            }
            _ => {}
        }
    }

    /// Takes in what happened before the turn was cut: whoever was asked then is asked again.
    pub fn catch_up(&mut self, record: &Record) {
        if let Event::Replied { calls, .. } = &record.event {
            self.calls = Arc::clone(calls);
        }
    }

    /// Says, once for each tool, why its calls are denied.
    fn tell_of_denial(&mut self, tool: &Arc<str>) {
        if self.told.insert(Arc::clone(tool)) {
            let tool = one_line(tool);
            self.screen.note(&format!(
                "{tool} needs approval and there is no terminal to ask at: denied; \
                 --approve {tool} approves it"
            ));
        }
    }

    /// The call is decided or has ended: there is nothing to ask.
    fn forget(&mut self, round: u64, place: Place) {
        let is_it = |it: &Waiting| it.key.round == round && it.key.place() == place;
        if self.asking.is_some() && self.waiting.front().is_some_and(is_it) {
            self.end_question();
        }
        self.waiting.retain(|waiting| !is_it(waiting));
    }

    /// Says whether somebody is to be asked.
    pub fn has_question(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Says whether a question stands there, which nothing else may be drawn into.
    pub fn is_asking(&self) -> bool {
        self.asking.is_some()
    }

    /// Asks nothing more.
    pub fn stop(&mut self) {
        self.waiting.clear();
        if self.asking.is_some() {
            self.end_question();
        }
    }

    /// Asks about the first call that waits, and waits for what the person wants. May be dropped and
    /// called again: the question stands once.
    pub async fn wants(&mut self) -> Wants {
        loop {
            let Some(first) = self.waiting.front() else { return std::future::pending().await };
            let key = first.key.clone();
            match &mut self.asking {
                None => {
                    while let Ok(Ok(Some(_))) = timeout(TYPED_AHEAD, typed_line()).await {}
                    self.put_question();
                }
                Some(Asking::Answer) => {
                    let line = match typed_line().await {
                        Ok(Some(line)) => line,
                        // Nobody is there any more.
                        Ok(None) | Err(_) => {
                            return Wants::Decision(key, Decision::Denied { reason: None });
                        }
                    };
                    match Answer::of(&line, first.approval) {
                        Some(Answer::Yes) => return Wants::Decision(key, Decision::Approved),
                        Some(Answer::No(reason)) => {
                            return Wants::Decision(key, Decision::Denied { reason });
                        }
                        Some(Answer::Edit) => {
                            let arguments = on_one_line(&clean(&first.arguments));
                            self.asking = Some(edit(arguments));
                        }
                        None => self.screen.ask(&choices(first.approval)),
                    }
                }
                Some(Asking::Edit(edited)) => match edited.await {
                    Ok(Ok(text)) if !text.trim().is_empty() => {
                        let decision = Decision::Edited { arguments: text.trim().into() };
                        return Wants::Decision(key, decision);
                    }
                    Ok(Err(ReadlineError::Interrupted)) => return Wants::ToCancel,
                    Ok(Ok(_) | Err(_)) | Err(_) => {
                        self.screen.ask(&choices(first.approval));
                        self.asking = Some(Asking::Answer);
                    }
                },
            }
        }
    }

    /// Tells `session` what the person wants, and asks again where that cannot be.
    pub async fn decide(&mut self, session: &Session, call: CallKey, decision: Decision) {
        let edited = match &decision {
            Decision::Edited { arguments } => Some(arguments.to_string()),
            Decision::Approved | Decision::Denied { .. } | Decision::Answered { .. } => None,
        };
        let decided = session.decide(&call, decision).await;
        if let (Err(DecideError::NotDecided(NotDecided::BadArguments { message })), Some(text)) =
            (decided, edited)
        {
            self.screen.tell(&format!("the arguments do not fit: {}", one_line(&message)));
            self.asking = Some(edit(text));
            return;
        }
        // Decided, or not to be: there is nothing more to ask.
        self.forget(call.round, call.place());
    }

    fn put_question(&mut self) {
        let Some(Waiting { tool, arguments, approval, .. }) = self.waiting.front() else { return };
        self.screen.hold_lines();
        self.asking = Some(Asking::Answer);
        let mut text = format!("{} waits for your approval", one_line(tool));
        if let Some(tool) = self.toolbox.tools().get(tool) {
            text += &format!(" · effects {}", tool.declared_effects().as_str());
            if let Some(server) = &tool.origin().server {
                text += &format!(" · server {}", one_line(server));
            }
        }
        for line in clean(&pretty(arguments)).lines() {
            text += &format!("\n  {line}");
        }
        self.screen.tell(&text);
        self.screen.ask(&choices(*approval));
    }

    fn end_question(&mut self) {
        self.asking = None;
        self.screen.release_lines();
    }
}

impl Drop for Approver<'_> {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What can be answered.
fn choices(approval: Approval) -> String {
    match approval {
        Approval::OncePerSession => {
            "run it, and all later calls of it in this session? [y]es, [n]o, [e]dit this one: "
        }
        Approval::Always | Approval::Never | Approval::Outside => "run it? [y]es, [n]o, [e]dit: ",
    }
    .to_owned()
}

/// Opens `arguments` in the line editor, on a thread of its own.
fn edit(arguments: String) -> Asking {
    let (tell, edited) = oneshot::channel();
    std::thread::spawn(move || {
        let edited = input::editor()
            .and_then(|mut editor| editor.readline_with_initial("arguments: ", (&arguments, "")));
        let _ = tell.send(edited); // The call may have ended.
    });
    Asking::Edit(edited)
}

/// What a line that was typed means.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Yes,
    No(Option<Arc<str>>),
    Edit,
}

impl Answer {
    /// `None` if it means nothing. What stands behind a no is the reason that the model is told.
    fn of(line: &str, approval: Approval) -> Option<Self> {
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        match (&*word.to_ascii_lowercase(), rest.trim()) {
            ("y" | "yes", "") => Some(Self::Yes),
            ("a" | "all", "") if approval == Approval::OncePerSession => Some(Self::Yes),
            ("n" | "no", "") => Some(Self::No(None)),
            ("n" | "no", reason) => Some(Self::No(Some(reason.into()))),
            ("e" | "edit", "") => Some(Self::Edit),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_yes_is_a_yes() {
        let check = |line: &str, meaning: Option<Answer>| {
            assert_eq!(Answer::of(line, Approval::Always), meaning, "{line:?}");
        };
        for yes in ["y", "Y", "yes"] {
            check(yes, Some(Answer::Yes));
        }
        for nothing in ["", "ye", "yes please", "a", "all", "ok", "e 1", "\u{1b}[Ay"] {
            check(nothing, None);
        }
        check("n", Some(Answer::No(None)));
        check("no  too much ", Some(Answer::No(Some("too much".into()))));
        check("E", Some(Answer::Edit));
        assert_eq!(Answer::of("a", Approval::OncePerSession), Some(Answer::Yes));
    }
}
