//! A panic hook for storms: a few panics a second are shown, the others only counted.
//!
//! Every panic of a tool is caught and answered, so a thousand of them are one outcome a thousand
//! times. The usual hook would write each to standard error, with `RUST_BACKTRACE=1` at the price
//! of a backtrace. This one is offered, never installed behind a program's back; a library prints
//! nothing, so each line goes to a sink of the program's choice.

use std::backtrace::Backtrace;
use std::collections::VecDeque;
use std::fmt;
use std::panic::PanicHookInfo;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How many panics of a process come with a backtrace, where one is asked for.
const BACKTRACES: u64 = 3;

/// How much is shown of what a panic says.
const MAX_MESSAGE_CHARS: usize = 500;

/// Replaces the hook of this process by one that shows at most `per_second` panics in any second.
///
/// `sink` gets a text for each panic that is shown: one line with its thread, place and message,
/// without a line end. The first few are followed by the lines of a backtrace, if `RUST_BACKTRACE`
/// asks for one when this is called. Panics beyond the limit are counted, which costs no formatting
/// and no memory; a line before the next that is shown says how many they were. With a limit of 0
/// all are only counted.
///
/// `sink` is called on the thread that panics, and on several at the same time. A panic in it ends
/// the process, as in any hook.
pub fn install(per_second: u32, sink: impl Fn(&str) + Send + Sync + 'static) -> Installed {
    let wants_backtrace = std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0");
    let throttle = Mutex::new(Throttle::new(per_second));
    let hook = Arc::new(Hook { throttle, wants_backtrace, sink: Box::new(sink) });
    let installed = Installed { hook: Arc::clone(&hook) };
    std::panic::set_hook(Box::new(move |panic| hook.on_panic(panic)));
    installed
}

/// The hook that [`install`] installed. Dropping it changes nothing.
pub struct Installed {
    hook: Arc<Hook>,
}

impl Installed {
    /// Tells the sink how many panics were not shown since the last one that was, if there are any.
    /// For the end of a program, when no other may follow.
    pub fn tell_rest(&self) {
        let not_shown = self.hook.throttle().take_not_shown();
        self.hook.tell_not_shown(not_shown);
    }
}

impl fmt::Debug for Installed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Installed").finish_non_exhaustive()
    }
}

struct Hook {
    throttle: Mutex<Throttle>,
    wants_backtrace: bool,
    sink: Box<dyn Fn(&str) + Send + Sync>,
}

impl Hook {
    fn on_panic(&self, panic: &PanicHookInfo<'_>) {
        let decision = self.throttle().on_panic(Instant::now());
        let Some(Shown { number, not_shown }) = decision else { return };
        self.tell_not_shown(not_shown);
        let thread = std::thread::current();
        let place = panic.location().map(ToString::to_string);
        let mut text = line(thread.name(), place.as_deref(), panic.payload_as_str());
        if self.wants_backtrace && number <= BACKTRACES {
            let backtrace = Backtrace::force_capture().to_string();
            text = format!("{text}\n{}", backtrace.trim_end());
        }
        (self.sink)(&text);
    }

    fn tell_not_shown(&self, not_shown: u64) {
        match not_shown {
            0 => {}
            1 => (self.sink)("callsheet: 1 more panic was not shown"),
            many => (self.sink)(&format!("callsheet: {many} more panics were not shown")),
        }
    }

    fn throttle(&self) -> std::sync::MutexGuard<'_, Throttle> {
        self.throttle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One line on a panic, whatever its message holds.
fn line(thread: Option<&str>, place: Option<&str>, message: Option<&str>) -> String {
    let thread = thread.unwrap_or("without a name");
    let place = place.unwrap_or("an unknown place");
    let mut line = format!("callsheet: thread `{thread}` panicked at {place}: ");
    let mut letters = message.unwrap_or("no message").chars();
    // A line end, or what would control a terminal, is a space.
    let shown = letters.by_ref().take(MAX_MESSAGE_CHARS);
    line.extend(shown.map(|letter| if letter.is_control() { ' ' } else { letter }));
    if letters.next().is_some() {
        line.push('…');
    }
    line
}

/// Decides which panics are shown. Knows no clock: it is told the time.
#[derive(Debug)]
struct Throttle {
    per_second: u32,
    /// When the last ones were shown, the oldest first; no more than `per_second`.
    shown_at: VecDeque<Instant>,
    /// How many were shown so far.
    shown: u64,
    /// How many were not, since the last that was.
    not_shown: u64,
}

/// A panic that is shown.
#[derive(Debug, PartialEq, Eq)]
struct Shown {
    /// The how manieth it is of those shown, from 1.
    number: u64,
    /// How many before it were not, and are told with it.
    not_shown: u64,
}

impl Throttle {
    fn new(per_second: u32) -> Self {
        Self { per_second, shown_at: VecDeque::new(), shown: 0, not_shown: 0 }
    }

    /// Takes in a panic; `None` counts it.
    fn on_panic(&mut self, now: Instant) -> Option<Shown> {
        let is_full = self.shown_at.len() >= self.per_second as usize;
        let oldest = self.shown_at.front().filter(|_| is_full);
        let has_room = match oldest {
            Some(oldest) => now.saturating_duration_since(*oldest) >= Duration::from_secs(1),
            None => !is_full,
        };
        if !has_room {
            self.not_shown += 1;
            return None;
        }
        if is_full {
            self.shown_at.pop_front();
        }
        self.shown_at.push_back(now);
        self.shown += 1;
        Some(Shown { number: self.shown, not_shown: self.take_not_shown() })
    }

    fn take_not_shown(&mut self) -> u64 {
        std::mem::take(&mut self.not_shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of panics at these milliseconds: of each shown one, how many it tells of.
    fn check(per_second: u32, at_ms: &[u64], expected: &[Option<u64>]) {
        let mut throttle = Throttle::new(per_second);
        let start = Instant::now();
        let decide = |at_ms: &u64| throttle.on_panic(start + Duration::from_millis(*at_ms));
        let decisions: Vec<_> = at_ms.iter().map(decide).collect();
        let told: Vec<_> =
            decisions.iter().map(|shown| shown.as_ref().map(|shown| shown.not_shown)).collect();
        assert_eq!(told, expected);
        let numbers = decisions.iter().flatten().map(|shown| shown.number);
        assert!(numbers.eq(1..=told.iter().flatten().count() as u64), "{decisions:?}");
    }

    #[test]
    fn panics_beyond_the_limit_are_counted_and_told_with_the_next() {
        check(2, &[0, 1, 2, 3, 1000], &[Some(0), Some(0), None, None, Some(2)]);
        check(1, &[0, 999, 1000, 1001, 2000], &[Some(0), None, Some(1), None, Some(1)]);
    }

    #[test]
    fn no_second_shows_more_than_the_limit_wherever_it_begins() {
        let all = [0, 900, 950, 1000, 1001, 1899, 1900];
        check(2, &all, &[Some(0), Some(0), None, Some(1), None, None, Some(2)]);
    }

    #[test]
    fn panics_that_are_rare_are_all_shown() {
        check(1, &[0, 1000, 5000, 6000], &[Some(0); 4]);
    }

    #[test]
    fn a_limit_of_zero_shows_none() {
        check(0, &[0, 5000], &[None; 2]);
    }

    #[test]
    fn the_rest_is_told_once() {
        let mut throttle = Throttle::new(1);
        let now = Instant::now();
        let decisions: Vec<_> = (0..4).map(|_| throttle.on_panic(now).is_some()).collect();
        assert_eq!(decisions, [true, false, false, false]);
        assert_eq!((throttle.take_not_shown(), throttle.take_not_shown()), (3, 0));
    }

    #[test]
    fn a_panic_is_one_line_whatever_it_says() {
        let plain = line(Some("main"), Some("src/a.rs:1:2"), Some("boom"));
        assert_eq!(plain, "callsheet: thread `main` panicked at src/a.rs:1:2: boom");
        let odd = line(None, None, Some("left: 1\nright: \u{1b}[2J2\r"));
        let expected = "callsheet: thread `without a name` panicked at an unknown place: \
            left: 1 right:  [2J2 ";
        assert_eq!(odd, expected);
        assert!(line(None, None, None).ends_with(": no message"));
        let long = line(None, None, Some(&"ü".repeat(501)));
        assert!(long.ends_with("ü…") && long.matches('ü').count() == 500, "{long}");
        let whole = line(None, None, Some(&"ü".repeat(500)));
        assert!(whole.ends_with('ü'), "{whole}");
    }
}
