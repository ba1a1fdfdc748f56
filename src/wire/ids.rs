//! Wire ids of calls: never empty, never the same twice in one reply.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::Call;

/// Up to this many calls, comparing every pair costs less than sorting.
const FEW: usize = 16;

/// Mints the ids that are missing and renames later duplicates. The first call with an id keeps it.
///
/// Both are a function of the reply alone, so a replay gives the same ids.
pub(super) fn settle(calls: &mut [Call]) {
    if all_distinct(calls) {
        return;
    }
    let mut taken: HashSet<Arc<str>> = calls.iter().map(|call| Arc::clone(&call.id)).collect();
    let mut seen = HashSet::new();
    // The number after the last one tried for a stem: none is tried twice, whatever the ids are.
    let mut untried: HashMap<Arc<str>, usize> = HashMap::new();
    for (ordinal, call) in calls.iter_mut().enumerate() {
        if call.id.is_empty() || seen.contains(&call.id) {
            let (stem, first) = match &*call.id {
                "" => ("call", ordinal),
                id => (id, ordinal + 1),
            };
            let number = untried.entry(Arc::clone(&call.id)).or_default();
            *number = first.max(*number);
            let fresh = loop {
                let fresh = Arc::from(format!("{stem}_{number}"));
                *number += 1;
                if !taken.contains(&fresh) {
                    break fresh;
                }
            };
            taken.insert(Arc::clone(&fresh));
            call.id = fresh;
        }
        seen.insert(Arc::clone(&call.id));
    }
}

fn all_distinct(calls: &[Call]) -> bool {
    if calls.iter().any(|call| call.id.is_empty()) {
        return false;
    }
    if calls.len() <= FEW {
        return calls
            .iter()
            .enumerate()
            .all(|(at, call)| calls[..at].iter().all(|other| other.id != call.id));
    }
    let mut ids: Vec<&str> = calls.iter().map(|call| &*call.id).collect();
    ids.sort_unstable();
    ids.windows(2).all(|pair| pair[0] != pair[1])
}

#[cfg(test)]
mod tests {
    use super::super::{Arguments, Extra};
    use super::*;

    fn check(given: &[&str], expected: &[&str]) {
        let mut calls: Vec<Call> = given
            .iter()
            .map(|id| Call {
                id: (*id).into(),
                name: "f".to_owned(),
                arguments: Arguments::Object("{}".to_owned()),
                extra: Extra::default(),
                function_extra: Extra::default(),
            })
            .collect();
        settle(&mut calls);
        let ids: Vec<&str> = calls.iter().map(|call| &*call.id).collect();
        assert_eq!(ids, expected);
    }

    #[test]
    fn distinct_ids_stay_as_they_are() {
        check(&["a", "b", "c"], &["a", "b", "c"]);
    }

    #[test]
    fn a_missing_id_is_minted_and_avoids_the_given_ones() {
        check(&["", "call_0", ""], &["call_1", "call_0", "call_2"]);
    }

    #[test]
    fn a_later_duplicate_gets_a_fresh_suffix() {
        check(&["a", "a", "a", "a_2"], &["a", "a_3", "a_4", "a_2"]);
    }

    #[test]
    fn many_calls_are_settled_too() {
        let mut given: Vec<String> = (0..40).map(|number| format!("id{number}")).collect();
        given[39] = "id0".to_owned();
        let mut expected = given.clone();
        expected[39] = "id0_40".to_owned();
        let given: Vec<&str> = given.iter().map(String::as_str).collect();
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        check(&given, &expected);
    }
}
