//! Threads for tools that block: their number is bounded, and one whose call was given up is counted
//! and left alone until it ends, for a thread cannot be stopped.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use super::admission::Permits;
use super::bound::Bound;
use super::shared::Shared;
use super::{CallContext, Error};

/// How long a thread waits for work before it ends.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// What a blocking tool does. It runs on a thread of its own.
pub(crate) type Function = dyn Fn(&str, CallContext) -> Result<String, Error> + Send + Sync;

type Done = Result<Result<String, Error>, Box<dyn Any + Send>>;

/// The threads of one runtime. They are made as they are needed. Dropping it waits for none of them.
pub(crate) struct Threads {
    max: usize,
    /// Only for its threads: it is never driven.
    pool: OnceLock<Option<Runtime>>,
    pub bound: Arc<Bound>,
    abandoned: Arc<AtomicUsize>,
}

impl Threads {
    /// Up to `max` threads.
    pub fn new(max: usize) -> Self {
        let (pool, abandoned) = (OnceLock::new(), Arc::default());
        Self { max, pool, bound: Bound::new(max), abandoned }
    }

    /// How many threads go on with calls that were given up.
    pub fn abandoned(&self) -> usize {
        self.abandoned.load(Ordering::Acquire)
    }

    /// Says whether all threads go on with calls that were given up.
    pub fn are_exhausted(&self) -> bool {
        self.abandoned() >= self.max
    }

    /// Begins a call on a thread. `permits` are given back when the thread ends with it, whatever
    /// becomes of the call.
    pub fn begin(
        &self,
        function: &Arc<Function>,
        arguments: &Arc<str>,
        context: CallContext,
        permits: Option<Arc<Permits>>,
        shared: &Arc<Shared>,
    ) -> Result<ThreadCall, std::io::Error> {
        let build = || {
            let builder = &mut Builder::new_current_thread();
            builder.max_blocking_threads(self.max).thread_keep_alive(KEEP_ALIVE);
            builder.thread_name("callsheet-tool").build().ok()
        };
        let pool = self.pool.get_or_init(build).as_ref();
        let pool = pool.ok_or_else(|| std::io::Error::other("no threads are to be had"))?;
        let ticket = Arc::new(Ticket {
            stage: AtomicU8::new(RUNNING),
            ended: AtomicWaker::new(),
            everywhere: Arc::clone(&self.abandoned),
            shared: Arc::clone(shared),
        });
        let (function, arguments) = (Arc::clone(function), Arc::clone(arguments));
        let end = EndOnDrop(Arc::clone(&ticket), permits);
        let job = move || {
            let end = end;
            let call = || function(&arguments, context);
            let done = catch_unwind(AssertUnwindSafe(call));
            drop(end); // Before the result is seen: then the permits are back.
            done
        };
        // It panics where the system has no more threads.
        let spawn = AssertUnwindSafe(|| pool.spawn_blocking(job));
        let handle =
            catch_unwind(spawn).map_err(|panic| std::io::Error::other(super::message_of(panic)))?;
        Ok(ThreadCall { handle, ticket, done: false })
    }
}

impl std::fmt::Debug for Threads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Threads").field("max", &self.max).finish_non_exhaustive()
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(Some(pool)) = self.pool.take() {
            pool.shutdown_background();
        }
    }
}

/// A call on a thread. Dropping it gives the call up; the thread goes on.
pub(crate) struct ThreadCall {
    handle: JoinHandle<Done>,
    ticket: Arc<Ticket>,
    done: bool,
}

const RUNNING: u8 = 0;
const ABANDONED: u8 = 1;
const ENDED: u8 = 2;

/// What becomes of the thread of a call.
pub(crate) struct Ticket {
    stage: AtomicU8,
    ended: AtomicWaker,
    everywhere: Arc<AtomicUsize>,
    shared: Arc<Shared>,
}

impl Ticket {
    /// Ready once the thread is done with the call.
    pub fn poll_ended(&self, cx: &Context<'_>) -> Poll<()> {
        let has_ended = || self.stage.load(Ordering::Acquire) == ENDED;
        if !has_ended() {
            self.ended.register(cx.waker());
        }
        if has_ended() { Poll::Ready(()) } else { Poll::Pending }
    }

    fn abandon(&self) {
        // Counted first: the thread may end at any time.
        self.count();
        let (from, to) = (RUNNING, ABANDONED);
        let abandoned =
            self.stage.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if !abandoned {
            self.discount();
        }
    }

    fn end(&self) {
        if self.stage.swap(ENDED, Ordering::AcqRel) == ABANDONED {
            self.discount();
        }
        self.ended.wake();
    }

    fn count(&self) {
        self.everywhere.fetch_add(1, Ordering::AcqRel);
        self.shared.abandoned.fetch_add(1, Ordering::AcqRel);
    }

    fn discount(&self) {
        self.everywhere.fetch_sub(1, Ordering::AcqRel);
        self.shared.abandoned.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Goes with the job: also one that never began ends.
struct EndOnDrop(Arc<Ticket>, Option<Arc<Permits>>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.1.take();
        self.0.end();
    }
}

impl ThreadCall {
    pub fn ticket(&self) -> Arc<Ticket> {
        Arc::clone(&self.ticket)
    }
}

impl Future for ThreadCall {
    type Output = Result<String, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let joined = std::task::ready!(Pin::new(&mut self.handle).poll(cx));
        self.done = true;
        match joined {
            Ok(Ok(result)) => Poll::Ready(result),
            Ok(Err(panic)) => resume_unwind(panic), // Where the guard catches it.
            Err(error) => Poll::Ready(Err(Error::new(format!("the thread was lost: {error}")))),
        }
    }
}

impl Drop for ThreadCall {
    fn drop(&mut self) {
        if !self.done {
            self.handle.abort(); // If it has not begun it never will.
            self.ticket.abandon();
        }
    }
}
