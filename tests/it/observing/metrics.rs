//! `/metrics`: what a scraper reads is what the report says.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;

use callsheet::observe::Overview;
use callsheet::testing::{self, ScriptedModel, reply};
use callsheet::{Answer, Session, SessionOptions};

use super::numbers::{mixed, mixed_options};
use super::observed;
use crate::support::prometheus::{Format, Page};

const OPEN_METRICS: Option<&str> = Some("application/openmetrics-text");

async fn scraped(options: SessionOptions) -> (Arc<Overview>, Session, Answer) {
    let overview = Arc::new(Overview::new());
    let session = observed([overview.clone() as _]).session(options);
    let answer = session.ask("go").await.expect("the turn ends well");
    (overview, session, answer)
}

fn pages(overview: &Overview) -> [Page; 2] {
    let (content_type, open) = overview.metrics().encode(OPEN_METRICS);
    assert_eq!(content_type, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let (content_type, classic) = overview.metrics().encode(None);
    assert_eq!(content_type, "text/plain; version=0.0.4; charset=utf-8");
    [Page::read(&open, Format::OpenMetrics), Page::read(&classic, Format::Classic)]
}

#[test]
fn the_numbers_of_the_report_the_tools_and_the_metrics_agree() {
    testing::run(async {
        let (overview, _session, answer) = scraped(mixed_options(mixed())).await;
        let [round] = &answer.report.rounds[..] else { panic!("one round") };
        for page in pages(&overview) {
            for call in &round.calls {
                let outcome = call.outcome.expect("it has ended").as_str();
                let tool = if outcome == "unknown_tool" { "other" } else { &*call.tool };
                let labels = [("tool", tool), ("outcome", outcome)];
                let same = round
                    .calls
                    .iter()
                    .filter(|other| other.tool == call.tool && other.outcome == call.outcome);
                let counted = page.value("callsheet_calls_total", &labels);
                assert_eq!(counted, same.count() as f64, "{labels:?}");
            }
            let calls: f64 = page.all("callsheet_calls_total").map(|sample| sample.value).sum();
            assert_eq!(calls, round.calls.len() as f64);
            for tool in overview.tools().snapshot() {
                let label = [("tool", &*tool.name)];
                let by_outcome = page.all("callsheet_calls_total");
                let by_outcome = by_outcome.filter(|sample| sample.has("tool", &tool.name));
                assert_eq!(by_outcome.map(|sample| sample.value).sum::<f64>(), tool.calls as f64);
                assert_eq!(page.value("callsheet_calls_in_flight", &label), 0.0);
                let restarts = page.value("callsheet_worker_restarts_total", &label);
                assert_eq!(restarts, tool.restarts as f64);
            }
            let ran =
                |tool: &str| page.value("callsheet_call_duration_seconds_sum", &[("tool", tool)]);
            let sum = ran("sleep") + ran("fail") + ran("bomb");
            assert_eq!(sum, round.sum.as_secs_f64());
            let round_seconds = page.value("callsheet_round_duration_seconds_sum", &[]);
            assert_eq!(round_seconds, round.clock.as_secs_f64());
            assert_eq!(page.value("callsheet_rounds_total", &[("mode", "parallel")]), 1.0);
            assert_eq!(page.value("callsheet_turns_total", &[("end", "answered")]), 1.0);
            assert_eq!(page.value("callsheet_model_reply_duration_seconds_count", &[]), 2.0);
            let tokens = |kind| page.value("callsheet_model_tokens_total", &[("type", kind)]);
            assert_eq!(tokens("input"), answer.report.usage.input_tokens as f64);
            assert_eq!(tokens("output"), answer.report.usage.output_tokens as f64);
            assert_eq!(page.value("callsheet_sessions", &[("state", "awake")]), 1.0);
        }
    });
}

#[test]
fn the_model_s_time_and_the_journal_s_batches_are_counted() {
    testing::run(async {
        let late = crate::support::seconds(2);
        let calls = reply().call("sleep", r#"{"s": 1}"#).after(late);
        let model = ScriptedModel::new([calls, reply().text("done")]);
        let (overview, _session, answer) = scraped(mixed_options(model)).await;
        let [_, page] = pages(&overview);
        let model = page.value("callsheet_model_reply_duration_seconds_sum", &[]);
        assert_eq!(model, answer.report.rounds[0].model.as_secs_f64());
        let batches = page.value("callsheet_journal_batches_total", &[("result", "ok")]);
        assert_eq!(page.value("callsheet_journal_batch_duration_seconds_count", &[]), batches);
        assert!(page.value("callsheet_journal_records_total", &[]) >= batches && batches > 2.0);
    });
}

#[test]
fn names_from_a_model_or_a_provider_do_not_break_a_page_or_add_series_to_it() {
    testing::run(async {
        let odd = reply().call("no\"such\\tool\n{}", "{}").call("another", "{}");
        let model = ScriptedModel::new([odd, reply().text("done")]);
        let (overview, _session, _) = scraped(mixed_options(model)).await;
        for page in pages(&overview) {
            let labels = [("tool", "other"), ("outcome", "unknown_tool")];
            assert_eq!(page.value("callsheet_calls_total", &labels), 2.0);
            assert_eq!(page.all("callsheet_calls_total").count(), 1);
        }
    });
}

/// The parser of the official Python client, where there is one: `CALLSHEET_PROMETHEUS_PYTHON` names an
/// interpreter that has it.
#[test]
fn the_official_parser_reads_both_formats() {
    let Some(python) = std::env::var_os("CALLSHEET_PROMETHEUS_PYTHON") else {
        println!("skipped: CALLSHEET_PROMETHEUS_PYTHON is not set");
        return;
    };
    testing::run(async {
        let (overview, _session, _) = scraped(mixed_options(mixed())).await;
        for (accept, parser) in [(OPEN_METRICS, "openmetrics.parser"), (None, "parser")] {
            let script = format!(
                "import sys\nfrom prometheus_client.{parser} import text_string_to_metric_families as read\n\
                 found = {{s.name: s.value for f in read(sys.stdin.read()) for s in f.samples if s.labels.get('outcome', 'ok') == 'ok'}}\n\
                 assert found['callsheet_calls_total'] == 2, found\n\
                 assert found['callsheet_round_duration_seconds_count'] == 1, found\n\
                 assert found['callsheet_turns_total'] == 1, found"
            );
            let mut reader = Command::new(&python);
            reader.args(["-c", &script]).stdin(Stdio::piped());
            let mut reader = reader.spawn().expect("the interpreter starts");
            let (_, page) = overview.metrics().encode(accept);
            let mut stdin = reader.stdin.take().expect("it is piped");
            stdin.write_all(page.as_bytes()).expect("it reads");
            drop(stdin);
            assert!(reader.wait().expect("it ends").success(), "{parser}: {page}");
        }
    });
}

#[test]
fn a_tool_that_is_withdrawn_is_counted_among_the_circuits() {
    testing::run(async {
        let again = |n| reply().call("bomb", &format!("{{\"n\": {n}}}"));
        let model = ScriptedModel::new((0..7).map(again).chain([reply().text("done")]));
        let (overview, _session, _) = scraped(mixed_options(model)).await;
        let circuit = overview.tools().of("bomb").expect("it was called").circuit;
        let count = |state| {
            let labels = [("tool", "bomb"), ("state", state)];
            pages(&overview).map(|page| page.value("callsheet_circuits", &labels))
        };
        assert_eq!((count("open"), count("probing")), ([1.0; 2], [0.0; 2]));
        tokio::time::sleep(circuit.retry_after.expect("it is open")).await;
        assert_eq!((count("open"), count("probing")), ([0.0; 2], [1.0; 2]));
    });
}
