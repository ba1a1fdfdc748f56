//! The watchdog finds arbiters whose thread something blocks. Such a thing cannot be ended, but it
//! can be named, and new sessions can be placed elsewhere.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use actix::WeakAddr;
use tracing::{error, warn};

use super::host::{Host, Ping};
use super::pulse::Pulse;
use super::vigil::{Look, News, Vigil};

/// A thread that asks each host now and then whether it is there. It ends when this is dropped.
pub(super) struct Watchdog {
    _stop: mpsc::Sender<()>,
}

impl Watchdog {
    /// Watches `hosts`; one that has not answered for `limit` is stuck, and `on_stuck` is told.
    pub fn start(
        hosts: Vec<(WeakAddr<Host>, Arc<Pulse>)>,
        limit: Duration,
        on_stuck: impl Fn(usize) + Send + 'static,
    ) -> io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let watchdog = std::thread::Builder::new().name("callsheet-watchdog".into());
        watchdog.spawn(move || watch(&hosts, limit, &stopped, on_stuck))?;
        Ok(Self { _stop: stop })
    }
}

fn watch(
    hosts: &[(WeakAddr<Host>, Arc<Pulse>)],
    limit: Duration,
    stopped: &mpsc::Receiver<()>,
    on_stuck: impl Fn(usize),
) {
    let mut vigil = Vigil::new(hosts.len(), limit, Instant::now());
    loop {
        let now = Instant::now();
        let Look { news, ask, next } = vigil.look(now, |host| match hosts[host].0.upgrade() {
            Some(_) => hosts[host].1.heard(),
            None => now, // It has ended, and holds nobody up.
        });
        news.iter().for_each(|news| tell(news, hosts)); // First all: none is moved to one that is stuck.
        for news in news {
            match news {
                News::Stuck { arbiter, .. } => on_stuck(arbiter),
                // There may have been no other place for the sessions of those that are still stuck.
                News::AnswersAgain { .. } => {
                    (0..hosts.len()).filter(|host| hosts[*host].1.is_stuck()).for_each(&on_stuck);
                }
            }
        }
        for host in ask {
            if let Some(address) = hosts[host].0.upgrade() {
                address.do_send(Ping);
            }
        }
        let pause = next.saturating_duration_since(Instant::now());
        if stopped.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
            return;
        }
    }
}

fn tell(news: &News, hosts: &[(WeakAddr<Host>, Arc<Pulse>)]) {
    match *news {
        News::Stuck { arbiter, silent_for } => {
            let pulse = &hosts[arbiter].1;
            pulse.mark(true);
            match pulse.breadcrumb.tool() {
                Some(tool) => error!(arbiter, %tool, ?silent_for, "tool blocks its arbiter"),
                None => error!(arbiter, ?silent_for, "arbiter does not answer"),
            }
        }
        News::AnswersAgain { arbiter, stuck_for } => {
            let (address, pulse) = &hosts[arbiter];
            pulse.mark(false);
            if address.upgrade().is_some() {
                warn!(arbiter, ?stuck_for, "arbiter answers again");
            }
        }
    }
}
