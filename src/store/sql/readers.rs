//! Questions, answered on connections of their own beside the writing.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::job::{Question, Reply};
use super::{Connection, Database, Failure, Instance, Kind, Statements, sessions};
use crate::store::Error;

/// As many questions are answered at a time.
const PERMITS: u32 = 3;

/// The first wait after a connection was lost, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// Answers questions.
pub(super) struct Readers {
    database: Rc<Database>,
    statements: Rc<Statements>,
    own: Instance,
    retry: Duration,
    idle: RefCell<Vec<Connection>>,
    permits: Semaphore,
}

/// The waits between tries, until it has been tried for long enough.
#[derive(Debug)]
pub(in crate::store) struct Backoff {
    next: Duration,
    end: Instant,
}

impl Backoff {
    /// Waits that end after `retry`.
    pub fn new(retry: Duration) -> Self {
        let now = Instant::now();
        let end = now.checked_add(retry).unwrap_or_else(|| now + Duration::from_secs(1 << 30));
        Self { next: BACKOFF.0, end }
    }

    /// Ends the waits after `rest` at the latest.
    pub fn end_within(&mut self, rest: Duration) {
        self.end = self.end.min(Instant::now() + rest);
    }

    /// Waits; `false` if it has been tried for long enough.
    pub async fn wait(&mut self) -> bool {
        let end = Instant::now() + self.next;
        if end > self.end {
            return false;
        }
        tokio::time::sleep_until(end).await;
        self.next = (self.next * 2).min(BACKOFF.1);
        true
    }
}

impl Readers {
    pub fn new(
        database: Rc<Database>,
        statements: Rc<Statements>,
        own: Instance,
        retry: Duration,
    ) -> Self {
        let permits = Semaphore::new(0);
        (0..PERMITS).for_each(|_| permits.add_permits(1));
        Self { database, statements, own, retry, idle: RefCell::default(), permits }
    }

    /// Answers `question`, unless nobody waits for it any more.
    pub async fn answer(&self, question: Question) {
        let Self { statements, own, .. } = self;
        match question {
            Question::Read { session, after, limit, reply } => {
                let read =
                    async |on: &mut Connection| sessions::read(on, &session, after, limit).await;
                self.tell(reply, read).await;
            }
            Question::ResultPart { session, id, offset, max_bytes, reply } => {
                let part = async |on: &mut Connection| {
                    sessions::result_part(on, &session, &id, offset, max_bytes).await
                };
                self.tell(reply, part).await;
            }
            Question::Find { session, reply } => {
                let find =
                    async |on: &mut Connection| sessions::find(on, statements, own, &session).await;
                self.tell(reply, find).await;
            }
            Question::List { listing, reply } => {
                let list =
                    async |on: &mut Connection| sessions::list(on, statements, own, &listing).await;
                self.tell(reply, list).await;
            }
        }
    }

    async fn tell<T>(
        &self,
        mut reply: Reply<T>,
        ask: impl AsyncFn(&mut Connection) -> Result<T, Failure>,
    ) {
        let _permit = tokio::select! {
            biased;
            () = reply.closed() => return,
            permit = self.permits.acquire() => permit,
        };
        drop(reply.send(self.try_for_long(ask).await));
    }

    async fn try_for_long<T>(
        &self,
        ask: impl AsyncFn(&mut Connection) -> Result<T, Failure>,
    ) -> Result<T, Error> {
        let mut backoff = Backoff::new(self.retry);
        loop {
            let found = match self.connection().await {
                Ok(connection) => self.try_once(connection, &ask).await,
                Err(failure) => Err(failure),
            };
            match found {
                Ok(found) => return Ok(found),
                Err(failure) if failure.kind == Kind::Refused => return Err(failure.error),
                Err(failure) => {
                    if !backoff.wait().await {
                        return Err(failure.error);
                    }
                }
            }
        }
    }

    async fn connection(&self) -> Result<Connection, Failure> {
        let idle = self.idle.borrow_mut().pop();
        match idle {
            Some(connection) => Ok(connection),
            None => self.database.again().await,
        }
    }

    async fn try_once<T>(
        &self,
        mut connection: Connection,
        ask: &impl AsyncFn(&mut Connection) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let found = ask(&mut connection).await;
        match &found {
            // The others are of the same age.
            Err(failure) if failure.kind == Kind::Lost => self.idle.borrow_mut().clear(),
            _ => self.idle.borrow_mut().push(connection),
        }
        found
    }

    /// Answers what was asked, and closes what is open.
    pub async fn close(&self) {
        let _permits = self.permits.acquire_many(PERMITS).await;
        let idle = std::mem::take(&mut *self.idle.borrow_mut());
        for connection in idle {
            connection.close().await;
        }
    }
}
