//! What follows a reply that came to nothing: the same model is asked again after a rest, or another
//! one, or the turn fails.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Cause;
use super::clock::micros;
use super::coordinator::Coordinator;
use crate::conversation::{Event, Problem};
use crate::model;
use crate::tools::{Backoff, later, stable_hash, uniform};

/// How much later than a provider asks for the next try comes at most, so that those who were sent
/// away together do not come back together.
const LATER: f64 = 0.1;

/// How often a model is asked again for a reply that came to nothing, and how long to rest before it.
///
/// Asking again is worth it after what may pass: no connection, a limit of the rate, a failure of the
/// provider, a reply that broke off, did not come or cannot be read ([`model::Error::is_transient`]). A provider that
/// asks for a longer rest has it, up to `backoff.max`; where it asks for more than that, the next model
/// is asked at once if there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelRetries {
    /// Further tries of each reply with each model; 0 = none.
    pub retries: u32,
    /// The rests.
    pub backoff: Backoff,
}

impl Default for ModelRetries {
    fn default() -> Self {
        let backoff = Backoff { min: Duration::from_millis(500), max: Duration::from_secs(30) };
        Self { retries: 2, backoff }
    }
}

/// The next try of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NextTry {
    pub at: Instant,
    /// Which of the session's models is asked.
    pub model: usize,
}

/// What a failed try leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// The same model, after this rest.
    Again(Duration),
    /// The next model, at once.
    NextModel,
    Fail,
}

impl ModelRetries {
    /// The first failure is the last.
    #[must_use]
    pub fn none() -> Self {
        Self { retries: 0, ..Self::default() }
    }

    /// Decides about the failure of number `failure`, from 1, of one model at one reply. The turn has
    /// so much `time_left`. The same `seed` gives the same rests.
    fn after(
        &self,
        error: &model::Error,
        failure: u32,
        has_next: bool,
        time_left: Duration,
        seed: u64,
    ) -> Verdict {
        if error.is_transient() && failure <= self.retries {
            let own = self.backoff.rest(failure, seed);
            let asked = error.retry_after().unwrap_or_default();
            let is_too_long = asked > self.backoff.max;
            let asked = asked.min(self.backoff.max);
            let rest = own.max(asked.mul_f64(1.0 + LATER * uniform(seed ^ u64::from(failure))));
            // Somebody else can answer sooner.
            if rest < time_left && !(is_too_long && has_next) {
                return Verdict::Again(rest);
            }
        }
        if has_next { Verdict::NextModel } else { Verdict::Fail }
    }
}

impl Coordinator {
    /// A try of the reply came to nothing.
    pub(super) fn on_model_error(&mut self, error: model::Error) {
        let (round, seed) = (self.state.round_number(), stable_hash(&self.id));
        let is_shortened = self.can_be_shortened(&error);
        let Some(turn) = &mut self.turn else { return };
        turn.model = None;
        turn.failures += 1;
        let now = Instant::now();
        let has_next = turn.model_index + 1 < self.options.models.len();
        let time_left = turn.deadline.saturating_duration_since(now);
        let seed = seed ^ round.rotate_left(16);
        let verdict = match is_shortened {
            true => Verdict::Again(Duration::ZERO), // Without its oldest messages.
            false => self.options.retries.after(&error, turn.failures, has_next, time_left, seed),
        };
        if !matches!(verdict, Verdict::Fail)
            && let Some(used_up) = self.state.used_up_by_failure(turn.counted)
        {
            return self.break_off(Cause::Budget(used_up)); // It may not be asked again.
        }
        turn.is_too_long = is_shortened;
        turn.was_too_long |= is_shortened;
        let (rest, model) = match verdict {
            Verdict::Again(rest) => (rest, turn.model_index),
            Verdict::NextModel => (Duration::ZERO, turn.model_index + 1),
            Verdict::Fail => return self.break_off(Cause::Model(error)),
        };
        let next = NextTry { at: later(now, rest), model };
        turn.next_try = Some(next);
        turn.ring_at(next.at);
        let (attempt, text_was_shown) = (turn.attempt, std::mem::take(&mut turn.text_was_shown));
        let asked = self.options.models[turn.model_index].name().into();
        let usage = self.count_reply();
        self.record(vec![Event::ModelFailed {
            round,
            attempt,
            model: asked,
            error: Problem { code: error.code().into(), message: error.to_string() },
            retry_in_us: micros(rest),
            text_was_shown,
            usage,
        }]);
    }

    /// The rest is over: the model is asked again.
    pub(super) fn try_again(&mut self) {
        let Some(turn) = &mut self.turn else { return };
        let Some(NextTry { model, .. }) = turn.next_try.take() else { return };
        if model != turn.model_index {
            (turn.model_index, turn.failures) = (model, 0);
        }
        let (round, attempt) = (self.state.round_number(), turn.attempt + 1);
        let asking = self.asking(round, attempt);
        self.record(vec![asking]);
    }

    /// The asking of the model, as it is recorded.
    pub(super) fn model_asked(&self, round: u64, attempt: u32) -> Event {
        Event::ModelAsked { round, attempt, model: self.other_model() }
    }

    /// The configured name of the model that is asked, where it is not the session's first.
    pub(super) fn other_model(&self) -> Option<Arc<str>> {
        let index = self.turn.as_ref().map_or(0, |turn| turn.model_index);
        (index > 0).then(|| self.options.models[index].name().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn limited(retry_after: Option<u64>) -> model::Error {
        let (url, message) = ("u".into(), "m".into());
        let retry_after = retry_after.map(Duration::from_secs);
        model::Error::RateLimited { url, message, retry_after }
    }

    fn refused() -> model::Error {
        model::Error::KeyRefused { url: "u".into(), message: "m".into() }
    }

    fn after(error: &model::Error, failure: u32, has_next: bool, time_left: Duration) -> Verdict {
        ModelRetries::default().after(error, failure, has_next, time_left, 7)
    }

    fn rest(error: &model::Error, failure: u32) -> f64 {
        match after(error, failure, false, HOUR) {
            Verdict::Again(rest) => rest.as_secs_f64(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_may_pass_is_tried_again_as_often_as_allowed_and_later_each_time() {
        assert!((0.4..0.6).contains(&rest(&limited(None), 1)));
        assert!((0.8..1.2).contains(&rest(&limited(None), 2)));
        assert_eq!(after(&limited(None), 3, false, HOUR), Verdict::Fail);
        assert_eq!(after(&limited(None), 3, true, HOUR), Verdict::NextModel);
    }

    #[test]
    fn what_will_not_pass_is_not_tried_again_but_another_model_may_be() {
        assert_eq!(after(&refused(), 1, false, HOUR), Verdict::Fail);
        assert_eq!(after(&refused(), 1, true, HOUR), Verdict::NextModel);
    }

    #[test]
    fn a_provider_that_asks_for_a_rest_has_it_and_no_more_than_the_longest() {
        assert!((7.0..7.7).contains(&rest(&limited(Some(7)), 1)));
        assert!((30.0..33.0).contains(&rest(&limited(Some(600)), 1)));
        assert_eq!(after(&limited(Some(600)), 1, true, HOUR), Verdict::NextModel);
        assert!((0.4..0.6).contains(&rest(&limited(Some(0)), 1)));
    }

    #[test]
    fn a_rest_that_would_outlast_the_turn_is_not_begun() {
        let left = Duration::from_secs(5);
        assert_eq!(after(&limited(Some(7)), 1, false, left), Verdict::Fail);
        assert_eq!(after(&limited(Some(7)), 1, true, left), Verdict::NextModel);
    }
}
