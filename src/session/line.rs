//! The line of questions that wait for their turn: first come, first served.

use std::collections::VecDeque;

use super::coordinator::Ask;

/// The most questions that wait. Whoever comes then is refused.
const MAX_WAITING: usize = 64;

/// Questions that wait for their turn. Those whose askers have gone are passed over.
#[derive(Default)]
pub(super) struct Line(VecDeque<Ask>);

impl Line {
    /// How many wait.
    pub fn len(&self) -> usize {
        self.0.iter().filter(|ask| !is_given_up(ask)).count()
    }

    /// Puts `ask` at the end, or gives it back if the line is full.
    #[expect(clippy::result_large_err, reason = "it is given back to be answered")]
    pub fn push(&mut self, ask: Ask) -> Result<(), Ask> {
        self.0.retain(|ask| !is_given_up(ask));
        if self.0.len() >= MAX_WAITING {
            return Err(ask);
        }
        self.0.push_back(ask);
        Ok(())
    }

    /// The one whose turn it is.
    pub fn take_first(&mut self) -> Option<Ask> {
        while let Some(ask) = self.0.pop_front() {
            if !is_given_up(&ask) {
                return Some(ask);
            }
        }
        None
    }
}

/// One that only waits for the session to open is as good as begun: it is asked in any case. So is one
/// whose turn has begun at another place, for that is to be ended.
fn is_given_up(ask: &Ask) -> bool {
    match ask.reply.is_withdrawn() {
        true => ask.reply.turn() == 0,
        false => ask.waits && ask.reply.is_closed(),
    }
}
