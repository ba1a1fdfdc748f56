//! What `tracing` hears: spans of sessions, turns, rounds and calls, each within the last.

use std::cell::Cell;
use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use callsheet::testing::{self, reply};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::support::{sleeper, stage};

thread_local! {
    /// Whether this thread's test wants to hear. The subscriber itself is there for all of them:
    /// one that comes and goes races with the tests beside it.
    static LISTENS: Cell<bool> = const { Cell::new(false) };
}

/// Keeps each span's name with the path of its parents, and all text that was recorded.
#[derive(Clone, Default)]
struct Spans {
    next: Arc<AtomicU64>,
    paths: Arc<Mutex<HashMap<u64, String>>>,
    texts: Arc<Mutex<String>>,
}

struct Text<'a>(&'a mut String);

impl Visit for Text<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.push_str(&format!("{field}={value:?} "));
    }
}

impl Subscriber for Spans {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let id = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        if !LISTENS.get() {
            return Id::from_u64(id);
        }
        span.record(&mut Text(&mut self.texts.lock().expect("no test panics with it")));
        let mut paths = self.paths.lock().expect("no test panics with it");
        let parent = span.parent().and_then(|parent| paths.get(&parent.into_u64()).cloned());
        let name = span.metadata().name();
        let path = parent.map_or(name.to_owned(), |parent| format!("{parent} > {name}"));
        paths.insert(id, path);
        Id::from_u64(id)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        if LISTENS.get() {
            values.record(&mut Text(&mut self.texts.lock().expect("no test panics with it")));
        }
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        if LISTENS.get() {
            event.record(&mut Text(&mut self.texts.lock().expect("no test panics with it")));
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[test]
fn spans_nest_from_the_session_to_the_call_and_hold_no_arguments() {
    let spans = Spans::default();
    tracing::subscriber::set_global_default(spans.clone()).expect("the only one");
    LISTENS.set(true);
    testing::run(async {
        let calls = reply().call("sleep", r#"{"s": 4711}"#);
        stage([calls, reply().text("a secret answer")], [sleeper()]).ask().await;
    });
    let paths = spans.paths.lock().expect("no test panics with it");
    let has = |path: &str| paths.values().any(|known| known == path);
    assert!(has("session > turn > round > call"), "{paths:?}");
    let texts = spans.texts.lock().expect("no test panics with it");
    for step in
        ["turn started", "model asked", "replied", "call started", "call ended", "turn ended"]
    {
        assert!(texts.contains(step), "{step} is missing in {texts}");
    }
    assert!(!texts.contains("4711") && !texts.contains("secret"), "{texts}");
}
