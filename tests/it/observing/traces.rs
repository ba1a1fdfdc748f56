//! Traces, as a receiver of OTLP gets them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use callsheet::conversation::TraceParent;
use callsheet::observe::{TraceSettings, Traces};
use callsheet::session::Observer;
use callsheet::testing::{self, ScriptedModel, reply};
use callsheet::{Answer, Effects, Question, SessionId, SessionOptions, ToolSet, ToolType};
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::json;

use super::numbers::{mixed, mixed_options};
use super::observed;
use crate::support::collector::{Collector, Received, attribute};
use crate::support::{dynamic, limits, seconds};

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const LIMIT: Duration = Duration::from_secs(10);

fn settings(collector: &Collector) -> TraceSettings {
    TraceSettings { endpoint: Some(collector.url.clone()), ..TraceSettings::default() }
}

/// What the receiver gets of `question` to a session with these options.
fn traced(
    settings: impl FnOnce(TraceSettings) -> TraceSettings,
    options: SessionOptions,
    question: Question,
) -> (Received, Result<Answer, callsheet::Error>) {
    let collector = Collector::start("200 OK");
    let traces = Traces::start(&settings(self::settings(&collector))).expect("it starts");
    let answer = testing::run(async {
        let session = observed([traces.clone() as _]).session(options);
        session.ask(question).await
    });
    assert!(traces.shutdown(LIMIT), "all was taken");
    (collector.received(), answer)
}

fn named<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

fn only<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let [span] = named(spans, name)[..] else { panic!("not one {name} in {spans:#?}") };
    span
}

fn lasts(span: &Span) -> Duration {
    Duration::from_nanos(span.end_time_unix_nano - span.start_time_unix_nano)
}

#[test]
fn a_turn_is_a_trace_with_its_requests_and_calls_and_their_own_times() {
    let slow = |reply: testing::Scripted| reply.after(seconds(2));
    let calls = reply().call("sleep", r#"{"s": 1}"#).call("sleep", r#"{"s": 3}"#);
    let model = ScriptedModel::new([slow(calls), slow(reply().text("done"))]);
    let (received, answer) = traced(|settings| settings, mixed_options(model), "go".into());
    let round = &answer.expect("the turn ends well").report.rounds[0];
    let spans = &received.spans;
    assert_eq!(spans.len(), 5, "{spans:#?}");
    let turn = only(spans, "invoke_agent");
    assert!(turn.parent_span_id.is_empty(), "it begins a trace");
    let is_within = |span: &&Span| {
        span.trace_id == turn.trace_id
            && span.parent_span_id == turn.span_id
            && span.start_time_unix_nano >= turn.start_time_unix_nano
            && span.end_time_unix_nano <= turn.end_time_unix_nano
    };
    assert_eq!(spans.iter().filter(is_within).count(), 4, "{spans:#?}");
    assert_eq!(lasts(turn), seconds(7));
    let chats = named(spans, "chat scripted");
    assert_eq!(chats.iter().map(|chat| lasts(chat)).collect::<Vec<_>>(), [seconds(2); 2]);
    assert_eq!(lasts(chats[0]), round.model);
    let mut tools = named(spans, "execute_tool sleep");
    tools.sort_by_key(|span| span.end_time_unix_nano);
    assert_eq!(tools.iter().map(|tool| lasts(tool)).collect::<Vec<_>>(), [seconds(1), seconds(3)]);
    assert_eq!(tools[0].start_time_unix_nano, tools[1].start_time_unix_nano);
    assert_eq!(tools[0].start_time_unix_nano, chats[0].end_time_unix_nano);

    let has = |span: &Span, key: &str, value: &str| {
        assert_eq!(attribute(&span.attributes, key).as_deref(), Some(value), "{span:#?}");
    };
    for (span, operation) in
        [(turn, "invoke_agent"), (chats[0], "chat"), (tools[0], "execute_tool")]
    {
        has(span, "gen_ai.operation.name", operation);
        has(span, "gen_ai.conversation.id", "s");
    }
    has(chats[0], "gen_ai.request.model", "scripted");
    has(chats[0], "gen_ai.usage.input_tokens", "10");
    has(turn, "gen_ai.usage.input_tokens", "20");
    has(turn, "gen_ai.usage.output_tokens", "10");
    has(tools[0], "gen_ai.tool.name", "sleep");
    has(tools[0], "gen_ai.tool.call.id", &round.calls[0].id);
    has(tools[0], "callsheet.call.outcome", "ok");
    let service = attribute(&received.resource, "service.name");
    assert_eq!(service.as_deref(), Some("callsheet"));
    let head = &received.heads[0];
    assert!(head.starts_with("post /v1/traces "), "{head}");
    assert!(head.contains("content-type: application/x-protobuf"), "{head}");
}

#[test]
fn the_numbers_of_the_trace_are_those_of_the_report() {
    let (received, answer) = traced(|settings| settings, mixed_options(mixed()), "go".into());
    let round = &answer.expect("the turn ends well").report.rounds[0];
    let ran: Vec<_> = round.calls.iter().filter(|call| call.attempts > 0).collect();
    let spans: Vec<_> =
        received.spans.iter().filter(|span| span.name.starts_with("execute_tool ")).collect();
    assert_eq!((spans.len(), ran.len()), (4, 4));
    for call in ran {
        let is_it = |span: &&&Span| {
            let id = attribute(&span.attributes, "gen_ai.tool.call.id");
            id.as_deref() == Some(&*call.id)
        };
        let span = spans.iter().find(is_it).expect("it has a span");
        let of = |key| attribute(&span.attributes, key);
        assert_eq!(of("callsheet.call.ran"), Some(call.ran.as_secs_f64().to_string()));
        assert_eq!(of("callsheet.call.attempts"), Some(call.attempts.to_string()));
        assert_eq!(
            of("callsheet.call.outcome").as_deref(),
            Some(call.outcome.expect("it ended").as_str())
        );
        assert_eq!(of("error.type"), call.error.as_ref().map(|error| error.code.to_string()));
        assert_eq!(
            span.status.as_ref().is_some_and(|status| status.code == 2),
            call.error.is_some()
        );
    }
    let turn = only(&received.spans, "invoke_agent");
    let event = turn.events.iter().find(|event| event.name == "round_ended").expect("one ended");
    let of = |key| attribute(&event.attributes, key).expect("it is there");
    assert_eq!(of("callsheet.round.sum"), round.sum.as_secs_f64().to_string());
    assert_eq!(of("callsheet.round.wall"), round.wall.as_secs_f64().to_string());
    assert_eq!(of("callsheet.round.restarts"), round.restarts.to_string());
    assert_eq!(turn.events.iter().filter(|event| event.name == "worker_restarted").count(), 1);
}

#[test]
fn what_was_said_is_in_no_span_unless_it_is_asked_for() {
    let options = || {
        let calls = reply().text("hm4711").call("sleep", r#"{"s": 4712}"#);
        let fails =
            dynamic("fail", json!({"type": "object"}), |_, _| async { Err("oh4715".to_owned()) });
        let tools =
            Arc::new(ToolSet::new([crate::support::sleeper(), fails]).expect("well formed"));
        let script = [calls.call("fail", "{}"), reply().text("ah4714")];
        SessionOptions::new(ScriptedModel::new(script), tools)
            .limits(callsheet::Limits { call_time_limit: seconds(10_000), ..limits() })
    };
    let said = ["qu4710", "hm4711", "4712}", "slept 4712", "ah4714", "oh4715"];
    let (received, answer) = traced(|settings| settings, options(), "qu4710".into());
    answer.expect("the turn ends well");
    let text = format!("{:?}", received.spans.iter().map(without_ids).collect::<Vec<_>>());
    for said in said {
        assert!(!text.contains(said), "{said} in {text}");
    }
    let captures = |settings| TraceSettings { capture_content: true, ..settings };
    let (received, answer) = traced(captures, options(), "qu4710".into());
    answer.expect("the turn ends well");
    let text = format!("{:?}", received.spans);
    for said in said {
        assert!(text.contains(said), "no {said} in {text}");
    }
    let sleep = only(&received.spans, "execute_tool sleep");
    let of = |key| attribute(&sleep.attributes, key);
    assert_eq!(of("gen_ai.tool.call.arguments").as_deref(), Some(r#"{"s": 4712}"#));
    assert_eq!(of("gen_ai.tool.call.result").as_deref(), Some("slept 4712"));
}

/// Without what may look like anything: ids and times.
fn without_ids(span: &Span) -> Span {
    let mut span = span.clone();
    (span.trace_id, span.span_id, span.parent_span_id) = Default::default();
    (span.start_time_unix_nano, span.end_time_unix_nano) = (0, 0);
    span.attributes.retain(|attribute| !attribute.key.starts_with("callsheet.call."));
    span.attributes.retain(|attribute| attribute.key != "gen_ai.conversation.id");
    span.events.iter_mut().for_each(|event| event.time_unix_nano = 0);
    span
}

/// A tool that writes down what span it is told to pass on.
fn listener(heard: &Arc<Mutex<Vec<Option<TraceParent>>>>) -> ToolType {
    let heard = Arc::clone(heard);
    dynamic("listen", json!({"type": "object"}), move |_, context| {
        heard.lock().expect("no test panics with it").push(context.trace_parent());
        async { Ok("heard".to_owned()) }
    })
    .effects(Effects::None)
}

fn listening(heard: &Arc<Mutex<Vec<Option<TraceParent>>>>) -> SessionOptions {
    let calls = reply().call("listen", r#"{"n": 1}"#).call("listen", r#"{"n": 2}"#);
    let model = ScriptedModel::new([calls, reply().text("done")]);
    let tools = Arc::new(ToolSet::new([listener(heard)]).expect("well formed"));
    SessionOptions::new(model, tools).id(SessionId::new("s")).limits(limits())
}

#[test]
fn a_caller_s_trace_goes_on_and_tools_pass_on_the_spans_of_their_calls() {
    let heard = Arc::default();
    let question = Question::new("go").trace_parent(PARENT);
    let (received, answer) = traced(|settings| settings, listening(&heard), question);
    answer.expect("the turn ends well");
    let parent: TraceParent = PARENT.parse().expect("well formed");
    let turn = only(&received.spans, "invoke_agent");
    assert_eq!(turn.trace_id, parent.trace_id.to_be_bytes());
    assert_eq!(turn.parent_span_id, parent.span_id.to_be_bytes());
    let heard = heard.lock().expect("no test panics with it");
    let calls = named(&received.spans, "execute_tool listen");
    assert_eq!((heard.len(), calls.len()), (2, 2));
    for passed_on in heard.iter().map(|heard| heard.expect("there is a span")) {
        assert_eq!(passed_on.trace_id, parent.trace_id);
        let is_it = |call: &&&Span| call.span_id == passed_on.span_id.to_be_bytes();
        assert_eq!(calls.iter().filter(is_it).count(), 1, "{passed_on:?} in {calls:#?}");
    }
}

#[test]
fn a_trace_that_its_caller_does_not_keep_is_passed_on_and_not_sent() {
    let heard = Arc::default();
    let unkept = PARENT.replace("-01", "-00");
    let question = Question::new("go").trace_parent(&unkept);
    let (received, answer) = traced(|settings| settings, listening(&heard), question);
    answer.expect("the turn ends well");
    assert!(received.spans.is_empty());
    let heard = heard.lock().expect("no test panics with it");
    assert!(heard.iter().all(|heard| !heard.expect("there is a span").is_sampled()));
}

#[test]
fn turns_that_do_not_end_well_say_why() {
    let error = callsheet::model::Error::Cut { url: "u".into(), reason: "gone".into() };
    let model = ScriptedModel::new([testing::failure(error.clone()), testing::failure(error)]);
    let options = mixed_options(model).model_retries(callsheet::ModelRetries {
        retries: 1,
        ..callsheet::ModelRetries::default()
    });
    let (received, answer) = traced(|settings| settings, options, "go".into());
    answer.expect_err("the model failed");
    let turn = only(&received.spans, "invoke_agent");
    assert_eq!(attribute(&turn.attributes, "error.type").as_deref(), Some("stream_cut"));
    assert_eq!(turn.status.as_ref().map(|status| status.code), Some(2));
    let chats = named(&received.spans, "chat scripted");
    let codes: Vec<_> =
        chats.iter().map(|chat| attribute(&chat.attributes, "error.type")).collect();
    assert_eq!(codes, vec![Some("stream_cut".to_owned()); 2], "{chats:#?}");
}

#[test]
fn a_receiver_that_fails_or_is_not_there_delays_no_session() {
    let nobody = TraceSettings {
        endpoint: Some("http://127.0.0.1:9".to_owned()),
        ..TraceSettings::default()
    };
    let refuses = settings(&Collector::start("400 Bad Request"));
    for settings in [nobody, refuses] {
        let traces = Traces::start(&settings).expect("it starts");
        let observer: Arc<dyn Observer> = traces.clone();
        let began = std::time::Instant::now();
        testing::run(async {
            let session = observed([observer]).session(mixed_options(mixed()));
            let answer = session.ask("go").await.expect("the turn ends well");
            assert_eq!(answer.report.elapsed, seconds(3));
        });
        // By the machine's time: the paused clock does not see who blocks its thread.
        assert!(began.elapsed() < seconds(5), "a session waits for nobody: {:?}", began.elapsed());
        let began = std::time::Instant::now();
        traces.shutdown(Duration::from_millis(300));
        assert!(began.elapsed() < seconds(5), "a limit is a limit");
    }
}

#[test]
fn a_url_that_is_none_is_an_error_at_the_start() {
    let settings = TraceSettings { endpoint: Some("otel".to_owned()), ..TraceSettings::default() };
    let error = Traces::start(&settings).expect_err("it is no URL").to_string();
    assert!(error.starts_with("cannot send traces: "), "{error}");
}
