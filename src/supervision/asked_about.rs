//! The calls of a round that a person was asked about: since when, and what they made of them.

use std::sync::Arc;

use crate::conversation::{Decision, Event, Place};

/// The calls of a round that a person was asked about.
#[derive(Clone, Debug, Default)]
pub(super) struct AskedAbout(Vec<Asked>);

/// One of them.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub place: Place,
    /// By the clock of the round.
    pub since: u64,
    pub is_decided: bool,
    /// What they wrote in place of the model's.
    arguments: Option<Arc<str>>,
}

impl AskedAbout {
    /// Takes in that a person was asked at `at_us`, or has decided.
    pub fn on(&mut self, at_us: u64, event: &Event) {
        match event {
            Event::ApprovalAsked { reply_attempt, ordinal, .. } => {
                let place = Place { reply_attempt: *reply_attempt, ordinal: *ordinal };
                // Once more, where the process had ended: whoever was asked first is gone.
                self.0.retain(|asked| asked.place != place);
                let (since, is_decided, arguments) = (at_us, false, None);
                self.0.push(Asked { place, since, is_decided, arguments });
            }
            Event::ApprovalDecided { reply_attempt, ordinal, decision, .. } => {
                let place = Place { reply_attempt: *reply_attempt, ordinal: *ordinal };
                let asked = self.0.iter_mut().find(|asked| asked.place == place);
                if let Some(asked) = asked.filter(|asked| !asked.is_decided) {
                    asked.is_decided = true;
                    if let Decision::Edited { arguments } = decision {
                        asked.arguments = Some(Arc::clone(arguments));
                    }
                }
            }
            _ => {}
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Asked> {
        self.0.iter()
    }

    /// Since when the call at `place` has waited, or had.
    pub fn since(&self, place: Place) -> Option<u64> {
        Some(self.iter().find(|asked| asked.place == place)?.since)
    }

    /// The calls whose arguments a person has changed, and to what.
    pub fn edits(&self) -> impl Iterator<Item = (Place, &Arc<str>)> {
        self.iter().filter_map(|asked| Some((asked.place, asked.arguments.as_ref()?)))
    }
}
