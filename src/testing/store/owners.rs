//! One owner at a time.

use std::sync::{Arc, Barrier};
use std::thread;

use super::{Case, Place, append, batch, find, id, make, open, read, said, take, wait};
use crate::store::{Access, Error, Listing, Store};

pub(super) const CASES: &[Case] = &[
    ("a session that is open is busy, in other stores too", busy),
    ("whoever takes over fences the one before", fence),
    ("whoever was fenced is told so wherever it would go on", fence_anywhere),
    ("only the last owner can open it anew", renew),
    ("a late close of an earlier owner frees nothing", late_close),
    ("a closed session takes no append", closed),
    ("a session that is closed without a record leaves no trace", no_trace),
    ("many stores can be made at the same place at once", many_stores),
    ("of many who open a free session one gets it", race_to_open),
    ("whoever takes over at the same time, nothing is lost or written twice", race_to_write),
];

fn busy(place: &dyn Place) {
    let (store, other, session) = (place.store(), place.store(), id("s"));
    let epoch = open(&*store, &session);
    for store in [&store, &other] {
        match wait(store.open(&session, Access::IfFree)) {
            Err(Error::Busy { session: busy, owner }) => {
                assert_eq!((busy, owner.pid), (session.clone(), std::process::id()));
                assert!(owner.is_here);
            }
            other => panic!("{other:?}"),
        }
    }
    append(&*store, &session, epoch, batch(&session, 1, [said("a")])).expect("still ours");
    let owner = find(&*other, &session).expect("it has records").owner;
    assert_eq!(owner.map(|owner| owner.pid), Some(std::process::id()));
    store.close(&session, epoch);
    assert_eq!(find(&*store, &session).expect("it has records").owner, None);
    assert!(open(&*other, &session) > epoch);
}

fn fence(place: &dyn Place) {
    let (store, other, session) = (place.store(), place.store(), id("s"));
    let first = open(&*store, &session);
    append(&*store, &session, first, batch(&session, 1, [said("a")])).expect("it is ours");
    let second = take(&*other, &session);
    assert!(second > first);
    let fenced = Err(Error::Fenced { session: session.clone() });
    let late = || batch(&session, 2, [said("late")]);
    assert_eq!(append(&*store, &session, first, late()), fenced);
    append(&*other, &session, second, batch(&session, 2, [said("b")])).expect("it is ours");
    assert_eq!(append(&*store, &session, first, late()), fenced);
    assert_eq!(append(&*store, &session, first + 100, late()), fenced, "nobody was given that");
    assert_eq!(read(&*store, &session, 0).len(), 2);
    let unknown = id("unknown");
    let fenced = Err(Error::Fenced { session: unknown.clone() });
    assert_eq!(append(&*store, &unknown, 1, batch(&unknown, 1, [said("x")])), fenced);
}

fn fence_anywhere(place: &dyn Place) {
    let (store, other) = (place.store(), place.store());
    for first_seq in 1..=4 {
        let session = id(&format!("s{first_seq}"));
        let first = open(&*store, &session);
        append(&*store, &session, first, batch(&session, 1, [said("a")])).expect("it is ours");
        let second = take(&*other, &session);
        append(&*other, &session, second, batch(&session, 2, [said("b")])).expect("it is ours");
        let late = batch(&session, first_seq, [said("late")]);
        let fenced = Err(Error::Fenced { session: session.clone() });
        assert_eq!(append(&*store, &session, first, late), fenced, "at {first_seq}");
        assert_eq!(read(&*store, &session, 0).len(), 2);
    }
}

fn renew(place: &dyn Place) {
    let (store, other, session) = (place.store(), place.store(), id("s"));
    let first = open(&*store, &session);
    let second = wait(store.open(&session, Access::Renew { epoch: first })).expect("it is ours");
    assert!(second > first);
    let fenced = Err(Error::Fenced { session: session.clone() });
    let old = || batch(&session, 1, [said("old")]);
    assert_eq!(append(&*store, &session, first, old()), fenced);
    append(&*store, &session, second, batch(&session, 1, [said("a")])).expect("it is ours");
    let third = take(&*other, &session);
    assert!(third > second);
    for epoch in [first, second] {
        assert_eq!(
            wait(store.open(&session, Access::Renew { epoch })),
            Err(Error::Fenced { session: session.clone() })
        );
    }
    append(&*other, &session, third, batch(&session, 2, [said("b")])).expect("untouched");
    let nobody = id("nobody");
    let renewed = wait(store.open(&nobody, Access::Renew { epoch: 1 }));
    assert_eq!(renewed, Err(Error::Fenced { session: nobody }));
}

fn late_close(place: &dyn Place) {
    let (store, other, session) = (place.store(), place.store(), id("s"));
    let first = open(&*store, &session);
    let second = take(&*other, &session);
    store.close(&session, first);
    store.close(&session, first);
    assert!(matches!(wait(store.open(&session, Access::IfFree)), Err(Error::Busy { .. })));
    append(&*other, &session, second, batch(&session, 1, [said("a")])).expect("still ours");
}

fn closed(place: &dyn Place) {
    let (store, session) = (place.store(), id("s"));
    make(&*store, &session, [said("a")]);
    let fenced = Err(Error::Fenced { session: session.clone() });
    for epoch in 1..=3 {
        let late = batch(&session, 2, [said("late")]);
        assert_eq!(append(&*store, &session, epoch, late), fenced);
    }
}

fn no_trace(place: &dyn Place) {
    let (store, session) = (place.store(), id("s"));
    let first = open(&*store, &session);
    assert_eq!(find(&*store, &session), None, "it has no record yet");
    store.close(&session, first);
    assert_eq!(find(&*store, &session), None);
    let listing = Listing { limit: 10, ..Listing::default() };
    assert_eq!(wait(store.list(&listing)).expect("it lists").sessions, []);
    assert_eq!(wait(store.remove(&session, Access::IfFree)), Ok(false));
    let second = open(&*store, &session);
    let fenced = Err(Error::Fenced { session: session.clone() });
    assert!(second > first);
    assert_eq!(append(&*store, &session, first, batch(&session, 1, [said("late")])), fenced);
    append(&*store, &session, second, batch(&session, 1, [said("a")])).expect("it is ours");
}

fn many_stores(place: &dyn Place) {
    thread::scope(|scope| {
        for number in 0..8 {
            scope.spawn(move || {
                let session = id(&format!("s{number}"));
                make(&*place.store(), &session, [said("x")]);
            });
        }
    });
    let listing = Listing { limit: 10, ..Listing::default() };
    assert_eq!(wait(place.store().list(&listing)).expect("it lists").sessions.len(), 8);
}

fn race_to_open(place: &dyn Place) {
    const OPENERS: usize = 8;
    let session = id("s");
    let barrier = Barrier::new(OPENERS);
    let opened = thread::scope(|scope| {
        let open = |store: Arc<dyn Store>| {
            barrier.wait();
            let opened = wait(store.open(&session, Access::IfFree));
            barrier.wait(); // Nobody frees it meanwhile.
            opened
        };
        let stores: Vec<_> = (0..OPENERS).map(|_| place.store()).collect();
        let openers: Vec<_> =
            stores.into_iter().map(|store| scope.spawn(move || open(store))).collect();
        openers.into_iter().map(|opener| opener.join().expect("no panic")).collect::<Vec<_>>()
    });
    assert_eq!(opened.iter().filter(|opened| opened.is_ok()).count(), 1, "{opened:?}");
    let others = opened.iter().filter(|opened| matches!(opened, Err(Error::Busy { .. })));
    assert_eq!(others.count(), OPENERS - 1, "{opened:?}");
}

fn race_to_write(place: &dyn Place) {
    let session = id("s");
    let written: Vec<String> = thread::scope(|scope| {
        let write = |writer: usize| {
            let store = place.store();
            let mut written = Vec::new();
            for number in 0..20 {
                let epoch = take(&*store, &session);
                let last = read(&*store, &session, 0).last().map_or(0, |record| record.seq);
                let text = format!("{writer}/{number}");
                let records = batch(&session, last + 1, [said(&text), said(&text)]);
                match append(&*store, &session, epoch, records) {
                    Ok(()) => written.push(text),
                    Err(Error::Fenced { .. } | Error::Conflict { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            written
        };
        let writers: Vec<_> = (0..4).map(|writer| scope.spawn(move || write(writer))).collect();
        writers.into_iter().flat_map(|writer| writer.join().expect("no panic")).collect()
    });
    let records = read(&*place.store(), &session, 0);
    assert!(records.iter().zip(1..).all(|(record, seq)| record.seq == seq));
    let mut kept: Vec<_> = records.into_iter().map(|record| record.event).collect();
    let mut expected: Vec<_> = written.iter().flat_map(|text| [said(text), said(text)]).collect();
    kept.sort_by_key(|event| format!("{event:?}"));
    expected.sort_by_key(|event| format!("{event:?}"));
    assert_eq!(kept, expected);
}
