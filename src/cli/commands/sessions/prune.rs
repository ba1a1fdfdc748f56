//! `sessions prune`: forgets the sessions that were last active long ago.

use serde_json::json;

use super::list;
use crate::cli::args::{Output, Prune};
use crate::cli::draw::health::count;
use crate::cli::screen::Screen;
use crate::cli::status::{Status, UsageError};
use crate::cli::when;
use crate::store::{Error, Listing, Store, Summary};

/// How many sessions are read at a time.
const PAGE: usize = 1000;

pub(super) async fn run(
    store: &dyn Store,
    prune: &Prune,
    screen: &Screen,
) -> anyhow::Result<Status> {
    let before_us = when::before(prune.older_than, when::now_us()).map_err(UsageError)?;
    if !prune.dry_run {
        let removed = store.prune(before_us).await?;
        match screen.output {
            Output::Text => screen.note(&format!("removed {}", count(removed, "session"))),
            Output::Json | Output::Jsonl => {
                screen.data_line(&json!({"removed": removed}).to_string())?;
            }
        }
        return Ok(Status::Done);
    }
    let old = older(store, before_us).await?;
    match screen.output {
        Output::Text => {
            list::print_table(&old, screen)?;
            let found = u64::try_from(old.len()).unwrap_or(u64::MAX);
            screen.note(&format!("would remove {}", count(found, "session")));
        }
        Output::Json | Output::Jsonl => {
            let old: Vec<_> = old.iter().map(list::describe).collect();
            screen.data_line(&json!({"removed": 0, "would_remove": old}).to_string())?;
        }
    }
    Ok(Status::Done)
}

/// Those that nobody has open and that were last active before `before_us`.
async fn older(store: &dyn Store, before_us: u64) -> Result<Vec<Summary>, Error> {
    let (mut old, mut after) = (Vec::new(), None);
    loop {
        let page = store.list(&Listing { limit: PAGE, after, ..Listing::default() }).await?;
        let is_old =
            |summary: &Summary| summary.updated_at_us < before_us && summary.owner.is_none();
        old.extend(page.sessions.into_iter().filter(is_old));
        after = page.next;
        if after.is_none() {
            return Ok(old);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::SessionId;
    use crate::document::past::tests::{OPENED, journal};
    use crate::store::{Access, Journal, MemoryStore};

    #[test]
    fn what_a_dry_run_finds_is_what_is_removed() {
        crate::testing::run(async {
            let store = MemoryStore::keeping();
            for number in 1..=2500u64 {
                let session = SessionId::new(number.to_string());
                let epoch = store.open(&session, Access::IfFree).await.unwrap();
                let mut records = journal(&[OPENED]);
                records[0].at_us = number;
                store.append(&session, 0, epoch, records.into()).await.unwrap();
                if number != 7 {
                    store.close(&session, epoch);
                }
            }
            let found = older(&store, 1801).await.unwrap();
            assert_eq!(found.len(), 1799, "but for the one that is open");
            assert_eq!(store.prune(1801).await.unwrap(), 1799);
            assert!(older(&store, 1801).await.unwrap().is_empty());
        });
    }
}
