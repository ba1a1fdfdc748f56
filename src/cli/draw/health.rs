//! The condition of a tool, and the limits of its calls, in words.

use std::time::Duration;

use super::render::short;
use super::width::one_line;
use crate::tools::{Caching, CallLimits, RateLimit, ToolHealth};

/// Puts the condition of a tool into words. What is 0 and usually is goes without saying.
pub fn condition(health: &ToolHealth) -> String {
    let ToolHealth { restarts, withdrawals, waiting, running, abandoned_threads, .. } = health;
    let mut facts =
        vec![circuit(health), count(*restarts, "restart"), count(*withdrawals, "withdrawal")];
    if *waiting > 0 {
        facts.push(format!("{waiting} waiting"));
    }
    if let Some(running) = running.filter(|running| *running > 0) {
        facts.push(format!("{running} running"));
    }
    if *abandoned_threads > 0 {
        facts.push(count(*abandoned_threads as u64, "abandoned thread"));
    }
    if let Some(failure) = &health.last_failure {
        facts.push(format!("last failure: {}", one_line(failure)));
    }
    facts.join(", ")
}

fn circuit(health: &ToolHealth) -> String {
    match health.retry_after_ms {
        Some(after) => format!("{} for {}", health.circuit, short(Duration::from_millis(after))),
        None => health.circuit.to_owned(),
    }
}

/// Counts in words.
pub fn count(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// Puts the limits of a tool's calls into words; `time_limit` is that of one call. What is not set
/// goes without saying.
pub fn limits(limits: &CallLimits, time_limit: Duration) -> String {
    let mut facts = vec![format!("{} a call", time(time_limit))];
    if let Some(limit) = limits.attempt_time_limit {
        facts.push(format!("{} a try", time(limit)));
    }
    if let Some(limit) = limits.silence_limit {
        facts.push(format!("{} of silence", time(limit)));
    }
    match limits.retries {
        0 => {}
        1 => facts.push("1 retry".to_owned()),
        retries => facts.push(format!("{retries} retries")),
    }
    if let Some(calls) = limits.max_concurrency {
        facts.push(format!("{calls} at a time"));
    }
    if limits.exclusive {
        facts.push("1 at a time in a session".to_owned());
    }
    if let Some(argument) = &limits.serial_by {
        facts.push(format!("1 at a time by {}", one_line(argument)));
    }
    if let Some(RateLimit { calls, per }) = limits.rate {
        facts.push(format!("{calls} in {}", time(per)));
    }
    if limits.single_flight {
        facts.push("identical calls run once".to_owned());
    }
    if let Some(Caching { lifetime, scope }) = limits.caching {
        facts.push(format!("results kept {} in the {}", time(lifetime), scope.as_str()));
    }
    facts.push(format!("{} may wait", limits.max_queue));
    facts.join(", ")
}

/// Writes a time as it was set, in seconds.
fn time(time: Duration) -> String {
    format!("{} s", time.as_secs_f64())
}

#[cfg(test)]
pub(in crate::cli) mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::tools::CacheScope;

    /// A tool that was never in trouble.
    pub(crate) fn well(tool: &str) -> ToolHealth {
        ToolHealth {
            tool: tool.into(),
            circuit: "closed",
            retry_after_ms: None,
            restarts: 0,
            withdrawals: 0,
            last_failure: None,
            waiting: 0,
            running: None,
            abandoned_threads: 0,
        }
    }

    #[test]
    fn a_tool_that_is_well_has_little_to_say() {
        assert_eq!(condition(&well("t")), "closed, 0 restarts, 0 withdrawals");
        let idle = ToolHealth { running: Some(0), ..well("t") };
        assert_eq!(condition(&idle), condition(&well("t")));
    }

    #[test]
    fn a_tool_in_trouble_says_all_of_it_on_one_line() {
        let ill = ToolHealth {
            circuit: "open",
            retry_after_ms: Some(29_600),
            restarts: 6,
            withdrawals: 1,
            last_failure: Some("boom\n\u{1b}[2J".into()),
            waiting: 2,
            running: Some(3),
            abandoned_threads: 1,
            ..well("t")
        };
        let expected = "open for 29.6 s, 6 restarts, 1 withdrawal, 2 waiting, 3 running, \
            1 abandoned thread, last failure: boom";
        assert_eq!(condition(&ill), expected);
        let probed = ToolHealth { circuit: "half-open", retry_after_ms: None, ..ill };
        assert!(condition(&probed).starts_with("half-open, 6 restarts"));
    }

    #[test]
    fn limits_that_are_not_set_go_without_saying() {
        let five = Duration::from_secs(5);
        assert_eq!(limits(&CallLimits::default(), five), "5 s a call, 1000 may wait");
        let all = CallLimits {
            time_limit: Some(five),
            retries: 2,
            attempt_time_limit: Some(Duration::from_millis(1500)),
            silence_limit: Some(Duration::from_secs(1)),
            max_concurrency: Some(8),
            exclusive: true,
            serial_by: Some("city".into()),
            rate: Some(RateLimit { calls: NonZeroU32::MIN, per: Duration::from_secs(2) }),
            max_queue: 0,
            single_flight: true,
            caching: Some(Caching { lifetime: five, scope: CacheScope::Process }),
        };
        let expected = "5 s a call, 1.5 s a try, 1 s of silence, 2 retries, 8 at a time, \
            1 at a time in a session, 1 at a time by city, 1 in 2 s, \
            identical calls run once, results kept 5 s in the process, 0 may wait";
        assert_eq!(limits(&all, five), expected);
    }
}
