//! What a turn and a session may cost in tokens and money, and what they have cost by the record.
//!
//! A budget is looked at before each request of the model: the last reply may go beyond it, and no
//! further one is asked for.

use super::Problem;
use crate::wire::Usage;

/// The code of what a budget refuses or ends.
pub const BUDGET: &str = "budget";

/// Sums of dollars that differ by less are the same.
const A_DOLLARS_DUST: f64 = 1e-9;

/// What may be spent. Where there is no number there is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Budget {
    /// Tokens of requests and replies together, as their provider counts them.
    pub tokens: Option<u64>,
    /// US dollars.
    pub cost: Option<f64>,
}

/// What a turn, and a session in all of its turns, may spend.
///
/// A budget cannot be kept if a reply comes without the count that it needs: then it counts as used up.
/// A try that came to nothing costs what its provider has counted of it, and nothing if it has not.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Budgets {
    /// From the question to the answer.
    pub turn: Budget,
    /// All turns together.
    pub session: Budget,
}

/// What has been spent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spending {
    usage: Usage,
    /// Of some reply nobody has counted the tokens.
    is_uncounted: bool,
    /// Of some reply nobody has said what it costs.
    is_unpriced: bool,
}

/// Whose budget it is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Whose {
    Turn,
    Session,
}

impl Whose {
    fn as_str(self) -> &'static str {
        match self {
            Self::Turn => "turn",
            Self::Session => "session",
        }
    }
}

impl Spending {
    /// The sums, as far as there was something to add.
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// A reply has come, or a summary.
    pub fn add_reply(&mut self, usage: Option<Usage>) {
        self.is_uncounted |= usage.is_none();
        self.is_unpriced |= usage.is_none_or(|usage| usage.cost.is_none());
        self.usage += usage.unwrap_or_default();
    }

    /// A reply has come to nothing.
    pub fn add_failure(&mut self, usage: Option<Usage>) {
        self.is_unpriced |= usage.is_some_and(|usage| usage.cost.is_none());
        self.usage += usage.unwrap_or_default();
    }

    /// Why no more may be spent of `budget`, which is that of `whose`; `None` as long as it may.
    pub fn uses_up(&self, budget: &Budget, whose: Whose) -> Option<Problem> {
        let whose = whose.as_str();
        let Usage { input_tokens, output_tokens, cost, .. } = self.usage;
        let (tokens, cost) = (input_tokens.saturating_add(output_tokens), cost.unwrap_or_default());
        let of_tokens = budget.tokens.and_then(|most| {
            if self.is_uncounted {
                return Some(format!(
                    "nobody counted the tokens of some reply of the {whose}, which may have {most} \
                     (`{whose}.token_budget`)"
                ));
            }
            (tokens >= most).then(|| {
                format!(
                    "the {whose} has used {tokens} of its {most} tokens (`{whose}.token_budget`)"
                )
            })
        });
        let of_cost = || {
            let most = budget.cost?;
            let key = format!("`{whose}.cost_budget`");
            if self.is_unpriced {
                return Some(format!(
                    "nobody said what some reply of the {whose} has cost, which may cost {} ({key})",
                    dollars(most)
                ));
            }
            (cost + A_DOLLARS_DUST >= most).then(|| {
                let (cost, most) = (dollars(cost), dollars(most));
                format!("the {whose} has cost {cost} of the {most} that it may ({key})")
            })
        };
        let message = of_tokens.or_else(of_cost)?;
        Some(Problem { code: BUDGET.into(), message })
    }
}

/// An amount to a millionth of a dollar.
fn dollars(amount: f64) -> String {
    let exact = format!("{amount:.6}");
    let short = exact.trim_end_matches('0');
    let cents = exact.find('.').map_or(exact.len(), |point| point + 3);
    format!("${}", &exact[..short.len().max(cents)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(tokens: u64, cost: Option<f64>) -> Usage {
        let input_tokens = tokens / 2;
        Usage { input_tokens, output_tokens: tokens - input_tokens, cost, ..Usage::default() }
    }

    fn spent(replies: &[Option<Usage>]) -> Spending {
        let mut spending = Spending::default();
        replies.iter().for_each(|usage| spending.add_reply(*usage));
        spending
    }

    #[track_caller]
    fn check(spending: Spending, budget: Budget, expected: Option<&str>) {
        let problem = spending.uses_up(&budget, Whose::Turn).map(|problem| problem.message);
        assert_eq!(problem.as_deref(), expected);
    }

    #[test]
    fn tokens_of_requests_and_replies_count_together() {
        let budget = Budget { tokens: Some(100), cost: None };
        check(spent(&[]), budget, None);
        check(spent(&[Some(usage(99, None))]), budget, None);
        let told = "the turn has used 100 of its 100 tokens (`turn.token_budget`)";
        check(spent(&[Some(usage(60, None)), Some(usage(40, None))]), budget, Some(told));
    }

    #[test]
    fn dollars_add_up_to_what_a_person_would_add_them_up_to() {
        let budget = Budget { tokens: None, cost: Some(1.0) };
        let tenths = [Some(usage(1, Some(0.1))); 10];
        check(spent(&tenths[..9]), budget, None);
        let told = "the turn has cost $1.00 of the $1.00 that it may (`turn.cost_budget`)";
        check(spent(&tenths), budget, Some(told));
        assert_eq!(
            [dollars(0.012), dollars(2.0), dollars(0.000_000_4)],
            ["$0.012", "$2.00", "$0.00"]
        );
    }

    #[test]
    fn a_reply_that_nobody_counted_uses_up_the_budget_that_needs_the_count() {
        let (tokens, cost) =
            (Budget { tokens: Some(9), cost: None }, Budget { tokens: None, cost: Some(9.0) });
        let (uncounted, unpriced) = (spent(&[None]), spent(&[Some(usage(1, None))]));
        let told = "nobody counted the tokens of some reply of the turn, which may have 9 \
                    (`turn.token_budget`)";
        check(uncounted, tokens, Some(told));
        check(unpriced, tokens, None);
        let told = "nobody said what some reply of the turn has cost, which may cost $9.00 \
                    (`turn.cost_budget`)";
        check(uncounted, cost, Some(told));
        check(unpriced, cost, Some(told));
        check(uncounted, Budget::default(), None);
    }

    #[test]
    fn a_failure_costs_what_was_counted_of_it() {
        let mut spending = Spending::default();
        spending.add_failure(None);
        let budget = Budget { tokens: Some(5), cost: Some(1.0) };
        check(spending, budget, None);
        spending.add_failure(Some(usage(5, Some(0.5))));
        assert!(spending.uses_up(&budget, Whose::Session).is_some());
        let mut unpriced = Spending::default();
        unpriced.add_failure(Some(usage(1, None)));
        assert!(unpriced.uses_up(&budget, Whose::Turn).is_some());
    }

    #[test]
    fn a_budget_of_nothing_is_used_up_at_once() {
        let nothing = Budget { tokens: Some(0), cost: None };
        assert!(spent(&[]).uses_up(&nothing, Whose::Session).is_some());
    }
}
