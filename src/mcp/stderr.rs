//! What a server's process says on its standard error: logged line by line, and the last line kept, in
//! order to say what it died of. What it was told in confidence is taken out.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::debug;

use crate::tools::Secrets;

/// How much of a line is kept.
const LONGEST: usize = 2000;

/// How much of the last one is told.
const TOLD: usize = 300;

/// How long what a process said last may take to be read.
const PATIENCE: Duration = Duration::from_millis(200);

/// The last line that said something. Cheap to clone.
#[derive(Clone)]
pub(super) struct LastWords {
    line: Arc<Mutex<String>>,
    secrets: Secrets,
    /// All was read.
    over: watch::Sender<bool>,
}

impl LastWords {
    /// Nothing yet; nobody is to hear of the `secrets`.
    pub fn new(secrets: Secrets) -> Self {
        Self { line: Arc::default(), secrets, over: watch::Sender::new(true) }
    }

    /// Reads to the end, whatever comes, in a task of its own: a process must never wait for somebody
    /// to read this.
    pub fn listen(&self, server: String, mut stderr: impl AsyncRead + Unpin + Send + 'static) {
        let this = self.clone();
        this.over.send_replace(false);
        tokio::spawn(async move {
            let (mut piece, mut line) = ([0; 4096], Vec::new());
            while let Ok(read @ 1..) = stderr.read(&mut piece).await {
                for byte in &piece[..read] {
                    match byte {
                        b'\n' => this.hear(&server, &mut line),
                        byte if line.len() < LONGEST => line.push(*byte),
                        _ => {}
                    }
                }
            }
            this.hear(&server, &mut line);
            this.over.send_replace(true);
        });
    }

    fn hear(&self, server: &str, line: &mut Vec<u8>) {
        let said = String::from_utf8_lossy(line).trim().to_owned();
        line.clear();
        if said.is_empty() {
            return;
        }
        let said = self.secrets.redacted(said);
        let said: String = said.chars().filter(|letter| !letter.is_control()).collect();
        debug!(server, said);
        *self.line.lock().unwrap_or_else(PoisonError::into_inner) = said;
    }

    /// The last line that said something, if there is one.
    pub async fn last_line(&self) -> Option<String> {
        let mut over = self.over.subscribe();
        let _ = timeout(PATIENCE, over.wait_for(|over| *over)).await;
        let line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        let told: String = line.chars().take(TOLD).collect();
        (!told.is_empty()).then_some(told)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    async fn last_line(said: String) -> Option<String> {
        let words = LastWords::new(Secrets::new(["sk-very-secret"]));
        words.listen("s".to_owned(), Cursor::new(said.into_bytes()));
        words.last_line().await
    }

    #[tokio::test]
    async fn the_last_line_of_much_is_kept() {
        let much = format!("{}\nit broke\u{1b}[0m\n\n", "x".repeat(100_000));
        assert_eq!(last_line(much).await.as_deref(), Some("it broke[0m"));
        assert_eq!(last_line("no end".to_owned()).await.as_deref(), Some("no end"));
        let long = last_line("y".repeat(100_000)).await;
        assert_eq!(long.map(|line| line.len()), Some(TOLD));
        assert_eq!(last_line(" \n\n".to_owned()).await, None);
    }

    #[tokio::test]
    async fn what_it_was_told_in_confidence_is_taken_out() {
        let said = "cannot log in with sk-very-secret\n".to_owned();
        assert_eq!(last_line(said).await.as_deref(), Some("cannot log in with [secret]"));
    }
}
