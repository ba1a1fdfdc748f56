//! One step of a session's owner on its way through a transaction: what it needs, and what came of
//! it.

use std::collections::HashMap;
use std::sync::Arc;

use super::job::{Reply, Step};
use super::statements as sql;
use super::{Connection, Failure, Holder, Instance, Statements, Value, encoding, sessions};
use crate::conversation::{Batch, ResultId, SessionId};
use crate::store::{Access, Digest, Error};

/// The sessions that this process has opened, as they stand in the database.
#[derive(Debug, Default)]
pub(super) struct Held {
    sessions: HashMap<SessionId, Standing, ahash::RandomState>,
    /// The highest epoch of a session that was forgotten. One made later begins above it: the owner of
    /// the one is not taken for that of the other.
    pub removed: u64,
}

impl Held {
    /// Forgets `session`, which was closed or removed.
    pub fn remove(&mut self, session: &SessionId) {
        if let Some(standing) = self.sessions.remove(session) {
            self.removed = self.removed.max(standing.epoch);
        }
    }
}

/// How a session stands that this process has opened.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Standing {
    /// Its number in the database.
    pub id: u64,
    pub epoch: u64,
    /// The number of its last event; `None` if nobody knows how an append has ended.
    pub last_seq: Option<u64>,
    pub digest: Digest,
    /// The time of its last event as the list of sessions has it, if this process has written it.
    pub listed_us: Option<u64>,
}

/// The list of sessions says when one was last active, to so many microseconds.
const LISTED_US: u64 = 1_000_000;

/// An append as it is written.
#[derive(Clone, Debug)]
pub(in crate::store) struct Entry {
    pub session: u64,
    pub epoch: u64,
    pub expected: u64,
    pub first_seq: u64,
    pub last_seq: u64,
    /// The time of the first record.
    pub began_us: u64,
    /// The time of the last record.
    pub at_us: u64,
    /// If it is new.
    pub title: Option<Arc<str>>,
    pub turns: u64,
    pub is_open: bool,
    /// There is something new for the list of sessions.
    pub is_listed: bool,
    pub records: Arc<str>,
}

/// A step, and what came of it. It may be carried out more than once: the last time counts.
#[derive(Debug)]
pub(super) enum Task {
    Append {
        session: SessionId,
        /// What is written, and the digest after it; `None`: nothing is.
        entry: Option<(Entry, Digest)>,
        /// It begins behind another event than the last one: nothing is written, and only the database
        /// knows whether its writer is still the owner.
        is_misplaced: bool,
        reply: Reply<()>,
        outcome: Result<(), Error>,
    },
    Open {
        session: SessionId,
        access: Access,
        reply: Reply<u64>,
        /// The epoch under which this process has it open already.
        known: Option<u64>,
        /// The epoch under which it begins if it has to be made.
        first: u64,
        outcome: Result<Standing, Error>,
    },
    Close {
        session: SessionId,
        /// `None`: it is another one's.
        id: Option<u64>,
        epoch: u64,
    },
    KeepResult {
        session: SessionId,
        result: Arc<str>,
        id: ResultId,
        reply: Reply<ResultId>,
        outcome: Result<(), Error>,
    },
}

/// What a step is answered with if it was never carried out.
fn undone() -> Error {
    Error::Unavailable { reason: "not carried out".to_owned() }
}

impl Task {
    /// Makes `step` ready, as far as that can be done without the database.
    pub fn of(step: Step, held: &Held) -> Self {
        match step {
            Step::Append { session, expected, epoch, records, reply } => {
                let standing =
                    held.sessions.get(&session).filter(|standing| standing.epoch == epoch);
                let made = match standing {
                    Some(standing) => Entry::of(standing, expected, &records),
                    None => Err(Error::Fenced { session: session.clone() }),
                };
                let is_misplaced = standing
                    .and_then(|standing| standing.last_seq)
                    .is_some_and(|last_seq| last_seq != expected);
                let (entry, outcome) = match made {
                    Ok(Some(entry)) => (Some(entry), Err(undone())),
                    Ok(None) => (None, Ok(())),
                    Err(error) => (None, Err(error)),
                };
                Self::Append { session, entry, is_misplaced, reply, outcome }
            }
            Step::Open { session, access, reply } => {
                let known = held.sessions.get(&session).map(|standing| standing.epoch);
                let first = held.removed.max(known.unwrap_or_default()) + 1;
                Self::Open { session, access, reply, known, first, outcome: Err(undone()) }
            }
            Step::Close { session, epoch } => {
                let standing =
                    held.sessions.get(&session).filter(|standing| standing.epoch == epoch);
                Self::Close { id: standing.map(|standing| standing.id), session, epoch }
            }
            Step::KeepResult { session, result, reply } => {
                let id = ResultId::of(&result);
                Self::KeepResult { session, result, id, reply, outcome: Err(undone()) }
            }
        }
    }

    /// Says whether there is nothing to do but to answer.
    pub fn is_done(&self) -> bool {
        matches!(self, Self::Append { entry: None, .. } | Self::Close { id: None, .. })
    }

    /// What it writes, if it is an append.
    pub fn entry(&self) -> Option<&Entry> {
        match self {
            Self::Append { is_misplaced: true, .. } => None,
            Self::Append { entry, .. } => entry.as_ref().map(|(entry, _)| entry),
            Self::Open { .. } | Self::Close { .. } | Self::KeepResult { .. } => None,
        }
    }

    /// Carries out what is not an append.
    pub async fn carry_out(
        &mut self,
        connection: &mut Connection,
        statements: &Statements,
        own: &Instance,
    ) -> Result<(), Failure> {
        match self {
            Self::Append { .. } | Self::Close { id: None, .. } => {}
            Self::Open { session, access, known, first, outcome, .. } => {
                let (access, known, first) = (*access, *known, *first);
                let opening =
                    Opening { connection, statements, own, session, access, known, first };
                *outcome = opening.open().await?;
            }
            Self::Close { id: Some(id), epoch, .. } => {
                let values = || vec![Value::int(*id), Value::int(*epoch)];
                if connection.run(sql::RELEASE, values()).await?.changed == 0 {
                    let nothing = connection.run(&*statements.is_nothing, values()).await?;
                    if nothing.rows.is_empty() {
                        // It was made in between, or is another one's.
                        connection.run(sql::RELEASE, values()).await?;
                    } else {
                        sessions::forget(connection, *id).await?;
                    }
                }
            }
            Self::KeepResult { session, result, id, outcome, .. } => {
                let name = vec![Value::text(session.as_str())];
                let Some(mut row) = connection.run(sql::SESSION, name).await?.into_row() else {
                    *outcome = Err(Error::NotFound { session: session.clone() });
                    return Ok(());
                };
                let (number, name) = (Value::int(row.int()?), Value::text(id.as_str()));
                let content = Value::Bytes(result.as_bytes().into());
                connection.run(&*statements.keep_result, vec![name.clone(), content]).await?;
                connection.run(sql::REFER, vec![number, name]).await?;
                *outcome = Ok(());
            }
        }
        Ok(())
    }

    /// Learns whether its append was written: `all_written` were, or it is looked for, as an earlier
    /// try may have written it. If it was not: why.
    pub async fn judge(
        &mut self,
        connection: &mut Connection,
        statements: &Statements,
        all_written: bool,
    ) -> Result<(), Failure> {
        let Self::Append { session, entry: Some((entry, _)), is_misplaced, outcome, .. } = self
        else {
            return Ok(());
        };
        let Entry { first_seq, last_seq, epoch, expected, .. } = *entry;
        if !*is_misplaced {
            let mut values = [entry.session, first_seq, last_seq, epoch].map(Value::int).to_vec();
            values.push(Value::Text(Some(Arc::clone(&entry.records))));
            if all_written || !connection.run(sql::IS_KEPT, values).await?.rows.is_empty() {
                *outcome = Ok(());
                return Ok(());
            }
        }
        let standing = vec![Value::int(entry.session)];
        let standing = connection.run(&*statements.standing, standing).await?;
        let found = match standing.into_row() {
            Some(mut row) => (row.int()?, row.int()?, row.optional_int()?.is_some()),
            None => (0, 0, false),
        };
        let session = session.clone();
        *outcome = Err(match found {
            (now, found, true) if now == epoch => Error::Conflict { session, expected, found },
            _ => Error::Fenced { session },
        });
        Ok(())
    }

    /// Answers with what came of it, or with `failed`, and notes in `held` what has changed.
    pub fn answer(self, held: &mut Held, failed: Option<&Error>) {
        match self {
            Self::Append { session, entry, reply, outcome, .. } => {
                let outcome = failed.map_or(outcome, |error| Err(error.clone()));
                if let (Some((entry, digest)), Some(standing)) =
                    (entry, held.sessions.get_mut(&session))
                {
                    match &outcome {
                        Ok(()) => standing.on(&entry, digest),
                        Err(_) => standing.last_seq = None,
                    }
                }
                drop(reply.send(outcome));
            }
            Self::Open { session, reply, outcome, .. } => {
                let outcome = failed.map_or(outcome, |error| Err(error.clone()));
                let epoch = outcome.map(|standing| {
                    let epoch = standing.epoch;
                    held.sessions.insert(session, standing);
                    epoch
                });
                drop(reply.send(epoch));
            }
            Self::Close { id: None, .. } => {}
            Self::Close { session, .. } => {
                held.remove(&session);
                if let Some(error) = failed {
                    // Its next owner is let in when this process has ended.
                    tracing::warn!(%session, %error, "session not released");
                }
            }
            Self::KeepResult { id, reply, outcome, .. } => {
                let outcome = failed.map_or(outcome, |error| Err(error.clone()));
                drop(reply.send(outcome.map(|()| id)));
            }
        }
    }
}

impl Standing {
    /// Takes in that `entry` was written.
    fn on(&mut self, entry: &Entry, digest: Digest) {
        (self.last_seq, self.digest) = (Some(entry.last_seq), digest);
        if entry.is_listed {
            self.listed_us = Some(entry.at_us);
        }
    }
}

impl Entry {
    /// What is written of `records`, and the digest after them; `None` of no records.
    fn of(
        standing: &Standing,
        expected: u64,
        records: &Batch,
    ) -> Result<Option<(Self, Digest)>, Error> {
        let (Some(first), Some(last)) = (records.first(), records.last()) else { return Ok(None) };
        let mut digest = standing.digest.clone();
        let mut is_listed =
            standing.listed_us.is_none_or(|listed| last.at_us.abs_diff(listed) >= LISTED_US);
        for record in records.iter() {
            is_listed |= digest.on(&record.event);
        }
        is_listed |= !digest.is_open;
        let is_new = digest.title != standing.digest.title;
        let entry = Self {
            session: standing.id,
            epoch: standing.epoch,
            expected,
            first_seq: first.seq,
            last_seq: last.seq,
            began_us: first.at_us,
            at_us: last.at_us,
            title: is_new.then(|| Arc::clone(&digest.title)),
            turns: digest.turns,
            is_open: digest.is_open,
            is_listed,
            records: encoding::written(records)?,
        };
        Ok(Some((entry, digest)))
    }
}

/// The opening of one session.
struct Opening<'a> {
    connection: &'a mut Connection,
    statements: &'a Statements,
    own: &'a Instance,
    session: &'a SessionId,
    access: Access,
    known: Option<u64>,
    first: u64,
}

impl Opening<'_> {
    /// Looks and takes, until nobody comes in between.
    async fn open(self) -> Result<Result<Standing, Error>, Failure> {
        let Self { connection, statements, own, session, access, known, first } = self;
        loop {
            let name = Value::text(session.as_str());
            let found = connection.run(&*statements.claim, vec![name.clone()]).await?.into_row();
            let Some(mut row) = found else {
                if matches!(access, Access::Renew { .. }) {
                    return Ok(Err(Error::Fenced { session: session.clone() }));
                }
                let values = vec![name, Value::int(own.id), Value::int(first)];
                let made = connection.run(sql::CREATE, values).await?.into_row();
                let Some(mut row) = made else { continue };
                let id = row.int()?;
                let digest = Digest::default();
                let last_seq = Some(0);
                return Ok(Ok(Standing { id, epoch: first, last_seq, digest, listed_us: None }));
            };
            let (id, epoch, last_seq) = (row.int()?, row.int()?, Some(row.int()?));
            let digest =
                Digest { title: row.text()?.into(), turns: row.int()?, is_open: row.int()? != 0 };
            let _created_at_us = row.optional_int()?;
            let holder = Holder::read(&mut row)?;
            // One that this process does not know that it has: nobody was told of the opening, or the
            // closing has failed.
            let is_stray =
                known != Some(epoch) && holder.as_ref().is_some_and(|holder| holder.id == own.id);
            let refused = match (access, own.living(holder.as_ref())) {
                (Access::IfFree, Some(owner)) if !is_stray => {
                    Some(Error::Busy { session: session.clone(), owner })
                }
                // Raised once since by this process, and nobody heard of it: that was an earlier try.
                (Access::Renew { epoch: own }, _) if is_stray && own + 1 == epoch => None,
                (Access::Renew { epoch: own }, _) if own != epoch => {
                    Some(Error::Fenced { session: session.clone() })
                }
                (Access::IfFree | Access::TakeOver | Access::Renew { .. }, _) => None,
            };
            if let Some(refused) = refused {
                return Ok(Err(refused));
            }
            let values = [id, epoch, own.id].map(Value::int).to_vec();
            if let Some(mut row) = connection.run(sql::TAKE, values).await?.into_row() {
                let epoch = row.int()?;
                return Ok(Ok(Standing { id, epoch, last_seq, digest, listed_us: None }));
            }
        }
    }
}
