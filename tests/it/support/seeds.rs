//! What tests of many random courses share: all processors try seed after seed, and a runtime that
//! is broken on purpose must be found out.

use std::fmt;
use std::io::Write;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, Once, mpsc};
use std::time::Duration;

use callsheet::testing::{self, Sabotage};

/// What the panics of scripted tools begin with.
pub const SCRIPTED: &str = "scripted panic";

/// How many failing seeds are shown, and how many violations of each.
const SHOWN: usize = 3;

/// The course of a seed takes some milliseconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many seeds it may take to find out that the runtime is broken.
const SEEDS_TO_FIND_OUT: u64 = 300;

/// A promise that was broken, and how.
#[derive(Debug)]
pub struct Violation<P> {
    pub promise: P,
    pub what: String,
}

/// A test of random courses.
#[derive(Clone, Copy)]
pub struct Course<P> {
    /// Runs the course of a seed, and says which promises were broken.
    pub try_out: fn(u64) -> Vec<Violation<P>>,
    /// How the test is named to cargo.
    pub test: &'static str,
    /// What runs one seed alone.
    pub seed_variable: &'static str,
    /// What says how many courses are run.
    pub count_variable: &'static str,
    /// A seed is about so many of them.
    pub a_seed_counts: u64,
    /// That of a course that does not end by itself: it turns in circles, or panics.
    pub endless: P,
}

impl<P: Copy + PartialEq + fmt::Debug + Send + Sync> Course<P> {
    /// The seeds to run: as the environment says, or so many.
    pub fn seeds(&self, usual: u64) -> Range<u64> {
        let count = from_environment(self.count_variable);
        let count = count.map(|count| count.div_ceil(self.a_seed_counts));
        match from_environment(self.seed_variable) {
            Some(seed) => seed..seed + count.unwrap_or(1),
            None => 0..count.unwrap_or(usual),
        }
    }

    /// Tries all `seeds`, on all processors.
    ///
    /// # Panics
    /// If a promise was broken; shows the first seeds that did.
    pub fn run(&self, seeds: Range<u64>) {
        let (next, complaints) = (AtomicU64::new(seeds.start), Mutex::new(Vec::new()));
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    let (tell, hear) = mpsc::channel();
                    scope.spawn(move || self.watch(&hear));
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= seeds.end {
                            return;
                        }
                        tell.send(seed).expect("the watch stays");
                        if let Some(complaint) = self.complaint(seed) {
                            let mut complaints = complaints.lock().expect("nobody panics with it");
                            complaints.push((seed, complaint));
                        }
                    }
                });
            }
        });
        let mut complaints = complaints.into_inner().expect("nobody panics with it");
        complaints.sort();
        let (broken, all) = (complaints.len(), seeds.end - seeds.start);
        let shown: String =
            complaints.into_iter().take(SHOWN).map(|(_, complaint)| complaint).collect();
        assert_eq!(broken, 0, "of {all} seeds broke a promise\n{shown}");
    }

    /// What is wrong with `seed`, in words; a panic is wrong too.
    fn complaint(&self, seed: u64) -> Option<String> {
        let tried = catch_unwind(AssertUnwindSafe(|| (self.try_out)(seed)));
        let violations = match tried {
            Ok(violations) if violations.is_empty() => return None,
            Ok(violations) => violations,
            Err(_) => {
                vec![Violation { promise: self.endless, what: "it panicked".to_owned() }]
            }
        };
        let mut text = format!("seed {seed}:\n");
        for Violation { promise, what } in violations.iter().take(SHOWN) {
            text.push_str(&format!("  {promise:?}: {what}\n"));
        }
        let (variable, test) = (self.seed_variable, self.test);
        let again = format!("{variable}={seed} cargo test --all-features --test it {test}");
        Some(format!("{text}  run just it: {again}\n"))
    }

    /// Ends the process when a seed does not end, by the machine's time: it turns in circles, and
    /// nothing else would say which it is.
    fn watch(&self, seeds: &mpsc::Receiver<u64>) {
        let Ok(mut seed) = seeds.recv() else { return };
        loop {
            match seeds.recv_timeout(PATIENCE) {
                Ok(next) => seed = next,
                Err(mpsc::RecvTimeoutError::Disconnected) => return,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    let variable = self.seed_variable;
                    let text = format!("seed {seed} does not end: run it with {variable}\n");
                    let _ = std::io::stderr().write_all(text.as_bytes()); // Past the test's capture.
                    std::process::exit(101);
                }
            }
        }
    }

    /// How a runtime that is broken in one way is found out: soon a seed names the promise that is broken.
    pub fn found_out(&self, sabotage: Sabotage, promise: P) -> String {
        let broken = Broken::by(sabotage);
        let mut tried = (0..SEEDS_TO_FIND_OUT).flat_map(|seed| {
            (self.try_out)(seed).into_iter().map(move |violation| (seed, violation))
        });
        let found = tried.find(|(_, violation)| violation.promise == promise);
        drop(broken);
        let Some((seed, Violation { what, .. })) = found else {
            panic!("no seed shows that {sabotage:?} breaks {promise:?}");
        };
        format!("{sabotage:?} breaks {promise:?} at seed {seed}: {what}")
    }
}

/// Breaks the runtime on this thread for as long as it lives.
struct Broken;

impl Broken {
    fn by(sabotage: Sabotage) -> Self {
        testing::sabotage(Some(sabotage));
        Self
    }
}

impl Drop for Broken {
    fn drop(&mut self) {
        testing::sabotage(None);
    }
}

/// The number that the environment variable `name` gives.
fn from_environment(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}

/// Keeps the panics of scripted tools off the screen; all others are shown as before.
pub fn silence_scripted_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !panic.payload_as_str().is_some_and(|text| text.starts_with(SCRIPTED)) {
                others(panic);
            }
        }));
    });
}
