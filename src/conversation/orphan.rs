//! Calls that began early and that no finished reply asks for: those that may have changed something
//! are told to the model all the same, or it would ask for them again.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{AskedCall, Catalogue, EarlyCall, EarlyCalls, Effects, Place};
use crate::model::IdRule;
use crate::sabotage::{self, Sabotage};

/// A call that began early and that no finished reply asks for. The history has it as a call that was
/// asked for and answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orphan {
    /// The numbers it began with. Its arguments and its outcome are on record under them.
    pub place: Place,
    /// Its id in the history, which no call before it has and none of the reply behind it: its own on
    /// the wire if that is such a one.
    pub id: Arc<str>,
    /// The name of its tool on the wire.
    pub name: Arc<str>,
}

/// A finished reply: which try it was, and its calls as [`recognize`](super::recognize) gives them.
pub type Finished<'a> = (u32, &'a [AskedCall]);

/// Those of the `early` calls that the model is told of because the finished `reply` does not ask for
/// them, or because the turn ends without one; in the order they began.
///
/// Calls without effects are not told: nothing has come of them. Nor is one of the reply's own that
/// changed after it began: it is answered in its place. The ids are such as `rule` allows, and none that
/// `is_in_history`.
#[must_use]
pub fn orphans(
    early: &EarlyCalls,
    reply: Option<Finished<'_>>,
    catalogue: &dyn Catalogue,
    (is_in_history, rule): (impl Fn(&str) -> bool, IdRule),
) -> Arc<[Orphan]> {
    let (attempt, calls) = reply.unwrap_or_default();
    let is_asked = |call: &EarlyCall| {
        let Place { reply_attempt, ordinal } = call.place;
        let is_answered_in_place = reply_attempt == attempt && (ordinal as usize) < calls.len();
        is_answered_in_place || calls.iter().any(|asked| asked.begun == Some(call.place))
    };
    let is_told = |call: &&EarlyCall| {
        let has_effects = catalogue.effects(&call.tool) != Effects::None;
        has_effects && !is_asked(call) && !sabotage::is(Sabotage::OrphansUntold)
    };
    let mut orphans: Vec<Orphan> = Vec::new();
    for call in early.iter().filter(is_told) {
        let name: Arc<str> = catalogue.wire_name(&call.tool).into();
        let is_taken = |id: &str| {
            let has_it = |asked: &AskedCall| **asked.part_of.as_ref().unwrap_or(&asked.id) == *id;
            calls.iter().any(has_it)
                || orphans.iter().any(|orphan| *orphan.id == *id)
                || is_in_history(id)
        };
        let id = free_id(call, &name, rule, is_taken);
        orphans.push(Orphan { place: call.place, id, name });
    }
    orphans.into()
}

/// The call's own id if it will do, or one made of it.
fn free_id(
    call: &EarlyCall,
    name: &str,
    rule: IdRule,
    is_taken: impl Fn(&str) -> bool,
) -> Arc<str> {
    if !call.id.is_empty() && rule.fits(&call.id, name) && !is_taken(&call.id) {
        return Arc::clone(&call.id);
    }
    let stem = if call.id.is_empty() { "call" } else { &*call.id };
    let mut number = call.place.ordinal as usize;
    loop {
        number += 1;
        let id = rule.rewrite(&format!("{stem}_{number}"), name, number);
        if !is_taken(&id) {
            return id.into();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::super::{Approval, Refusal};
    use super::*;
    use crate::wire::Certainty;

    /// A tool that reads, and others that do not.
    struct Tools;

    impl Catalogue for Tools {
        fn check(&self, name: &str, _: &str) -> Result<Arc<str>, Refusal> {
            Ok(name.into())
        }

        fn begins(&self, _: &str) -> Option<Certainty> {
            Some(Certainty::Sealed)
        }

        fn effects(&self, tool: &str) -> Effects {
            if tool == "read" { Effects::None } else { Effects::Once }
        }

        fn own_name(&self, written: &str) -> Option<Arc<str>> {
            Some(written.into())
        }

        fn wire_name<'a>(&'a self, written: &'a str) -> Cow<'a, str> {
            Cow::Owned(written.replace('.', "_"))
        }
    }

    fn at(reply_attempt: u32, ordinal: u32) -> Place {
        Place { reply_attempt, ordinal }
    }

    fn early(begun: &[(Place, &str, &str)]) -> EarlyCalls {
        let mut early = EarlyCalls::default();
        for (place, id, tool) in begun {
            let (id, tool, arguments) = ((*id).into(), (*tool).into(), "{}".into());
            let (place, starts, once, outcome) = (*place, 1, false, None);
            early.begin(EarlyCall { place, id, tool, arguments, starts, once, outcome });
        }
        early
    }

    fn asked(id: &str, begun: Option<Place>) -> AskedCall {
        let (id, tool, arguments) = (id.into(), "pay".into(), "{}".into());
        AskedCall {
            id,
            tool,
            arguments,
            refused: None,
            begun,
            approval: Approval::Never,
            part_of: None,
        }
    }

    #[test]
    fn told_is_what_has_effects_and_is_neither_asked_for_nor_answered_in_its_place() {
        let early = early(&[
            (at(1, 0), "a", "read"),
            (at(1, 1), "b", "pay"),
            (at(1, 2), "c", "shop.pay"),
            (at(2, 0), "d", "pay"),
            (at(2, 1), "e", "pay"),
            (at(2, 2), "f", "pay"),
        ]);
        let told = |reply| {
            let orphans = orphans(&early, reply, &Tools, (|_: &str| false, IdRule::Any));
            let told = orphans.iter().map(|orphan| format!("{} {}", orphan.id, orphan.name));
            told.collect::<Vec<_>>()
        };
        let calls = [asked("x", None), asked("y", Some(at(1, 1)))];
        assert_eq!(told(Some((2, &calls))), ["c shop_pay", "f pay"]);
        assert_eq!(told(None), ["b pay", "c shop_pay", "d pay", "e pay", "f pay"]);
        assert_eq!(told(Some((3, &[]))).len(), 5);
    }

    #[test]
    fn an_id_that_somebody_has_is_changed_to_one_that_the_model_takes() {
        let has_old = |id: &str| id == "old";
        let check = |rule: IdRule, begun: &[&str], calls: &[AskedCall], expected: &[&str]| {
            let begun: Vec<_> =
                (0u32..).zip(begun).map(|(ordinal, id)| (at(1, ordinal), *id, "pay")).collect();
            let orphans = orphans(&early(&begun), Some((2, calls)), &Tools, (has_old, rule));
            let ids: Vec<_> = orphans.iter().map(|orphan| &*orphan.id).collect();
            assert_eq!(ids, expected, "{rule:?}");
        };
        let calls = [asked("a", None)];
        check(IdRule::Any, &["a", "b"], &calls, &["a_1", "b"]);
        check(IdRule::Any, &["old", ""], &[], &["old_1", "call_2"]);
        check(IdRule::Any, &["b", "b", "b_2"], &[], &["b", "b_2", "b_2_3"]);
        let calls = [asked("functions.pay:0", None), asked("functions.pay:1", None)];
        check(IdRule::Kimi, &["functions.pay:0"], &calls, &["functions.pay:2"]);
        check(IdRule::Mistral, &["abcdefghi"], &[], &["abcdefghi"]);
        let calls = [AskedCall { part_of: Some("abcdefghi".into()), ..asked("x", None) }];
        let orphans = orphans(
            &early(&[(at(1, 0), "abcdefghi", "pay")]),
            Some((2, &calls)),
            &Tools,
            (has_old, IdRule::Mistral),
        );
        let id = &*orphans[0].id;
        assert!(IdRule::Mistral.fits(id, "pay") && id != "abcdefghi", "{id}");
    }

    #[test]
    fn an_orphan_reads_back_as_it_was_written() {
        let orphan = Orphan { place: at(1, 2), id: "a".into(), name: "pay".into() };
        let json = r#"{"place":{"reply_attempt":1,"ordinal":2},"id":"a","name":"pay"}"#;
        assert_eq!(serde_json::to_string(&orphan).unwrap(), json);
        assert_eq!(serde_json::from_str::<Orphan>(json).unwrap(), orphan);
    }
}
