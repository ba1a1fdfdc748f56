//! The commands as a person types them: the real binary, its exit codes, and what it prints where.

use std::io::{BufRead, BufReader, Read};

use serde_json::{Value, json};

use crate::support::cli::{Ended, MockModel, OneReply, Place, first, member, names, nobody};

const QUESTION: &str =
    "What's the weather in Tokyo, what's AAPL's stock price, and what's the latest news about AI?";

/// The three demo tools, as fast as they go.
const FAST: &str = r#"
[[tools]]
name = "get_weather"
kind = "demo"
effects = "none"
[[tools]]
name = "get_stock_price"
kind = "demo"
effects = "none"
[[tools]]
name = "get_news_headlines"
kind = "demo"
effects = "none"
"#;

/// A final answer, not streamed.
const HELLO: &str = r#"{"model": "m", "choices": [{"index": 0, "finish_reason": "stop",
    "message": {"role": "assistant", "content": "hello"}}]}"#;

/// A place with fast tools.
fn place() -> Place {
    Place::new().file("config.toml", FAST)
}

/// The tools that were called in the first round.
fn called(document: &Value) -> Vec<&str> {
    let calls = document["rounds"][0]["calls"].as_array().expect("a round");
    calls.iter().map(|call| call["tool"].as_str().expect("a name")).collect()
}

mod ask {
    use super::*;

    #[test]
    fn the_main_question_is_answered_without_a_network() {
        let ended = Place::new().run(&["ask", QUESTION]).with(0);
        for words in ["71", "Clear", "198.5", "+1.2%", "developments in AI"] {
            assert!(ended.stdout.contains(words), "{ended:#?}");
        }
        let mut lines = ended.stderr.lines();
        let note = lines.next().unwrap_or_default();
        assert!(note.starts_with("offline: ") && note.contains("OPENROUTER_API_KEY"), "{note}");
        let round = lines.next().unwrap_or_default();
        assert!(round.starts_with("round 1: 3 calls, parallel, model "), "{round}");
        let second: Vec<_> = lines.map(|line| line.split_whitespace().nth(1).unwrap()).collect();
        let [calls @ .., session] = &second[..] else { panic!("{ended:#?}") };
        assert_eq!(calls, ["get_weather", "get_stock_price", "get_news_headlines"]);
        assert!(ended.stderr.contains(&format!("session {session} to go on: ")), "{ended:#?}");
    }

    #[test]
    fn the_calls_of_a_round_run_at_the_same_time() {
        let slow = "tools[0].simulate.latency_ms=60";
        let slower = "tools[1].simulate.latency_ms=60";
        let ended = place().run(&["ask", "--json", QUESTION, "--set", slow, "--set", slower]);
        let document = ended.with(0).json();
        let round = &document["rounds"][0];
        assert_eq!(round["mode"], "parallel");
        assert!(round["wall_ms"].as_f64() < round["sum_ms"].as_f64(), "{round}");
        assert!(round["speedup"].as_f64() > Some(1.0), "{round}");
    }

    #[test]
    fn in_sequence_nothing_is_saved() {
        let ended = place().run(&["ask", "--json", QUESTION, "--set", "turn.mode=sequential"]);
        let document = ended.with(0).json();
        assert_eq!(document["rounds"][0]["mode"], "sequential");
        assert_eq!(called(&document).len(), 3);
        let calls = document["rounds"][0]["calls"].as_array().unwrap();
        let started: Vec<_> = calls.iter().map(|call| call["started_ms"].as_f64()).collect();
        assert!(started.is_sorted(), "{started:?}");
    }

    #[test]
    fn the_document_has_the_fields_that_were_promised_in_their_order() {
        let ended = place().run(&["ask", "--json", QUESTION]).with(0);
        ended.json();
        let document = ended.stdout.trim_end();
        let expected = "session answer finish model elapsed_ms usage rounds retries";
        assert_eq!(names(document).join(" "), expected);
        assert_eq!(
            names(member(document, "usage")).join(" "),
            "input_tokens output_tokens cached_tokens reasoning_tokens cost"
        );
        let round = first(member(document, "rounds"));
        let expected = "round mode model_ms first_token_ms round_ms wall_ms sum_ms saved_ms \
            speedup overlap_ms overhead_ms critical_call restarts calls discarded retries";
        assert_eq!(names(round).join(" "), expected);
        let call = first(member(round, "calls"));
        let expected = "id tool arguments outcome result attempts worker_generation queued_ms \
            started_ms startup_ms backoff_ms waited_ms ran_ms error early";
        assert_eq!(names(call).join(" "), expected);
        assert_eq!(member(call, "arguments"), r#"{"city":"Tokyo"}"#);
        assert_eq!(member(call, "outcome"), r#""ok""#);
        assert_eq!(member(call, "error"), "null");
    }

    #[test]
    fn jsonl_is_one_event_a_line_in_order() {
        let ended = place().run(&["ask", "--output", "jsonl", QUESTION]).with(0);
        let events = ended.json_lines();
        let kind = |event: &Value| event["type"].as_str().expect("a type").to_owned();
        let kinds: Vec<_> = events.iter().map(kind).collect();
        let count = |wanted: &str| kinds.iter().filter(|kind| *kind == wanted).count();
        assert!(events.iter().all(|event| event["v"] == 1), "{events:#?}");
        let numbers = events.iter().map(|event| event["seq"].as_u64().expect("a number"));
        assert!(numbers.is_sorted());
        assert_eq!((count("turn_started"), count("turn_ended")), (1, 1));
        assert_eq!((count("call_started"), count("call_ended")), (3, 3));
        assert_eq!((count("model_asked"), count("replied")), (2, 2));
        assert_eq!(kinds.last().map(String::as_str), Some("turn_ended"));
    }

    /// What was asked, by the event that says so.
    fn prompt_of(ended: Ended) -> String {
        let events = ended.with(0).json_lines();
        let asked = events.iter().find(|event| event["type"] == "turn_started").expect("a turn");
        asked["prompt"].as_str().expect("text").to_owned()
    }

    #[test]
    fn standard_input_is_added_to_the_question() {
        let jsonl = ["ask", "--output", "jsonl"];
        let run =
            |input, more: &[&str]| prompt_of(place().run_with(input, &[&jsonl[..], more].concat()));
        assert_eq!(run("a text\n", &["hello"]), "hello\n\na text");
        assert_eq!(run("a text\n", &["-"]), "a text");
        assert_eq!(run("a text\n", &[]), "a text");
        assert_eq!(run("", &["hello"]), "hello");
    }

    #[test]
    fn the_session_has_the_id_that_was_asked_for() {
        let ended = place().run(&["ask", "--json", "--session", "my trip", QUESTION]).with(0);
        assert_eq!(ended.json()["session"], "my trip");
        place().run(&["ask", "hi", "--session", "a\tb"]).complains(2, &["session id"]);
    }

    #[test]
    fn only_the_tools_that_were_named_are_called() {
        let one = ["ask", "--json", "--tools", "get_stock_price", QUESTION];
        let document = place().run(&one).with(0).json();
        assert!(called(&document).iter().all(|tool| *tool == "get_stock_price"), "{document}");
        let two = ["ask", "--json", "--tools", "get_weather,get_stock_price", QUESTION];
        let document = place().run(&two).with(0).json();
        assert!(called(&document).contains(&"get_weather"), "{document}");
        assert!(!called(&document).contains(&"get_news_headlines"), "{document}");
        let words = ["`get_wether`", "get_weather, get_stock_price, get_news_headlines"];
        place().run(&["ask", "hi", "--tools", "get_wether"]).complains(2, &words);
    }

    #[test]
    fn another_server_and_model_are_asked() {
        let place = place();
        let server = MockModel::start(&place, None);
        let choice = ["--set", &server.setting(), "--model", "some/model"];
        let ended = place.run(&[&["ask", QUESTION][..], &choice].concat()).with(0);
        assert!(ended.stdout.contains("198.5"), "{ended:#?}");
        assert!(!ended.stderr.contains("offline"), "{ended:#?}");
    }

    #[test]
    fn the_key_of_a_provider_is_not_sent_to_whoever_is_asked() {
        let place = place().variable("OPENROUTER_API_KEY", "sk-very-secret");
        for (named, is_sent) in [(&[][..], false), (&["OPENROUTER_API_KEY"][..], true)] {
            let server = OneReply::start("application/json", HELLO);
            let named = named
                .iter()
                .flat_map(|name| ["--set".to_owned(), format!("model.api_key_env={name}")]);
            let named: Vec<_> = named.collect();
            let setting = server.setting();
            let mut arguments = vec!["ask", "hi", "--set", "model.stream=false", "--set", &setting];
            arguments.extend(named.iter().map(String::as_str));
            place.run(&arguments).with(0);
            assert_eq!(server.request().contains("sk-very-secret"), is_sent);
        }
    }

    #[test]
    fn the_choices_are_in_the_request() {
        let server = OneReply::start("application/json", HELLO);
        let setting = server.setting();
        let choice = ["--set", &setting, "--set", "model.stream=false"];
        let more = ["--model", "some/model", "--system", "Be brief.", "--tools", "get_weather"];
        let place = place().variable("CALLSHEET__MODEL__API_KEY_ENV", "MY_KEY");
        let place = place.variable("MY_KEY", "sk-test").variable("OPENROUTER_API_KEY", "sk-other");
        let ended = place.run(&[&["ask", "hi"][..], &choice, &more].concat()).with(0);
        assert_eq!(ended.stdout, "hello\n");
        let request = server.request();
        assert!(request.to_lowercase().contains("\r\nauthorization: bearer sk-test\r\n"));
        let (_, body) = request.split_once("\r\n\r\n").expect("a body");
        let body: Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(body["model"], "some/model");
        let expected =
            json!([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}]);
        assert_eq!(body["messages"], expected);
        assert_eq!(body["tools"].as_array().map(Vec::len), Some(1), "{body}");
        assert_eq!(body["tools"][0]["function"]["name"], "get_weather");
    }

    #[test]
    fn a_panicking_tool_leaves_the_other_results() {
        let panics = "tools[1].simulate.panic_rate=1";
        let ended = place().run(&["ask", "--json", QUESTION, "--set", panics]).with(0);
        let document = ended.json();
        let calls = document["rounds"][0]["calls"].as_array().unwrap();
        let outcomes: Vec<_> = calls.iter().map(|call| call["outcome"].as_str().unwrap()).collect();
        assert_eq!(outcomes, ["ok", "panicked", "ok"]);
        assert_eq!(calls[1]["error"]["code"], "panicked");
        assert_eq!(document["rounds"][0]["restarts"], 1);
        let answer = document["answer"].as_str().unwrap();
        assert!(answer.contains("Clear") && answer.contains("developments in AI"), "{answer}");
    }

    #[test]
    fn a_turn_that_takes_too_long_ends_with_its_deadline() {
        let hang = ["--set", "tools[1].simulate.hang_rate=1"];
        let limit = ["--set", "turn.turn_time_limit_ms=300"];
        let arguments = [&["ask", QUESTION, "--json"][..], &hang, &limit].concat();
        let ended = place().run(&arguments).complains(124, &["turn's time limit"]);
        let document = ended.json();
        assert_eq!(document["error"]["code"], "turn_timed_out");
        assert_eq!(names(&ended.stdout)[0], "error");
        assert_eq!(document["rounds"][0]["calls"][1]["outcome"], "timed_out");
    }

    #[test]
    fn quiet_leaves_the_answer_alone() {
        let ended = place().run(&["ask", "--quiet", QUESTION]).with(0);
        assert_eq!(ended.stderr, "");
        assert!(ended.stdout.contains("Clear"));
    }

    #[test]
    fn a_terminal_is_not_drawn_on_where_there_is_none() {
        for variable in ["NO_COLOR", "CLICOLOR"] {
            let ended = place().variable(variable, "1").run(&["ask", QUESTION]).with(0);
            let text = ended.stdout + &ended.stderr;
            assert!(!text.contains(['\u{1b}', '\r', '█', '✓']), "{text}");
        }
    }
}

mod failing_tools {
    use super::*;

    /// One tool that works, one that panics and one that hangs.
    const FAILING: &str = r#"
        [[tools]]
        name = "get_weather"
        [[tools]]
        name = "get_stock_price"
        simulate = { panic_rate = 1.0 }
        [[tools]]
        name = "get_news_headlines"
        time_limit_ms = 300
        simulate = { hang_rate = 1.0 }
    "#;

    /// Every second call of a worker panics.
    const CRASHING: &str = r#"
        [supervision]
        backoff_min_ms = 1
        backoff_max_ms = 1
        [[tools]]
        name = "get_weather"
        simulate = { crash_after = 2 }
    "#;

    const TWO_CITIES: &str = "What's the weather in Tokyo and in New York?";

    /// The events of one type, in order.
    fn of_type<'a>(events: &'a [Value], name: &str) -> Vec<&'a Value> {
        events.iter().filter(|event| event["type"] == name).collect()
    }

    #[test]
    fn one_that_panics_and_one_that_hangs_hold_up_neither_the_third_nor_the_answer() {
        let place = Place::new().file("config.toml", FAILING);
        let document = place.run(&["ask", "--json", QUESTION]).with(0).json();
        let round = &document["rounds"][0];
        let calls = round["calls"].as_array().expect("calls");
        let outcomes: Vec<_> = calls.iter().map(|call| call["outcome"].as_str().unwrap()).collect();
        assert_eq!(outcomes, ["ok", "panicked", "timed_out"]);
        let wall = round["wall_ms"].as_f64().expect("a time");
        assert!((300.0..1300.0).contains(&wall), "{wall}: all that hang are given up in time");
        for call in &calls[..2] {
            assert!(call["ran_ms"].as_f64() < Some(300.0), "it waits for nobody: {call}");
        }
        let answer = document["answer"].as_str().expect("an answer");
        assert!(answer.contains("Clear"), "{answer}");
    }

    #[test]
    fn a_person_is_told_how_each_call_ended() {
        let ended = Place::new().file("config.toml", FAILING).run(&["ask", QUESTION]).with(0);
        assert!(ended.stdout.contains("Clear"), "{ended:#?}");
        let line = |tool: &str| {
            let line = ended.stderr.lines().find(|line| line.contains(&format!(" {tool} ")));
            line.expect("a line for the call").to_owned()
        };
        assert!(line("get_weather").contains(" ok "));
        assert!(line("get_stock_price").contains(" panicked "));
        assert!(line("get_stock_price").ends_with("error: tool panicked: simulated panic"));
        assert!(line("get_news_headlines").contains(" timed_out "));
    }

    #[test]
    fn a_call_that_may_be_tried_again_recovers_and_says_so() {
        let place = Place::new().file("config.toml", CRASHING);
        let retries = ["--set", "tools[0].retries=2"];
        let jsonl = [&["ask", "--output", "jsonl", TWO_CITIES][..], &retries].concat();
        let events = place.run(&jsonl).with(0).json_lines();
        let [retried] = of_type(&events, "call_retried")[..] else { panic!("one: {events:#?}") };
        assert_eq!((&retried["ordinal"], &retried["attempt"]), (&json!(1), &json!(1)));
        assert_eq!(retried["cause"], "tool panicked: simulated panic");
        let ended = of_type(&events, "call_ended");
        assert!(ended.iter().all(|call| call["kind"] == "ok"), "{events:#?}");
        let mut attempts: Vec<_> = ended.iter().map(|call| call["attempts"].as_u64()).collect();
        attempts.sort_unstable();
        assert_eq!(attempts, [Some(1), Some(2)]);
        let text = place.run(&[&["ask", TWO_CITIES][..], &retries].concat()).with(0);
        assert_eq!(text.stderr.matches(" ok, 2 tries ").count(), 1, "{text:#?}");
    }

    #[test]
    fn a_tool_that_fails_too_often_is_withdrawn_and_comes_back() {
        let script = r#"
            [[reply]]
            calls = [{ name = "get_weather", arguments = { city = "Tokyo" } },
                     { name = "get_weather", arguments = { city = "Rome" } }]
            [[reply]]
            token_delay_ms = 20 # Longer than the tool is out of service.
            calls = [{ name = "get_weather", arguments = { city = "Oslo" } }]
            [[reply]]
            text = "That is all."
        "#;
        let place = Place::new().file("config.toml", CRASHING).file("script.toml", script);
        let server = MockModel::start(&place, Some("script.toml"));
        let often = ["max_failure_rate=0.4", "failure_rate_min_calls=1", "cool_down_ms=1"];
        let often = often.map(|setting| format!("supervision.{setting}"));
        let setting = server.setting();
        let mut arguments = vec!["ask", "--output", "jsonl", "hi", "--set", &setting];
        arguments.extend(often.iter().flat_map(|setting| ["--set", setting]));
        let events = place.run(&arguments).with(0).json_lines();
        let [opened] = of_type(&events, "circuit_opened")[..] else { panic!("one: {events:#?}") };
        assert_eq!(
            (&opened["tool"], &opened["cool_down_us"]),
            (&json!("get_weather"), &json!(1000))
        );
        assert_eq!(opened["cause"], "more than 40 % of its calls fail");
        assert_eq!(of_type(&events, "circuit_closed").len(), 1, "{events:#?}");
        let kinds: Vec<_> =
            of_type(&events, "call_ended").iter().map(|call| &call["kind"]).collect();
        assert_eq!(kinds, ["ok", "panicked", "ok"]);
    }
}

mod bad_input {
    use super::*;

    #[test]
    fn no_key_names_the_variable() {
        let arguments = ["ask", "hi", "--set", "model.provider=openai"];
        place().run(&arguments).complains(2, &["`OPENROUTER_API_KEY`"]);
        let arguments = [&arguments[..], &["--set", "model.api_key_env=MY_KEY"]].concat();
        place().run(&arguments).complains(2, &["`MY_KEY`"]);
    }

    #[test]
    fn an_endpoint_that_cannot_be_reached_is_named() {
        let url = nobody();
        let ended = place().run(&["ask", "hi", "--set", &format!("model.base_url={url}")]);
        ended.complains(1, &["cannot reach", &url]);
    }

    #[test]
    fn a_refused_key_is_not_shown() {
        let refusal = "[[reply]]\nstatus = 401\ntimes = 9\n\
            body = { error = { message = \"bad key\" } }\n\
            [[reply]]\ntext = \"never\"\n";
        let place = place().file("script.toml", refusal);
        let place = place.variable("MY_KEY", "sk-very-secret");
        let server = MockModel::start(&place, Some("script.toml"));
        let setting = server.setting();
        for output in ["text", "json", "jsonl"] {
            let choice = ["--set", &setting, "--set", "model.api_key_env=MY_KEY"];
            let arguments = ["-vv", "ask", "hi", "--output", output];
            let ended = place.run(&[&arguments[..], &choice].concat());
            let ended = ended.complains(4, &["refused the key", "bad key"]);
            let text = format!("{}{}", ended.stdout, ended.stderr);
            assert!(!text.contains("very-secret"), "{text}");
        }
    }

    #[test]
    fn html_is_no_reply() {
        let page = "<!doctype html><title>Welcome</title><p>It works!</p>";
        for stream in ["true", "false"] {
            let server = OneReply::start("text/html", page);
            let stream = format!("model.stream={stream}");
            let once = ["--set", &server.setting(), "--set", "model.retries=0"];
            let ended = place().run(&[&["ask", "hi", "--set", &stream], &once[..]].concat());
            ended.complains(1, &["malformed"]);
        }
    }

    #[test]
    fn an_unknown_key_is_named_with_the_nearest() {
        let place = Place::new().file("config.toml", "[model]\nbase_ulr = \"http://a/v1\"\n");
        let words = ["`model.base_ulr`", "config.toml:2", "`model.base_url`"];
        place.run(&["ask", "hi"]).complains(2, &words);
        let place = place.file("other.toml", "[modle]\nname = \"m\"\n");
        let words = ["`modle.name`", "other.toml:2", "`model.name`"];
        place.run(&["--config", "other.toml", "ask", "hi"]).complains(2, &words);
        place.run(&["ask", "hi", "--config", "none.toml"]).complains(2, &["none.toml"]);
    }

    #[test]
    fn two_tools_of_one_name_are_refused() {
        let tool = "[[tools]]\nname = \"look\"\nkind = \"demo\"\n";
        let place = Place::new().file("config.toml", &tool.repeat(2));
        place.run(&["ask", "hi"]).complains(2, &["two tools named `look`", "config.toml:"]);
    }

    #[test]
    fn more_tools_than_the_model_takes_are_refused_before_it_is_asked() {
        let tool = |number| format!("[[tools]]\nname = \"t{number}\"\nkind = \"demo\"\n");
        let tools: String = (0..130).map(tool).collect();
        let place = Place::new().file("config.toml", &tools).variable("OPENROUTER_API_KEY", "sk-x");
        let words = ["130 tools", "128", "dialect `openrouter`", "`model.quirks.max_tools`"];
        for arguments in [&["config", "check"][..], &["ask", "hi"]] {
            place.run(arguments).complains(2, &words);
        }
        let more = ["config", "check", "--set", "model.quirks.max_tools=130"];
        assert!(place.run(&more).with(0).stdout.ends_with("with 130 tools\n"));
        let few = ["config", "check", "--set", "model.quirks.max_tools=3"];
        place.run(&few).complains(2, &["130 tools", "list 3 (`model.quirks.max_tools` in --set)"]);
        let offline = ["ask", "hi", "--set", "model.provider=offline"];
        place.run(&offline).with(0);
        let few = ["--set", "model.quirks.max_tools=2", "--tools", "t0,t129"];
        place.run(&[&offline[..], &few].concat()).with(0);
        assert_eq!(
            place.run(&["tools", "list", "--json"]).with(0).json().as_array().unwrap().len(),
            130
        );
    }

    #[test]
    fn a_name_that_no_provider_takes_is_refused() {
        for name in ["get weather", "", "wetter.heute", "früh", &"x".repeat(65)] {
            let tool = format!("[[tools]]\nname = \"{name}\"\nkind = \"demo\"\n");
            let place = Place::new().file("config.toml", &tool);
            place.run(&["ask", "hi"]).complains(2, &["`tools[0].name`", "config.toml:2"]);
        }
    }

    #[test]
    fn an_empty_question_is_refused() {
        for prompt in ["", "  \n", "-"] {
            place().run(&["ask", prompt]).complains(2, &["the question is empty"]);
        }
        place().run(&["ask"]).complains(2, &["the question is empty"]);
        place().run(&["compare", " "]).complains(2, &["the question is empty"]);
    }

    #[test]
    fn a_question_of_ten_megabytes_ends_with_one_line() {
        let ended = place().run_with(&"a".repeat(10_000_000), &["ask"]);
        ended.complains(1, &["maximum context length"]);
    }

    #[test]
    fn what_is_no_text_is_no_question() {
        let place = place();
        let mut command = place.command(&["ask"]);
        let binary = std::fs::File::open(env!("CARGO_BIN_EXE_callsheet")).unwrap();
        let ended = Ended::of(command.stdin(binary).output().unwrap());
        ended.complains(2, &["not UTF-8"]);
    }

    #[test]
    fn nobody_reading_on_is_no_panic() {
        let all = [
            &["ask", QUESTION][..],
            &["ask", "--json", QUESTION],
            &["ask", "--output", "jsonl", QUESTION],
            &["tools", "list"],
            &["config", "show"],
            &["completions", "bash"],
            &["mock-model", "--bind", "127.0.0.1:0"],
        ];
        for arguments in all {
            let place = place();
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            let ended = Ended::of(place.command(arguments).stdout(writer).output().unwrap());
            ended.with(1);
        }
    }

    #[cfg(unix)]
    #[test]
    fn an_interrupt_in_the_middle_of_a_round_stops_its_calls() {
        use crate::support::cli::signal;
        let place = place();
        let hang = "tools[1].simulate.hang_rate=1";
        let mut command = place.command(&["ask", "--output", "jsonl", QUESTION, "--set", hang]);
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let started = |line: &str| line.contains(r#""call_started""#) && line.contains("news");
        let mut events: Vec<Value> = Vec::new();
        for line in lines {
            if started(&line) {
                signal(&child, "INT"); // All of them have begun.
            }
            events.push(serde_json::from_str(&line).expect("JSON"));
        }
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130), "{stderr}");
        assert!(stderr.ends_with("interrupted\n") && !stderr.contains("panicked"), "{stderr}");
        let ended = events.iter().filter(|event| event["type"] == "call_ended");
        let mut kinds: Vec<_> = ended.map(|event| event["kind"].as_str().unwrap()).collect();
        kinds.sort_unstable();
        assert_eq!(kinds, ["cancelled", "ok", "ok"]);
        let last = events.last().expect("events");
        assert_eq!((&last["type"], &last["end"]), (&json!("turn_ended"), &json!("cancelled")));
    }
}

mod others {
    use super::*;
    use crate::support::peer::{Peer, response};

    #[test]
    fn compare_times_the_tools_alone() {
        let arguments = ["compare", "--calls", "3", "--latency-ms", "20", "--json"];
        let ended = Place::new().run(&arguments).with(0);
        let expected = "calls latency_ms parallel_ms sequential_ms speedup";
        assert_eq!(names(&ended.stdout).join(" "), expected);
        let document = ended.json();
        assert_eq!((&document["calls"], &document["latency_ms"]), (&json!(3), &json!(20.0)));
        assert!(document["parallel_ms"].as_f64() >= Some(20.0), "{document}");
        assert!(document["sequential_ms"].as_f64() >= Some(60.0), "{document}");
        let many = ["compare", "--calls", "300", "--latency-ms", "0", "--json"];
        assert_eq!(Place::new().run(&many).with(0).json()["calls"], 300, "more than one round has");
    }

    #[test]
    fn compare_asks_the_question_both_ways() {
        let ended = place().run(&["compare", QUESTION]).with(0);
        let line = |name: &str| {
            let line = ended.stdout.lines().find(|line| line.starts_with(name)).expect("a line");
            line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
        };
        assert_eq!((line("rounds"), line("calls ")), ("1 1".to_owned(), "3 3".to_owned()));
        assert!(ended.stdout.lines().next().unwrap_or_default().ends_with("parallel  sequential"));
        assert!(ended.stderr.contains("3 calls, parallel") && ended.stderr.contains("sequential"));
        place().run(&["compare", "--calls", "3"]).with(2);
    }

    #[test]
    fn tools_are_listed_and_described() {
        let ended = Place::new().run(&["tools", "list"]).with(0);
        let tools: Vec<_> =
            ended.stdout.lines().skip(1).map(|line| line.split("  ").next().unwrap()).collect();
        assert_eq!(tools, ["get_weather", "get_stock_price", "get_news_headlines"]);
        let list = Place::new().run(&["tools", "list", "--json"]).with(0).json();
        assert_eq!(list[1]["time_limit_ms"], 5000);
        assert_eq!(list[1]["limits"]["max_queue"], 1000);
        let more = ["--set", "tools[1].retries=2"];
        let ended = Place::new().run(&[&["tools", "list"][..], &more].concat()).with(0);
        let cells = |line: &str| {
            let cells = line.split("  ").map(str::trim).filter(|cell| !cell.is_empty());
            cells.map(str::to_owned).collect::<Vec<_>>()
        };
        let rows: Vec<_> = ended.stdout.lines().map(cells).collect();
        assert_eq!(rows[0][..5], ["NAME", "KIND", "EFFECTS", "LIMITS", "CIRCUIT"]);
        let limits = "5 s a call, 2 retries, 1000 may wait";
        assert_eq!(rows[2][..5], ["get_stock_price", "demo", "none", limits, "closed"]);
        let tool = Place::new().run(&["tools", "describe", "get_weather", "--json"]).with(0).json();
        assert_eq!(tool["function"]["parameters"]["required"], json!(["city"]));
        let words = ["`get_wether`", "get_weather"];
        Place::new().run(&["tools", "describe", "get_wether"]).complains(2, &words);
    }

    #[test]
    fn the_health_of_each_tool_is_shown_with_its_limits() {
        let more = ["--set", "tools[1].max_concurrency=8", "--set", "tools[1].retries=2"];
        let ended = Place::new().run(&[&["tools", "health"][..], &more].concat()).with(0);
        let row = |name: &str| {
            let row = ended.stdout.lines().find(|line| line.starts_with(name)).expect("a row");
            row.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(row("TOOL"), "TOOL EFFECTS MADE LIMITS CONDITION");
        let expected = "get_stock_price none yes 5 s a call, 2 retries, 8 at a time, 1000 may wait \
            closed, 0 restarts, 0 withdrawals";
        assert_eq!(row("get_stock_price"), expected);
        assert_eq!(ended.stderr, "", "nothing is called, and no model is needed");
        let json = Place::new().run(&[&["tools", "health", "--json"][..], &more].concat()).with(0);
        let tools = json.json();
        assert_eq!(tools.as_array().map(Vec::len), Some(3));
        let expected = "tool circuit retry_after_ms restarts withdrawals last_failure waiting \
            running abandoned_threads effects made make_error limits";
        assert_eq!(names(first(json.stdout.trim_end())).join(" "), expected);
        assert_eq!((&tools[0]["made"], &tools[0]["circuit"]), (&json!(true), &json!("closed")));
        assert_eq!(tools[1]["limits"]["max_concurrency"], 8);
    }

    #[test]
    fn a_tool_is_called_without_a_model() {
        let call = |arguments: &[&str]| place().run(&[&["tools", "call"], arguments].concat());
        let good = call(&["get_weather", r#"{"city": "Tokyo"}"#]).with(0);
        assert_eq!(good.stdout, "{\"temp_f\":71,\"conditions\":\"Clear\"}\n");
        let bad = call(&["get_weather", r#"{"town": "Tokyo"}"#, "--json"]).with(1).json();
        assert_eq!(
            (&bad["outcome"], &bad["error"]["code"]),
            (&json!("bad_arguments"), &json!("bad_arguments"))
        );
        let panics = "tools[0].simulate.panic_rate=1";
        let bad = call(&["get_weather", r#"{"city": "Tokyo"}"#, "--json", "--set", panics]);
        assert_eq!(bad.with(1).json()["outcome"], "panicked");
        call(&["get_weather", "Tokyo"]).complains(2, &["JSON object"]);
        call(&["get_wether", "{}"]).complains(2, &["`get_wether`"]);
    }

    #[test]
    fn a_budget_that_is_used_up_ends_the_turn_and_one_of_money_needs_a_price() {
        let question = ["ask", "What's the weather in Tokyo?", "--json"];
        let ask = |set: &[&str]| {
            let set = set.iter().chain(&["turn.early_dispatch=false"]);
            let set = set.flat_map(|set| ["--set", set]);
            place().run(&question.into_iter().chain(set).collect::<Vec<_>>())
        };
        let (cost, price) = ("turn.cost_budget=0.000001", "model.price={input=1,output=1}");
        ask(&[cost]).complains(2, &["`turn.cost_budget`", "`model.price`", "stand-in"]);
        for set in [&[cost, price][..], &["turn.token_budget=1"]] {
            let document = ask(set).with(1).json();
            assert_eq!(document["error"]["code"], "budget", "{document}");
            let call = &document["rounds"][0]["calls"][0];
            assert_eq!(
                (&call["outcome"], &call["error"]["code"]),
                (&json!("denied"), &json!("budget"))
            );
        }
        let place = place();
        let ask = |set| place.run(&[&question[..], &["--session", "s", "--set", set]].concat());
        let first = ask("session.token_budget=1").with(1).json();
        assert_eq!(first["rounds"].as_array().map(Vec::len), Some(1), "{first}");
        let second = ask("session.token_budget=1").with(1).json();
        assert_eq!((&second["error"], &second["rounds"]), (&first["error"], &json!([])));
        assert_eq!(second["session"], "s");
        assert_eq!(ask("session.token_budget=1000000").with(0).json()["finish"], "stop");
    }

    #[test]
    fn settings_are_shown_with_their_sources_and_without_secrets() {
        let place = Place::new()
            .file("config.toml", "[model]\nbase_url = \"http://me:pa55word@127.0.0.1:9/v1\"\n")
            .file(".env", "CALLSHEET__MODEL__NAME=from-dotenv\nCALLSHEET__LOG__LEVEL=off\n")
            .variable("CALLSHEET__LOG__LEVEL", "error")
            .variable("OPENROUTER_API_KEY", "sk-very-secret");
        let show = ["config", "show", "--set", "turn.max_rounds=3"];
        let ended = place.run(&[&show[..], &["--json"]].concat()).with(0);
        let rows = ended.json();
        let row = |key: &str| {
            let row = rows.as_array().unwrap().iter().find(|row| row["key"] == key).expect("a row");
            let text = |name: &str| row[name].as_str().expect("text").to_owned();
            format!("{} # {}", text("value"), text("source"))
        };
        assert_eq!(row("model.base_url"), "\"http://[secret]@127.0.0.1:9/v1\" # config.toml:2");
        let source = "the environment (CALLSHEET__MODEL__NAME)";
        assert_eq!(row("model.name"), format!("\"from-dotenv\" # {source}"));
        let source = "the environment (CALLSHEET__LOG__LEVEL)";
        assert_eq!(row("log.level"), format!("\"error\" # {source}"));
        assert_eq!(row("turn.max_rounds"), "3 # --set");
        assert_eq!(row("turn.max_calls_per_round"), "128 # the defaults");
        let text = place.run(&show).with(0);
        for ended in [&ended, &text, &place.run(&["config", "check"]).with(0)] {
            let text = format!("{}{}", ended.stdout, ended.stderr);
            assert!(!text.contains("pa55word") && !text.contains("very-secret"), "{text}");
        }
    }

    #[test]
    fn the_settings_tell_what_comes_of_those_that_leave_it_open() {
        let place = Place::new();
        let show = |base_url: &str| {
            let setting = format!("model.base_url={base_url}");
            place.run(&["config", "show", "--set", &setting]).with(0).stdout
        };
        let line = |shown: &str, key: &str| {
            let line = shown.lines().find(|line| line.starts_with(key)).expect("a line");
            line.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let mistral = show("https://api.mistral.ai/v1");
        let expected = "model.dialect = \"auto\" # the defaults: mistral";
        assert_eq!(line(&mistral, "model.dialect"), expected);
        let expected = "model.api_key_env = \"OPENROUTER_API_KEY\" # the defaults: MISTRAL_API_KEY";
        assert_eq!(line(&mistral, "model.api_key_env"), expected);
        let unknown = show("https://example.com/v1");
        let expected = "model.api_key_env = \"OPENROUTER_API_KEY\" # the defaults: none, as the host is unknown";
        assert_eq!(line(&unknown, "model.api_key_env"), expected);
        let usual = show("https://openrouter.ai/api/v1");
        let expected = "model.api_key_env = \"OPENROUTER_API_KEY\" # the defaults";
        assert_eq!(line(&usual, "model.api_key_env"), expected);
    }

    #[test]
    fn request_settings_travel_and_what_a_header_holds_is_nowhere_to_be_seen() {
        let refusal = || vec![response("401 No", "text/plain", "", "no such key: sk-very-secret")];
        let peer = Peer::start([(); 4].map(|()| refusal()));
        let config = format!(
            "[model]\nbase_url = \"{}\"\ntemperature = 0.5\nextra_body = {{ top_k = 4 }}\n\
             extra_headers = {{ api-key = \"Key ${{env:MY_KEY}}\" }}\n",
            peer.base_url()
        );
        let place = Place::new().file("config.toml", &config).variable("MY_KEY", "sk-very-secret");
        let ended = [
            place.run(&["ask", "hi", "-vv"]).with(4),
            place.run(&["ask", "hi", "--json", "--set", "model.stream=false"]).with(4),
            place.run(&["doctor"]).with(1),
            place.run(&["config", "show"]).with(0),
            place.run(&["config", "check"]).with(0),
        ];
        for ended in &ended {
            let text = format!("{}{}", ended.stdout, ended.stderr);
            assert!(!text.contains("very-secret"), "{text}");
        }
        assert!(ended[3].stdout.contains("{ api-key = \"Key ${env:MY_KEY}\" }"));
        let heard = &peer.heard()[0];
        assert!(heard.head.contains("api-key: Key sk-very-secret\r\n"), "{}", heard.head);
        assert!(heard.body.contains(r#""temperature":0.5,"top_k":4"#), "{}", heard.body);
        let place = Place::new().file("config.toml", &config);
        place.run(&["ask", "hi"]).complains(2, &["`model.extra_headers.api-key`", "`MY_KEY`"]);
        place.run(&["config", "check"]).complains(2, &["`MY_KEY`"]);
        let offline = ["ask", "What's the weather in Tokyo?", "--set", "model.provider=offline"];
        place.run(&offline).with(0);
    }

    #[test]
    fn a_check_says_who_would_answer() {
        let check = |place: Place| place.run(&["config", "check"]);
        let offline = check(Place::new()).with(0).stdout;
        assert_eq!(offline, "ok: the offline stand-in answers, with 3 tools\n");
        let keyed = check(Place::new().file(".env", "OPENROUTER_API_KEY=sk-in-dotenv\n")).with(0);
        let expected = "ok: google/gemini-2.5-flash-lite at https://openrouter.ai/api/v1 answers, \
            with 3 tools\n";
        assert_eq!(keyed.stdout, expected);
        check(Place::new().file("config.toml", "[turn]\nmax_rounds = 0\n"))
            .complains(2, &["`turn.max_rounds`", "config.toml:2"]);
        check(Place::new().file(".env", "what is this\n")).complains(2, &[".env:1"]);
    }

    #[test]
    fn a_scripted_model_says_its_lines() {
        let script = r#"
            [[reply]]
            status = 503
            [[reply]]
            calls = [{ name = "get_weather", arguments = { city = "Tokyo" } }, { name = "nothing" }]
            [[reply]]
            text = "That is all."
        "#;
        let place = place().file("script.toml", script);
        let server = MockModel::start(&place, Some("script.toml"));
        let ask = ["ask", "hi", "--json", "--set", &server.setting()];
        let document = place.run(&ask).with(0).json();
        assert_eq!(document["rounds"][0]["retries"][0]["error"]["code"], "model_failed");
        assert_eq!(document["answer"], "That is all.");
        assert_eq!(document["rounds"][0]["calls"][1]["outcome"], "unknown_tool");
    }

    #[test]
    fn the_settings_say_how_often_a_model_is_asked_and_who_is_asked_after_it() {
        let script = r#"
            [[reply]]
            status = 503
            [[reply]]
            status = 404
            [[reply]]
            text = "Here."
        "#;
        let place = place().file("script.toml", script);
        let server = MockModel::start(&place, Some("script.toml"));
        let setting = server.setting();
        let ask = ["ask", "hi", "--json", "--set", &setting, "--set", "model.retries=0"];
        let failed = place.run(&ask).complains(1, &["503"]).json();
        assert_eq!(
            (&failed["error"]["code"], &failed["retries"]),
            (&json!("model_failed"), &json!([]))
        );
        let others = [&ask[..], &["--set", "model.fallbacks=[\"other\"]"]].concat();
        let document = place.run(&others).with(0).json();
        assert_eq!(document["answer"], "Here.");
        let [retry] = &document["retries"].as_array().expect("retries")[..] else {
            panic!("one retry: {document}")
        };
        assert_eq!(
            (&retry["error"]["code"], &retry["waited_ms"]),
            (&json!("unknown_model"), &json!(0.0))
        );
    }

    #[test]
    fn a_price_makes_a_cost_of_the_tokens() {
        let place = place();
        let server = MockModel::start(&place, None);
        let setting = server.setting();
        let price = "model.price={ input = 1000.0, output = 2000.0 }";
        let ask = ["ask", QUESTION, "--json", "--set", &setting, "--set", price];
        let usage = place.run(&ask).with(0).json()["usage"].clone();
        let tokens = |name: &str| usage[name].as_f64().expect("a number");
        let cost = (tokens("input_tokens") + 2.0 * tokens("output_tokens")) / 1000.0;
        assert!(cost > 0.0 && (tokens("cost") - cost).abs() < 1e-9, "{usage}");
        let other = [&ask[..], &["--model", "other"]].concat();
        let usage = place.run(&other).with(0).json()["usage"].clone();
        assert!(usage["output_tokens"].as_u64() > Some(0) && usage["cost"].is_null(), "{usage}");
    }

    #[test]
    fn the_settings_say_whether_calls_begin_early() {
        let early = |setting: &str| {
            let ask = ["ask", QUESTION, "--json", "--set", setting];
            let document = place().run(&ask).with(0).json();
            let calls = document["rounds"][0]["calls"].as_array().expect("calls").clone();
            calls.iter().filter(|call| call["early"] == true).count()
        };
        assert_eq!(early("turn.early_dispatch=true"), 3);
        assert_eq!(early("turn.early_dispatch=false"), 0);
        assert_eq!(early("tools[0].early=false"), 2);
        assert_eq!(early("tools[0].effects=once"), 2);
    }

    #[test]
    fn who_is_asked_instead_is_told() {
        let refusal = "[[reply]]\nstatus = 404\n[[reply]]\ntext = \"Here.\"\n";
        let place = place().file("script.toml", refusal);
        let server = MockModel::start(&place, Some("script.toml"));
        let others = "model.fallbacks=[\"other\"]";
        let ended = place.run(&["ask", "hi", "--set", &server.setting(), "--set", others]).with(0);
        assert_eq!(ended.stdout, "Here.\n");
        let lines: Vec<_> = ended.stderr.lines().collect();
        let [failed, next, last_reply, retry, _to_go_on] = lines[..] else { panic!("{ended:#?}") };
        assert!(failed.ends_with("; asking again at once"), "{failed}");
        assert_eq!((next, last_reply), ("asking other instead", "last reply: retries 1"));
        assert!(
            retry.starts_with("  try 1 ") && retry.contains(" unknown_model failed "),
            "{retry}"
        );
    }

    #[test]
    fn a_reply_that_breaks_off_and_calls_that_begin_early_are_told_of() {
        let script = r#"
            [[reply]]
            text = "It is warm."
            cut_after = 2
            times = 1
            [[reply]]
            token_delay_ms = 20
            calls = [
                { name = "get_weather", arguments = { city = "Tokyo" } },
                { name = "get_weather", arguments = { city = "Oslo" } },
            ]
            [[reply]]
            text = "That is all."
        "#;
        let place = place().file("script.toml", script);
        let server = MockModel::start(&place, Some("script.toml"));
        let ended = place.run(&["ask", "hi", "--set", &server.setting()]).with(0);
        assert_eq!(ended.stdout, "That is all.\n", "what became void is not in it");
        let lines: Vec<_> = ended.stderr.lines().collect();
        let [failed, round, retry, early, last, _to_go_on] = lines[..] else {
            panic!("{ended:#?}")
        };
        assert!(failed.starts_with("the reply of http://"), "{failed}");
        assert!(
            failed.contains(" was cut: ") && failed.contains("; asking again in 0."),
            "{failed}"
        );
        assert!(round.contains(", overlap ") && round.ends_with(", retries 1"), "{round}");
        assert!(retry.starts_with("  try 1 ") && retry.contains(" stream_cut failed "), "{retry}");
        assert!(early.contains("Tokyo") && early.contains(" early"), "{early}");
        assert!(last.contains("Oslo"), "{last}");
    }

    #[test]
    fn a_script_that_cannot_be_read_is_named_with_its_line() {
        let place = Place::new()
            .file("typo.toml", "[[reply]]\ntext = \"a\"\ntxet = \"b\"\n")
            .file("broken.toml", "[[reply]\n");
        let run = |script| place.run(&["mock-model", "--bind", "127.0.0.1:0", "--script", script]);
        run("typo.toml").complains(2, &["typo.toml: line 3", "`txet`"]);
        run("broken.toml").complains(2, &["broken.toml: line 1"]);
        run("none.toml").complains(2, &["none.toml"]);
    }

    #[test]
    fn an_address_in_use_is_named() {
        let place = Place::new();
        let server = MockModel::start(&place, None);
        let address = server.url.trim_start_matches("http://").trim_end_matches("/v1");
        place.run(&["mock-model", "--bind", address]).complains(1, &[address]);
    }

    #[test]
    fn shells_get_their_completions() {
        for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
            let ended = Place::new().run(&["completions", shell]).with(0);
            assert!(ended.stdout.contains("mock-model"), "{shell}");
        }
    }

    #[test]
    fn help_and_version_are_no_errors() {
        let help = Place::new().run(&["--help"]).with(0);
        assert!(help.stdout.contains("130 interrupted") && help.stderr.is_empty(), "{help:#?}");
        Place::new().run(&["ask", "--help"]).with(0);
        let version = Place::new().run(&["--version"]).with(0);
        assert_eq!(version.stdout, format!("callsheet {}\n", env!("CARGO_PKG_VERSION")));
    }

    #[test]
    fn what_makes_no_sense_is_a_matter_of_usage() {
        let all = [
            &[][..],
            &["dance"],
            &["ask", "a", "b"],
            &["ask", "hi", "--json", "--output", "text"],
            &["compare"],
            &["compare", "--calls", "0", "--latency-ms", "1"],
            &["completions", "tcsh"],
            &["tools", "call"],
        ];
        for arguments in all {
            let ended = Place::new().run(arguments).with(2);
            assert!(ended.stdout.is_empty() && !ended.stderr.is_empty(), "{ended:#?}");
        }
    }
}
