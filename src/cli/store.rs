//! The store of the settings, and how a session in it is found.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::args::Which;
use super::data_dir::data_dir;
use super::setup;
use super::status::UsageError;
use crate::config::Config;
use crate::conversation::{Record, SessionId};
use crate::store::{Error, Listing, Store, Summary};

/// How long the end of a command waits until nobody else holds its store.
const LETTING_GO: Duration = Duration::from_millis(500);

/// How often it looks.
const LOOK: Duration = Duration::from_millis(1);

/// An open store. Dropping it frees the sessions that this process has open, so that nobody has to find
/// out that it is gone. Make it before all that holds it too.
pub(super) struct Opened(Arc<dyn Store>);

impl Opened {
    /// For one who holds it for less long.
    pub fn share(&self) -> Arc<dyn Store> {
        Arc::clone(&self.0)
    }
}

impl Deref for Opened {
    type Target = dyn Store;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl Drop for Opened {
    /// The threads that ran sessions let go of it in their own time, and the process would not wait for
    /// what the last of them begins. One that a tool blocks never does.
    fn drop(&mut self) {
        let until = Instant::now() + LETTING_GO;
        while Arc::strong_count(&self.0) > 1 && Instant::now() < until {
            std::thread::sleep(LOOK);
        }
    }
}

/// Opens the store of the settings. A relative path of it begins in the user's data directory.
///
/// # Errors
/// [`UsageError`] where that directory is needed and not known; those of [`crate::store::open`].
pub(super) async fn open(config: &Config) -> anyhow::Result<Opened> {
    let url = &*config.store_url()?;
    let directory = match data_dir(config.variables()) {
        Some(directory) => directory,
        None if needs_directory(url) => {
            let message =
                "there is no place for the store: set XDG_DATA_HOME or HOME, or store.url";
            return Err(UsageError(message.into()).into());
        }
        None => PathBuf::new(),
    };
    Ok(Opened(crate::store::open(url, &config.store_options(directory)).await?))
}

/// Says whether `url` names a file by a relative path.
fn needs_directory(url: &str) -> bool {
    url.strip_prefix("sqlite:")
        .is_some_and(|path| !Path::new(path.strip_prefix("//").unwrap_or(path)).is_absolute())
}

/// Says whether sessions are there after the process has ended.
pub(super) fn outlives_process(config: &Config) -> bool {
    config.store.url.shown() != "memory:"
}

/// Which session was asked for; `None` for a new one.
///
/// # Errors
/// [`UsageError`] for an id that is none, and where there is no last session.
pub(super) async fn which(
    store: &dyn Store,
    place: &Which,
) -> anyhow::Result<Option<(SessionId, Option<Summary>)>> {
    if let Some(id) = &place.session {
        let id = setup::session_id(id)?;
        let known = store.find(&id).await?;
        return Ok(Some((id, known)));
    }
    if !place.last {
        return Ok(None);
    }
    let last = store.list(&Listing { limit: 1, ..Listing::default() }).await?;
    let last = last.sessions.into_iter().next();
    let last = last.ok_or_else(|| UsageError("no session is stored yet".into()))?;
    Ok(Some((last.session.clone(), Some(last))))
}

/// What is known of the session that was typed.
///
/// # Errors
/// [`Error::NotFound`] if there is none.
pub(super) async fn find(store: &dyn Store, id: &str) -> anyhow::Result<Summary> {
    let session = setup::session_id(id)?;
    let found = store.find(&session).await?;
    Ok(found.ok_or(Error::NotFound { session })?)
}

/// All records of a session.
pub(super) async fn read(store: &dyn Store, session: &SessionId) -> Result<Vec<Record>, Error> {
    store.read(session, 0).await
}
