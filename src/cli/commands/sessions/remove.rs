//! `sessions rm`: forgets sessions.

use serde_json::json;

use crate::cli::args::{Output, Remove};
use crate::cli::screen::Screen;
use crate::cli::status::Status;
use crate::cli::store::find;
use crate::conversation::SessionId;
use crate::store::{Access, Error, Store};

pub(super) async fn run(
    store: &dyn Store,
    remove: &Remove,
    screen: &Screen,
) -> anyhow::Result<Status> {
    let (removed, failed) = remove_all(store, remove).await?;
    match screen.output {
        Output::Text => removed.iter().for_each(|id| screen.foreign_note(&format!("removed {id}"))),
        Output::Json | Output::Jsonl => {
            screen.data_line(&json!({"removed": removed}).to_string())?
        }
    }
    match failed {
        Some(error) => Err(error.into()),
        None => Ok(Status::Done),
    }
}

/// Removes those of the sessions that can be, and gives back the first failure.
///
/// # Errors
/// Nothing is removed if one of the ids is unknown.
async fn remove_all(
    store: &dyn Store,
    remove: &Remove,
) -> anyhow::Result<(Vec<SessionId>, Option<Error>)> {
    let access = if remove.take_over { Access::TakeOver } else { Access::IfFree };
    let mut sessions = Vec::new();
    for id in &remove.ids {
        sessions.push(find(store, id).await?.session);
    }
    let (mut removed, mut failed) = (Vec::new(), None);
    for session in sessions {
        match store.remove(&session, access).await {
            Ok(true) => removed.push(session),
            Ok(false) => {} // Named twice, or removed by somebody else.
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    Ok((removed, failed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::past::tests::{WHOLE, journal};
    use crate::store::{Journal, MemoryStore};

    #[test]
    fn nothing_is_removed_for_a_typo_and_a_busy_session_does_not_keep_the_others() {
        crate::testing::run(async {
            let store = MemoryStore::keeping();
            for id in ["a", "b", "c"] {
                let session = SessionId::new(id);
                let epoch = store.open(&session, Access::IfFree).await.unwrap();
                store.append(&session, 0, epoch, journal(&WHOLE).into()).await.unwrap();
                if id != "b" {
                    store.close(&session, epoch);
                }
            }
            let remove = |ids: &[&str], take_over| {
                let ids = ids.iter().map(|id| (*id).to_owned()).collect();
                Remove { ids, take_over }
            };
            let typo = remove_all(&store, &remove(&["a", "x"], false)).await.unwrap_err();
            assert_eq!(typo.to_string(), "no such session: `x`");
            let (removed, failed) =
                remove_all(&store, &remove(&["b", "a", "a"], false)).await.unwrap();
            assert_eq!(removed, [SessionId::new("a")]);
            assert!(matches!(failed, Some(Error::Busy { .. })), "{failed:?}");
            let (removed, failed) = remove_all(&store, &remove(&["b", "c"], true)).await.unwrap();
            assert_eq!((removed.len(), failed), (2, None));
        });
    }
}
