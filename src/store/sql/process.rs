//! Who this process is, and whether another one still runs.

use std::fs;
use std::sync::Arc;

use crate::store::Owner;

/// A process, such that it cannot be mistaken for another one of the same number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct Process {
    /// The name of its host, for people.
    pub host: Arc<str>,
    /// What tells the host, since it was started, from every other one, containers included; empty
    /// where that is not known.
    pub host_key: String,
    pub pid: u64,
    /// When it began, in its host's ticks since the start; 0 where that is not known.
    pub started: u64,
}

impl Process {
    /// This one.
    pub fn current() -> Self {
        let pid = std::process::id();
        Self {
            host: host().into(),
            host_key: host_key().unwrap_or_default(),
            pid: pid.into(),
            started: started(pid.into()).unwrap_or_default(),
        }
    }

    /// Says whether `other` runs, if that can be seen from here: on the same host.
    pub fn sees_running(&self, other: &Self) -> Option<bool> {
        let is_here = !self.host_key.is_empty() && self.host_key == other.host_key;
        if !is_here || other.started == 0 || self.started == 0 {
            return None;
        }
        match started(other.pid) {
            Some(started) => Some(started == other.started),
            // Processes of other users may be hidden; the first one is never ours, unless we are it.
            None => started(1).map(|_| false),
        }
    }

    /// What is said of it to others.
    pub fn owner(&self, is_here: bool) -> Owner {
        let pid = u32::try_from(self.pid).unwrap_or_default();
        Owner { host: Arc::clone(&self.host), pid, is_here }
    }
}

fn host() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname");
    let name = name.ok().or_else(|| std::env::var("HOSTNAME").ok());
    let name = name.as_deref().map(str::trim).filter(|name| !name.is_empty());
    name.unwrap_or("localhost").to_owned()
}

/// The start of the kernel and the namespace that process numbers belong to.
fn host_key() -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{} {}", boot.trim(), namespace.display()))
}

/// When process `pid` began, in ticks since the start of the kernel; `None` if there is none.
fn started(pid: u64) -> Option<u64> {
    started_in(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The 22nd field. The second one is the program's name in brackets, with whatever is in it.
fn started_in(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    if matches!(fields.next()?, "Z" | "X" | "x") {
        return None; // It has ended, and its parent has not looked yet.
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_of_a_process_is_read_whatever_its_name_is() {
        let fields = "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20 21";
        assert_eq!(started_in(&format!("7 (a) b (c) S {fields}")), Some(4711));
        assert_eq!(
            started_in(&format!("7 (a) Z {fields}")),
            None,
            "a zombie does nothing any more"
        );
        assert_eq!(started_in("7 (a"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_of_this_host_is_known_to_run_or_not() {
        let own = Process::current();
        assert_eq!(own.sees_running(&own), Some(true));
        let later = Process { started: own.started + 1, ..own.clone() };
        assert_eq!(own.sees_running(&later), Some(false), "the number was given to another one");
        let gone = Process { pid: u64::from(u32::MAX), ..own.clone() };
        assert_eq!(own.sees_running(&gone), Some(false));
        let elsewhere = Process { host_key: "another".to_owned(), ..own.clone() };
        assert_eq!(own.sees_running(&elsewhere), None);
    }
}
