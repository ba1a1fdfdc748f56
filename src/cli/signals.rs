//! SIGINT and SIGTERM: the first asks for an orderly end, the second is the end.

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::time::Duration;

use futures_util::stream::{BoxStream, Stream, StreamExt};
use tokio::sync::{oneshot, watch};

use super::setup;
use super::status::Status;
use crate::tools;

/// How long an interrupted process may take to leave once its work is over.
const LEAVING: Duration = Duration::from_secs(1);

/// Hears SIGINT and SIGTERM, or Ctrl-C where there are no signals.
///
/// From [`Signals::listen`] on the first of them only ends [`Signals::interrupted`]; the second ends
/// the process at once, as interrupted. They are heard on a thread of their own, which nothing that
/// blocks is in the way of.
///
/// Dropping it says that the work is over: an interrupted process then has a second to leave. Make
/// it after all that could be slow to drop.
#[derive(Debug)]
pub(super) struct Signals {
    heard: watch::Receiver<bool>,
    /// Dropped with this.
    _work: oneshot::Sender<Infallible>,
}

impl Signals {
    /// Begins to listen. Where that fails, signals do what they do to any process.
    pub fn listen() -> Self {
        let (tell, heard) = watch::channel(false);
        let (_work, work_is_over) = oneshot::channel();
        if let Err(error) = listen(tell, work_is_over) {
            tracing::warn!("cannot listen to signals: {error:#}");
        }
        Self { heard, _work }
    }

    /// Waits for the first signal, also if that came before; for ever where none can be heard.
    pub async fn interrupted(&self) {
        if self.heard.clone().wait_for(|heard| *heard).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// What was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// SIGINT, as of Ctrl-C.
    Interrupt,
    /// SIGTERM.
    #[cfg_attr(not(unix), expect(dead_code, reason = "there is only Ctrl-C"))]
    Terminate,
}

/// Listens from when it returns, on a thread of its own.
fn listen(
    tell: watch::Sender<bool>,
    work_is_over: oneshot::Receiver<Infallible>,
) -> anyhow::Result<()> {
    let executor = setup::executor()?;
    let signals = {
        let _inside = executor.enter();
        signals()?
    };
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        executor.block_on(until_the_end(signals, tell, work_is_over));
        tools::end_processes();
        std::process::exit(Status::Interrupted.code().into());
    })?;
    Ok(())
}

/// Every signal from now on. Call it inside of an executor.
#[cfg(unix)]
pub(super) fn signals() -> io::Result<BoxStream<'static, Signal>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupts = signal(SignalKind::interrupt())?;
    let mut terminations = signal(SignalKind::terminate())?;
    let next = move |cx: &mut std::task::Context<'_>| {
        let interrupted = interrupts.poll_recv(cx).map(|heard| heard.map(|()| Signal::Interrupt));
        if interrupted.is_ready() {
            return interrupted;
        }
        terminations.poll_recv(cx).map(|heard| heard.map(|()| Signal::Terminate))
    };
    Ok(futures_util::stream::poll_fn(next).boxed())
}

/// Every signal from now on. Call it inside of an executor.
#[cfg(not(unix))]
pub(super) fn signals() -> io::Result<BoxStream<'static, Signal>> {
    let next = |()| async { tokio::signal::ctrl_c().await.ok().map(|()| (Signal::Interrupt, ())) };
    Ok(futures_util::stream::unfold((), next).boxed())
}

/// Tells of the first signal, and waits until the process has to end whatever it does: for the
/// second one, or until its time to leave has passed.
async fn until_the_end<S>(
    signals: impl Stream<Item = S>,
    tell: watch::Sender<bool>,
    work_is_over: oneshot::Receiver<Infallible>,
) {
    let mut signals = pin!(signals.chain(futures_util::stream::pending()));
    signals.next().await;
    tell.send_replace(true);
    let time_to_leave = async {
        // Nothing is ever sent: an error means that the work is over.
        let _ = work_is_over.await;
        tokio::time::sleep(LEAVING).await;
    };
    tokio::select! {
        _ = signals.next() => {}
        () = time_to_leave => {}
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream::poll_fn;
    use tokio::sync::mpsc;
    use tokio::time::{Instant, sleep};

    use super::*;

    const FEW: Duration = Duration::from_millis(10);
    const LONG: Duration = Duration::from_secs(3600);

    /// The signals, what was heard of them, and the work, of a process that begins.
    struct Process {
        signal: mpsc::UnboundedSender<()>,
        signals: Signals,
        end: tokio::task::JoinHandle<Instant>,
    }

    fn process() -> Process {
        let (signal, mut signals) = mpsc::unbounded_channel();
        let (tell, heard) = watch::channel(false);
        let (_work, work_is_over) = oneshot::channel();
        let signals = poll_fn(move |cx| signals.poll_recv(cx));
        let end = tokio::spawn(async move {
            until_the_end(signals, tell, work_is_over).await;
            Instant::now()
        });
        Process { signal, signals: Signals { heard, _work }, end }
    }

    #[test]
    fn the_first_signal_interrupts_and_the_second_is_the_end() {
        crate::testing::run(async {
            let Process { signal, signals, end } = process();
            sleep(LONG).await;
            assert!(!*signals.heard.borrow());
            signal.send(()).unwrap();
            signals.interrupted().await;
            signals.interrupted().await;
            sleep(LONG).await;
            assert!(!end.is_finished(), "the work takes as long as it takes");
            let began = Instant::now();
            signal.send(()).unwrap();
            assert_eq!(end.await.unwrap() - began, Duration::ZERO);
        });
    }

    #[test]
    fn an_interrupted_process_has_a_second_to_leave() {
        crate::testing::run(async {
            let Process { signal, signals, end } = process();
            signal.send(()).unwrap();
            signals.interrupted().await;
            sleep(FEW).await;
            let began = Instant::now();
            drop(signals);
            assert_eq!(end.await.unwrap().duration_since(began).as_secs(), 1);
        });
    }

    #[test]
    fn a_process_that_is_not_interrupted_leaves_when_it_likes() {
        crate::testing::run(async {
            let Process { signal, signals, end } = process();
            drop(signals);
            sleep(LONG).await;
            assert!(!end.is_finished());
            let began = Instant::now();
            signal.send(()).unwrap();
            assert_eq!(end.await.unwrap().duration_since(began).as_secs(), 1);
        });
    }

    #[test]
    fn where_nothing_can_be_heard_nothing_happens() {
        crate::testing::run(async {
            let Process { signal, signals, end } = process();
            drop(signal);
            let interrupted = tokio::time::timeout(LONG, signals.interrupted()).await;
            assert!(interrupted.is_err() && !end.is_finished());
        });
    }
}
