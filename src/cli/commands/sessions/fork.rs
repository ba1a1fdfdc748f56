//! `sessions fork`: a copy of a session up to the end of a turn, to go on from there in another way.

use serde_json::json;

use crate::cli::args::{Fork, Output};
use crate::cli::screen::Screen;
use crate::cli::setup;
use crate::cli::status::{Status, UsageError};
use crate::cli::store::{find, read};
use crate::conversation::{Event, Record, SessionId};
use crate::store::Store;

pub(super) async fn run(store: &dyn Store, fork: &Fork, screen: &Screen) -> anyhow::Result<Status> {
    let copy = copy(store, fork).await?;
    match screen.output {
        Output::Text => screen.foreign_line(copy.as_str())?,
        Output::Json | Output::Jsonl => {
            let line = json!({"session": copy, "forked_from": fork.id});
            screen.data_line(&line.to_string())?;
        }
    }
    Ok(Status::Done)
}

async fn copy(store: &dyn Store, fork: &Fork) -> anyhow::Result<SessionId> {
    let copy = fork.copy.as_deref().map(setup::session_id).transpose()?;
    let copy = copy.unwrap_or_else(SessionId::random);
    let session = find(store, &fork.id).await?.session;
    let last = last_event(&read(store, &session).await?, fork.at_turn)?;
    store.fork(&session, last, &copy).await?;
    Ok(copy)
}

/// The number of the event that ends the turn `at`, or the last one that has ended.
fn last_event(records: &[Record], at: Option<u64>) -> Result<u64, UsageError> {
    let end = |record: &Record| match record.event {
        Event::TurnEnded { turn, .. } => Some((turn, record.seq)),
        _ => None,
    };
    let ends: Vec<(u64, u64)> = records.iter().filter_map(end).collect();
    let Some((last, last_seq)) = ends.last().copied() else {
        return Err(UsageError("the session has no turn that has ended".into()));
    };
    let Some(at) = at else { return Ok(last_seq) };
    let found = ends.iter().find(|(turn, _)| *turn == at);
    found.map(|(_, seq)| *seq).ok_or_else(|| {
        UsageError(format!("the session has no turn {at} that has ended; its last one is {last}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::past::tests::{WHOLE, journal};
    use crate::store::{Access, Journal, MemoryStore};

    #[test]
    fn a_copy_ends_with_a_turn_that_has_ended() {
        let open = r#""type":"turn_started","turn":2,"prompt":"more""#;
        let records = journal(&[&WHOLE[..], &[open]].concat());
        assert_eq!(last_event(&records, None).unwrap(), 11);
        assert_eq!(last_event(&records, Some(1)).unwrap(), 11);
        let complaint = last_event(&records, Some(2)).unwrap_err().to_string();
        assert_eq!(complaint, "the session has no turn 2 that has ended; its last one is 1");
        assert!(last_event(&records[..5], None).is_err());
    }

    #[test]
    fn the_copy_has_the_records_and_the_original_keeps_its_own() {
        crate::testing::run(async {
            let store = MemoryStore::keeping();
            let session = SessionId::new("s");
            let epoch = store.open(&session, Access::IfFree).await.unwrap();
            let open = r#""type":"turn_started","turn":2,"prompt":"more""#;
            let records = journal(&[&WHOLE[..], &[open]].concat());
            store.append(&session, 0, epoch, records.into()).await.unwrap();
            let fork = |copy: Option<&str>| Fork {
                id: "s".into(),
                at_turn: None,
                copy: copy.map(str::to_owned),
            };
            let id = copy(&store, &fork(Some("t"))).await.unwrap();
            assert_eq!(store.read(&id, 0).await.unwrap().len(), 11);
            assert_eq!(store.read(&session, 0).await.unwrap().len(), 12);
            let again = copy(&store, &fork(Some("t"))).await.unwrap_err();
            assert_eq!(again.to_string(), "there is a session `t` already");
            let missing = copy(&store, &Fork { id: "u".into(), ..fork(None) }).await.unwrap_err();
            assert_eq!(missing.to_string(), "no such session: `u`");
        });
    }
}
