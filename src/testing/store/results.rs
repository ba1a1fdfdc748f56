//! Results that are too large for the model.

use std::sync::Arc;

use super::{Case, Place, find, id, make, open, said, wait};
use crate::conversation::{ResultId, SessionId};
use crate::store::{Access, Error, ResultPart, Store};

pub(super) const CASES: &[Case] = &[
    ("a large result is read in parts, between characters", parts),
    ("a large result is that of the sessions that have it", whose),
    ("a large result lives as long as a session that has it", lifetime),
    ("results of a session without a record go with it", without_a_record),
];

fn keep(store: &dyn Store, session: &SessionId, text: &str) -> ResultId {
    wait(store.keep_result(session, text.into())).expect("it can be kept")
}

fn part(store: &dyn Store, session: &SessionId, id: &ResultId) -> Option<ResultPart> {
    wait(store.result_part(session, id, 0, 10)).expect("it can be looked for")
}

fn parts(place: &dyn Place) {
    let (store, session) = (place.store(), id("s"));
    let _epoch = open(&*store, &session);
    for text in ["", "a", "zwölf \0 \u{1F3AC}\u{1F3AC} Boxkämpfer\r\n", "€€€€"] {
        let id = keep(&*store, &session, text);
        assert_eq!(id, ResultId::of(text));
        for offset in 0..=text.len() as u64 + 2 {
            for max_bytes in 0..=text.len() + 1 {
                let part = wait(store.result_part(&session, &id, offset, max_bytes));
                let expected = ResultPart::of(text, offset, max_bytes);
                assert_eq!(part, Ok(Some(expected)), "{max_bytes} of {text:?} from {offset}");
            }
        }
        let all = wait(store.result_part(&session, &id, u64::MAX, usize::MAX));
        assert_eq!(all, Ok(Some(ResultPart::of(text, u64::MAX, usize::MAX))));
    }
    let large: Arc<str> = "0123456789€".repeat(200_000).into();
    let id = keep(&*store, &session, &large);
    for offset in [0, 1_234_567, large.len() as u64 - 5] {
        let part = wait(store.result_part(&session, &id, offset, 1000)).expect("it is read");
        assert_eq!(part, Some(ResultPart::of(&large, offset, 1000)));
    }
}

fn whose(place: &dyn Place) {
    let (store, one, other) = (place.store(), id("one"), id("other"));
    let missing = Err(Error::NotFound { session: one.clone() });
    assert_eq!(wait(store.keep_result(&one, "text".into())), missing);
    let (_, _) = (open(&*store, &one), open(&*store, &other));
    let name = keep(&*store, &one, "text");
    assert_eq!(part(&*store, &other, &name), None, "it was not told");
    assert_eq!(part(&*store, &id("nobody"), &name), None);
    assert_eq!(part(&*store, &one, &ResultId::new("no such name")), None);
    assert_eq!(keep(&*store, &other, "text"), name);
    assert_eq!(keep(&*store, &other, "text"), name, "once more");
    let found = part(&*place.store(), &other, &name).expect("another store sees it too");
    assert_eq!((&*found.text, found.total_bytes), ("text", 4));
}

fn lifetime(place: &dyn Place) {
    let (store, session, copy) = (place.store(), id("s"), id("copy"));
    make(&*store, &session, [said("a")]);
    let epoch = open(&*store, &session);
    let (shared, late) = (keep(&*store, &session, "shared"), "late");
    store.close(&session, epoch);
    wait(store.fork(&session, 1, &copy)).expect("it is new");
    let epoch = open(&*store, &session);
    let late = keep(&*store, &session, late);
    store.close(&session, epoch);
    assert_eq!(part(&*store, &copy, &late), None, "it is of after the fork");
    assert_eq!(wait(store.remove(&session, Access::IfFree)), Ok(true));
    assert_eq!(part(&*store, &session, &shared), None);
    assert_eq!(part(&*store, &copy, &shared).map(|part| part.text).as_deref(), Some("shared"));
    assert_eq!(wait(store.prune(u64::MAX)), Ok(1));
    assert_eq!(find(&*store, &copy), None);
    make(&*store, &copy, [said("anew")]);
    assert_eq!(part(&*store, &copy, &shared), None, "nobody had it any more");
}

fn without_a_record(place: &dyn Place) {
    let (store, session) = (place.store(), id("s"));
    let epoch = open(&*store, &session);
    let name = keep(&*store, &session, "text");
    store.close(&session, epoch);
    let _epoch = open(&*store, &session);
    assert_eq!(part(&*store, &session, &name), None);
}
