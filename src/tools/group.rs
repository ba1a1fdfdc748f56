//! Processes that belong together: a group of their own, which does not outlive what it is for.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// The groups of this process that have not been killed. Global, as child processes are.
static LIVE: Mutex<Live> = Mutex::new(Live { groups: BTreeSet::new(), is_over: false });

struct Live {
    groups: BTreeSet<Pid>,
    /// This process ends: no group may stay.
    is_over: bool,
}

/// A group of processes, killed when this is dropped.
///
/// The kill is SIGKILL, at once: a group that was given time to end would go on doing things after its
/// call has been answered, and nobody might be left to end it. What a program moves to another group
/// (`setsid`) is not found.
#[derive(Debug)]
pub(crate) struct Group(Pid);

impl Group {
    /// The group of the process `leader`, which was made its leader; `None` if it is reaped already.
    pub fn led_by(leader: Option<u32>) -> Option<Self> {
        let leader = Pid::from_raw(i32::try_from(leader?).ok()?);
        let group = Self(leader);
        let mut live = live();
        live.groups.insert(leader);
        if live.is_over {
            drop(live);
            return None; // And with it the group.
        }
        Some(group)
    }
}

#[cfg(feature = "mcp")]
impl Group {
    /// Asks all of it to end.
    pub fn ask_to_end(&self) {
        let _ = killpg(self.0, Signal::SIGTERM); // There may be nobody left.
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        kill(&mut live(), self.0);
    }
}

/// Kills all groups, and those that would begin: for the end of this process, where nothing is dropped.
#[cfg(feature = "cli")]
pub(crate) fn kill_all() {
    let mut live = live();
    live.is_over = true;
    while let Some(group) = live.groups.first().copied() {
        kill(&mut live, group);
    }
}

/// Kills a group once: a number that is free may become another's.
fn kill(live: &mut Live, group: Pid) {
    if live.groups.remove(&group) {
        // An error means that nobody is left, or nobody whom we may kill.
        let _ = killpg(group, Signal::SIGKILL);
    }
}

fn live() -> MutexGuard<'static, Live> {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner) // Each change is one step.
}
