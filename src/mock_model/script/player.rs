//! Chooses the reply that is due.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hyper::{HeaderMap, StatusCode};

use super::super::refusal::Refusal;
use super::super::reply::{Answer, Failure};
use super::super::request::Request;
use super::{OnEnd, Point, Script};

/// A script at work. All it remembers is how often a history came to a point with `times`.
pub(in super::super) struct Player {
    script: Script,
    served: Mutex<HashMap<u64, u64>>,
}

impl Player {
    pub fn new(script: Script) -> Self {
        Self { script, served: Mutex::default() }
    }

    /// The answer that is due after the history of `request`.
    pub fn answer(&self, request: &Request) -> Answer {
        let said = request.assistant_messages();
        let due = self.script.points.get(said).and_then(|point| self.at(point, request));
        due.unwrap_or_else(|| self.after_the_end(said))
    }

    fn at(&self, point: &Point, request: &Request) -> Option<Answer> {
        if !point.passing.is_empty() {
            let mut before = self.count(request.fingerprint());
            for (times, answer) in &point.passing {
                if before < *times {
                    return Some(answer.clone());
                }
                before -= times;
            }
        }
        point.lasting.clone()
    }

    /// How often this history was seen before.
    fn count(&self, fingerprint: u64) -> u64 {
        // A count is whole whatever happened to the thread that made it.
        let mut served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = served.entry(fingerprint).or_default();
        *seen += 1;
        *seen - 1
    }

    fn after_the_end(&self, said: usize) -> Answer {
        let last = self.script.points.last().and_then(|point| {
            point.lasting.as_ref().or(point.passing.last().map(|(_, answer)| answer))
        });
        match (self.script.on_end, last) {
            (OnEnd::Repeat, Some(answer)) => answer.clone(),
            _ => exhausted(said),
        }
    }
}

fn exhausted(said: usize) -> Answer {
    let status = StatusCode::INTERNAL_SERVER_ERROR;
    let message = format!("script exhausted: no reply after {said} assistant messages");
    Answer::Failure(Failure {
        status,
        headers: HeaderMap::new(),
        body: Refusal::new(status, message).code("script_exhausted").body().to_string(),
        delay: Duration::ZERO,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// What is said to a user's `words` after `said` assistant messages.
    fn ask(player: &Player, words: &str, said: usize) -> String {
        let mut messages = vec![json!({"role": "user", "content": words})];
        messages.extend((0..said).map(|n| json!({"role": "assistant", "content": n.to_string()})));
        let request = serde_json::from_value(json!({"messages": messages})).expect("a request");
        match player.answer(&request) {
            Answer::Reply(reply) => reply.text.unwrap_or_default(),
            Answer::Failure(failure) => failure.status.as_u16().to_string(),
        }
    }

    fn player(script: &str) -> Player {
        Player::new(Script::parse(script).expect("readable"))
    }

    #[test]
    fn a_request_sent_again_gets_the_same_reply_again() {
        let player = player("[[reply]]\ntext = 'a'\n[[reply]]\ntext = 'b'");
        assert_eq!([ask(&player, "hi", 0), ask(&player, "hi", 0)], ["a", "a"]);
        assert_eq!([ask(&player, "hi", 1), ask(&player, "hi", 2)], ["b", "500"]);
    }

    #[test]
    fn a_failure_gives_way_after_its_times_in_every_conversation() {
        let player = player(
            "[[reply]]\nstatus = 429\n[[reply]]\nstatus = 503\ntimes = 2\n[[reply]]\ntext = 'a'",
        );
        for words in ["one", "two"] {
            let said: Vec<String> = (0..5).map(|_| ask(&player, words, 0)).collect();
            assert_eq!(said, ["429", "503", "503", "a", "a"]);
        }
    }

    #[test]
    fn the_last_reply_repeats_when_asked_to() {
        let player = player("on_end = 'repeat'\n[[reply]]\ntext = 'a'\n[[reply]]\nstatus = 500");
        assert_eq!([ask(&player, "hi", 0), ask(&player, "hi", 9)], ["a", "500"]);
    }
}
