//! Finding sessions without knowing their ids.

use std::sync::Arc;

use super::{Case, Place, answered, append, asked, batch, find, id, make, open, said, wait};
use crate::conversation::{Record, SessionId};
use crate::store::{Digest, Listing, Page, Store, Summary};

pub(super) const CASES: &[Case] = &[
    ("a summary says what its events say", summary),
    ("the list begins with the last active one, and is read page by page", pages),
    ("the sessions with an open turn can be listed alone", open_only),
    ("those of one owner, whose ids begin alike, can be listed alone", prefix),
    ("what was last is known at once, and when to a second", last_active),
    ("an empty store has an empty list", empty),
    ("a store says what it is", check),
];

/// Makes a session with one record at `at_us`.
fn make_at(store: &dyn Store, name: &str, at_us: u64) {
    let session = id(name);
    let epoch = open(store, &session);
    let record = Record { at_us, ..super::record(&session, 1, said("x")) };
    append(store, &session, epoch, Arc::new(vec![record])).expect("it is new");
    store.close(&session, epoch);
}

fn list(store: &dyn Store, listing: &Listing) -> Page {
    wait(store.list(listing)).expect("it lists")
}

fn names(page: &Page) -> Vec<&str> {
    page.sessions.iter().map(|summary| summary.session.as_str()).collect()
}

fn summary(place: &dyn Place) {
    let (store, session) = (place.store(), id("s"));
    assert_eq!(find(&*store, &session), None);
    let epoch = open(&*store, &session);
    let step = |first, events| {
        append(&*store, &session, epoch, batch(&session, first, events)).expect("it is ours");
        find(&*store, &session).expect("it has records")
    };
    let digest = |title: &str, turns, is_open| Digest { title: title.into(), turns, is_open };
    assert_eq!(step(1, vec![said("x")]).digest, digest("", 0, false));
    assert_eq!(step(2, vec![asked(1, " What\nis it? ")]).digest, digest("What is it?", 1, true));
    assert_eq!(step(3, vec![said("y"), answered(1)]).digest, digest("What is it?", 1, false));
    let found = step(5, vec![asked(2, "And?")]);
    let owner = found.owner.clone();
    assert!(owner.is_some());
    let expected = Summary {
        session: session.clone(),
        created_at_us: 1000,
        updated_at_us: 5000,
        last_seq: 5,
        digest: digest("What is it?", 2, true),
        owner,
        forked_from: None,
    };
    assert_eq!(found, expected);
    store.close(&session, epoch);
    assert_eq!(find(&*store, &session), Some(Summary { owner: None, ..expected }));
}

fn pages(place: &dyn Place) {
    let store = place.store();
    for (name, at_us) in [("c", 30), ("a", 10), ("e", 20), ("b", 20), ("d", 20), ("Z", 20)] {
        make_at(&*store, name, at_us);
    }
    let order = ["c", "e", "d", "b", "Z", "a"];
    let all = list(&*store, &Listing { limit: 6, ..Listing::default() });
    assert_eq!(names(&all), order);
    assert_eq!(all.next, None);
    for limit in 1..=7 {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = list(&*store, &Listing { limit, after, ..Listing::default() });
            assert!(page.sessions.len() <= limit);
            found.extend(names(&page).into_iter().map(str::to_owned));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(found, order, "{limit} at a time");
    }
    let session = id("a");
    let epoch = open(&*store, &session);
    let record = Record { at_us: 40, ..super::record(&session, 2, said("y")) };
    append(&*store, &session, epoch, Arc::new(vec![record])).expect("it is ours");
    let first = list(&*store, &Listing { limit: 1, ..Listing::default() });
    assert_eq!(names(&first), ["a"], "it was active again");
    assert!(first.sessions[0].owner.is_some());
}

fn open_only(place: &dyn Place) {
    let store = place.store();
    for number in 1..=6 {
        let session = SessionId::new(format!("s{number}"));
        let events = match number % 2 {
            0 => vec![asked(1, "q")],
            _ => vec![asked(1, "q"), answered(1)],
        };
        make(&*store, &session, events);
    }
    let listing = Listing { limit: 2, open_only: true, ..Listing::default() };
    let first = list(&*store, &listing);
    assert_eq!(names(&first), ["s6", "s4"]);
    let rest = list(&*store, &Listing { after: first.next, ..listing });
    assert_eq!(names(&rest), ["s2"]);
    assert_eq!(rest.next, None);
}

fn prefix(place: &dyn Place) {
    let store = place.store();
    for (name, at_us) in
        [("ann:b", 4), ("anna:a", 3), ("ann:a", 2), ("Ann:a", 1), ("ann", 5), ("a%n:", 6)]
    {
        make_at(&*store, name, at_us);
    }
    let of = |prefix: &str| Listing { limit: 1, prefix: prefix.into(), ..Listing::default() };
    let first = list(&*store, &of("ann:"));
    assert_eq!(names(&first), ["ann:b"]);
    let rest = list(&*store, &Listing { limit: 5, after: first.next, ..of("ann:") });
    assert_eq!(names(&rest), ["ann:a"]);
    assert_eq!(rest.next, None);
    assert_eq!(names(&list(&*store, &of("a%n"))), ["a%n:"], "it is no pattern");
    assert_eq!(list(&*store, &of("bob:")).sessions, Vec::new());
}

fn last_active(place: &dyn Place) {
    let (store, session) = (place.store(), id("s"));
    let epoch = open(&*store, &session);
    let turn = [
        (asked(1, "a"), 5_000_000),
        (said("b"), 5_400_000),
        (said("c"), 6_500_000),
        (said("d"), 6_600_000),
        (answered(1), 6_700_000),
    ];
    for ((event, at_us), seq) in turn.into_iter().zip(1..) {
        let is_over = event == answered(1);
        let records = vec![Record { at_us, ..super::record(&session, seq, event) }];
        append(&*store, &session, epoch, Arc::new(records)).expect("it is ours");
        let found = find(&*store, &session).expect("it has records");
        assert_eq!((found.last_seq, found.digest.is_open), (seq, !is_over));
        let late = at_us - found.updated_at_us;
        assert!(late < if is_over { 1 } else { 1_000_000 }, "{late} µs after event {seq}");
    }
    let page = list(&*store, &Listing { limit: 1, ..Listing::default() });
    assert_eq!((page.sessions[0].last_seq, page.sessions[0].updated_at_us), (5, 6_700_000));
}

fn empty(place: &dyn Place) {
    let store = place.store();
    for open_only in [false, true] {
        let page = list(&*store, &Listing { limit: 5, open_only, ..Listing::default() });
        assert_eq!((page.sessions, page.next), (Vec::new(), None));
    }
}

fn check(place: &dyn Place) {
    let said = wait(place.store().check()).expect("it works");
    assert!(!said.is_empty() && !said.contains('\n'), "{said:?}");
}
