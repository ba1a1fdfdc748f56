//! What is done with whole sessions: find, list, read, copy and forget them.

use super::statements as sql;
use super::{Connection, Failure, Holder, Instance, Row, Statements, Value, encoding};
use crate::conversation::{Record, ResultId, SessionId};
use crate::store::{Access, Digest, Error, Listing, Page, ReadLimit, ResultPart, Summary};

/// As many sessions are pruned in one transaction.
const PRUNED_AT_ONCE: u64 = 200;

/// A character has four bytes at most.
const CHARACTER: u64 = 4;

/// The batches of `session` with events after `after`: all of them, or those that `limit` begins with.
pub(in crate::store) async fn read(
    connection: &mut Connection,
    session: &SessionId,
    after: u64,
    limit: Option<ReadLimit>,
) -> Result<Vec<String>, Failure> {
    let session = Value::text(session.as_str());
    let (statement, values) = match limit {
        None => (sql::READ, vec![session, Value::int(after)]),
        Some(ReadLimit { records, bytes }) => {
            let most = [records, bytes].map(|most| u64::try_from(most.max(1)).unwrap_or(u64::MAX));
            let numbers = [after, after.saturating_add(1), most[0], most[1]].map(Value::int);
            (sql::READ_SOME, [vec![session], numbers.to_vec()].concat())
        }
    };
    let found = connection.run(statement, values).await?;
    found.rows.into_iter().map(|mut row| row.text()).collect()
}

/// As [`Journal::result_part`](crate::store::Journal::result_part).
pub(super) async fn result_part(
    connection: &mut Connection,
    session: &SessionId,
    id: &ResultId,
    offset: u64,
    max_bytes: usize,
) -> Result<Option<ResultPart>, Failure> {
    let most = u64::try_from(i32::MAX).unwrap_or_default();
    let max_bytes = max_bytes.min(usize::try_from(most / 2).unwrap_or(max_bytes));
    // With what may belong to the characters at either end.
    let begin = offset.min(most).saturating_sub(CHARACTER);
    let length = u64::try_from(max_bytes).unwrap_or(most) + 3 * CHARACTER;
    let values = vec![
        Value::text(session.as_str()),
        Value::text(id.as_str()),
        Value::int(begin + 1),
        Value::int(length),
    ];
    let Some(mut row) = connection.run(sql::RESULT_PART, values).await?.into_row() else {
        return Ok(None);
    };
    let (total, bytes) = (row.int()?, row.bytes()?);
    let begin = begin.min(total);
    let is_within = |byte: &u8| byte & 0b1100_0000 == 0b1000_0000;
    let cut = bytes.iter().take_while(|byte| is_within(byte)).count();
    let whole = &bytes[cut..];
    let text = match std::str::from_utf8(whole) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&whole[..error.valid_up_to()]).unwrap_or_default(),
    };
    let begin = begin + u64::try_from(cut).unwrap_or_default();
    let part = ResultPart::of(text, offset.min(total).saturating_sub(begin), max_bytes);
    Ok(Some(ResultPart { offset: begin + part.offset, total_bytes: total, ..part }))
}

/// As [`Store::make`](crate::store::Store::make), within a transaction. It begins under `epoch`.
pub(super) async fn make(
    connection: &mut Connection,
    session: &SessionId,
    epoch: u64,
    at_us: u64,
) -> Result<(), Failure> {
    let values = vec![Value::text(session.as_str()), Value::int(epoch), Value::int(at_us)];
    match connection.run(sql::MAKE, values).await?.rows.is_empty() {
        true => Err(Error::Exists { session: session.clone() }.into()),
        false => Ok(()),
    }
}

/// What is known of `session`.
pub(super) async fn find(
    connection: &mut Connection,
    statements: &Statements,
    own: &Instance,
    session: &SessionId,
) -> Result<Option<Summary>, Failure> {
    let values = vec![Value::text(session.as_str())];
    let found = connection.run(&*statements.find, values).await?.into_row();
    found.map(|mut row| summary(&mut row, own)).transpose()
}

/// As [`Store::list`](crate::store::Store::list).
pub(super) async fn list(
    connection: &mut Connection,
    statements: &Statements,
    own: &Instance,
    listing: &Listing,
) -> Result<Page, Failure> {
    let (time, session) = match &listing.after {
        Some(cursor) => (cursor.updated_at_us, cursor.session.as_str()),
        None => (u64::MAX, ""),
    };
    let limit = u64::try_from(listing.limit).unwrap_or(u64::MAX).saturating_add(1);
    let prefix = Value::text(&*listing.prefix);
    let values = vec![Value::int(time), Value::text(session), Value::int(limit), prefix];
    let list = if listing.open_only { &statements.list_open } else { &statements.list };
    let found = connection.run(&**list, values).await?;
    let found: Result<Vec<Summary>, Failure> =
        found.rows.into_iter().map(|mut row| summary(&mut row, own)).collect();
    Ok(Page::of(found?, listing.limit))
}

fn summary(row: &mut Row, own: &Instance) -> Result<Summary, Failure> {
    Ok(Summary {
        session: SessionId::new(row.text()?),
        created_at_us: row.int()?,
        updated_at_us: row.int()?,
        digest: Digest { title: row.text()?.into(), turns: row.int()?, is_open: row.int()? != 0 },
        forked_from: row.optional_text()?.map(SessionId::new),
        last_seq: row.int()?,
        owner: own.living(Holder::read(row)?.as_ref()),
    })
}

/// As [`Store::fork`](crate::store::Store::fork), within a transaction. The copy begins under `epoch`.
pub(super) async fn fork(
    connection: &mut Connection,
    statements: &Statements,
    session: &SessionId,
    last_seq: u64,
    copy: &SessionId,
    epoch: u64,
) -> Result<(), Failure> {
    let source = match claim(connection, statements, session).await? {
        Some(Claimed { id, is_known: true, .. }) => id,
        _ => return Err(Error::NotFound { session: session.clone() }.into()),
    };
    match claim(connection, statements, copy).await? {
        Some(Claimed { id, is_known: false, holder: None }) => forget(connection, id).await?,
        Some(_) => return Err(Error::Exists { session: copy.clone() }.into()),
        None => {}
    }
    let values = vec![Value::text(copy.as_str()), Value::text(session.as_str()), Value::int(epoch)];
    let id = match connection.run(sql::COPY_SESSION, values).await?.into_row() {
        Some(mut row) => row.int()?,
        None => return Err(Failure::damaged("no number for a session".to_owned())),
    };
    let pair = || vec![Value::int(source), Value::int(id)];
    let whole = [pair(), vec![Value::int(last_seq)]].concat();
    connection.run(sql::COPY_JOURNAL, whole).await?;
    let cut = vec![Value::int(source), Value::int(last_seq)];
    if let Some(mut row) = connection.run(sql::CUT_BATCH, cut).await?.into_row() {
        let first_seq = row.int()?;
        let text = encoding::cut(session, &row.text()?, last_seq)?;
        let values = [id, first_seq, last_seq].map(Value::int).to_vec();
        connection.run(sql::COPY_BATCH, [values, vec![Value::text(text)]].concat()).await?;
    }
    connection.run(sql::COPY_RESULTS, pair()).await?;
    let mut records: Vec<Record> = Vec::new();
    for text in read(connection, copy, 0, None).await? {
        encoding::read(copy, &text, 0, &mut records)?;
    }
    let (Some(first), Some(last)) = (records.first(), records.last()) else {
        return forget(connection, id).await; // There is nothing before its first event.
    };
    let digest = Digest::of(&records);
    let values = vec![
        Value::int(id),
        Value::int(first.at_us),
        Value::int(last.at_us),
        Value::int(last.seq),
        Value::Text(Some(digest.title)),
        Value::int(digest.turns),
        Value::int(digest.is_open.into()),
    ];
    connection.run(sql::DESCRIBE_COPY, values).await.map(drop)
}

/// A session that stays as it is until the end of the transaction.
struct Claimed {
    /// Its number.
    id: u64,
    /// There is more to it than that somebody has it open.
    is_known: bool,
    /// Who has it, alive or not.
    holder: Option<Holder>,
}

/// Holds `session`, if it is there.
async fn claim(
    connection: &mut Connection,
    statements: &Statements,
    session: &SessionId,
) -> Result<Option<Claimed>, Failure> {
    let values = vec![Value::text(session.as_str())];
    let Some(mut row) = connection.run(&*statements.claim, values).await?.into_row() else {
        return Ok(None);
    };
    let (id, _epoch, _last_seq) = (row.int()?, row.int()?, row.int()?);
    let (_title, _turns, _is_open) = (row.text()?, row.int()?, row.int()?);
    let is_known = row.optional_int()?.is_some();
    Ok(Some(Claimed { id, is_known, holder: Holder::read(&mut row)? }))
}

/// As [`Store::remove`](crate::store::Store::remove), within a transaction.
pub(super) async fn remove(
    connection: &mut Connection,
    statements: &Statements,
    own: &Instance,
    session: &SessionId,
    access: Access,
) -> Result<bool, Failure> {
    let Some(claimed) = claim(connection, statements, session).await? else { return Ok(false) };
    let Claimed { id, is_known, holder } = claimed;
    if let Some(owner) = own.living(holder.as_ref()).filter(|_| access != Access::TakeOver) {
        return Err(Error::Busy { session: session.clone(), owner }.into());
    }
    forget(connection, id).await?;
    Ok(is_known)
}

/// What a part of a pruning did.
#[derive(Debug)]
pub(super) struct Pruned {
    pub sessions: u64,
    /// The last session that was looked at; `None` at the end.
    pub last: Option<u64>,
}

/// Forgets some of the sessions behind number `after` that were last active before `before_us`.
pub(super) async fn prune(
    connection: &mut Connection,
    statements: &Statements,
    own: &Instance,
    before_us: u64,
    after: u64,
) -> Result<Pruned, Failure> {
    let values = [before_us, after, PRUNED_AT_ONCE].map(Value::int).to_vec();
    let old = connection.run(&*statements.old, values).await?;
    let mut pruned = Pruned { sessions: 0, last: None };
    for mut row in old.rows {
        let (id, _name) = (row.int()?, row.text()?);
        pruned.last = Some(id);
        if own.living(Holder::read(&mut row)?.as_ref()).is_none() {
            forget(connection, id).await?;
            pruned.sessions += 1;
        }
    }
    Ok(pruned)
}

/// Forgets session number `id` and the large results that only it had.
pub(super) async fn forget(connection: &mut Connection, id: u64) -> Result<(), Failure> {
    let results = connection.run(sql::RESULTS_OF, vec![Value::int(id)]).await?;
    for statement in sql::FORGET {
        connection.run(statement, vec![Value::int(id)]).await?;
    }
    for mut row in results.rows {
        connection.run(sql::FORGET_RESULT, vec![Value::text(row.text()?)]).await?;
    }
    Ok(())
}
