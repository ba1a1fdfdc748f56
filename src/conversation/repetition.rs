//! A model in a loop: the same calls in round after round of a turn, with the same results.
//!
//! A call repeats itself if the round before had it too, with the same tool and the same arguments, and
//! with the same result: one whose result has changed is not a loop, however often it is made, and
//! nor is one that a round has left out. Calls of one round that are alike count as one.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use super::canonical::{are_same, fingerprint};
use super::round::Round;
use super::{AskedCall, Outcome, OutcomeKind, Problem};

/// The code of the problem of a call that was not run because it repeats itself.
pub const REPEATED_CALL: &str = "repeated_call";

/// The code of the problem of a turn that failed because its model repeats itself.
pub const LOOP: &str = "loop";

/// What the note to a result begins with.
const NOTE: &str = "\n[note: this call has been made ";

/// How often the calls of a turn have repeated themselves.
#[derive(Clone, Debug, Default)]
pub struct Repetition {
    rounds: u32,
    /// The calls of the last round, or of the one before it while that is `fresh`.
    calls: Calls,
    /// The last round: as long as it cannot matter nobody looks at its calls.
    fresh: Option<Round>,
}

/// The calls of a round, each of those alike once.
type Calls = HashMap<u64, Seen>;

/// A call of a round.
#[derive(Clone, Debug)]
struct Seen {
    tool: Arc<str>,
    arguments: Arc<str>,
    kind: OutcomeKind,
    content: Arc<str>,
    /// So many rounds in a row, this one included, had it with the same result.
    times: u32,
}

impl Seen {
    fn is(&self, tool: &str, arguments: &str) -> bool {
        *self.tool == *tool && are_same(&self.arguments, arguments)
    }

    /// Says whether `outcome` is the same once more, or that the call was not made because it would be.
    fn goes_on_with(&self, outcome: &Outcome) -> bool {
        let is_same = outcome.kind == self.kind
            && without_note(&outcome.content) == without_note(&self.content);
        is_same || is_refusal(outcome)
    }
}

impl Repetition {
    /// A round has ended. Calls may have the same result `most` times in a row; with 0 any number of
    /// times.
    pub(super) fn on_round(&mut self, round: Round, most: u32) {
        if most == 0 {
            return;
        }
        self.rounds = self.rounds.saturating_add(1);
        if let Some(last) = self.fresh.replace(round) {
            self.calls = self.calls_of(&last);
        }
        if self.rounds.saturating_add(1) >= most
            && let Some(last) = self.fresh.take()
        {
            self.calls = self.calls_of(&last);
        }
    }

    /// The calls of `round`, which follows that of `self.calls`.
    fn calls_of(&self, round: &Round) -> Calls {
        let mut calls = Calls::new();
        for (AskedCall { tool, arguments, .. }, outcome) in round.answers() {
            let Some(outcome) = outcome else { continue };
            match calls.entry(number(tool, arguments)) {
                // Of several that are alike none may have another result.
                Entry::Occupied(mut seen) => {
                    if !seen.get().goes_on_with(outcome) {
                        seen.get_mut().times = 1;
                    }
                }
                Entry::Vacant(place) => {
                    let known = self.calls.get(place.key()).filter(|seen| seen.is(tool, arguments));
                    let known = known.filter(|seen| seen.goes_on_with(outcome));
                    let new = || Seen {
                        tool: Arc::clone(tool),
                        arguments: Arc::clone(arguments),
                        kind: outcome.kind,
                        content: Arc::clone(&outcome.content),
                        times: 0,
                    };
                    let mut seen = known.cloned().unwrap_or_else(new);
                    seen.times = seen.times.saturating_add(1);
                    place.insert(seen);
                }
            }
        }
        calls
    }

    /// The call as the last round had it, if it did and that may matter.
    fn seen(&self, tool: &str, arguments: &str) -> Option<&Seen> {
        if self.fresh.is_some() || self.calls.is_empty() {
            return None;
        }
        let seen = self.calls.get(&number(tool, arguments));
        seen.filter(|seen| seen.is(tool, arguments))
    }

    /// Why a call is not to be run: it has had the same result `most` times in a row.
    pub(super) fn refuses(&self, tool: &str, arguments: &str, most: u32) -> Option<Outcome> {
        self.seen(tool, arguments).filter(|seen| seen.times >= most)?;
        let message = format!(
            "the same call has had the same result {most} times in a row; not run: do something else, \
             or answer"
        );
        let mut outcome = Outcome::failed(OutcomeKind::Denied, message);
        outcome.set_code(REPEATED_CALL);
        Some(outcome)
    }

    /// The `outcome` of a call, with a note where it is the same for the time of number `most`: the next
    /// time the call will not be run.
    pub(super) fn noted(
        &self,
        tool: &str,
        arguments: &str,
        outcome: Outcome,
        most: u32,
    ) -> Outcome {
        let seen = self.seen(tool, arguments);
        if !seen.is_some_and(|seen| seen.times + 1 == most && seen.goes_on_with(&outcome)) {
            return outcome;
        }
        let content = format!(
            "{}{NOTE}{most} times in a row with the same result; it will not be run once more]",
            outcome.content
        );
        Outcome { content: content.into(), ..outcome }
    }

    /// Why the turn is to end: each call of the last round was made once more after it had been refused
    /// for having had the same result `most` times in a row.
    pub(super) fn problem(&self, most: u32) -> Option<Problem> {
        let goes_on = |seen: &Seen| seen.times.saturating_sub(most) >= 2;
        let is_loop = self.fresh.is_none() && !self.calls.is_empty();
        (is_loop && self.calls.values().all(goes_on)).then(|| Problem {
            code: LOOP.into(),
            message: format!(
                "the model goes on making the same calls, whose results were the same {most} times in a \
                 row (`turn.max_identical_calls`)"
            ),
        })
    }
}

fn number(tool: &str, arguments: &str) -> u64 {
    fingerprint(arguments) ^ fingerprint(tool).rotate_left(1)
}

/// It was not made because it repeats itself.
fn is_refusal(outcome: &Outcome) -> bool {
    outcome.problem.as_ref().is_some_and(|problem| problem.code == REPEATED_CALL)
}

fn without_note(content: &str) -> &str {
    content.rfind(NOTE).map_or(content, |note| &content[..note])
}

#[cfg(test)]
mod tests {
    use super::super::{Approval, EarlyCalls, Mode};
    use super::*;

    const MOST: u32 = 3;

    /// A round whose calls have these tools, arguments and results.
    fn round(calls: &[(&str, &str, Outcome)]) -> Round {
        let call = |(tool, arguments, outcome): &(&str, &str, Outcome)| AskedCall {
            id: "id".into(),
            tool: (*tool).into(),
            arguments: (*arguments).into(),
            refused: Some(outcome.clone()),
            approval: Approval::Never,
            begun: None,
            part_of: None,
        };
        Round::new(Mode::Parallel, 1, &calls.iter().map(call).collect(), &EarlyCalls::default())
    }

    fn ok(content: &str) -> Outcome {
        Outcome::ok(content)
    }

    fn after(rounds: &[&[(&str, &str, Outcome)]]) -> Repetition {
        let mut repetition = Repetition::default();
        rounds.iter().for_each(|calls| repetition.on_round(round(calls), MOST));
        repetition
    }

    fn refuses(repetition: &Repetition, arguments: &str) -> bool {
        repetition.refuses("t", arguments, MOST).is_some()
    }

    #[test]
    fn a_call_is_refused_once_it_has_had_the_same_result_so_often() {
        let same: &[_] = &[("t", r#"{"a":1,"b":2}"#, ok("x"))];
        for rounds in 0..MOST as usize {
            assert!(!refuses(&after(&vec![same; rounds]), r#"{"a":1,"b":2}"#), "{rounds}");
        }
        let repetition = after(&[same; 3]);
        assert!(refuses(&repetition, r#"{"b": 2, "a": 1}"#), "however it is written");
        assert!(!refuses(&repetition, r#"{"a":1}"#));
        assert!(repetition.refuses("u", r#"{"a":1,"b":2}"#, MOST).is_none());
        assert!(repetition.problem(MOST).is_none());
    }

    #[test]
    fn the_last_result_before_that_says_so_and_is_the_same_all_the_same() {
        let same: &[_] = &[("t", "{}", ok("x"))];
        let noted = |rounds: usize, content| {
            after(&vec![same; rounds]).noted("t", "{}", ok(content), MOST).content.to_string()
        };
        assert_eq!([noted(0, "x"), noted(1, "x"), noted(2, "y")], ["x", "x", "y"]);
        let note = "\n[note: this call has been made 3 times in a row with the same result; it will \
                    not be run once more]";
        assert_eq!(noted(2, "x"), format!("x{note}"));
        let told: &[_] = &[("t", "{}", ok(&noted(2, "x")))];
        assert!(refuses(&after(&[same, same, told]), "{}"));
    }

    #[test]
    fn a_result_that_changed_and_a_round_without_the_call_begin_anew() {
        let (x, y): (&[_], &[_]) = (&[("t", "{}", ok("x"))], &[("t", "{}", ok("y"))]);
        let failed: &[_] = &[("t", "{}", Outcome::failed(OutcomeKind::ToolError, "x"))];
        let other: &[_] = &[("u", "{}", ok("x"))];
        for rounds in [[x, x, y], [x, y, x], [x, x, other], [x, other, x], [x, x, failed]] {
            assert!(!refuses(&after(&rounds), "{}"));
        }
        assert!(refuses(&after(&[y, x, x, x]), "{}"));
        assert!(refuses(&after(&[other, failed, failed, failed]), "{}"), "a failure is a result");
    }

    #[test]
    fn calls_of_one_round_count_as_one_and_differ_if_one_of_them_does() {
        let two: &[_] = &[("t", "{}", ok("x")), ("t", "{ }", ok("x"))];
        assert!(!refuses(&after(&[two, two]), "{}"));
        assert!(refuses(&after(&[two, two, two]), "{}"));
        let apart: &[_] = &[("t", "{}", ok("x")), ("t", "{}", ok("y"))];
        assert!(!refuses(&after(&[two, two, apart]), "{}"));
    }

    #[test]
    fn a_turn_ends_when_nothing_but_refused_calls_is_asked_for_once_more() {
        let same: &[_] = &[("t", "{}", ok("x"))];
        let denied = || after(&[same; 3]).refuses("t", "{}", MOST).unwrap();
        let refused: &[_] = &[("t", "{}", denied())];
        let and_another: &[_] = &[("t", "{}", denied()), ("u", "{}", ok("x"))];
        let ends = |rounds: &[&[_]]| after(rounds).problem(MOST).is_some();
        assert!(!ends(&[same, same, same, refused]));
        assert!(ends(&[same, same, same, refused, refused]));
        assert!(!ends(&[same, same, same, refused, and_another]));
        assert!(refuses(&after(&[same, same, same, refused, and_another]), "{}"));
        assert!(!ends(&[same, same, same, refused, &[("u", "{}", ok("x"))]]));
    }

    #[test]
    fn with_0_nothing_is_a_loop() {
        let mut repetition = Repetition::default();
        for _ in 0..100 {
            repetition.on_round(round(&[("t", "{}", ok("x"))]), 0);
        }
        assert!(repetition.refuses("t", "{}", 0).is_none() && repetition.problem(0).is_none());
        assert_eq!(*repetition.noted("t", "{}", ok("x"), 0).content, *"x");
    }
}
