//! Sessions that were made and have no records yet.

use std::sync::{Arc, Barrier};
use std::thread;

use super::{
    Case, Place, answered, append, asked, batch, find, id, make, open, read, said, take, wait,
};
use crate::conversation::SessionId;
use crate::store::{Access, Digest, Error, Listing, Store, Summary};

pub(super) const CASES: &[Case] = &[
    ("a session that was only made is found and listed", found),
    ("a session is made once", once),
    ("of many who make a session at once one does", race),
    ("a session that was made stays when it is closed without a record", stays),
    ("one that is open without a record can be made, and stays its owner's", made_while_open),
    ("the records of a session that was made are its own from then on", goes_on),
    ("a session that was only made is removed, made anew and pruned", forgotten),
    ("a session that was only made is no copy and has none", copied),
];

fn exists(session: &SessionId) -> Result<(), Error> {
    Err(Error::Exists { session: session.clone() })
}

/// What is known of one that was made at `at_us`.
fn only_made(session: &SessionId, at_us: u64) -> Summary {
    Summary {
        session: session.clone(),
        created_at_us: at_us,
        updated_at_us: at_us,
        last_seq: 0,
        digest: Digest::default(),
        owner: None,
        forked_from: None,
    }
}

fn listed(store: &dyn Store, open_only: bool) -> Vec<Summary> {
    let listing = Listing { limit: 10, open_only, ..Listing::default() };
    wait(store.list(&listing)).expect("it lists").sessions
}

fn found(place: &dyn Place) {
    let (store, session) = (place.store(), id("s"));
    make(&*store, &id("older"), [asked(1, "a"), answered(1)]);
    wait(store.make(&session, 3000)).expect("it is new");
    let expected = only_made(&session, 3000);
    for store in [&store, &place.store()] {
        assert_eq!(find(&**store, &session).as_ref(), Some(&expected));
        assert_eq!(expected.state(), "idle");
        let all = listed(&**store, false);
        assert_eq!((all.len(), &all[0]), (2, &expected));
        assert_eq!(listed(&**store, true), []);
        assert_eq!(read(&**store, &session, 0), []);
    }
    make(&*store, &id("newer"), (1..=4).map(|_| said("x")));
    assert_eq!(listed(&*store, false)[1], expected);
}

fn once(place: &dyn Place) {
    let (store, other, session) = (place.store(), place.store(), id("s"));
    wait(store.make(&session, 1000)).expect("it is new");
    for store in [&store, &other] {
        assert_eq!(wait(store.make(&session, 2000)), exists(&session));
    }
    assert_eq!(find(&*store, &session), Some(only_made(&session, 1000)));
    let begun = id("begun");
    make(&*store, &begun, [said("a")]);
    assert_eq!(wait(other.make(&begun, 2000)), exists(&begun));
}

fn race(place: &dyn Place) {
    const MAKERS: usize = 8;
    let session = id("s");
    let barrier = Barrier::new(MAKERS);
    let made = thread::scope(|scope| {
        let make = |store: Arc<dyn Store>| {
            barrier.wait();
            wait(store.make(&session, 1000))
        };
        let stores: Vec<_> = (0..MAKERS).map(|_| place.store()).collect();
        let makers: Vec<_> =
            stores.into_iter().map(|store| scope.spawn(move || make(store))).collect();
        makers.into_iter().map(|maker| maker.join().expect("no panic")).collect::<Vec<_>>()
    });
    assert_eq!(made.iter().filter(|made| made.is_ok()).count(), 1, "{made:?}");
    assert_eq!(made.iter().filter(|made| **made == exists(&session)).count(), MAKERS - 1);
}

fn stays(place: &dyn Place) {
    let (store, session) = (place.store(), id("s"));
    wait(store.make(&session, 1000)).expect("it is new");
    let first = open(&*store, &session);
    assert!(find(&*store, &session).is_some_and(|found| found.owner.is_some()));
    store.close(&session, first);
    assert_eq!(find(&*store, &session), Some(only_made(&session, 1000)));
    let second = open(&*store, &session);
    assert!(second > first);
    let late = batch(&session, 1, [said("late")]);
    let fenced = Err(Error::Fenced { session: session.clone() });
    assert_eq!(append(&*store, &session, first, late), fenced);
    store.close(&session, second);
    let last = place.store();
    let _epoch = open(&*last, &session);
    drop(last);
    let found = find(&*store, &session).expect("its owner's end is not its own");
    assert_eq!((found.created_at_us, found.last_seq), (1000, 0));
}

fn made_while_open(place: &dyn Place) {
    let (store, other, session) = (place.store(), place.store(), id("s"));
    let epoch = open(&*store, &session);
    wait(other.make(&session, 500)).expect("it has no record yet");
    assert!(find(&*other, &session).is_some_and(|found| found.owner.is_some()));
    assert!(matches!(wait(other.open(&session, Access::IfFree)), Err(Error::Busy { .. })));
    append(&*store, &session, epoch, batch(&session, 1, [said("a")])).expect("still ours");
    store.close(&session, epoch);
    assert_eq!(read(&*other, &session, 0).len(), 1);
    let empty = id("empty");
    let epoch = open(&*store, &empty);
    wait(other.make(&empty, 500)).expect("it has no record yet");
    store.close(&empty, epoch);
    assert_eq!(find(&*store, &empty), Some(only_made(&empty, 500)));
    open(&*other, &empty);
}

fn goes_on(place: &dyn Place) {
    let (store, session) = (place.store(), id("s"));
    wait(store.make(&session, 500)).expect("it is new");
    let epoch = open(&*store, &session);
    let turn = [asked(1, "What?"), answered(1)];
    append(&*store, &session, epoch, batch(&session, 1, turn)).expect("it is ours");
    store.close(&session, epoch);
    let found = find(&*store, &session).expect("it has records");
    assert_eq!((found.created_at_us, found.updated_at_us, found.last_seq), (500, 2000, 2));
    assert_eq!((&*found.digest.title, found.digest.turns), ("What?", 1));
    assert_eq!(read(&*store, &session, 0).len(), 2);
}

fn forgotten(place: &dyn Place) {
    let (store, session) = (place.store(), id("s"));
    wait(store.make(&session, 1000)).expect("it is new");
    let old = open(&*store, &session);
    let busy = wait(store.remove(&session, Access::IfFree));
    assert!(matches!(busy, Err(Error::Busy { .. })), "{busy:?}");
    assert_eq!(wait(store.remove(&session, Access::TakeOver)), Ok(true));
    assert_eq!(find(&*store, &session), None);
    assert_eq!(wait(store.remove(&session, Access::IfFree)), Ok(false));
    wait(store.make(&session, 2000)).expect("it is gone");
    let fenced = Err(Error::Fenced { session: session.clone() });
    assert_eq!(append(&*store, &session, old, batch(&session, 1, [said("late")])), fenced);
    assert!(take(&*store, &session) > old);
    assert_eq!(wait(store.remove(&session, Access::TakeOver)), Ok(true));
    wait(store.make(&session, 3000)).expect("it is gone");
    assert_eq!(wait(store.prune(3000)), Ok(0));
    assert_eq!(wait(store.prune(3001)), Ok(1));
    assert_eq!(listed(&*store, false), []);
}

fn copied(place: &dyn Place) {
    let (store, session, other) = (place.store(), id("s"), id("other"));
    make(&*store, &other, [said("b")]);
    wait(store.make(&session, 1000)).expect("it is new");
    assert_eq!(wait(store.fork(&other, 1, &session)), exists(&session));
    assert_eq!(find(&*store, &session), Some(only_made(&session, 1000)));
    wait(store.fork(&session, 1, &id("copy"))).expect("nothing is copied");
    assert_eq!(find(&*store, &id("copy")), None);
}
