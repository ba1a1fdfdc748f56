//! What a person has said of the calls of a round, and which tools they have approved for the session.

use std::sync::Arc;

use super::{Approval, AskedCall, Decision};

/// How it stands with one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Consent {
    /// Nobody needs to be asked.
    Needless,
    /// Somebody is to be asked.
    Needed,
    /// Somebody was, and has said nothing.
    Asked,
    /// It may run, with these arguments in place of the model's if there are any.
    Given(Option<Arc<str>>),
    /// It must not, and why.
    Refused(Option<Arc<str>>),
    /// It ran somewhere else, and came to this.
    Answered(Arc<str>),
}

/// That of each call of a round. No call of most rounds needs any: they hold none.
#[derive(Clone, Debug, Default)]
pub(super) struct Consents(Option<Box<[Consent]>>);

impl Consents {
    /// Of a round that begins.
    pub fn new(calls: &[AskedCall]) -> Self {
        if calls.iter().all(|call| call.approval == Approval::Never) {
            return Self(None);
        }
        let consent = |call: &AskedCall| match call.approval {
            Approval::Never => Consent::Needless,
            Approval::OncePerSession | Approval::Always | Approval::Outside => Consent::Needed,
        };
        Self(Some(calls.iter().map(consent).collect()))
    }

    /// That of the call `ordinal`.
    pub fn of(&self, ordinal: usize) -> &Consent {
        let consents = self.0.as_deref().unwrap_or_default();
        consents.get(ordinal).unwrap_or(&Consent::Needless)
    }

    /// Somebody was asked about the call `ordinal`.
    pub fn ask(&mut self, ordinal: usize) {
        if let Some(consent @ Consent::Needed) = self.get_mut(ordinal) {
            *consent = Consent::Asked;
        }
    }

    /// Somebody has decided about the call `ordinal`. The first decision counts.
    pub fn decide(&mut self, ordinal: usize, decision: &Decision) {
        if let Some(consent @ (Consent::Needed | Consent::Asked)) = self.get_mut(ordinal) {
            *consent = match decision {
                Decision::Approved => Consent::Given(None),
                Decision::Edited { arguments } => Consent::Given(Some(Arc::clone(arguments))),
                Decision::Denied { reason } => Consent::Refused(reason.clone()),
                Decision::Answered { content } => Consent::Answered(Arc::clone(content)),
            };
        }
    }

    /// Whoever was asked is not there any more: they are asked again.
    pub fn ask_anew(&mut self) {
        for consent in self.0.iter_mut().flatten() {
            if *consent == Consent::Asked {
                *consent = Consent::Needed;
            }
        }
    }

    fn get_mut(&mut self, ordinal: usize) -> Option<&mut Consent> {
        self.0.as_mut()?.get_mut(ordinal)
    }
}

/// The tools that a person has approved for the rest of the session.
#[derive(Clone, Debug, Default)]
pub struct Approved(Vec<Arc<str>>);

impl Approved {
    /// Says whether `tool` is one of them.
    #[must_use]
    pub fn has(&self, tool: &str) -> bool {
        self.0.iter().any(|known| **known == *tool)
    }

    pub(super) fn add(&mut self, tool: &Arc<str>) {
        if !self.has(tool) {
            self.0.push(Arc::clone(tool));
        }
    }
}
