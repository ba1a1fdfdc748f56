//! What a call may have to wait for before it runs: its turn among the calls of its tool, of its
//! session and of the process.
//!
//! A call takes all that others need, too, at once or not at all: no two calls wait for each other,
//! and one whose turn is slow to come holds up nobody.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::clock::{Clock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::bound::{Bound, Permit, take_all};
use super::terms::turn;
use super::{CallLimits, RateLimit};

/// The gate that the calls of one tool type go through, in the whole process.
#[derive(Debug)]
pub(crate) struct Gate {
    concurrency: Option<Arc<Bound>>,
    serial: Option<Serial>,
    rate: Option<Arc<Rate>>,
}

/// The right to run. Dropping it lets others in.
#[derive(Debug)]
pub(crate) struct Admitted {
    /// Among the calls of its tool, and of those that need threads. A thread that goes on when its
    /// call is given up keeps it.
    pub own: Arc<Permits>,
    /// Among the calls of its session and of the process.
    _shared: Vec<Permit>,
}

/// What of its own tool a call needs to run: turns that are one call's at a time, and places among others.
#[derive(Debug)]
pub(crate) struct Permits {
    _turns: Vec<OwnedSemaphorePermit>,
    _places: Vec<Permit>,
}

impl Gate {
    pub fn new(limits: &CallLimits) -> Self {
        Self {
            concurrency: limits.max_concurrency.map(Bound::new),
            serial: limits.serial_by.clone().map(Serial::new),
            rate: limits.rate.map(|rate| Arc::new(Rate::new(rate))),
        }
    }

    /// How many calls run, where their number is limited.
    pub fn running(&self) -> Option<usize> {
        Some(self.concurrency.as_ref()?.running())
    }

    /// What a call with these arguments has to wait for: its turn in its session (`own_turn`), the
    /// gate's bounds, and those of `threads` and of what is `shared` with other tools.
    pub fn queue(
        &self,
        arguments: &str,
        own_turn: Option<Arc<Semaphore>>,
        threads: Option<Arc<Bound>>,
        shared: impl Iterator<Item = Arc<Bound>>,
    ) -> Queue {
        let serial = self.serial.as_ref().and_then(|serial| serial.of(arguments));
        let turns = [own_turn, serial].into_iter().flatten().collect();
        let mut bounds: Vec<_> = threads.into_iter().chain(self.concurrency.clone()).collect();
        let owned = bounds.len();
        bounds.extend(shared);
        Queue { turns, bounds, owned, rate: self.rate.clone() }
    }
}

/// What one call has to wait for.
pub(crate) struct Queue {
    /// One after the other, and kept: nobody waits for them but calls that have to wait for this one.
    turns: Vec<Arc<Semaphore>>,
    bounds: Vec<Arc<Bound>>,
    /// So many of the bounds are the tool's own, the others everybody's.
    owned: usize,
    rate: Option<Arc<Rate>>,
}

impl Queue {
    /// Waits for the call's turn: at each of its bounds first come, first served. Dropping the future
    /// leaves the line.
    pub async fn enter(self) -> Admitted {
        let mut turns = Vec::new();
        for turn in &self.turns {
            let turn = Arc::clone(turn).acquire_owned().await;
            turns.push(turn.expect("no semaphore is ever closed"));
        }
        let mut permits = match &self.rate {
            None => take_all(&self.bounds).await,
            Some(rate) => {
                // Those of the same tool stand in line behind: none of them could begin earlier.
                let _first = rate.turnstile.acquire().await;
                loop {
                    let permits = take_all(&self.bounds).await;
                    let Some(wait) = rate.try_begin() else { break permits };
                    drop(permits); // Others need not wait for that.
                    tokio::time::sleep(wait).await;
                }
            }
        };
        let shared = permits.split_off(self.owned);
        let own = Permits { _turns: turns, _places: permits };
        Admitted { own: Arc::new(own), _shared: shared }
    }
}

/// Calls with the same value of an argument run one after the other.
#[derive(Debug)]
struct Serial {
    argument: String,
    /// By the value, as JSON.
    turns: Mutex<HashMap<String, Arc<Semaphore>>>,
    /// How many values there may be before those that nobody needs are forgotten.
    full: AtomicUsize,
}

impl Serial {
    fn new(argument: String) -> Self {
        Self { argument, turns: Mutex::default(), full: AtomicUsize::new(64) }
    }

    /// Calls without the argument wait for nobody.
    fn of(&self, arguments: &str) -> Option<Arc<Semaphore>> {
        let arguments: Value = serde_json::from_str(arguments).ok()?;
        let value = arguments.get(&self.argument)?.to_string();
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if turns.len() >= self.full.load(Ordering::Relaxed) {
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            self.full.store((turns.len() * 2).max(64), Ordering::Relaxed);
        }
        Some(Arc::clone(turns.entry(value).or_insert_with(turn)))
    }
}

type Limiter = RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<Since>>;

/// So many calls in a time.
#[derive(Debug)]
struct Rate {
    limiter: Limiter,
    clock: TokioClock,
    /// One call at a time finds out whether it may begin.
    turnstile: Semaphore,
}

impl Rate {
    fn new(RateLimit { calls, per }: RateLimit) -> Self {
        let clock = TokioClock { origin: Instant::now() };
        let every = per / calls.get();
        let quota = Quota::with_period(every.max(Duration::from_nanos(1)));
        let quota = quota.unwrap_or(Quota::per_second(NonZeroU32::MAX)).allow_burst(calls);
        let limiter = RateLimiter::direct_with_clock(quota, clock);
        Self { limiter, clock, turnstile: Semaphore::new(1) }
    }

    /// A call begins now, or is to wait for so long before it asks again.
    fn try_begin(&self) -> Option<Duration> {
        let not_until = self.limiter.check().err()?;
        Some(not_until.wait_time_from(self.clock.now()))
    }
}

/// The time of tokio, which tests may pause.
#[derive(Clone, Copy, Debug)]
struct TokioClock {
    origin: Instant,
}

/// Nanoseconds since the clock was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Since(u64);

impl Clock for TokioClock {
    type Instant = Since;

    fn now(&self) -> Since {
        Since(u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }
}

impl std::ops::Add<Nanos> for Since {
    type Output = Self;

    fn add(self, other: Nanos) -> Self {
        Self(self.0.saturating_add(other.as_u64()))
    }
}

impl Reference for Since {
    fn duration_since(&self, earlier: Self) -> Nanos {
        self.0.saturating_sub(earlier.0).into()
    }

    fn saturating_sub(&self, duration: Nanos) -> Self {
        Self(self.0.saturating_sub(duration.as_u64()))
    }
}
