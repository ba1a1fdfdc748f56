//! What a model costs.

use super::Event;
use crate::wire::Usage;

/// What a million tokens cost, in US dollars.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Price {
    /// Of the request.
    pub input: f64,
    /// Of the reply, its reasoning included.
    pub output: f64,
    /// Of the part of the request that the provider had in its cache; `None` = as the rest of it.
    pub cached_input: Option<f64>,
}

impl Price {
    /// What `usage` costs.
    #[must_use]
    pub fn cost(&self, usage: &Usage) -> f64 {
        let cached = usage.cached_tokens.min(usage.input_tokens);
        let fresh = usage.input_tokens - cached;
        let sum = tokens(fresh) * self.input
            + tokens(cached) * self.cached_input.unwrap_or(self.input)
            + tokens(usage.output_tokens) * self.output;
        sum / 1e6
    }

    /// Adds the cost where the provider counted the tokens and did not say what they cost.
    pub(super) fn on(self, mut event: Event) -> Event {
        let usage = match &mut event {
            Event::Reply(reply) => reply.usage.as_mut(),
            Event::Counted(usage) => Some(usage),
            _ => None,
        };
        if let Some(usage) = usage {
            usage.cost = usage.cost.or(Some(self.cost(usage)));
        }
        event
    }
}

/// The number, exact up to 2⁵³.
#[expect(clippy::cast_precision_loss, reason = "nobody pays for so many")]
fn tokens(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRICE: Price = Price { input: 2.0, output: 8.0, cached_input: Some(0.5) };

    fn usage(input_tokens: u64, cached_tokens: u64, output_tokens: u64) -> Usage {
        let reasoning_tokens = 10;
        Usage { input_tokens, cached_tokens, output_tokens, reasoning_tokens, cost: None }
    }

    #[track_caller]
    fn check(price: Price, usage: Usage, expected: f64) {
        let cost = price.cost(&usage);
        assert!((cost - expected).abs() < 1e-12, "{cost} is not {expected}");
    }

    #[test]
    fn each_kind_of_token_has_its_price() {
        check(PRICE, usage(0, 0, 0), 0.0);
        check(PRICE, usage(1_000_000, 0, 0), 2.0);
        check(PRICE, usage(0, 0, 1_000_000), 8.0); // Reasoning is a part of it.
        check(PRICE, usage(1_000_000, 1_000_000, 0), 0.5);
        check(PRICE, usage(1000, 400, 50), (600.0 * 2.0 + 400.0 * 0.5 + 50.0 * 8.0) / 1e6);
    }

    #[test]
    fn cached_tokens_without_a_price_cost_as_much_as_others() {
        check(Price { cached_input: None, ..PRICE }, usage(1_000_000, 900_000, 0), 2.0);
    }

    #[test]
    fn no_more_is_cached_than_was_sent() {
        check(PRICE, usage(1_000_000, 5_000_000, 0), 0.5);
    }
}
