//! Ctrl-C in a conversation: the first cancels the turn, a second within two seconds leaves.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use tokio::sync::watch;

use crate::cli::setup;
use crate::cli::signals::{Signal, signals};
use crate::cli::status::Status;

/// So soon after another an interrupt leaves.
const SOON: Duration = Duration::from_secs(2);

/// How long a process that is to end waits for its turn to.
const LEAVING: Duration = Duration::from_secs(1);

/// When the last interrupt came.
#[derive(Debug, Default)]
struct Patience(Option<Instant>);

impl Patience {
    /// Takes in an interrupt, and says whether it leaves.
    fn is_over(&mut self, now: Instant) -> bool {
        let last = self.0.replace(now);
        last.is_some_and(|last| now.saturating_duration_since(last) <= SOON)
    }
}

/// Hears SIGINT and SIGTERM as long as the process lives, on a thread of its own. A terminal that is
/// read by the editor sends no SIGINT: the editor tells of Ctrl-C, see [`Interrupts::key`].
#[derive(Debug)]
pub struct Interrupts {
    patience: Arc<Mutex<Patience>>,
    /// A turn is under way, and ends in good order.
    has_turn: Arc<AtomicBool>,
    /// Somebody asked for the end of the process.
    is_ending: Arc<AtomicBool>,
    heard: watch::Receiver<()>,
}

impl Interrupts {
    /// Begins to listen. Where that fails, signals do what they do to any process. `has_editor` says
    /// that a stray signal at its prompt is no reason to leave.
    pub fn listen(has_editor: bool) -> Self {
        let (tell, heard) = watch::channel(());
        let interrupts = Self {
            patience: Arc::default(),
            has_turn: Arc::default(),
            is_ending: Arc::default(),
            heard,
        };
        if let Err(error) = interrupts.start(tell, has_editor) {
            tracing::warn!("cannot listen to signals: {error:#}");
        }
        interrupts
    }

    fn start(&self, tell: watch::Sender<()>, has_editor: bool) -> anyhow::Result<()> {
        let executor = setup::executor()?;
        let mut signals = {
            let _inside = executor.enter();
            signals()?
        };
        let (patience, has_turn) = (Arc::clone(&self.patience), Arc::clone(&self.has_turn));
        let is_ending = Arc::clone(&self.is_ending);
        let hear = async move {
            while let Some(signal) = signals.next().await {
                let has_turn = has_turn.load(Ordering::SeqCst);
                let leaves = is_over(&patience);
                tell.send_replace(());
                match signal {
                    Signal::Interrupt if !leaves && (has_turn || has_editor) => {}
                    Signal::Terminate if has_turn && !is_ending.swap(true, Ordering::SeqCst) => {
                        std::thread::spawn(|| {
                            std::thread::sleep(LEAVING);
                            leave();
                        });
                    }
                    Signal::Interrupt | Signal::Terminate => leave(),
                }
            }
        };
        let run = move || executor.block_on(hear);
        std::thread::Builder::new().name("signals".into()).spawn(run)?;
        Ok(())
    }

    /// Ctrl-C came as a key at the prompt. Says whether it leaves.
    pub fn key(&self) -> bool {
        is_over(&self.patience)
    }

    /// Runs a turn, which is told of interrupts by the future that it gets.
    pub fn turn<T>(&self, turn: impl FnOnce(Interrupted) -> T) -> T {
        let mut heard = self.heard.clone();
        heard.mark_unchanged();
        self.has_turn.store(true, Ordering::SeqCst);
        let ended = turn(Interrupted(heard));
        self.has_turn.store(false, Ordering::SeqCst);
        ended
    }

    /// Says whether somebody asked for the end of the process while a turn was under way.
    pub fn is_ending(&self) -> bool {
        self.is_ending.load(Ordering::SeqCst)
    }
}

/// Tells a turn of an interrupt.
#[derive(Debug)]
pub struct Interrupted(watch::Receiver<()>);

impl Interrupted {
    /// Waits for one; for ever where none can be heard.
    pub async fn wait(mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

fn is_over(patience: &Mutex<Patience>) -> bool {
    patience.lock().unwrap_or_else(PoisonError::into_inner).is_over(Instant::now())
}

fn leave() -> ! {
    let _ = io::Write::flush(&mut io::stdout());
    std::process::exit(Status::Interrupted.code().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_interrupt_leaves_only_if_it_comes_soon() {
        let (mut patience, begin) = (Patience::default(), Instant::now());
        let mut at = |millis| patience.is_over(begin + Duration::from_millis(millis));
        assert!(!at(0));
        assert!(!at(2001));
        assert!(at(3000));
        assert!(at(5000), "still soon after the last");
        assert!(!at(7001));
    }
}
