//! Turns that were cut, and are gone on with.

use std::convert::Infallible;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::time::sleep;

use super::Server;
use super::sessions::is_cut;
use crate::session::Session;
use crate::store::{self, Listing, Summary};

/// So many are opened at a time.
const AT_A_TIME: usize = 16;

/// So many are looked at in one go.
const PAGE: usize = 100;

/// How often it is looked for more.
const EVERY: Duration = Duration::from_secs(60);

/// How long after the end of a lease.
const MARGIN: Duration = Duration::from_secs(1);

/// As many as are heard of until a turn goes on.
const AHEAD: usize = 8;

impl Server {
    /// Goes on with every turn that was cut, and says with how many once the last of them has begun. Those
    /// that somebody else has open are theirs. What is on record is not run again.
    ///
    /// Dropping the future stops no turn that has begun.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn resume_all(&self) -> Result<usize, store::Error> {
        let mut listing = Listing { limit: PAGE, open_only: true, ..Listing::default() };
        let mut resumed = 0;
        loop {
            let page = self.0.store.list(&listing).await?;
            let cut = page.sessions.iter().filter(|summary| is_cut(self, summary));
            let resuming = cut.map(|summary| self.resume(summary));
            let begun = stream::iter(resuming).buffer_unordered(AT_A_TIME);
            resumed += begun.filter(|begun| std::future::ready(*begun)).count().await;
            match page.next {
                Some(next) => listing.after = Some(next),
                None => return Ok(resumed),
            }
        }
    }

    /// Goes on with turns that were cut until the server [closes](Server::close): now, once more when
    /// owners that had just died are known to be dead, which takes `lease`, and then each minute. `tell`
    /// hears with how many, if there are any. A store that cannot be read is read again the next time.
    pub async fn keep_resuming(&self, lease: Duration, mut tell: impl FnMut(usize)) {
        let sweeping = async {
            let mut wait = lease + MARGIN;
            loop {
                match self.resume_all().await {
                    Ok(0) => {}
                    Ok(resumed) => tell(resumed),
                    Err(error) => tracing::warn!(%error, "cannot look for turns that were cut"),
                }
                sleep(wait).await;
                wait = EVERY;
            }
        };
        let mut closing = self.0.closing.subscribe();
        tokio::select! {
            biased;
            _ = closing.wait_for(|is_closing| *is_closing) => {}
            never = sweeping => { let never: Infallible = never; match never {} }
        }
    }

    /// Goes on with a turn, and says whether it does: somebody else may have been quicker.
    async fn resume(&self, summary: &Summary) -> bool {
        match self.enter(&summary.session) {
            Ok(used) => begins(&used.session).await,
            Err(_) => false,
        }
    }
}

/// Goes on with the turn that was cut, whoever waits for it, and waits until it has begun or is refused.
async fn begins(session: &Session) -> bool {
    let mut watch = session.watch(AHEAD);
    let mut asked = session.begin_resume();
    loop {
        tokio::select! {
            biased;
            _ = &mut asked => return asked.turn().is_some(),
            heard = watch.next() => if heard.is_none() || asked.turn().is_some() {
                return asked.turn().is_some();
            },
        }
    }
}
