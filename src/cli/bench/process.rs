//! What this process has cost so far, as Linux tells it; other systems tell nothing here.

use std::time::Duration;

/// The unit of `/proc/PID/stat`: the kernel gives every architecture in use 100 a second.
const TICK: Duration = Duration::from_millis(10);

/// The CPU time of all threads since the process began, to 10 ms.
pub fn cpu_time() -> Option<Duration> {
    cpu_time_in(&std::fs::read_to_string("/proc/self/stat").ok()?)
}

/// The most memory the process has held at once, in KiB.
pub fn peak_memory_kib() -> Option<u64> {
    peak_memory_in(&std::fs::read_to_string("/proc/self/status").ok()?)
}

/// How many files, connections among them, the process may have open at once.
pub fn open_files_limit() -> Option<u64> {
    open_files_limit_in(&std::fs::read_to_string("/proc/self/limits").ok()?)
}

/// User and system time. The command's name may hold blanks and brackets; what follows it does not.
fn cpu_time_in(stat: &str) -> Option<Duration> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11); // From the state to the children's faults.
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    TICK.checked_mul(user.checked_add(system)?)
}

fn peak_memory_in(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// The soft limit stands first. `unlimited` is none.
fn open_files_limit_in(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_user_and_system_time() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 2 3 4 250 50 6 7 20 0 9 0 123 4567 89";
        assert_eq!(cpu_time_in(stat), Some(Duration::from_secs(3)));
        assert_eq!(cpu_time_in("7 (a) S 1 7"), None);
        assert_eq!(cpu_time_in(""), None);
    }

    #[test]
    fn peak_memory_is_the_high_water_mark() {
        let status = "Name:\tcallsheet\nVmPeak:\t  999 kB\nVmHWM:\t   86420 kB\nVmRSS:\t 1 kB\n";
        assert_eq!(peak_memory_in(status), Some(86_420));
        assert_eq!(peak_memory_in("Name:\tcallsheet\n"), None);
    }

    #[test]
    fn the_limit_of_open_files_is_the_soft_one() {
        let limits = |soft| {
            format!(
                "Limit    Soft Limit   Hard Limit   Units\nMax open files   {soft}   4096   files\n"
            )
        };
        assert_eq!(open_files_limit_in(&limits("1024")), Some(1024));
        assert_eq!(open_files_limit_in(&limits("unlimited")), None);
        assert_eq!(open_files_limit_in(""), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_can_be_read() {
        assert!(cpu_time().is_some());
        assert!(peak_memory_kib() > Some(0));
        assert!(open_files_limit() != Some(0));
    }
}
