//! The large results of a session, in its journal.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use tracing::warn;

use crate::conversation::{ResultId, ResultPart, SessionId};
use crate::store::Journal;
use crate::tools::LargeResults;

/// Keeps the large results of one session in the journal that has its records.
pub(super) struct ResultKeeper {
    journal: Arc<dyn Journal>,
    session: SessionId,
}

impl ResultKeeper {
    /// Those of `session`.
    pub fn boxed(journal: &Arc<dyn Journal>, session: &SessionId) -> Box<dyn LargeResults> {
        Box::new(Self { journal: Arc::clone(journal), session: session.clone() })
    }
}

impl LargeResults for ResultKeeper {
    fn keep(&self, result: Arc<str>) -> LocalBoxFuture<'static, Option<ResultId>> {
        let keeping = self.journal.keep_result(&self.session, result);
        let kept = keeping.map(|kept| match kept {
            Ok(id) => Some(id),
            Err(error) => {
                warn!(%error, "a large result is cut: it could not be kept");
                None
            }
        });
        kept.boxed_local()
    }

    fn part(
        &self,
        id: &ResultId,
        offset: u64,
        max_bytes: usize,
    ) -> LocalBoxFuture<'static, Result<Option<ResultPart>, String>> {
        let reading = self.journal.result_part(&self.session, id, offset, max_bytes);
        let part = reading.map(|part| {
            part.map_err(|error| {
                warn!(%error, "a large result could not be read");
                "the result could not be read: the store failed; it may be tried again".to_owned()
            })
        });
        part.boxed_local()
    }
}
