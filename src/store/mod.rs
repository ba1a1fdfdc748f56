//! The journal: the append-only record of each session, of which its state is a fold; and what
//! else a store of sessions does: list, fork, remove.

mod error;
mod listing;
mod memory;
mod opening;
mod owner;
mod pending;
#[cfg(feature = "postgres")]
mod postgres;
mod read_limit;
#[cfg(feature = "sql")]
mod sql;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::sync::Arc;

pub use error::Error;
pub use listing::{Cursor, Digest, Listing, Page, Summary};
pub use memory::MemoryStore;
pub use opening::{StoreOptions, SyncMode, open};
pub use owner::{Access, Owner};
pub use pending::Pending;
pub use read_limit::ReadLimit;

pub use crate::conversation::ResultPart;
use crate::conversation::{Batch, Record, ResultId, SessionId};

/// Keeps the records of sessions. One value serves all sessions of a process.
///
/// Answers may be dropped before they are there: what was asked for is then done or not done, but
/// never in part. What one caller asks for is done in the order in which it is asked for; an answer
/// may know of what was asked for after it.
pub trait Journal: Send + Sync {
    /// Opens `session` for writing under a higher epoch than anyone before, and answers with that
    /// epoch. Whoever held it is fenced from now on. A session that nobody knows is made, and
    /// forgotten when it is closed without a record.
    ///
    /// # Errors
    /// [`Error::Busy`] if a living owner has it and `access` does not take it over;
    /// [`Error::Fenced`] if somebody has taken over what `access` wants to renew.
    fn open(&self, session: &SessionId, access: Access) -> Pending<Result<u64, Error>>;

    /// Adds `records` to the session's end, all or none. `expected_seq` is the number of the last
    /// event the writer knows of; `epoch` is what [`Journal::open`] answered.
    ///
    /// Once the answer is `Ok`, the records are kept as safely as the store promises.
    ///
    /// # Errors
    /// [`Error::Conflict`] and [`Error::Fenced`]: nothing was written, and the writer is no longer
    /// the owner. [`Error::Unavailable`]: whether they were written is not known.
    fn append(
        &self,
        session: &SessionId,
        expected_seq: u64,
        epoch: u64,
        records: Batch,
    ) -> Pending<Result<(), Error>>;

    /// The records of `session` after event `after`, in order; empty for a session nobody knows.
    ///
    /// What a later version of the program wrote is an
    /// [`Event::Unknown`](crate::conversation::Event::Unknown).
    ///
    /// # Errors
    /// [`Error::Damaged`] if there is a record that cannot be read.
    fn read(&self, session: &SessionId, after: u64) -> Pending<Result<Vec<Record>, Error>>;

    /// The first of the records that [`Journal::read`] answers with, as far as `limit` goes: at least one
    /// if there is one. Read on behind the last of them, until there is none, they are the whole.
    /// Unless it is overridden, all of them are read, and then cut.
    ///
    /// # Errors
    /// [`Error::Damaged`] if there is a record among them that cannot be read.
    fn read_some(
        &self,
        session: &SessionId,
        after: u64,
        limit: ReadLimit,
    ) -> Pending<Result<Vec<Record>, Error>> {
        self.read(session, after).map(move |read| read.map(|records| limit.cut(records)))
    }

    /// The owner of `epoch` will write no more, and the session is free. Nothing is lost if it is
    /// never called.
    fn close(&self, session: &SessionId, epoch: u64);

    /// Keeps `result`, the whole of a result that is too large for the model, for `session`. The same
    /// text is kept once, under a name made from it. Unless it is overridden, nothing of it is kept.
    ///
    /// # Errors
    /// [`Error::Unavailable`]: the model is told the beginning and that the rest is lost.
    fn keep_result(
        &self,
        _session: &SessionId,
        _result: Arc<str>,
    ) -> Pending<Result<ResultId, Error>> {
        let reason = "this journal keeps no large results".to_owned();
        Pending::ready(Err(Error::Unavailable { reason }))
    }

    /// At most `max_bytes` of the result that [`Journal::keep_result`] kept for `session` as `id`,
    /// from byte `offset` on, both moved back to where a character begins. `None` if the session has
    /// no such result.
    fn result_part(
        &self,
        _session: &SessionId,
        _id: &ResultId,
        _offset: u64,
        _max_bytes: usize,
    ) -> Pending<Result<Option<ResultPart>, Error>> {
        Pending::ready(Ok(None))
    }

    /// Says whether a session that was closed can be opened again, with all that it had: then it may
    /// be put to sleep. It cannot unless this is overridden.
    fn outlives_close(&self) -> bool {
        false
    }
}

/// A [`Journal`] whose sessions can be found without knowing their ids, copied, and removed.
pub trait Store: Journal {
    /// Makes the session `session`, which has no records yet: it is found, listed and opened like any
    /// other, and stays when it is closed. `at_us` is when that is, in microseconds since 1970. Of
    /// several who make it at once one does.
    ///
    /// # Errors
    /// [`Error::Exists`] if it was made already or has records. One that is open and has none yet is
    /// made, and stays its owner's.
    fn make(&self, session: &SessionId, at_us: u64) -> Pending<Result<(), Error>>;

    /// What is known of `session`; `None` if it has no records and was not [made](Store::make).
    fn find(&self, session: &SessionId) -> Pending<Result<Option<Summary>, Error>>;

    /// The sessions that have records or were [made](Store::make), those first that were last active.
    fn list(&self, listing: &Listing) -> Pending<Result<Page, Error>>;

    /// Makes the session `copy` with the records of `session` up to event `last_seq`, and its large
    /// results. They are copied as they are kept, also those of kinds that are not known here. Where
    /// there are none, nothing is made.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Exists`] if there is a session `copy`.
    fn fork(
        &self,
        session: &SessionId,
        last_seq: u64,
        copy: &SessionId,
    ) -> Pending<Result<(), Error>>;

    /// Forgets `session` and what only it has. Says whether there was one. Whoever had it open is
    /// fenced.
    ///
    /// # Errors
    /// [`Error::Busy`] if a living owner has it, unless `access` is [`Access::TakeOver`].
    fn remove(&self, session: &SessionId, access: Access) -> Pending<Result<bool, Error>>;

    /// Forgets the sessions that were last active before `before_us`, in microseconds since 1970,
    /// and says how many. Those that a living owner has stay.
    fn prune(&self, before_us: u64) -> Pending<Result<u64, Error>>;

    /// Sees whether the store can be read and written, and says in one line what it is: its kind,
    /// where it is, the version of its schema. No secret is in it.
    fn check(&self) -> Pending<Result<String, Error>>;
}
