//! What a server's process says on its standard error: logged, and its end kept, in order to say what
//! it died of.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::debug;

/// How much of it is kept.
const KEPT: usize = 2000;

/// How long what a process said last may take to be read.
const PATIENCE: Duration = Duration::from_millis(200);

/// The end of what was said. Cheap to clone.
#[derive(Clone)]
pub(super) struct LastWords {
    kept: Arc<Mutex<VecDeque<u8>>>,
    /// All was read.
    over: watch::Sender<bool>,
}

impl LastWords {
    pub fn new() -> Self {
        Self { kept: Arc::default(), over: watch::Sender::new(true) }
    }

    /// Reads to the end, whatever comes, in a task of its own: a process must never wait for somebody
    /// to read this.
    pub fn listen(&self, server: String, mut stderr: impl AsyncRead + Unpin + Send + 'static) {
        let Self { kept, over } = self.clone();
        over.send_replace(false);
        tokio::spawn(async move {
            let mut piece = [0; 4096];
            while let Ok(read @ 1..) = stderr.read(&mut piece).await {
                debug!(server, said = %String::from_utf8_lossy(&piece[..read]).trim_end());
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend(&piece[..read]);
                let excess = kept.len().saturating_sub(KEPT);
                kept.drain(..excess);
            }
            over.send_replace(true);
        });
    }

    /// The last line that says something, if there is one.
    pub async fn last_line(&self) -> Option<String> {
        let mut over = self.over.subscribe();
        let _ = timeout(PATIENCE, over.wait_for(|over| *over)).await;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(kept.make_contiguous());
        let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty())?;
        Some(line.chars().filter(|letter| !letter.is_control()).take(300).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[tokio::test]
    async fn the_end_of_much_is_kept() {
        let words = LastWords::new();
        assert_eq!(words.last_line().await, None);
        let much = format!("{}\nit broke\u{1b}[0m\n\n", "x".repeat(100_000));
        words.listen("s".to_owned(), Cursor::new(much.into_bytes()));
        assert_eq!(words.last_line().await.as_deref(), Some("it broke[0m"));
        assert!(words.kept.lock().unwrap().len() <= KEPT);
    }
}
