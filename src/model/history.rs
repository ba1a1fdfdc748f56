//! The history as a model is sent it, where others have written parts of it or its provider wants
//! something of its own.
//!
//! What only its author understands (signatures, thoughts) goes back to the author and to nobody
//! else; ids go back verbatim to where they came from, and are made to fit for anybody else.

use std::collections::{HashSet, VecDeque};

use serde_json::value::RawValue;

use super::Dialect;
use crate::wire::chat::{self, Message, Role};
use crate::wire::{Arguments, Call, Extra};

/// What stands between results and the next question where a message of the assistant must.
const CUT_OFF: &str = "(the turn ended here)";

/// The field that holds what Gemini says of a call besides it, and what says there that the call has
/// no signature, as it is another's (<https://ai.google.dev/gemini-api/docs/thought-signatures>).
const SIGNATURE: (&str, &str) =
    ("extra_content", r#"{"google":{"thought_signature":"skip_thought_signature_validator"}}"#);

/// The field of the reasoning, and a blank: an empty one counts as none.
const NO_REASONING: (&str, &str) = ("reasoning_content", "\" \"");

/// A history for one model, translated as it grows.
#[derive(Debug)]
pub(crate) struct History {
    /// Whose messages go back as they are.
    origin: Box<str>,
    dialect: Dialect,
    bytes: Vec<u8>,
    /// How much of the transcript is in it, in bytes.
    taken: usize,
    /// How many messages of the assistant are in it.
    replies: usize,
    /// How many calls are in it.
    calls: usize,
    /// The ids that they have here.
    ids: HashSet<Box<str>>,
    /// The calls that wait for their results.
    awaited: VecDeque<Awaited>,
    last: Option<Role>,
}

/// A call and its id here.
#[derive(Debug)]
struct Awaited {
    id: Box<str>,
    own_id: Box<str>,
    tool: Box<str>,
}

/// Says whether a model of this `dialect` can be sent a transcript as it is if it wrote all of it.
pub(crate) fn is_plain(dialect: &Dialect) -> bool {
    !dialect.name_on_results && !dialect.assistant_after_results
}

impl History {
    /// An empty history for the model `origin`.
    pub fn new(origin: &str, dialect: Dialect) -> Self {
        Self {
            origin: origin.into(),
            dialect,
            bytes: Vec::new(),
            taken: 0,
            replies: 0,
            calls: 0,
            ids: HashSet::new(),
            awaited: VecDeque::new(),
            last: None,
        }
    }

    /// Says whether it is for the model `origin`.
    pub fn is_for(&self, origin: &str) -> bool {
        *self.origin == *origin
    }

    /// Takes in what is new in `transcript`, message objects with commas between them, and gives all
    /// of it. `author` names the origin of the reply of a number, from 0, if it is known.
    pub fn follow<'a>(
        &mut self,
        transcript: &[u8],
        author: impl Fn(usize) -> Option<&'a str>,
    ) -> &[u8] {
        let new = String::from_utf8_lossy(&transcript[self.taken..]);
        let list = format!("[{}]", new.trim_start_matches(','));
        self.taken = transcript.len();
        let raws: Vec<&RawValue> = serde_json::from_str(&list).unwrap_or_default();
        for raw in raws {
            let raw = raw.get();
            let Ok(messages) = chat::decode_messages(raw.as_bytes()) else { continue };
            for message in messages {
                self.take(message, raw, &author);
            }
        }
        &self.bytes
    }

    fn take<'a>(
        &mut self,
        message: Message,
        raw: &str,
        author: &impl Fn(usize) -> Option<&'a str>,
    ) {
        let role = message.role;
        match role {
            Role::System => self.push(|out| out.extend_from_slice(raw.as_bytes())),
            Role::User => {
                if self.dialect.assistant_after_results && self.last == Some(Role::Tool) {
                    self.push_foreign(CUT_OFF, &[]);
                }
                self.push(|out| out.extend_from_slice(raw.as_bytes()));
            }
            Role::Assistant => {
                let author = author(self.replies);
                let is_own = author.is_none_or(|author| author == &*self.origin);
                self.replies += 1;
                self.take_reply(message, raw, is_own);
            }
            Role::Tool => self.take_result(&message, raw),
        }
        self.last = Some(role);
    }

    fn take_reply(&mut self, message: Message, raw: &str, is_own: bool) {
        self.awaited.clear();
        let mut calls = message.calls;
        for call in &mut calls {
            let id = call.id.clone();
            if is_own {
                self.ids.insert((*id).into());
            } else {
                call.id = self.foreign_id(&id, &call.name).into();
            }
            self.calls += 1;
            self.awaited.push_back(Awaited {
                id: (*id).into(),
                own_id: (*call.id).into(),
                tool: call.name.as_str().into(),
            });
        }
        if is_own {
            return self.push(|out| out.extend_from_slice(raw.as_bytes()));
        }
        let mut calls: Vec<Call> = calls.into_iter().map(without_extras).collect();
        if let Some(first) = calls.first_mut().filter(|_| self.dialect.signed_calls) {
            first.extra = one_field(SIGNATURE);
        }
        self.push_foreign(&message.text, &calls);
    }

    /// The id here of another model's call of `tool`: its own if that keeps the rule and no call before
    /// it has the same. Some models count from 0 in each reply, which others refuse.
    fn foreign_id(&mut self, id: &str, tool: &str) -> String {
        let rule = self.dialect.id_rule;
        let mut here = match rule.fits(id, tool) {
            true => id.to_owned(),
            false => rule.rewrite(id, tool, self.calls),
        };
        let mut number = self.calls;
        while !self.ids.insert(here.as_str().into()) {
            here = rule.rewrite(&format!("{id}_{number}"), tool, number);
            number += 1;
        }
        here
    }

    /// What this model did not say.
    fn push_foreign(&mut self, text: &str, calls: &[Call]) {
        let Dialect { empty_content, reasoning_on_replies, .. } = self.dialect;
        let extra = if reasoning_on_replies { one_field(NO_REASONING) } else { Extra::default() };
        self.push(|out| chat::write_assistant(out, text, empty_content.json(), calls, &extra));
    }

    fn take_result(&mut self, message: &Message, raw: &str) {
        let id = message.tool_call_id.as_deref().unwrap_or_default();
        let at = self.awaited.iter().position(|call| *call.id == *id);
        let Some(Awaited { own_id, tool, .. }) = at.and_then(|at| self.awaited.remove(at)) else {
            return self.push(|out| out.extend_from_slice(raw.as_bytes()));
        };
        let name = self.dialect.name_on_results.then_some(&*tool);
        self.push(|out| chat::write_named_result(out, &own_id, name, &message.text));
    }

    fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if !self.bytes.is_empty() {
            self.bytes.push(b',');
        }
        write(&mut self.bytes);
    }
}

/// What anybody understands of a call. Its arguments in a history are an object, or were made one; the
/// input of a custom tool is made the argument of a function.
fn without_extras(call: Call) -> Call {
    let is_custom = call.extra.get("custom").is_some();
    let arguments = match call.arguments {
        arguments @ Arguments::Object(_) => arguments,
        Arguments::NotAnObject { raw } if is_custom => {
            Arguments::Object(format!("{{\"input\":{raw}}}"))
        }
        _ => Arguments::Object("{}".to_owned()),
    };
    Call { arguments, extra: Extra::default(), function_extra: Extra::default(), ..call }
}

fn one_field((name, json): (&str, &str)) -> Extra {
    let mut extra = Extra::default();
    let value = RawValue::from_string(json.to_owned());
    extra.insert(name, value.expect("the stand-ins are JSON"));
    extra
}

#[cfg(test)]
mod tests {
    use super::super::{EmptyContent, IdRule};
    use super::*;

    const SYSTEM: &str = r#"{"role":"system","content":"s"}"#;
    const QUESTION: &str = r#"{"role":"user","content":"q"}"#;
    const REPLY: &str = r#"{"role":"assistant","tool_calls":[{"id":"call_1","type":"function","function":{"name":"f","arguments":"{\"x\": 1}","k":1},"extra_content":{"s":"x"}},{"id":"call_2","type":"function","function":{"name":"g","arguments":"{}"}}],"reasoning_content":"r"}"#;
    const RESULTS: &str = r#"{"role":"tool","tool_call_id":"call_1","content":"one"},{"role":"tool","tool_call_id":"call_2","content":"two"}"#;
    const ANSWER: &str = r#"{"role":"assistant","content":"a","reasoning_content":"r"}"#;

    fn conversation() -> String {
        [SYSTEM, QUESTION, REPLY, RESULTS, ANSWER].join(",")
    }

    fn check(dialect: Dialect, authors: [&'static str; 2], expected: &[&str]) {
        let transcript = conversation();
        let mut history = History::new("me", dialect);
        let seen = history.follow(transcript.as_bytes(), |number| authors.get(number).copied());
        assert_eq!(String::from_utf8_lossy(seen), expected.join(","));
        // And piece by piece, as it grows.
        let mut history = History::new("me", dialect);
        for end in [SYSTEM, QUESTION, REPLY, RESULTS, ANSWER].iter().scan(0, |at, message| {
            *at += message.len() + usize::from(*at > 0);
            Some(*at)
        }) {
            history.follow(&transcript.as_bytes()[..end], |number| authors.get(number).copied());
        }
        let seen = history.follow(transcript.as_bytes(), |_| None);
        assert_eq!(String::from_utf8_lossy(seen), expected.join(","), "piece by piece");
    }

    #[test]
    fn what_a_model_wrote_itself_goes_back_to_it_as_it_is() {
        let all = [SYSTEM, QUESTION, REPLY, RESULTS, ANSWER];
        check(Dialect { id_rule: IdRule::Mistral, ..Dialect::generic() }, ["me", "me"], &all);
    }

    #[test]
    fn what_only_its_author_understands_goes_to_nobody_else() {
        let reply = r#"{"role":"assistant","tool_calls":[{"id":"call_1","type":"function","function":{"name":"f","arguments":"{\"x\": 1}"}},{"id":"call_2","type":"function","function":{"name":"g","arguments":"{}"}}]}"#;
        let all = [SYSTEM, QUESTION, reply, RESULTS, ANSWER];
        check(Dialect::generic(), ["other", "me"], &all);
        let answer = r#"{"role":"assistant","content":"a"}"#;
        check(Dialect::generic(), ["me", "other"], &[SYSTEM, QUESTION, REPLY, RESULTS, answer]);
    }

    #[test]
    fn ids_of_others_are_made_to_fit_and_their_results_follow() {
        let kimi = Dialect { id_rule: IdRule::Kimi, ..Dialect::generic() };
        let reply = r#"{"role":"assistant","tool_calls":[{"id":"functions.f:0","type":"function","function":{"name":"f","arguments":"{\"x\": 1}"}},{"id":"functions.g:1","type":"function","function":{"name":"g","arguments":"{}"}}]}"#;
        let results = r#"{"role":"tool","tool_call_id":"functions.f:0","content":"one"},{"role":"tool","tool_call_id":"functions.g:1","content":"two"}"#;
        check(kimi, ["other", "me"], &[SYSTEM, QUESTION, reply, results, ANSWER]);
        let mistral = Dialect { id_rule: IdRule::Mistral, ..Dialect::generic() };
        let transcript = conversation();
        let mut history = History::new("me", mistral);
        let seen = history.follow(transcript.as_bytes(), |_| Some("other")).to_vec();
        let messages = chat::decode_messages(&seen).unwrap();
        let ids: Vec<_> = messages[2].calls.iter().map(|call| &*call.id).collect();
        assert!(ids.iter().all(|id| IdRule::Mistral.fits(id, "")) && ids[0] != ids[1], "{ids:?}");
        let answered: Vec<_> =
            messages.iter().filter_map(|message| message.tool_call_id.as_deref()).collect();
        assert_eq!(answered, ids);
    }

    #[test]
    fn a_dialect_says_how_a_message_without_text_and_a_result_look() {
        let dialect = Dialect {
            empty_content: EmptyContent::Empty,
            name_on_results: true,
            ..Dialect::generic()
        };
        let reply = r#"{"role":"assistant","content":"","tool_calls":[{"id":"call_1","type":"function","function":{"name":"f","arguments":"{\"x\": 1}"}},{"id":"call_2","type":"function","function":{"name":"g","arguments":"{}"}}]}"#;
        let results = r#"{"role":"tool","tool_call_id":"call_1","name":"f","content":"one"},{"role":"tool","tool_call_id":"call_2","name":"g","content":"two"}"#;
        check(dialect, ["other", "me"], &[SYSTEM, QUESTION, reply, results, ANSWER]);
    }

    const FOREIGN: &str = r#"{"role":"assistant","tool_calls":[{"id":"call_1","type":"function","function":{"name":"f","arguments":"{\"x\": 1}"}},{"id":"call_2","type":"function","function":{"name":"g","arguments":"{}"}}]}"#;
    const FOREIGN_ANSWER: &str = r#"{"role":"assistant","content":"a"}"#;

    #[test]
    fn a_call_of_another_model_has_a_stand_in_for_its_signature_where_one_must_be() {
        let dialect = Dialect { signed_calls: true, ..Dialect::generic() };
        let signed = FOREIGN.replacen(
            "}},{",
            r#"},"extra_content":{"google":{"thought_signature":"skip_thought_signature_validator"}}},{"#,
            1,
        );
        check(dialect, ["other", "me"], &[SYSTEM, QUESTION, &signed, RESULTS, ANSWER]);
        check(dialect, ["me", "other"], &[SYSTEM, QUESTION, REPLY, RESULTS, FOREIGN_ANSWER]);
        let gemini = Dialect::named("gemini").unwrap();
        assert!(
            Dialect::names().all(|name| {
                Dialect::named(name).unwrap().signed_calls == (name == gemini.name)
            })
        );
    }

    #[test]
    fn a_message_of_another_model_has_a_blank_for_its_reasoning_where_that_must_be() {
        let deepseek = Dialect::named("deepseek").unwrap();
        let with_blank = |message: &str| message.replace("]}", r#"],"reasoning_content":" "}"#);
        let answer = r#"{"role":"assistant","content":"a","reasoning_content":" "}"#;
        let all = [SYSTEM, QUESTION, &with_blank(FOREIGN), RESULTS, answer];
        check(deepseek, ["other", "other"], &all);
        check(deepseek, ["me", "me"], &[SYSTEM, QUESTION, REPLY, RESULTS, ANSWER]);
    }

    /// The ids of the calls and results of `round` after round, as a model of `dialect` sees them, and
    /// whether each result still stands behind its call.
    fn ids(dialect: Dialect, author: &'static str, rounds: &[&str]) -> Vec<String> {
        let result = |id: &str| {
            let mut out = Vec::new();
            chat::write_tool_result(&mut out, id, id);
            String::from_utf8(out).unwrap()
        };
        let mut history = History::new("me", dialect);
        let mut transcript = QUESTION.to_owned();
        for round in rounds {
            let ids: Vec<_> = round.split(' ').collect();
            let call = |id: &&str| {
                format!(
                    r#"{{"id":"{id}","type":"function","function":{{"name":"f","arguments":"{{}}"}}}}"#
                )
            };
            let calls: Vec<_> = ids.iter().map(call).collect();
            transcript += &format!(r#",{{"role":"assistant","tool_calls":[{}]}}"#, calls.join(","));
            history.follow(transcript.as_bytes(), |_| Some(author)); // As it grows.
            ids.iter().rev().for_each(|id| transcript += &(",".to_owned() + &result(id)));
        }
        let seen = history.follow(transcript.as_bytes(), |_| Some(author));
        let messages = chat::decode_messages(seen).unwrap();
        let calls = messages.iter().flat_map(|message| &message.calls);
        let ids: Vec<_> = calls.map(|call| call.id.to_string()).collect();
        let mut at = 0;
        for (replies, round) in
            messages[1..].split(|m| m.role == Role::Assistant).skip(1).zip(rounds)
        {
            let count = round.split(' ').count();
            let answered: Vec<_> =
                replies.iter().rev().filter_map(|result| result.tool_call_id.clone()).collect();
            assert_eq!(answered, ids[at..at + count], "each result has the id of its call");
            at += count;
        }
        ids
    }

    #[test]
    fn ids_of_others_that_come_again_in_a_later_reply_become_different_ones() {
        let rounds = ["call_0 call_1", "call_0 call_1", "call_0_2", "call_0"];
        let all = |rule| ids(Dialect { id_rule: rule, ..Dialect::generic() }, "other", &rounds);
        let plain = ["call_0", "call_1", "call_0_2", "call_1_3", "call_0_2_4", "call_0_5"];
        assert_eq!(all(IdRule::Any), plain);
        assert_eq!(all(IdRule::Max40), plain);
        for rule in IdRule::ALL {
            let ids = all(*rule);
            assert!(ids.iter().all(|id| rule.fits(id, "f")), "{ids:?}");
            let distinct: HashSet<_> = ids.iter().collect();
            assert_eq!(distinct.len(), ids.len(), "{ids:?}");
        }
        let kimi = Dialect { id_rule: IdRule::Kimi, ..Dialect::generic() };
        let seen = ids(kimi, "other", &["functions.f:1", "functions.f:0", "functions.f:1", "x"]);
        assert_eq!(seen, ["functions.f:1", "functions.f:0", "functions.f:2", "functions.f:3"]);
    }

    #[test]
    fn ids_of_its_own_that_come_again_go_back_verbatim() {
        for rule in IdRule::ALL {
            let dialect = Dialect { id_rule: *rule, name_on_results: true, ..Dialect::generic() };
            let rounds = ["call_0 call_1", "call_0", "call_0"];
            assert_eq!(ids(dialect, "me", &rounds), ["call_0", "call_1", "call_0", "call_0"]);
        }
    }

    #[test]
    fn a_custom_tools_call_goes_to_others_as_a_function_and_to_its_author_verbatim() {
        let call = r#"{"role":"assistant","tool_calls":[{"id":"c","type":"custom","custom":{"name":"sh","input":"ls \"x\""}}]}"#;
        let result = r#"{"role":"tool","tool_call_id":"c","content":"r"}"#;
        let transcript = [QUESTION, call, result].join(",");
        let seen = |author| {
            let mut history = History::new("me", Dialect::generic());
            let seen = history.follow(transcript.as_bytes(), |_| Some(author));
            String::from_utf8(seen.to_vec()).unwrap()
        };
        assert_eq!(seen("me"), transcript);
        let function = r#"{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"sh","arguments":"{\"input\":\"ls \\\"x\\\"\"}"}}]}"#;
        assert_eq!(seen("other"), [QUESTION, function, result].join(","));
    }

    #[test]
    fn a_result_without_a_call_stays_as_it_is() {
        let stray = r#"{"role":"tool","tool_call_id":"call_9","content":"?"}"#;
        let transcript = [QUESTION, stray, REPLY, stray, RESULTS, ANSWER, RESULTS].join(",");
        let dialect =
            Dialect { name_on_results: true, id_rule: IdRule::Mistral, ..Dialect::generic() };
        let mut history = History::new("me", dialect);
        let seen = history.follow(transcript.as_bytes(), |_| Some("me")).to_vec();
        let named = RESULTS.replacen(r#"1","#, r#"1","name":"f","#, 1).replacen(
            r#"2","#,
            r#"2","name":"g","#,
            1,
        );
        // Those behind the answer belong to no call either: theirs are answered.
        let expected = [QUESTION, stray, REPLY, stray, &named, ANSWER, RESULTS].join(",");
        assert_eq!(String::from_utf8(seen).unwrap(), expected);
    }

    #[test]
    fn after_results_that_nobody_answered_somebody_speaks_where_that_must_be() {
        let transcript = [QUESTION, REPLY, RESULTS, QUESTION].join(",");
        let dialect = Dialect { assistant_after_results: true, ..Dialect::generic() };
        let mut history = History::new("me", dialect);
        let seen = history.follow(transcript.as_bytes(), |_| None);
        let spoken = r#"{"role":"assistant","content":"(the turn ended here)"}"#;
        let expected = [QUESTION, REPLY, RESULTS, spoken, QUESTION].join(",");
        assert_eq!(String::from_utf8_lossy(seen), expected);
    }
}
