//! Appending and reading.

use std::sync::Arc;

use super::{Case, Place, answered, append, asked, batch, find, id, make, open, read, said, wait};
use crate::conversation::{Event, Record, SessionId};
use crate::store::{Access, Digest, Error, ReadLimit, Store};

pub(super) const CASES: &[Case] = &[
    ("what was appended is read in order", in_order),
    ("what is read in parts is the whole, and no part is larger than it may be", in_parts),
    ("an append at the wrong place is a conflict and keeps nothing", conflict),
    ("what is asked for without waiting is done in its order", without_waiting),
    ("an answer that nobody waits for does no harm", unheard),
    ("what a later version wrote is kept as it is", unknown),
    ("any text is kept", any_text),
    ("a closed session goes on where it was, in another store", resume),
    ("the first schema is read", first_schema),
    ("appends of many sessions do not mix", many_sessions),
];

fn in_order(place: &dyn Place) {
    let (store, session) = (place.store(), id("s"));
    assert_eq!(read(&*store, &session, 0), [], "nobody knows it");
    let epoch = open(&*store, &session);
    let batches = [
        batch(&session, 1, [said("a"), asked(1, "b")]),
        batch(&session, 3, [said("c")]),
        batch(&session, 4, [said("d"), answered(1), said("e")]),
    ];
    for records in &batches {
        append(&*store, &session, epoch, Arc::clone(records)).expect("it is ours");
    }
    let all: Vec<Record> = batches.iter().flat_map(|records| records.iter().cloned()).collect();
    for after in 0..=7 {
        let behind: Vec<Record> = all.iter().filter(|one| one.seq > after).cloned().collect();
        assert_eq!(read(&*store, &session, after), behind, "after {after}");
    }
}

/// What `limit` makes of the records after `after`, part by part.
fn parts(store: &dyn Store, session: &SessionId, limit: ReadLimit, after: u64) -> Vec<Vec<Record>> {
    let (mut parts, mut last) = (Vec::new(), after);
    loop {
        let part = wait(store.read_some(session, last, limit)).expect("it can be read");
        let Some(end) = part.last() else { return parts };
        assert!(end.seq > last, "it goes on");
        last = end.seq;
        parts.push(part);
    }
}

fn in_parts(place: &dyn Place) {
    let (store, session, other) = (place.store(), id("s"), id("t"));
    let any = ReadLimit { records: 5, bytes: 1_000_000 };
    assert_eq!(parts(&*store, &session, any, 0), Vec::<Vec<Record>>::new(), "nobody knows it");
    make(&*store, &other, [said("of another")]);
    let epoch = open(&*store, &session);
    let (short, long) = (|| said("x"), said(&"x".repeat(10_000)));
    let mut seq = 0;
    for events in [vec![short()], vec![short(); 7], vec![long; 6], vec![short()], vec![short(); 3]]
    {
        let records = batch(&session, seq + 1, events);
        seq += records.len() as u64;
        append(&*store, &session, epoch, records).expect("it is ours");
    }
    let all = read(&*store, &session, 0);
    assert_eq!((all.len(), seq), (18, 18));
    for records in [0, 1, 2, 3, 7, 17, 18, 19, usize::MAX] {
        for bytes in [0, 1, 500, 25_000, usize::MAX] {
            let limit = ReadLimit { records, bytes };
            for after in [0, 1, 4, 8, 11, 17, 18, 19, u64::MAX] {
                let parts = parts(&*store, &session, limit, after);
                let whole = all.iter().filter(|record| record.seq > after);
                assert!(parts.iter().flatten().eq(whole), "{limit:?} after {after}");
                let most = records.max(1);
                assert!(parts.iter().all(|part| part.len() <= most), "{limit:?} after {after}");
            }
        }
    }
    let count = |records, bytes| -> Vec<usize> {
        let parts = parts(&*store, &session, ReadLimit { records, bytes }, 8);
        parts.iter().map(Vec::len).collect()
    };
    assert_eq!(count(usize::MAX, usize::MAX), [10]);
    assert_eq!(count(4, usize::MAX), [4, 4, 2]);
    assert_eq!(count(usize::MAX, 25_000), [3, 3, 4]);
    assert_eq!(count(2, 25_000), [2, 2, 2, 2, 2]);
    assert_eq!(count(usize::MAX, 1), [1; 10]);
}

fn conflict(place: &dyn Place) {
    let (store, session) = (place.store(), id("s"));
    let epoch = open(&*store, &session);
    append(&*store, &session, epoch, batch(&session, 1, [said("a"), said("b")])).expect("ours");
    for first in [1, 2, 4, 9] {
        let records = batch(&session, first, [said("x"), asked(7, "y")]);
        let conflict = Error::Conflict { session: session.clone(), expected: first - 1, found: 2 };
        assert_eq!(append(&*store, &session, epoch, records), Err(conflict));
    }
    assert_eq!(read(&*store, &session, 0).len(), 2);
    let summary = find(&*store, &session).expect("it has records");
    assert_eq!((summary.last_seq, summary.digest.turns), (2, 0));
    append(&*store, &session, epoch, batch(&session, 3, [said("c")])).expect("it goes on");
}

fn without_waiting(place: &dyn Place) {
    let (store, session) = (place.store(), id("s"));
    let opened = store.open(&session, Access::IfFree);
    let epoch = wait(opened).expect("it is free");
    let appended: Vec<_> = (1..=20)
        .map(|seq| store.append(&session, seq - 1, epoch, batch(&session, seq, [said("x")])))
        .collect();
    let found = store.read(&session, 0);
    assert_eq!(wait(found).expect("it can be read").len(), 20);
    appended.into_iter().for_each(|appended| wait(appended).expect("in order"));
    store.close(&session, epoch);
    let opened = store.open(&session, Access::IfFree);
    assert!(wait(opened).expect("it was closed before") > epoch);
}

fn unheard(place: &dyn Place) {
    let (store, session) = (place.store(), id("s"));
    let epoch = open(&*store, &session);
    drop(store.append(&session, 0, epoch, batch(&session, 1, [said("a")])));
    drop(store.read(&session, 0));
    append(&*store, &session, epoch, batch(&session, 2, [said("b")])).expect("the first is there");
    drop(store.open(&id("t"), Access::IfFree));
    assert_eq!(read(&*store, &session, 0).len(), 2);
}

fn unknown(place: &dyn Place) {
    let (store, session) = (place.store(), id("s"));
    let lines = [
        r#"{"v":1,"seq":1,"at_us":1,"session":"s","type":"moon_rose","of":{"b":[1,2.5,null],"a":"\u0000ö"}}"#,
        r#"{"v":9,"seq":2,"at_us":2,"session":"s","type":"turn_ended","turn":1,"in":"peace"}"#,
    ];
    let records: Vec<Record> =
        lines.iter().map(|line| serde_json::from_str(line).expect("it is a record")).collect();
    let epoch = open(&*store, &session);
    append(&*store, &session, epoch, Arc::new(records.clone())).expect("it is new");
    store.close(&session, epoch);
    let copy = id("copy");
    wait(store.fork(&session, 2, &copy)).expect("it is new");
    for session in [&session, &copy] {
        let found = read(&*store, session, 0);
        assert!(found.iter().all(|record| matches!(record.event, Event::Unknown(_))));
        let same = found.iter().zip(&records).all(|(found, record)| {
            (found.v, found.seq, found.at_us, &found.event)
                == (record.v, record.seq, record.at_us, &record.event)
        });
        assert!(same && found.len() == 2, "{found:?}");
    }
}

fn any_text(place: &dyn Place) {
    let (store, session) = (place.store(), id("a/b 'c\" \\ ö \u{1F3AC} %_"));
    let texts = ["", "\0", "'; DROP TABLE sessions; --", "{}[]\"\\\n\r\t", "\u{10FFFF}\u{FEFF}"];
    let long = "ö".repeat(300_000);
    let events: Vec<Event> =
        texts.iter().copied().chain([&*long]).map(said).chain([asked(1, "\0'")]).collect();
    make(&*store, &session, events.clone());
    let found: Vec<Event> =
        read(&*store, &session, 0).into_iter().map(|record| record.event).collect();
    assert!(found == events);
    assert_eq!(&*find(&*store, &session).expect("it has records").digest.title, "'");
}

fn resume(place: &dyn Place) {
    let session = id("s");
    let before = {
        let store = place.store();
        make(&*store, &session, [said("a"), asked(1, "b")]);
        read(&*store, &session, 0)
    };
    let store = place.store();
    assert!(store.outlives_close());
    assert_eq!(read(&*store, &session, 0), before);
    let epoch = open(&*store, &session);
    append(&*store, &session, epoch, batch(&session, 3, [answered(1)])).expect("it goes on");
    let summary = find(&*store, &session).expect("it has records");
    assert_eq!((&*summary.digest.title, summary.digest.turns), ("b", 1), "known from before");
    assert!(!summary.digest.is_open);
}

fn first_schema(place: &dyn Place) {
    let Some(records) = place.make_first_schema() else { return };
    let store = place.store();
    let session = &records.first().expect("there is a record").session;
    assert_eq!(read(&*store, session, 0), records);
    let summary = find(&*store, session).expect("it has records");
    assert_eq!(summary.last_seq, records.len() as u64);
    assert_eq!(summary.digest, Digest::of(&records));
    let epoch = open(&*store, session);
    let next = batch(session, summary.last_seq + 1, [said("new")]);
    append(&*store, session, epoch, next).expect("it goes on");
}

fn many_sessions(place: &dyn Place) {
    let store = place.store();
    let sessions: Vec<_> = (0..300).map(|number| id(&format!("s{number}"))).collect();
    let opened: Vec<_> =
        sessions.iter().map(|session| store.open(session, Access::IfFree)).collect();
    let epochs: Vec<u64> =
        opened.into_iter().map(|opened| wait(opened).expect("it is free")).collect();
    for seq in 1..=3 {
        let appended: Vec<_> = (sessions.iter().zip(&epochs))
            .map(|(session, epoch)| {
                let text = format!("{session}/{seq}");
                store.append(session, seq - 1, *epoch, batch(session, seq, [said(&text)]))
            })
            .collect();
        appended.into_iter().for_each(|appended| wait(appended).expect("it is ours"));
    }
    for session in &sessions {
        let found: Vec<Event> =
            read(&*store, session, 0).into_iter().map(|record| record.event).collect();
        let expected: Vec<Event> = (1..=3).map(|seq| said(&format!("{session}/{seq}"))).collect();
        assert_eq!(found, expected);
    }
}
