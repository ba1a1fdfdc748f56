//! The names under which tools travel.
//!
//! A tool may have any name; a provider takes letters, digits, `_` and `-`, 64 of them at most. A
//! name that fits travels as it is. Of any other, each other character becomes `_`, and it takes a
//! suffix, `_` and eight digits of a hash of the tool's own name, in two cases:
//!
//! - it lost more than its punctuation (it was too long, or is not ASCII): always, so that tools
//!   that come later change nothing;
//! - only its punctuation was replaced, as in `math_toolkit.sum_of_multiples`: where another tool
//!   of the set would travel under the same name. A suffix that is always there would be safe from
//!   later tools too, but a model has to write it, each time, and hardly any set needs it.
//!
//! So a name on the wire depends neither on the order of the tools nor on any other tool, unless
//! that one differs in its punctuation alone. If such a one joins a conversation that is under way,
//! a call under the old name is answered `unknown_tool`, with the new names; if the newcomer is
//! itself called so, the call is the newcomer's.

use std::borrow::Cow;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::wire::names::NAMESPACES;

/// The longest name that every provider takes.
const MAX_LENGTH: usize = 64;

/// Of a suffix, `_` included.
const SUFFIX_LENGTH: usize = 9;

/// So few names are found faster one by one than by their hash.
const FEW: usize = 8;

/// The names of a set's tools on the wire, and which tool a written name means.
#[derive(Debug, Default)]
pub(super) struct Names {
    wire: Vec<Arc<str>>,
    /// The tools' own names and those on the wire. They never contradict each other: what travels
    /// under its own name is the only one that does.
    by_name: HashMap<Arc<str>, usize>,
    /// What a tool would be called on the wire if others were there, or were not. `None` where that
    /// could be said of several.
    elsewhere: HashMap<String, Option<usize>>,
}

impl Names {
    /// The names of tools whose `own` names are all different.
    pub fn new(own: &[Arc<str>]) -> Self {
        let wire = on_the_wire(own);
        let (mut by_name, mut elsewhere) = (HashMap::new(), HashMap::new());
        for (place, (own, wire)) in own.iter().zip(&wire).enumerate() {
            by_name.insert(Arc::clone(own), place);
            by_name.insert(Arc::clone(wire), place);
        }
        for (place, own) in own.iter().enumerate().filter(|(_, own)| !fits(own)) {
            for name in [replaced(own), suffixed(own, 0)] {
                match elsewhere.entry(name) {
                    Entry::Vacant(entry) => _ = entry.insert(Some(place)),
                    Entry::Occupied(mut entry) => _ = entry.insert(None),
                }
            }
        }
        Self { wire, by_name, elsewhere }
    }

    /// The name on the wire of the tool at `place`.
    pub fn on_the_wire(&self, place: usize) -> Option<&Arc<str>> {
        self.wire.get(place)
    }

    /// All names on the wire, in the order of the tools.
    pub fn all_on_the_wire(&self) -> &[Arc<str>] {
        &self.wire
    }

    /// The place of the tool that a model means by `written`: the one of that name, on the wire or
    /// its own; else the one of that name without a prefix that models are known to invent; else the
    /// one that either of them would travel as.
    pub fn find(&self, written: &str) -> Option<usize> {
        let bare = NAMESPACES.iter().find_map(|prefix| written.strip_prefix(prefix));
        self.exact(written)
            .or_else(|| self.exact(bare?))
            .or_else(|| self.mapped(written))
            .or_else(|| self.mapped(bare?))
    }

    /// The place of the tool of that name, on the wire or its own.
    pub fn exact(&self, name: &str) -> Option<usize> {
        if self.wire.len() <= FEW
            && let Some(place) = self.wire.iter().position(|wire| **wire == *name)
        {
            return Some(place);
        }
        self.by_name.get(name).copied()
    }

    fn mapped(&self, name: &str) -> Option<usize> {
        let name = wire_form(name);
        match self.by_name.get(&*name) {
            Some(place) => Some(*place),
            None => *self.elsewhere.get(&*name)?,
        }
    }
}

/// `name` as providers take it: a name that fits as it is, any other with each other character
/// replaced, and cut.
pub(super) fn wire_form(name: &str) -> Cow<'_, str> {
    if name.is_empty() || fits(name) { Cow::Borrowed(name) } else { Cow::Owned(replaced(name)) }
}

/// The names on the wire of the tools with these names, all of them different.
fn on_the_wire(own: &[Arc<str>]) -> Vec<Arc<str>> {
    let mut claims: HashMap<Cow<'_, str>, usize> = HashMap::new();
    for name in own.iter().filter(|name| !loses_more_than_punctuation(name)) {
        *claims.entry(wire_form(name)).or_default() += 1;
    }
    let unsuffixed = |name: &Arc<str>| {
        let wire = wire_form(name);
        let is_alone = !loses_more_than_punctuation(name) && claims[&wire] == 1;
        if fits(name) { Some(Arc::clone(name)) } else { is_alone.then(|| wire.into()) }
    };
    let mut wire: Vec<Option<Arc<str>>> = own.iter().map(unsuffixed).collect();
    let mut taken: HashSet<Arc<str>> = wire.iter().flatten().cloned().collect();
    let mut rest: Vec<usize> = (0..own.len()).filter(|place| wire[*place].is_none()).collect();
    rest.sort_unstable_by_key(|place| &own[*place]); // So that their order does not matter.
    for place in rest {
        let name = (0u64..)
            .map(|attempt| Arc::from(suffixed(&own[place], attempt)))
            .find(|name| !taken.contains(name))
            .expect("there are more suffixes than tools");
        taken.insert(Arc::clone(&name));
        wire[place] = Some(name);
    }
    wire.into_iter().flatten().collect()
}

/// Says whether every provider takes the name.
fn fits(name: &str) -> bool {
    (1..=MAX_LENGTH).contains(&name.len()) && name.chars().all(is_allowed)
}

fn is_allowed(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '-')
}

fn loses_more_than_punctuation(name: &str) -> bool {
    name.len() > MAX_LENGTH || !name.is_ascii()
}

fn replaced(name: &str) -> String {
    let characters = name.chars().map(|one| if is_allowed(one) { one } else { '_' });
    characters.take(MAX_LENGTH).collect()
}

/// `attempt` counts from 0 as long as the name is taken by another tool.
fn suffixed(name: &str, attempt: u64) -> String {
    let mut wire = replaced(name);
    wire.truncate(MAX_LENGTH - SUFFIX_LENGTH); // All of it is ASCII by now.
    format!("{wire}_{:08x}", digest(name, attempt))
}

/// FNV-1a, folded: stored conversations outlive a build, and the standard library's hash need not.
fn digest(name: &str, attempt: u64) -> u32 {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(PRIME);
    let hash = name.bytes().fold(BASIS ^ attempt, step);
    let [a, b, c, d, e, f, g, h] = hash.to_le_bytes();
    u32::from_le_bytes([a, b, c, d]) ^ u32::from_le_bytes([e, f, g, h])
}

#[cfg(test)]
mod tests {
    use proptest::collection::btree_set;
    use proptest::prelude::*;

    use super::*;

    fn names(own: &[&str]) -> Names {
        Names::new(&own.iter().map(|name| Arc::from(*name)).collect::<Vec<_>>())
    }

    fn wire(own: &[&str]) -> Vec<String> {
        names(own).all_on_the_wire().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_name_that_fits_travels_as_it_is() {
        let long = "x".repeat(64);
        let own = ["get_weather", "a-B_9", "0", "_", &long];
        assert_eq!(wire(&own), own);
    }

    #[test]
    fn punctuation_becomes_an_underscore_and_takes_no_suffix() {
        let own = ["math_toolkit.sum_of_multiples", "github/search code", "a::b"];
        assert_eq!(wire(&own), ["math_toolkit_sum_of_multiples", "github_search_code", "a__b"]);
    }

    #[test]
    fn names_that_would_be_the_same_take_a_suffix_each_but_for_the_one_that_fits() {
        let both = wire(&["a.b", "a/b"]);
        assert_eq!(both, ["a_b_e27bcb35", "a_b_e2480c78"]);
        assert_eq!(wire(&["a/b", "a_b", "a.b"]), [&*both[1], "a_b", &both[0]]);
        assert_eq!(wire(&["a.b", "a_b"]), [&*both[0], "a_b"]);
    }

    #[test]
    fn a_long_name_is_cut_and_takes_a_suffix_whoever_is_there() {
        let (one, other) = ("x".repeat(128), "x".repeat(127) + "y");
        let alone = wire(&[&one]);
        assert_eq!(alone[0].len(), 64);
        assert!(alone[0].starts_with(&("x".repeat(55) + "_")), "{}", alone[0]);
        assert_eq!(wire(&[&other, &one])[1], alone[0]);
    }

    #[test]
    fn a_name_that_is_not_ascii_takes_a_suffix_whoever_is_there() {
        assert_eq!(wire(&["天気"]), ["___35ab27fe"]);
        assert_eq!(wire(&["時刻", "天気"])[1], "___35ab27fe");
    }

    #[test]
    fn a_suffix_that_is_another_tools_name_is_not_used() {
        let taken = suffixed("a.b", 0);
        let wire = wire(&["a.b", "a/b", &taken]);
        assert_eq!(wire[2], taken);
        assert_eq!(wire[0], suffixed("a.b", 1));
    }

    /// Stored histories hold such names: they must not change with a version.
    #[test]
    fn the_digest_is_fnv_1a() {
        let whole = 0xaf63_dc4c_8601_ec8c_u64; // Of "a", as its authors list it.
        let folded = u32::try_from((whole >> 32) ^ (whole & 0xffff_ffff)).unwrap();
        assert_eq!(digest("a", 0), folded);
    }

    #[test]
    fn a_written_name_is_looked_up_from_the_exact_to_the_likely() {
        let long = "x".repeat(100);
        let names = names(&["get", "math.sum", "tools.get", "天気", &long, "a.b", "a/b"]);
        for (written, place) in [
            ("get", Some(0)),
            ("math_sum", Some(1)),
            ("math.sum", Some(1)),
            ("tools.get", Some(2)), // Its own name: nothing is stripped.
            ("tools_get", Some(2)),
            ("functions.get", Some(0)),
            ("functions:get", Some(0)),
            ("function.get", Some(0)),
            ("default_api.get", Some(0)),
            ("default_api:math.sum", Some(1)),
            ("functions.math/sum", Some(1)),
            ("math::sum", None),
            ("math/sum", Some(1)),
            ("天気", Some(3)),
            ("functions.天気", Some(3)),
            ("__", Some(3)),
            (&long, Some(4)),
            (&long[..64], Some(4)),
            (&suffixed("math.sum", 0), Some(1)), // As it travels beside `math/sum`.
            ("a.b", Some(5)),
            ("a/b", Some(6)),
            ("a_b", None), // Either.
            ("Get", None),
            ("my.get", None),
            ("functions.", None),
            ("functions.functions.get", None),
            ("", None),
        ] {
            assert_eq!(names.find(written), place, "{written}");
        }
    }

    #[test]
    fn any_name_has_a_form_that_providers_take() {
        assert_eq!(wire_form("get"), "get");
        assert_eq!(wire_form("my.tool?"), "my_tool_");
        assert_eq!(wire_form(&"é".repeat(99)), "_".repeat(64));
        assert_eq!(wire_form(""), "");
    }

    /// Names in which everything that matters happens often.
    fn a_name() -> impl Strategy<Value = String> {
        prop_oneof![
            "[ab_.]{1,3}",
            "[ab./é]{1,4}",
            "a{62,66}[.b]?",
            "[a-z]{3}\\.[a-z]{3}",
            "\\PC{1,70}"
        ]
    }

    proptest! {
        #[test]
        fn every_tool_has_a_name_of_its_own_that_providers_take(own in btree_set(a_name(), 0..40)) {
            let own: Vec<Arc<str>> = own.into_iter().map(Arc::from).collect();
            let names = Names::new(&own);
            let wire: HashSet<_> = names.all_on_the_wire().iter().collect();
            prop_assert_eq!(wire.len(), own.len());
            prop_assert!(wire.iter().all(|name| fits(name)), "{:?}", wire);
            for (place, own) in own.iter().enumerate() {
                let wire = names.on_the_wire(place).unwrap();
                prop_assert_eq!(names.find(own), Some(place), "{}", own);
                prop_assert_eq!(names.find(wire), Some(place), "{}", wire);
                prop_assert!(!fits(own) || wire == own);
            }
        }

        #[test]
        fn the_order_of_the_tools_does_not_matter(own in btree_set(a_name(), 0..40)) {
            let mut own: Vec<Arc<str>> = own.into_iter().map(Arc::from).collect();
            let mut wire = on_the_wire(&own);
            own.reverse();
            wire.reverse();
            prop_assert_eq!(on_the_wire(&own), wire);
        }

        /// But one that differs in its punctuation alone, or is called what another travels as.
        #[test]
        fn a_tool_that_joins_changes_no_name(own in btree_set(a_name(), 1..40), new in a_name()) {
            let own: Vec<Arc<str>> = own.into_iter().map(Arc::from).collect();
            let before = on_the_wire(&own);
            let mut others = own.iter().zip(&before);
            let like = |own: &str, wire: &str| {
                replaced(own) == replaced(&new) || *wire == *wire_form(&new)
            };
            prop_assume!(!others.any(|(own, wire)| like(own, wire)));
            let more: Vec<Arc<str>> = own.iter().cloned().chain([new.into()]).collect();
            prop_assert_eq!(&on_the_wire(&more)[..own.len()], &before[..]);
        }

        #[test]
        fn no_written_name_is_too_much(own in btree_set(a_name(), 0..5), written in any::<String>()) {
            let own: Vec<Arc<str>> = own.into_iter().map(Arc::from).collect();
            if let Some(place) = Names::new(&own).find(&written) {
                prop_assert!(place < own.len());
            }
        }
    }
}
