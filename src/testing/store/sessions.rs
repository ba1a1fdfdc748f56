//! Copying and forgetting sessions.

use super::{Case, Place, answered, append, asked, batch, find, id, make, open, read, said, wait};
use crate::conversation::Event;
use crate::store::{Access, Error};

pub(super) const CASES: &[Case] = &[
    ("a fork has the events up to one, and goes its own way", fork),
    ("a fork can be cut within a batch", fork_within_a_batch),
    ("a fork replaces nothing, and is made of something", fork_of_nothing),
    ("what was removed is gone, and its owner is fenced", remove),
    ("what is made anew under the same id has no earlier owner", made_anew),
    ("pruning forgets what is old and nobody has", prune),
];

fn events(place: &dyn Place, session: &str) -> Vec<Event> {
    let records = read(&*place.store(), &id(session), 0);
    assert!(records.iter().all(|record| record.session.as_str() == session));
    records.into_iter().map(|record| record.event).collect()
}

fn fork(place: &dyn Place) {
    let (store, session, copy) = (place.store(), id("s"), id("copy"));
    let epoch = open(&*store, &session);
    for (seq, event) in [(1, asked(1, "a")), (2, answered(1)), (3, asked(2, "b"))] {
        append(&*store, &session, epoch, batch(&session, seq, [event])).expect("it is ours");
    }
    wait(store.fork(&session, 2, &copy)).expect("also of one that is open");
    let found = find(&*store, &copy).expect("it has records");
    assert_eq!((found.last_seq, found.updated_at_us), (2, 2000));
    assert_eq!((found.digest.turns, found.digest.is_open), (1, false));
    assert_eq!((found.owner, found.forked_from), (None, Some(session.clone())));
    let own = open(&*store, &copy);
    append(&*store, &copy, own, batch(&copy, 3, [said("own")])).expect("it is ours");
    append(&*store, &session, epoch, batch(&session, 4, [answered(2)])).expect("untouched");
    assert_eq!(events(place, "copy"), [asked(1, "a"), answered(1), said("own")]);
    assert_eq!(events(place, "s").len(), 4);
    wait(store.fork(&session, 100, &id("all"))).expect("up to the last one");
    assert_eq!(events(place, "all"), events(place, "s"));
}

fn fork_within_a_batch(place: &dyn Place) {
    let (store, session) = (place.store(), id("s"));
    make(&*store, &session, [asked(1, "a"), answered(1), asked(2, "b")]);
    for last in 1..=3 {
        let copy = format!("copy{last}");
        wait(store.fork(&session, last, &id(&copy))).expect("it is new");
        let expected = [asked(1, "a"), answered(1), asked(2, "b")];
        assert_eq!(events(place, &copy)[..], expected[..usize::try_from(last).expect("few")]);
        let found = find(&*store, &id(&copy)).expect("it has records");
        assert_eq!((found.last_seq, found.digest.is_open), (last, last != 2));
    }
}

fn fork_of_nothing(place: &dyn Place) {
    let (store, session, other) = (place.store(), id("s"), id("other"));
    let missing = Err(Error::NotFound { session: session.clone() });
    assert_eq!(wait(store.fork(&session, 9, &other)), missing);
    let epoch = open(&*store, &session);
    assert_eq!(wait(store.fork(&session, 9, &other)), missing, "it has no records");
    append(&*store, &session, epoch, batch(&session, 1, [said("a")])).expect("it is ours");
    make(&*store, &other, [said("b")]);
    let exists = |name| Err(Error::Exists { session: id(name) });
    assert_eq!(wait(store.fork(&session, 9, &other)), exists("other"));
    assert_eq!(wait(store.fork(&session, 9, &session)), exists("s"));
    assert_eq!(events(place, "other"), [said("b")]);
    let held = id("held");
    let _epoch = open(&*store, &held);
    assert_eq!(wait(store.fork(&session, 9, &held)), exists("held"), "somebody begins it");
    wait(store.fork(&session, 0, &id("none"))).expect("nothing is copied");
    assert_eq!(find(&*store, &id("none")), None);
}

fn remove(place: &dyn Place) {
    let (store, other, session) = (place.store(), place.store(), id("s"));
    assert_eq!(wait(store.remove(&session, Access::IfFree)), Ok(false));
    make(&*store, &session, [asked(1, "a")]);
    assert_eq!(wait(store.remove(&session, Access::IfFree)), Ok(true));
    assert_eq!(find(&*store, &session), None);
    assert_eq!(events(place, "s"), []);
    let epoch = open(&*store, &session);
    append(&*store, &session, epoch, batch(&session, 1, [said("b")])).expect("it is ours");
    for store in [&store, &other] {
        let removed = wait(store.remove(&session, Access::IfFree));
        assert!(matches!(removed, Err(Error::Busy { .. })), "{removed:?}");
    }
    assert_eq!(wait(other.remove(&session, Access::TakeOver)), Ok(true));
    let fenced = Err(Error::Fenced { session: session.clone() });
    assert_eq!(append(&*store, &session, epoch, batch(&session, 2, [said("c")])), fenced);
    assert_eq!(events(place, "s"), []);
}

fn made_anew(place: &dyn Place) {
    let (store, session) = (place.store(), id("s"));
    let old = open(&*store, &session);
    append(&*store, &session, old, batch(&session, 1, [said("a")])).expect("it is ours");
    assert_eq!(wait(store.remove(&session, Access::TakeOver)), Ok(true));
    let new = open(&*store, &session);
    append(&*store, &session, new, batch(&session, 1, [said("b")])).expect("it is ours");
    let fenced = Err(Error::Fenced { session: session.clone() });
    assert_eq!(append(&*store, &session, old, batch(&session, 2, [said("c")])), fenced);
    store.close(&session, old);
    append(&*store, &session, new, batch(&session, 2, [said("d")])).expect("still ours");
    assert_eq!(events(place, "s"), [said("b"), said("d")]);
}

fn prune(place: &dyn Place) {
    let store = place.store();
    for (name, events) in [("one", 1), ("two", 2), ("three", 3)] {
        make(&*store, &id(name), (0..events).map(|_| said("x")));
    }
    let held = id("held");
    let epoch = open(&*store, &held);
    append(&*store, &held, epoch, batch(&held, 1, [said("x")])).expect("it is ours");
    let begun = id("begun");
    let begun_epoch = open(&*store, &begun);
    assert_eq!(wait(store.prune(1000)), Ok(0), "nothing is older");
    assert_eq!(wait(store.prune(3000)), Ok(2));
    let is_there = |name| find(&*store, &id(name)).is_some();
    assert!(!is_there("one") && !is_there("two"));
    assert!(is_there("three") && is_there("held"));
    append(&*store, &held, epoch, batch(&held, 2, [said("y")])).expect("still ours");
    append(&*store, &begun, begun_epoch, batch(&begun, 1, [said("z")])).expect("still ours");
    for number in 0..450 {
        make(&*store, &id(&format!("old{number}")), [said("x")]);
    }
    assert_eq!(wait(store.prune(1001)), Ok(450), "in as many parts as it takes");
    assert!(is_there("three"));
}
