//! A number of calls that may run at a time, and the line of those that would.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::sabotage::{self, Sabotage};

/// So many calls may run at a time.
#[derive(Debug)]
pub(crate) struct Bound {
    max: usize,
    taken: AtomicUsize,
    line: Mutex<Line>,
}

/// Those who wait, by their numbers.
#[derive(Debug, Default)]
struct Line {
    last: u64,
    waiting: BTreeMap<u64, Waker>,
}

/// The right to be one of them. Dropping it lets the next one in.
#[derive(Debug)]
pub(crate) struct Permit(Arc<Bound>);

impl Bound {
    /// So many calls may run at a time.
    pub fn new(max: usize) -> Arc<Self> {
        let (taken, line) = Default::default();
        Arc::new(Self { max, taken, line })
    }

    /// How many run.
    pub fn running(&self) -> usize {
        self.taken.load(Ordering::Acquire)
    }

    fn room(&self) -> usize {
        self.max.saturating_sub(self.running())
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner) // Each change is one step.
    }

    fn has_line(&self) -> bool {
        !self.line().waiting.is_empty()
    }

    fn try_take(&self) -> bool {
        let take = |taken: usize| (taken < self.max).then_some(taken + 1);
        self.taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, take).is_ok()
    }

    fn give_back(&self) {
        self.taken.fetch_sub(1, Ordering::AcqRel);
    }

    /// Tells those at the head of the line, as many as there is room for.
    fn call(&self) {
        let line = self.line();
        line.waiting.values().take(self.room()).for_each(Waker::wake_by_ref);
    }

    /// A number in line, behind all others.
    fn join(&self, cx: &Context<'_>) -> u64 {
        let mut line = self.line();
        line.last += 1;
        let number = line.last;
        line.waiting.insert(number, cx.waker().clone());
        number
    }

    fn leave(&self, number: u64) {
        self.line().waiting.remove(&number);
        self.call(); // There may be room for another one, if not for this.
    }

    /// Says whether there is room for the one with `number`, who is woken when there may be.
    fn is_its_turn(&self, number: u64, cx: &Context<'_>) -> bool {
        let mut line = self.line();
        line.waiting.insert(number, cx.waker().clone());
        line.waiting.keys().take(self.room()).any(|first| *first == number)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !sabotage::is(Sabotage::PermitsKept) {
            self.0.give_back();
            self.0.call();
        }
    }
}

/// Waits until there is room at all `bounds`, first come, first served at each, and takes it. Nothing
/// is held meanwhile: what ends all waiting is that a call ends.
pub(super) fn take_all(bounds: &[Arc<Bound>]) -> TakeAll<'_> {
    TakeAll { bounds, stands: None }
}

/// The future of [`take_all`]. Dropping it leaves the line.
pub(super) struct TakeAll<'a> {
    bounds: &'a [Arc<Bound>],
    /// Where it stands in line, and its number there.
    stands: Option<(usize, u64)>,
}

impl Future for TakeAll<'_> {
    type Output = Vec<Permit>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Vec<Permit>> {
        let bounds = self.bounds;
        loop {
            let short = match self.stands {
                Some((at, number)) if !bounds[at].is_its_turn(number, cx) => return Poll::Pending,
                // Who comes stands behind those who wait.
                None => bounds.iter().position(|bound| bound.has_line()),
                Some(_) => None,
            };
            let short = match short {
                Some(at) => at,
                None => match try_all(bounds) {
                    Ok(permits) => {
                        self.leave();
                        return Poll::Ready(permits);
                    }
                    Err(at) => at,
                },
            };
            if self.stands.is_some_and(|(at, _)| at == short) {
                return Poll::Pending; // Another thread was quicker, and will give it back.
            }
            self.leave();
            self.stands = Some((short, bounds[short].join(cx)));
        }
    }
}

impl TakeAll<'_> {
    fn leave(&mut self) {
        if let Some((at, number)) = self.stands.take() {
            self.bounds[at].leave(number);
        }
    }
}

impl Drop for TakeAll<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Takes all, or says which there is no room at.
fn try_all(bounds: &[Arc<Bound>]) -> Result<Vec<Permit>, usize> {
    match bounds.iter().position(|bound| !bound.try_take()) {
        None => Ok(bounds.iter().map(|bound| Permit(Arc::clone(bound))).collect()),
        Some(at) => {
            bounds[..at].iter().for_each(|bound| bound.give_back());
            // Somebody may have looked meanwhile.
            bounds[..at].iter().for_each(|bound| bound.call());
            Err(at)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::time::Duration;

    use futures_util::future::join_all;
    use tokio::time::{Instant, sleep, timeout};

    use super::*;

    /// Calls with these bounds each, which take a second: when each began.
    async fn began(bounds: &[Arc<Bound>], calls: &[&[usize]]) -> Vec<u64> {
        let (start, began) = (Instant::now(), RefCell::new(vec![0; calls.len()]));
        let call = async |place: usize, which: &[usize]| {
            let own: Vec<_> = which.iter().map(|at| Arc::clone(&bounds[*at])).collect();
            let _permits = take_all(&own).await;
            began.borrow_mut()[place] = start.elapsed().as_secs();
            sleep(Duration::from_secs(1)).await;
        };
        let calls = calls.iter().enumerate().map(|(place, which)| call(place, which));
        timeout(Duration::from_secs(1000), join_all(calls)).await.expect("all of them begin");
        assert!(bounds.iter().all(|bound| bound.running() == 0 && !bound.has_line()));
        began.into_inner()
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_first_is_served_first() {
        let bounds = [Bound::new(2)];
        assert_eq!(began(&bounds, &[&[0][..]; 7]).await, [0, 0, 1, 1, 2, 2, 3]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_one_bound_holds_nothing_of_another() {
        let bounds = [Bound::new(1), Bound::new(2)];
        // Two need both, and one the second alone.
        assert_eq!(began(&bounds, &[&[0, 1][..], &[0, 1], &[1]]).await, [0, 1, 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_need_the_same_in_another_order_all_begin() {
        let bounds = [Bound::new(1), Bound::new(1), Bound::new(2)];
        let calls: Vec<&[usize]> = (0..30)
            .map(|n| [&[0, 1][..], &[1, 0], &[2, 0], &[1, 2], &[2], &[0, 1, 2]][n % 6])
            .collect();
        let began = began(&bounds, &calls).await;
        assert!(began.iter().max() < Some(&30), "{began:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_leaves_the_line_leaves_it_to_the_next() {
        let bounds = [Bound::new(1)];
        let first = take_all(&bounds).await;
        let mut second = Box::pin(take_all(&bounds));
        let mut third = Box::pin(take_all(&bounds));
        assert!(timeout(Duration::from_secs(1), &mut second).await.is_err());
        assert!(timeout(Duration::from_secs(1), &mut third).await.is_err());
        drop(first);
        drop(second); // It was called, and has not looked.
        assert_eq!(third.await.len(), 1);
    }

    #[test]
    fn threads_that_take_and_give_back_all_come_through() {
        let bounds = [Bound::new(1), Bound::new(2), Bound::new(3)];
        let sets: [&[usize]; 4] = [&[0, 1, 2], &[2, 1], &[1, 0], &[2]];
        std::thread::scope(|scope| {
            for set in sets {
                scope.spawn(|| {
                    let own: Vec<_> = set.iter().map(|at| Arc::clone(&bounds[*at])).collect();
                    let runtime = tokio::runtime::Builder::new_current_thread().build();
                    runtime.expect("the system gives a runtime").block_on(async {
                        for _ in 0..5_000 {
                            drop(take_all(&own).await);
                        }
                    });
                });
            }
        });
        assert!(bounds.iter().all(|bound| bound.running() == 0));
    }
}
