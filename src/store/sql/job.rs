//! What is asked of the store's thread, and where the answer goes.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::conversation::{Batch, ResultId, SessionId};
use crate::store::{Access, Error, Listing, Page, ReadLimit, ResultPart, Summary};

/// Where an answer goes. Nobody may be there any more.
pub(in crate::store) type Reply<T> = oneshot::Sender<Result<T, Error>>;

/// What is asked of the store's thread.
#[derive(Debug)]
pub(in crate::store) enum Job {
    /// Goes into one transaction with those of other sessions.
    Step(Step),
    /// Changes nothing.
    Question(Question),
    /// Has a transaction of its own.
    Change(Change),
}

/// What the owner of a session does.
#[derive(Debug)]
pub(in crate::store) enum Step {
    Append { session: SessionId, expected: u64, epoch: u64, records: Batch, reply: Reply<()> },
    Open { session: SessionId, access: Access, reply: Reply<u64> },
    Close { session: SessionId, epoch: u64 },
    KeepResult { session: SessionId, result: Arc<str>, reply: Reply<ResultId> },
}

impl Step {
    pub fn session(&self) -> &SessionId {
        match self {
            Self::Append { session, .. }
            | Self::Open { session, .. }
            | Self::Close { session, .. }
            | Self::KeepResult { session, .. } => session,
        }
    }
}

/// What can be asked beside the writing.
#[derive(Debug)]
pub(in crate::store) enum Question {
    /// The batches with the events after one, as they are kept.
    Read {
        session: SessionId,
        after: u64,
        /// As far as this goes, and at most the rest of the batch beyond it.
        limit: Option<ReadLimit>,
        reply: Reply<Vec<String>>,
    },
    ResultPart {
        session: SessionId,
        id: ResultId,
        offset: u64,
        max_bytes: usize,
        reply: Reply<Option<ResultPart>>,
    },
    Find {
        session: SessionId,
        reply: Reply<Option<Summary>>,
    },
    List {
        listing: Listing,
        reply: Reply<Page>,
    },
}

impl Question {
    /// The session that is asked about; `None` if it is all of them.
    pub fn session(&self) -> Option<&SessionId> {
        match self {
            Self::Read { session, .. }
            | Self::ResultPart { session, .. }
            | Self::Find { session, .. } => Some(session),
            Self::List { .. } => None,
        }
    }
}

/// What is done with whole sessions.
#[derive(Debug)]
pub(in crate::store) enum Change {
    Make {
        session: SessionId,
        at_us: u64,
        reply: Reply<()>,
    },
    Fork {
        session: SessionId,
        last_seq: u64,
        copy: SessionId,
        reply: Reply<()>,
    },
    Remove {
        session: SessionId,
        access: Access,
        reply: Reply<bool>,
    },
    /// Done in parts, between which others have their turn; `after` is the last session of the part
    /// before.
    Prune {
        before_us: u64,
        after: u64,
        pruned: u64,
        reply: Reply<u64>,
    },
    Check {
        reply: Reply<String>,
    },
}
