//! What a turn comes to.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use crate::conversation::SessionId;
use crate::supervision::{ModelRetry, RoundReports};
use crate::wire::Usage;

/// The end of a turn that went well.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The model's last words.
    pub text: Arc<str>,
    /// Why the model stopped, in its provider's word.
    pub finish: Cow<'static, str>,
    /// What the turn took.
    pub report: TurnReport,
}

/// What a turn took, however it ended.
#[derive(Clone, Debug)]
pub struct TurnReport {
    /// The conversation.
    pub session: SessionId,
    /// The model as it names itself, else as it was asked for.
    pub model: Arc<str>,
    /// From the question to the end.
    pub elapsed: Duration,
    /// The tokens of this turn's replies, also of those that came to nothing, as far as their providers
    /// counted them.
    pub usage: Usage,
    /// The turn's rounds, in order.
    pub rounds: RoundReports,
}

impl TurnReport {
    /// Why the model was asked again for the turn's last reply, time after time, where that reply led
    /// to no round: the answer, or a turn that failed. Those of other replies stand in their
    /// [rounds](crate::supervision::RoundReport::retries).
    #[must_use]
    pub fn retries(&self) -> &[ModelRetry] {
        self.rounds.last_retries()
    }
}
