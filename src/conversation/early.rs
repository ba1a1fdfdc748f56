//! Calls that begin while the model still writes: when they may, and which calls of the finished
//! reply they are.

use std::sync::Arc;

use super::canonical::are_same;
use super::wrapper::is_wrapper;
use super::{
    Approval, Approved, AskedCall, Catalogue, Effects, Limits, Mode, Outcome, OutcomeKind, Place,
    Room,
};
use crate::sabotage::{self, Sabotage};
use crate::wire::{Arguments, Call, Certainty};

/// A call that began before its reply had ended.
#[derive(Clone, Debug, PartialEq)]
pub struct EarlyCall {
    /// The numbers it began with, and keeps.
    pub place: Place,
    /// The id on the wire as far as it was known; empty if it was not.
    pub id: Arc<str>,
    /// The tool's name.
    pub tool: Arc<str>,
    /// The text of a JSON object.
    pub arguments: Arc<str>,
    /// How often it has begun: more than once if the process ended while it ran.
    pub starts: u32,
    /// It is never run again, whatever is said of its tool later.
    pub once: bool,
    /// Absent while it runs.
    pub outcome: Option<Outcome>,
}

/// The calls of one round that began before its reply had ended, in the order they began, those of
/// earlier tries of the reply included.
#[derive(Clone, Debug, Default)]
pub struct EarlyCalls(Vec<EarlyCall>);

impl EarlyCalls {
    /// Says whether none has begun.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &EarlyCall> {
        self.0.iter()
    }

    /// Those that have not ended.
    pub fn running(&self) -> impl Iterator<Item = &EarlyCall> {
        let is_forgotten = sabotage::is(Sabotage::DiscardedForgotten);
        self.iter().filter(move |call| call.outcome.is_none() && !is_forgotten)
    }

    /// The one that began at `place`.
    #[must_use]
    pub fn get(&self, place: Place) -> Option<&EarlyCall> {
        self.iter().find(|call| call.place == place)
    }

    pub(super) fn begin(&mut self, call: EarlyCall) {
        match self.0.iter_mut().find(|known| known.place == call.place) {
            // After the process had ended.
            Some(known) => {
                known.starts += 1;
                known.once |= call.once;
            }
            None => self.0.push(call),
        }
    }

    /// The first end of a call counts.
    pub(super) fn end(&mut self, place: Place, outcome: &Outcome) {
        let call = self.0.iter_mut().find(|call| call.place == place);
        if let Some(call) = call.filter(|call| call.outcome.is_none()) {
            call.outcome = Some(outcome.clone());
        }
    }

    /// The first call of a try before `reply_attempt` that is the same (same tool, same arguments,
    /// in whatever order of their fields) and not `taken` already. One that changed was another, and
    /// has no answer; it is the same all the same if it must not run twice.
    fn twin(
        &self,
        tool: &str,
        arguments: &str,
        reply_attempt: u32,
        catalogue: &dyn Catalogue,
        taken: impl Fn(Place) -> bool,
    ) -> Option<&EarlyCall> {
        let may_run_twice = || catalogue.effects(tool) == Effects::None;
        self.iter().find(|call| {
            !sabotage::is(Sabotage::TwinsForgotten)
                && call.place.reply_attempt < reply_attempt
                && !taken(call.place)
                && call.is(tool, arguments)
                && !(call.has_changed() && may_run_twice())
        })
    }
}

/// The code of the problem of a call that ended because it is not what it seemed when it began.
pub const CHANGED: &str = "call_changed";

impl EarlyCall {
    fn is(&self, tool: &str, arguments: &str) -> bool {
        let is_same = || are_same(&self.arguments, arguments);
        *self.tool == *tool && (sabotage::is(Sabotage::AnyTwinWillDo) || is_same())
    }

    /// It ended because it was not what it seemed.
    fn has_changed(&self) -> bool {
        let problem = self.outcome.as_ref().and_then(|outcome| outcome.problem.as_ref());
        problem.is_some_and(|problem| problem.code == CHANGED)
    }
}

/// A try of the reply asks for a call that an earlier one has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Where it asks for it.
    pub by: Place,
    /// The call that has begun.
    pub of: Place,
}

/// What becomes of a call that is as good as complete while its reply goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It begins now, with these arguments.
    Begins {
        /// The tool's own name.
        tool: Arc<str>,
        /// The text of a JSON object that fits the tool's schema.
        arguments: Arc<str>,
    },
    /// An earlier try of the reply asked for the same, and it has begun.
    HasBegun(Claim),
    /// It waits for the end of the reply.
    Waits,
    /// It holds other calls, so that nobody knows yet at which places those behind it stand: they
    /// wait for the end of the reply, too.
    WaitsWithTheRest,
}

/// Decides about the call at `place` of a reply that goes on, whose arguments are as certain as
/// `certainty` says. `claims` are those of this try so far.
///
/// A call waits for the end of its reply unless it is sure to be run then, whatever follows: one at
/// a time, one too many, of an unknown tool, with arguments that do not fit, or of a tool that does
/// not begin early ([`Catalogue::begins`]) waits. So does one whose arguments are an empty object
/// that merely closed: it may be a placeholder. And so does one that a person has to approve, unless
/// they have for the session, as `approved` says.
#[must_use]
pub fn readiness(
    call: &Call,
    place: Place,
    certainty: Certainty,
    (catalogue, limits, room): (&dyn Catalogue, &Limits, &Room<'_>),
    (early, claims, approved): (&EarlyCalls, &[Claim], &Approved),
) -> Readiness {
    if is_wrapper(&call.name, catalogue) {
        return Readiness::WaitsWithTheRest;
    }
    let most = limits.max_calls_per_round.min(room.calls); // Whatever of it will be refused.
    let is_over_a_limit = room.rounds == 0 || place.ordinal >= most;
    if !limits.early_dispatch || limits.mode == Mode::Sequential || is_over_a_limit {
        return Readiness::Waits;
    }
    let Arguments::Object(arguments) = &call.arguments else { return Readiness::Waits };
    let is_empty = || are_same(arguments, "{}");
    let is_begun = early.get(place).is_some() && !sabotage::is(Sabotage::BegunForgotten);
    let is_known = is_begun || claims.iter().any(|claim| claim.by == place);
    if is_known || (certainty == Certainty::Closed && is_empty()) {
        return Readiness::Waits;
    }
    let Ok(tool) = catalogue.check(&call.name, arguments) else { return Readiness::Waits };
    if room.refuses(&tool, arguments, limits).is_some() {
        return Readiness::Waits;
    }
    let is_claimed = |twin| claims.iter().any(|claim| claim.of == twin);
    if let Some(twin) = early.twin(&tool, arguments, place.reply_attempt, catalogue, is_claimed) {
        return Readiness::HasBegun(Claim { by: place, of: twin.place });
    }
    let is_approved = match catalogue.approval(&tool) {
        Approval::Never => true,
        Approval::OncePerSession => approved.has(&tool),
        Approval::Always | Approval::Outside => false,
    };
    if !is_approved && !sabotage::is(Sabotage::Unapproved) {
        return Readiness::Waits;
    }
    match catalogue.begins(&tool) {
        None if sabotage::is(Sabotage::EffectsBeginEarly) => {
            Readiness::Begins { tool, arguments: arguments.as_str().into() }
        }
        Some(needed) if certainty >= needed => {
            Readiness::Begins { tool, arguments: arguments.as_str().into() }
        }
        _ => Readiness::Waits,
    }
}

/// Says of each of the `calls` of a finished reply whether it has begun already: as itself, or as
/// the same call of an earlier try of the reply.
///
/// A call that began and then turned out to be another one is refused: it is never run a second
/// time without the model's knowing. A reply that a `filter` cut has nothing run that had not begun.
#[must_use]
pub fn recognize(
    mut calls: Arc<[AskedCall]>,
    reply_attempt: u32,
    early: &EarlyCalls,
    catalogue: &dyn Catalogue,
    filter: bool,
) -> Arc<[AskedCall]> {
    if early.is_empty() && !filter {
        return calls;
    }
    let mut taken: Vec<Place> = Vec::new();
    for (ordinal, call) in (0u32..).zip(Arc::make_mut(&mut calls)) {
        let own = early.get(Place { reply_attempt, ordinal });
        let begun = match own {
            Some(own) if call.refused.is_none() && own.is(&call.tool, &call.arguments) => Some(own),
            Some(_) if sabotage::is(Sabotage::ChangedRunsAgain) => continue,
            Some(own) => {
                call.refused = Some(contradicted(call, own, catalogue));
                continue;
            }
            None if call.refused.is_some() => continue,
            None => {
                let is_taken = |twin| taken.contains(&twin);
                early.twin(&call.tool, &call.arguments, reply_attempt, catalogue, is_taken)
            }
        };
        call.begun = begun.map(|begun| begun.place);
        taken.extend(call.begun);
        if filter && call.begun.is_none() && !sabotage::is(Sabotage::FilterIgnored) {
            call.refused = Some(Outcome::failed(
                OutcomeKind::Truncated,
                "the provider's filter cut the reply off; the call was not run",
            ));
        }
    }
    calls
}

/// The answer to a call that is not what it was when it began.
fn contradicted(call: &AskedCall, own: &EarlyCall, catalogue: &dyn Catalogue) -> Outcome {
    let kind = call.refused.as_ref().map_or(OutcomeKind::BadArguments, |refused| refused.kind);
    let message = "the call changed after its arguments seemed complete; not run as it is now";
    Outcome::broken_off(kind, message, catalogue.effects(&own.tool), true)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::super::{Refusal, plan};
    use super::*;
    use crate::wire::Extra;

    /// Tools named after when they begin; all but `strict` take anything.
    struct Tools;

    impl Catalogue for Tools {
        fn check(&self, name: &str, arguments: &str) -> Result<Arc<str>, Refusal> {
            match name {
                "strict" if arguments == "{}" => {
                    Err(Refusal::BadArguments { message: "`a` is missing".into() })
                }
                "closed" | "sealed" | "end" | "strict" | "asked" | "always asked" => {
                    Ok(name.into())
                }
                _ => Err(Refusal::UnknownTool { known: Vec::new() }),
            }
        }

        fn begins(&self, tool: &str) -> Option<Certainty> {
            match tool {
                "closed" | "strict" | "asked" | "always asked" => Some(Certainty::Closed),
                "sealed" => Some(Certainty::Sealed),
                _ => None,
            }
        }

        fn approval(&self, tool: &str) -> Approval {
            match tool {
                "asked" => Approval::OncePerSession,
                "always asked" => Approval::Always,
                _ => Approval::Never,
            }
        }

        fn own_name(&self, written: &str) -> Option<Arc<str>> {
            (written != "multi_tool_use.parallel").then(|| written.into())
        }

        fn wire_name<'a>(&'a self, written: &'a str) -> Cow<'a, str> {
            Cow::Borrowed(written)
        }

        fn effects(&self, tool: &str) -> Effects {
            if tool == "sealed" { Effects::Once } else { Effects::None }
        }
    }

    fn call(name: &str, arguments: &str) -> Call {
        Call {
            id: "id".into(),
            name: name.into(),
            arguments: Arguments::from_text(arguments.into()),
            extra: Extra::default(),
            function_extra: Extra::default(),
        }
    }

    fn at(reply_attempt: u32, ordinal: u32) -> Place {
        Place { reply_attempt, ordinal }
    }

    fn early(begun: &[(Place, &str, &str)]) -> EarlyCalls {
        let mut early = EarlyCalls::default();
        for (place, tool, arguments) in begun {
            let (tool, arguments) = ((*tool).into(), (*arguments).into());
            early.begin(EarlyCall {
                place: *place,
                id: "".into(),
                tool,
                arguments,
                starts: 1,
                once: false,
                outcome: None,
            });
        }
        early
    }

    fn decide(
        name: &str,
        arguments: &str,
        certainty: Certainty,
        limits: &Limits,
        early: &EarlyCalls,
    ) -> Readiness {
        let terms: (&dyn Catalogue, &Limits, &Room<'_>) = (&Tools, limits, &Room::of_rounds(16));
        let known = (early, &[][..], &Approved::default());
        readiness(&call(name, arguments), at(2, 0), certainty, terms, known)
    }

    fn begins(name: &str, arguments: &str, certainty: Certainty) -> bool {
        let decided = decide(name, arguments, certainty, &Limits::default(), &early(&[]));
        matches!(decided, Readiness::Begins { .. })
    }

    #[test]
    fn a_call_begins_as_soon_as_it_is_as_certain_as_its_tool_wants() {
        use Certainty::{Closed, Sealed};
        let args = r#"{"a":1}"#;
        let table = [("closed", true, true), ("sealed", false, true), ("end", false, false)];
        for (name, closed, sealed) in table {
            assert_eq!(begins(name, args, Closed), closed, "{name}");
            assert_eq!(begins(name, args, Sealed), sealed, "{name}");
        }
        assert!(!begins("unknown", args, Sealed));
    }

    #[test]
    fn an_empty_object_that_merely_closed_may_be_a_placeholder() {
        for arguments in ["{}", "{ }"] {
            assert!(!begins("closed", arguments, Certainty::Closed));
            assert!(begins("closed", arguments, Certainty::Sealed));
        }
        assert!(!begins("strict", "{}", Certainty::Sealed), "the schema does not take it");
    }

    #[test]
    fn nothing_begins_early_on_what_is_no_object() {
        for arguments in [r#"{"a":1"#, "[1]", r#"{"a":1},"b""#, r#"{"a":1}{"a":2}"#] {
            assert!(!begins("closed", arguments, Certainty::Sealed), "{arguments}");
        }
    }

    #[test]
    fn behind_a_wrapper_nobody_knows_the_places() {
        let arguments = r#"{"tool_uses":[]}"#;
        let name = "multi_tool_use.parallel";
        let decided = decide(name, arguments, Certainty::Sealed, &Limits::default(), &early(&[]));
        assert_eq!(decided, Readiness::WaitsWithTheRest);
    }

    #[test]
    fn a_session_may_forbid_it_and_a_limit_does() {
        let begins = |limits: Limits| {
            let args = r#"{"a":1}"#;
            decide("closed", args, Certainty::Sealed, &limits, &early(&[])) != Readiness::Waits
        };
        assert!(begins(Limits::default()));
        assert!(!begins(Limits { early_dispatch: false, ..Limits::default() }));
        assert!(!begins(Limits { mode: Mode::Sequential, ..Limits::default() }));
        assert!(!begins(Limits { max_calls_per_round: 0, ..Limits::default() }));
        let last: (&dyn Catalogue, &Limits, &Room<'_>) =
            (&Tools, &Limits::default(), &Room::of_rounds(0));
        let args = call("closed", r#"{"a":1}"#);
        let none = (&early(&[]), &[][..], &Approved::default());
        assert_eq!(readiness(&args, at(1, 0), Certainty::Sealed, last, none), Readiness::Waits);
        let room = Room { calls: 1, ..Room::of_rounds(16) };
        let terms: (&dyn Catalogue, &Limits, &Room<'_>) = (&Tools, &Limits::default(), &room);
        let ready = |place| readiness(&args, place, Certainty::Sealed, terms, none);
        assert!(matches!(ready(at(1, 0)), Readiness::Begins { .. }));
        assert_eq!(ready(at(1, 1)), Readiness::Waits, "it may be one call too many");
    }

    #[test]
    fn what_a_person_has_to_approve_waits_unless_they_have_for_the_session() {
        let begins = |tool, approved: &Approved| {
            let terms: (&dyn Catalogue, &Limits, &Room<'_>) =
                (&Tools, &Limits::default(), &Room::of_rounds(16));
            let (call, none) = (call(tool, r#"{"a":1}"#), early(&[]));
            let decided =
                readiness(&call, at(1, 0), Certainty::Sealed, terms, (&none, &[], approved));
            matches!(decided, Readiness::Begins { .. })
        };
        let mut approved = Approved::default();
        assert!(!begins("asked", &approved) && !begins("always asked", &approved));
        approved.add(&"asked".into());
        approved.add(&"always asked".into());
        assert!(begins("asked", &approved) && !begins("always asked", &approved));
    }

    #[test]
    fn what_an_earlier_try_began_is_not_begun_again() {
        let begun =
            early(&[(at(1, 3), "closed", r#"{"a":1,"b":2}"#), (at(1, 4), "closed", r#"{"a":2}"#)]);
        let decide =
            |arguments| decide("closed", arguments, Certainty::Closed, &Limits::default(), &begun);
        assert_eq!(
            decide(r#"{"b": 2, "a": 1}"#),
            Readiness::HasBegun(Claim { by: at(2, 0), of: at(1, 3) })
        );
        assert!(matches!(decide(r#"{"a":3}"#), Readiness::Begins { .. }));
        let terms: (&dyn Catalogue, &Limits, &Room<'_>) =
            (&Tools, &Limits::default(), &Room::of_rounds(16));
        let call = call("closed", r#"{"a":2}"#);
        let claims = [Claim { by: at(2, 0), of: at(1, 4) }];
        let known = (&begun, &claims[..], &Approved::default());
        let ready = |place| readiness(&call, place, Certainty::Sealed, terms, known);
        assert!(matches!(ready(at(2, 1)), Readiness::Begins { .. }), "one call is one call");
        assert_eq!(ready(at(2, 0)), Readiness::Waits, "it is claimed already");
    }

    #[test]
    fn what_changed_in_an_earlier_try_is_begun_again_unless_it_must_not_run_twice() {
        let args = r#"{"a":1}"#;
        let mut begun = early(&[(at(1, 0), "closed", args), (at(1, 1), "sealed", args)]);
        let mut changed = Outcome::failed(OutcomeKind::Cancelled, "it is another");
        changed.set_code(CHANGED);
        for place in [at(1, 0), at(1, 1)] {
            begun.end(place, &changed);
        }
        let decide = |name| decide(name, args, Certainty::Sealed, &Limits::default(), &begun);
        assert!(matches!(decide("closed"), Readiness::Begins { .. }));
        let claim = Claim { by: at(2, 0), of: at(1, 1) };
        assert_eq!(decide("sealed"), Readiness::HasBegun(claim));
        let calls = recognized(&[("closed", args), ("sealed", args)], &begun, false);
        let begun: Vec<_> = calls.iter().map(|call| call.begun).collect();
        assert_eq!(begun, [None, Some(at(1, 1))]);
    }

    #[test]
    fn a_call_that_somebody_cancelled_has_not_changed_whatever_is_said_of_it() {
        let args = r#"{"a":1}"#;
        let mut begun = early(&[(at(1, 0), "closed", args)]);
        begun.end(at(1, 0), &Outcome::failed(OutcomeKind::Cancelled, CHANGED));
        let decided = decide("closed", args, Certainty::Sealed, &Limits::default(), &begun);
        assert_eq!(decided, Readiness::HasBegun(Claim { by: at(2, 0), of: at(1, 0) }));
    }

    fn recognized(calls: &[(&str, &str)], early: &EarlyCalls, filter: bool) -> Vec<AskedCall> {
        let calls = calls.iter().map(|(name, arguments)| call(name, arguments)).collect();
        let planned = plan(calls, &Tools, &Limits::default(), &Room::of_rounds(16));
        recognize(planned, 2, early, &Tools, filter).to_vec()
    }

    fn kind(call: &AskedCall) -> Option<OutcomeKind> {
        call.refused.as_ref().map(|refused| refused.kind)
    }

    #[test]
    fn a_call_is_recognized_as_itself_or_as_that_of_an_earlier_try_and_only_once() {
        let begun =
            early(&[(at(1, 0), "closed", r#"{"a":1}"#), (at(2, 1), "closed", r#"{"a":1}"#)]);
        let args = r#"{"a":1}"#;
        let calls =
            recognized(&[("closed", args), ("closed", args), ("closed", args)], &begun, false);
        let begun: Vec<_> = calls.iter().map(|call| call.begun).collect();
        assert_eq!(begun, [Some(at(1, 0)), Some(at(2, 1)), None]);
        assert!(calls.iter().all(|call| call.refused.is_none()));
    }

    #[test]
    fn a_call_that_changed_after_it_began_is_refused_and_not_run_again() {
        let begun = early(&[(at(2, 0), "sealed", r#"{"a":1}"#), (at(2, 1), "closed", "{}")]);
        let calls =
            recognized(&[("sealed", r#"{"a":1},"b":2}"#), ("closed", r#"{"a":1}"#)], &begun, false);
        for call in &calls {
            assert_eq!((call.begun, kind(call)), (None, Some(OutcomeKind::BadArguments)));
        }
        let told = |call: &AskedCall| call.refused.as_ref().unwrap().content.clone();
        assert!(told(&calls[0]).contains("may have taken effect"), "it must not run twice");
        assert!(!told(&calls[1]).contains("may have taken effect"));
    }

    #[test]
    fn of_a_filtered_reply_only_what_had_begun_has_run() {
        let begun = early(&[(at(2, 0), "closed", r#"{"a":1}"#)]);
        let calls =
            recognized(&[("closed", r#"{"a":1}"#), ("end", "{}"), ("who", "{}")], &begun, true);
        assert_eq!((calls[0].begun, kind(&calls[0])), (Some(at(2, 0)), None));
        assert_eq!(kind(&calls[1]), Some(OutcomeKind::Truncated));
        assert_eq!(kind(&calls[2]), Some(OutcomeKind::UnknownTool));
    }
}
