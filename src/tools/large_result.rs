//! Results that are too large for the model: somebody keeps the whole, and the model is told the
//! beginning and how to read on.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use tokio::time::{Instant, timeout_at};

use super::read_result::READ_RESULT;
use super::result_limit::{self, ResultLimit};
use super::terms::Terms;
use crate::conversation::{Outcome, ResultId, ResultPart, StoredResult};

/// The part of its limit that the beginning of a larger result, or a page of it, takes unless the
/// model asks for more: one in so many bytes. It can read on, and often need not.
const SHARE: usize = 4;

/// Keeps the results of one session that are too large for the model.
pub(crate) trait LargeResults {
    /// Keeps `result`; `None` if that cannot be done.
    fn keep(&self, result: Arc<str>) -> LocalBoxFuture<'static, Option<ResultId>>;

    /// At most `max_bytes` of the result `id` from byte `offset` on; `None` if the session has none of
    /// that name.
    ///
    /// # Errors
    /// What the model is told if the result cannot be read.
    fn part(
        &self,
        id: &ResultId,
        offset: u64,
        max_bytes: usize,
    ) -> LocalBoxFuture<'static, Result<Option<ResultPart>, String>>;
}

/// How much of a result the model is told at once, of those that may have `max_bytes`.
pub(super) fn page_bytes(max_bytes: usize) -> usize {
    max_bytes / SHARE
}

impl Terms {
    /// What a tool may say before it is cut: all, if a result that is too large is kept.
    pub(super) fn result_limit(&self) -> ResultLimit<'_> {
        let max_bytes = self.rules.max_result_bytes;
        let keeps = self.large_results.is_some() && self.reads_on.get();
        let result = if keeps { usize::MAX } else { max_bytes };
        ResultLimit { result, error: max_bytes, secrets: &self.rules.secrets }
    }

    /// Keeps the result of `outcome` if it is too large for the model: by `deadline`, for nobody waits
    /// for the call any longer. What comes of it is what the model is told: the beginning, and how to
    /// read on or that the rest is lost.
    pub(super) fn keep(
        &self,
        outcome: &Outcome,
        deadline: Instant,
    ) -> Option<LocalBoxFuture<'static, Outcome>> {
        let (whole, max_bytes) = (&outcome.content, self.rules.max_result_bytes);
        if !outcome.is_ok() || whole.len() <= max_bytes {
            return None;
        }
        let large_results = self.large_results.as_ref().filter(|_| self.reads_on.get())?;
        let keeping = large_results.keep(Arc::clone(whole));
        let whole = Arc::clone(whole);
        let told = async move {
            match timeout_at(deadline, keeping).await {
                Ok(Some(id)) => {
                    let bytes = u64::try_from(whole.len()).unwrap_or(u64::MAX);
                    Outcome::stored(beginning(&whole, max_bytes, &id), StoredResult { id, bytes })
                }
                Ok(None) | Err(_) => Outcome::ok(result_limit::cut_and_lost(&whole, max_bytes)),
            }
        };
        Some(told.boxed_local())
    }
}

/// The beginning of `whole`, which is kept as `id`.
fn beginning(whole: &str, max_bytes: usize, id: &ResultId) -> String {
    let (head, all) = (whole.floor_char_boundary(page_bytes(max_bytes)), whole.len());
    let told = &whole[..head];
    format!(
        "{told}\n[these are the first {head} of {all} bytes; the whole result is kept: read on with \
         the tool {READ_RESULT} and {{\"handle\":\"{id}\",\"offset\":{head}}}]"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_ends_between_characters_and_says_how_to_read_on() {
        let told = beginning(&"ä".repeat(50), 30, &ResultId::new("abc"));
        let rest = told.strip_prefix("äää\n[these are the first 6 of 100 bytes").unwrap();
        assert!(rest.ends_with(r#"read_result and {"handle":"abc","offset":6}]"#), "{rest}");
        assert!(beginning("abc", 0, &ResultId::new("i")).contains("first 0 of 3 bytes"));
    }
}
