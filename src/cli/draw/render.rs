//! A round's report as plain lines, for logs and pipes, and the words its other drawings share.

use std::fmt::Write;
use std::time::Duration;

use super::width::{fit, one_line};
use crate::conversation::OutcomeKind;
use crate::supervision::{CallReport, ModelRetry, RoundReport};

/// The most columns of arguments on a plain line.
const ARGUMENTS: usize = 80;

/// Draws a round off a terminal: a line for the round, one per try of the reply that came to nothing,
/// one per call. Nothing but foreign text is outside ASCII, and that is cleaned.
pub fn round_lines(report: &RoundReport) -> String {
    let RoundReport { round, mode, model, wall, sum, saved, speedup, .. } = report;
    let mut lines = format!(
        "round {round}: {}, {}, model {}, wall {}, sum {}, saved {}, speedup {speedup:.2}",
        calls(report.calls.len()),
        mode.as_str(),
        exact(*model),
        exact(*wall),
        exact(*sum),
        exact(*saved),
    );
    if !report.overlap.is_zero() {
        let _ = write!(lines, ", overlap {}", exact(report.overlap));
    }
    let counts = [
        ("restarts", report.restarts as usize),
        ("discarded", report.discarded.len()),
        ("retries", report.retries.len()),
    ];
    for (name, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
        let _ = write!(lines, ", {name} {count}");
    }
    lines.push('\n');
    lines += &tries(&report.retries);
    for asked in asked_calls(report) {
        lines += &call_line(report, asked);
    }
    lines
}

/// Draws the tries off a terminal that came to nothing of a reply that led to no round.
pub fn retry_lines(retries: &[ModelRetry]) -> String {
    format!("last reply: retries {}\n", retries.len()) + &tries(retries)
}

/// A line per try that came to nothing.
fn tries(retries: &[ModelRetry]) -> String {
    (1..).zip(retries).map(|(number, retry)| retry_line(number, retry)).collect()
}

fn retry_line(number: usize, retry: &ModelRetry) -> String {
    format!(
        "  try {number} {} {} failed {} waited {} error: {}\n",
        one_line(&retry.model),
        one_line(&retry.error.code),
        exact(retry.failed),
        exact(retry.waited),
        one_line(&retry.error.message),
    )
}

fn call_line(report: &RoundReport, asked: Asked<'_>) -> String {
    let call = asked.call;
    let mut line = format!(
        "  {} {} {} {} queued {} ran {}",
        one_line(&call.id),
        one_line(&call.tool),
        fit(&arguments(call), ARGUMENTS, "..."),
        outcome(asked),
        exact(call.queued),
        exact(call.ran),
    );
    for (name, time) in
        [("startup", call.startup), ("back-off", call.backoff), ("waited", call.waited)]
    {
        let time = exact(time);
        if time != exact(Duration::ZERO) {
            let _ = write!(line, " {name} {time}");
        }
    }
    if call.early {
        line += " early";
    }
    if is_critical(report, asked) {
        line += " critical";
    }
    if let Some(problem) = &call.error {
        let _ = write!(line, " error: {}", one_line(&problem.message));
    }
    line + "\n"
}

/// A call that was asked for, once and for all or only while the reply was being written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) call: &'a CallReport,
    /// The finished reply did not ask for it.
    pub(super) is_discarded: bool,
}

/// The calls of the reply in their order, then those that were discarded.
pub(super) fn asked_calls(report: &RoundReport) -> impl Iterator<Item = Asked<'_>> {
    let asked = |is_discarded| move |call| Asked { call, is_discarded };
    report.calls.iter().map(asked(false)).chain(report.discarded.iter().map(asked(true)))
}

/// Counts calls in words.
pub(super) fn calls(count: usize) -> String {
    if count == 1 { "1 call".to_owned() } else { format!("{count} calls") }
}

/// Says whether the round waited for the call to the end. One that was discarded may have had the
/// same id.
pub(super) fn is_critical(report: &RoundReport, Asked { call, is_discarded }: Asked<'_>) -> bool {
    !is_discarded && report.critical_call.as_deref() == Some(&*call.id)
}

/// Returns the arguments on one line; `-` for those that could not be read.
pub fn arguments(call: &CallReport) -> String {
    call.arguments.as_deref().map_or_else(|| "-".to_owned(), one_line)
}

/// Names how the call ended, after how many tries if there was more than one, and whether for nothing.
pub(super) fn outcome(Asked { call, is_discarded }: Asked<'_>) -> String {
    let open = if call.awaits_approval { "waits for approval" } else { "unfinished" };
    let mut outcome = call.outcome.map_or(open, OutcomeKind::as_str).to_owned();
    if call.attempts > 1 {
        let _ = write!(outcome, ", {} tries", call.attempts);
    }
    if let Some(reused) = call.reused {
        let _ = write!(outcome, ", {}", reused.as_str());
    }
    if is_discarded {
        outcome += ", discarded";
    }
    outcome
}

/// Writes a time to a tenth of a millisecond.
fn exact(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

/// Writes a time in at most seven columns, with as many digits as a person reads.
pub fn short(time: Duration) -> String {
    let millis = time.as_secs_f64() * 1000.0;
    match millis {
        ..0.05 => "0 ms".to_owned(),
        ..9.95 => format!("{millis:.1} ms"),
        ..9999.5 => format!("{millis:.0} ms"),
        ..99_950.0 => format!("{:.1} s", millis / 1000.0),
        ..9_999_500.0 => format!("{:.0} s", millis / 1000.0),
        _ => format!("{:.0} h", millis / 3_600_000.0),
    }
}

#[cfg(test)]
pub(in crate::cli) mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::conversation::{Mode, Problem};

    pub(crate) fn tenths(tenths: u64) -> Duration {
        Duration::from_micros(tenths * 100)
    }

    pub(crate) fn call(number: usize, tool: &str, arguments: &str, ran: u64) -> CallReport {
        CallReport {
            id: format!("call_{number}").into(),
            tool: tool.into(),
            arguments: Some(arguments.into()),
            outcome: Some(OutcomeKind::Ok),
            result: None,
            attempts: 1,
            reused: None,
            worker_generation: 0,
            queued: Duration::ZERO,
            started: Duration::ZERO,
            early: false,
            startup: Duration::ZERO,
            backoff: Duration::ZERO,
            waited: Duration::ZERO,
            awaits_approval: false,
            ran: tenths(ran),
            error: None,
        }
    }

    pub(crate) fn round(calls: Vec<CallReport>) -> RoundReport {
        RoundReport {
            round: 1,
            mode: Mode::Parallel,
            model: tenths(2103),
            first_token: Some(tenths(950)),
            dispatched: Some(tenths(2103)),
            clock: tenths(5124),
            wall: tenths(3012),
            sum: tenths(9021),
            saved: tenths(6009),
            speedup: 2.995,
            overlap: Duration::ZERO,
            overhead: tenths(9),
            critical_call: Some(Arc::from("call_1")),
            restarts: 0,
            calls,
            discarded: Vec::new(),
            retries: Vec::new(),
        }
    }

    /// Three calls that end well.
    pub(crate) fn good_round() -> RoundReport {
        round(vec![
            call(1, "get_weather", r#"{"city":"Tokyo"}"#, 3010),
            call(2, "get_stock_price", r#"{"symbol":"ACME"}"#, 3005),
            call(3, "get_news_headlines", r#"{"topic":"日本の経済","limit":5}"#, 3006),
        ])
    }

    /// One of each: a queue, a panic with back-off, a time-out, foreign text that means harm.
    pub(crate) fn bad_round() -> RoundReport {
        let mut report = good_round();
        report.restarts = 1;
        report.critical_call = Some(Arc::from("call_2"));
        report.calls[0].queued = tenths(400);
        report.calls[0].ran = tenths(1500);
        let panicked = &mut report.calls[1];
        panicked.outcome = Some(OutcomeKind::Panicked);
        panicked.attempts = 2;
        panicked.backoff = tenths(1000);
        panicked.ran = tenths(2012);
        panicked.error =
            Some(Problem { code: "panicked".into(), message: "tool panicked\n".into() });
        let timed_out = &mut report.calls[2];
        timed_out.outcome = Some(OutcomeKind::TimedOut);
        timed_out.arguments = Some("{\n  \"topic\": \"\u{1b}[2J🌦 \u{202e}x\"\n}".into());
        report
    }

    /// A call that was right in the third try, one that waited for its turn and for its worker, one
    /// of a tool that was withdrawn and one for which there was no room.
    pub(crate) fn cared_for_round() -> RoundReport {
        let mut report = round(vec![
            call(1, "get_weather", r#"{"city":"Tokyo"}"#, 1200),
            call(2, "get_stock_price", r#"{"symbol":"ACME"}"#, 1000),
            call(3, "get_news_headlines", r#"{"topic":"AI"}"#, 0),
            call(4, "get_news_headlines", r#"{"topic":"UN"}"#, 0),
        ]);
        report.calls[0].attempts = 3;
        report.calls[0].backoff = tenths(1800);
        report.calls[1].queued = tenths(1000);
        report.calls[1].backoff = tenths(1000);
        let refused = [
            (OutcomeKind::Unavailable, "out of service; not run, it is tried again in 29.6 s"),
            (OutcomeKind::Overloaded, "1000 calls wait already; not run, ask again later"),
        ];
        for (call, (kind, message)) in report.calls[2..].iter_mut().zip(refused) {
            (call.outcome, call.attempts) = (Some(kind), 0);
            call.error = Some(Problem { code: kind.as_str().into(), message: message.into() });
        }
        report
    }

    /// Two calls, the first of which begins when the second opens, both before the reply ends.
    pub(crate) fn early_round() -> RoundReport {
        let mut report = round(vec![
            call(1, "get_weather", r#"{"city":"Tokyo"}"#, 3000),
            call(2, "get_stock_price", r#"{"symbol":"ACME"}"#, 3000),
        ]);
        for call in &mut report.calls {
            call.early = true;
        }
        report.calls[1].started = tenths(2000);
        report.model = tenths(5000);
        report.dispatched = Some(tenths(2100));
        (report.wall, report.overlap, report.clock) = (tenths(5000), tenths(2900), tenths(7109));
        (report.sum, report.saved, report.speedup) = (tenths(6000), tenths(1000), 1.2);
        report.critical_call = Some(Arc::from("call_2"));
        report
    }

    /// A reply that broke off: one of its calls had ended by then, one goes on until the next try of
    /// the reply has ended and has not asked for it.
    pub(crate) fn retried_round() -> RoundReport {
        let mut report = round(vec![call(1, "get_weather", r#"{"city":"Tokyo"}"#, 3000)]);
        report.calls[0].early = true;
        report.calls[0].started = tenths(9000);
        let mut ended = call(1, "get_weather", r#"{"city":"Kyoto"}"#, 1000);
        let mut stopped = call(2, "get_stock_price", "{\"symbol\":\"\u{1b}[2JACME\"}", 8500);
        (ended.early, stopped.early) = (true, true);
        stopped.started = tenths(1500);
        stopped.outcome = Some(OutcomeKind::Cancelled);
        let message = "the finished reply does not ask for it".to_owned();
        stopped.error = Some(Problem { code: "cancelled".into(), message });
        report.discarded = vec![ended, stopped];
        let message =
            "the reply of http://127.0.0.1:1/v1 was cut:\n\u{1b}[2Jend of file in a chunk";
        report.retries = vec![ModelRetry {
            model: "some/model".into(),
            error: Problem { code: "stream_cut".into(), message: message.to_owned() },
            failed: tenths(4000),
            waited: tenths(5000),
        }];
        report.model = tenths(12_000);
        report.dispatched = Some(tenths(2000));
        (report.wall, report.overlap, report.clock) =
            (tenths(11_500), tenths(9500), tenths(14_009));
        (report.sum, report.saved, report.speedup) = (tenths(12_500), tenths(1000), 1.087);
        report
    }

    #[test]
    fn a_good_round_as_plain_lines() {
        let expected = "\
round 1: 3 calls, parallel, model 210.3 ms, wall 301.2 ms, sum 902.1 ms, saved 600.9 ms, speedup 3.00
  call_1 get_weather {\"city\":\"Tokyo\"} ok queued 0.0 ms ran 301.0 ms critical
  call_2 get_stock_price {\"symbol\":\"ACME\"} ok queued 0.0 ms ran 300.5 ms
  call_3 get_news_headlines {\"topic\":\"日本の経済\",\"limit\":5} ok queued 0.0 ms ran 300.6 ms
";
        assert_eq!(round_lines(&good_round()), expected);
    }

    #[test]
    fn a_bad_round_as_plain_lines() {
        let expected = "\
round 1: 3 calls, parallel, model 210.3 ms, wall 301.2 ms, sum 902.1 ms, saved 600.9 ms, speedup 3.00, restarts 1
  call_1 get_weather {\"city\":\"Tokyo\"} ok queued 40.0 ms ran 150.0 ms
  call_2 get_stock_price {\"symbol\":\"ACME\"} panicked, 2 tries queued 0.0 ms ran 201.2 ms back-off 100.0 ms critical error: tool panicked
  call_3 get_news_headlines { \"topic\": \"🌦 x\" } timed_out queued 0.0 ms ran 300.6 ms
";
        assert_eq!(round_lines(&bad_round()), expected);
    }

    #[test]
    fn plain_lines_say_how_often_a_call_was_tried_and_why_another_was_not_run() {
        let expected = "\
round 1: 4 calls, parallel, model 210.3 ms, wall 301.2 ms, sum 902.1 ms, saved 600.9 ms, speedup 3.00
  call_1 get_weather {\"city\":\"Tokyo\"} ok, 3 tries queued 0.0 ms ran 120.0 ms back-off 180.0 ms critical
  call_2 get_stock_price {\"symbol\":\"ACME\"} ok queued 100.0 ms ran 100.0 ms back-off 100.0 ms
  call_3 get_news_headlines {\"topic\":\"AI\"} unavailable queued 0.0 ms ran 0.0 ms error: out of service; not run, it is tried again in 29.6 s
  call_4 get_news_headlines {\"topic\":\"UN\"} overloaded queued 0.0 ms ran 0.0 ms error: 1000 calls wait already; not run, ask again later
";
        assert_eq!(round_lines(&cared_for_round()), expected);
    }

    #[test]
    fn an_early_round_as_plain_lines() {
        let expected = "\
round 1: 2 calls, parallel, model 500.0 ms, wall 500.0 ms, sum 600.0 ms, saved 100.0 ms, speedup 1.20, overlap 290.0 ms
  call_1 get_weather {\"city\":\"Tokyo\"} ok queued 0.0 ms ran 300.0 ms early
  call_2 get_stock_price {\"symbol\":\"ACME\"} ok queued 0.0 ms ran 300.0 ms early critical
";
        assert_eq!(round_lines(&early_round()), expected);
    }

    #[test]
    fn a_reply_that_broke_off_and_its_calls_as_plain_lines() {
        let expected = "\
round 1: 1 call, parallel, model 1200.0 ms, wall 1150.0 ms, sum 1250.0 ms, saved 100.0 ms, speedup 1.09, overlap 950.0 ms, discarded 2, retries 1
  try 1 some/model stream_cut failed 400.0 ms waited 500.0 ms error: the reply of http://127.0.0.1:1/v1 was cut: end of file in a chunk
  call_1 get_weather {\"city\":\"Tokyo\"} ok queued 0.0 ms ran 300.0 ms early critical
  call_1 get_weather {\"city\":\"Kyoto\"} ok, discarded queued 0.0 ms ran 100.0 ms early
  call_2 get_stock_price {\"symbol\":\"ACME\"} cancelled, discarded queued 0.0 ms ran 850.0 ms early error: the finished reply does not ask for it
";
        assert_eq!(round_lines(&retried_round()), expected);
    }

    #[test]
    fn the_tries_of_a_reply_without_calls_as_plain_lines() {
        let expected = "\
last reply: retries 1
  try 1 some/model stream_cut failed 400.0 ms waited 500.0 ms error: the reply of http://127.0.0.1:1/v1 was cut: end of file in a chunk
";
        assert_eq!(retry_lines(&retried_round().retries), expected);
    }

    #[test]
    fn times_are_short() {
        let texts = [0, 4, 99, 100, 3012, 99_994, 99_996, 999_600, 40_000_000]
            .map(|time| short(tenths(time)));
        assert_eq!(
            texts,
            ["0 ms", "0.4 ms", "9.9 ms", "10 ms", "301 ms", "9999 ms", "10.0 s", "100 s", "4000 s"]
        );
    }
}
