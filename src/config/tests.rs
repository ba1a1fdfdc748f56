use std::time::Duration;

use super::*;
use crate::conversation::{Approval, Budget, Compaction, Effects, Mode};
use crate::model::{
    Dialect, EmptyContent, IdRule, Price, Quirks, RequestSettings, TokenLimitField, ToolChoice,
};

use crate::tools::CacheScope;

mod keys;
mod model;

const MINUTE: Duration = Duration::from_secs(60);

/// A directory with `config.toml`, removed when dropped.
struct Directory(PathBuf);

impl Directory {
    fn new(test: &str, files: &[(&str, &str)]) -> Directory {
        let path =
            std::env::temp_dir().join(format!("callsheet-config-{}-{test}", std::process::id()));
        for (name, text) in files {
            let file = path.join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        }
        std::fs::create_dir_all(&path).unwrap();
        Directory(path)
    }

    fn sources(&self) -> Sources {
        Sources { working_dir: self.0.clone(), ..Sources::default() }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Resolves a file's text, variables and flags without touching a disk.
pub(super) fn load(file: &str, env: &[(&str, &str)], set: &[&str]) -> Result<Config, Error> {
    let sources = Sources {
        env: env.iter().copied().collect(),
        set: set.iter().map(|&flag| flag.to_owned()).collect(),
        ..Sources::default()
    };
    let file = Some((PathBuf::from("my.toml"), file.to_owned()));
    let config = Config::resolve(sources.layers(file)?)?;
    Ok(Config { variables: sources.env, ..config })
}

#[track_caller]
fn check_error(file: &str, env: &[(&str, &str)], set: &[&str], expected: &str) {
    assert_eq!(load(file, env, set).unwrap_err().to_string(), expected);
}

fn value_of(config: &Config, key: &str) -> (String, Source) {
    let row = config.rows().iter().find(|row| row.key == key).unwrap();
    (row.value.clone(), row.source.clone())
}

#[test]
fn the_defaults_are_those_of_the_design() {
    let config = Config::default();
    let seconds = Duration::from_secs;
    assert_eq!(
        config.model,
        Model {
            provider: Provider::Auto,
            base_url: BaseUrl::new("https://openrouter.ai/api/v1").unwrap(),
            name: "google/gemini-2.5-flash-lite".to_owned(),
            fallbacks: Vec::new(),
            api_key_env: "OPENROUTER_API_KEY".to_owned(),
            api_key_file: None,
            system: String::new(),
            stream: true,
            parallel_tool_calls: Some(true),
            request: RequestSettings::default(),
            extra_headers: Vec::new(),
            connect_time_limit: seconds(10),
            first_token_time_limit: MINUTE,
            silence_time_limit: MINUTE,
            retries: 2,
            retry_min: Duration::from_millis(500),
            retry_max: seconds(30),
            price: None,
            offline_pace: Duration::ZERO,
            dialect: None,
            quirks: Quirks::default(),
        }
    );
    assert_eq!(
        config.turn,
        Turn {
            mode: Mode::Parallel,
            early_dispatch: true,
            max_rounds: 16,
            max_calls_per_round: 128,
            max_calls: None,
            max_identical_calls: 5,
            budget: Budget::default(),
            call_time_limit: seconds(30),
            round_time_limit: 2 * MINUTE,
            turn_time_limit: 10 * MINUTE,
        }
    );
    let session = Session {
        max_concurrency: None,
        max_result_bytes: 100_000,
        context_tokens: 0,
        compaction: Compaction::DropOldest,
        budget: Budget::default(),
        sleep_after: Some(Duration::from_secs(300)),
    };
    assert_eq!(config.session, session);
    assert_eq!(
        config.supervision,
        Supervision {
            max_restarts: 5,
            within: seconds(30),
            backoff_min: Duration::from_millis(100),
            backoff_max: seconds(10),
            cool_down: seconds(30),
            max_time_outs: 3,
            max_failure_rate: 0.5,
            failure_rate_min_calls: 20,
        }
    );
    let runtime = Runtime { arbiters: 0, max_concurrency: 0, blocking_threads: 64 };
    assert_eq!(config.runtime, runtime);
    let options = config.store_options(".");
    assert_eq!(options, StoreOptions::default());
    assert_eq!(config.store_url().unwrap(), "sqlite:callsheet.db");
    assert_eq!(config.log, Log { level: LogLevel::Warn, format: LogFormat::Text });
    let (otlp_endpoint, capture_content) = (None, false);
    let service_name = "callsheet".to_owned();
    let telemetry = Telemetry { otlp_endpoint, service_name, capture_content };
    assert_eq!(config.telemetry, telemetry);
    let tool = |(index, name): (usize, &str)| Tool {
        place: format!("`tools[{index}]` in the defaults"),
        name: name.to_owned(),
        description: None,
        parameters: None,
        effects: Effects::None,
        approval: Approval::Never,
        early: None,
        time_limit: Some(seconds(5)),
        retries: 0,
        attempt_time_limit: None,
        silence_time_limit: None,
        max_concurrency: None,
        exclusive: false,
        serial_by: None,
        rate_limit: None,
        max_queue: None,
        single_flight: false,
        cache: None,
        cache_scope: CacheScope::Session,
        work: ToolWork::Demo(Simulate {
            latency: Duration::from_millis(300),
            ..Simulate::default()
        }),
    };
    let names = ["get_weather", "get_stock_price", "get_news_headlines"];
    let tools: Vec<_> = names.into_iter().enumerate().map(tool).collect();
    assert_eq!(config.tools, tools);
}

#[test]
fn the_shipped_file_shows_every_known_key_in_the_order_of_the_rows() {
    let everything = r#"tools = [{ name = "x", description = "", parameters = {}, early = true, time_limit_ms = 1,
        retries = 0, attempt_time_limit_ms = 1, silence_time_limit_ms = 1, max_concurrency = 1,
        exclusive = true, serial_by = "a", rate_limit = { calls = 1, per_ms = 1 }, max_queue = 1,
        single_flight = true, cache_ms = 1, cache_scope = "session",
        simulate = { latency_ms = 1, jitter_ms = 1, error_rate = 0, panic_rate = 0, hang_rate = 0,
        crash_after = 1, seed = 1 } },
        { name = "y", kind = "http", description = "", parameters = {}, method = "GET", url = "http://a",
        query = {}, headers = {}, body = "none", pointer = "", allow_private = [], max_response_bytes = 1 },
        { name = "z", kind = "command", argv = [], stdin = "", env = {}, cwd = ".", max_output_bytes = 1 }]
        mcp = [{ name = "x", command = "x", args = [], env = {}, cwd = "x", url = "x", headers = {},
        trusted = true, allow = [], deny = [], effects = "none", approval = "never", time_limit_ms = 1,
        silence_time_limit_ms = 1, retries = 1, max_concurrency = 1, tools = [{ name = "x",
        effects = "none", approval = "never" }] }]
        mcp_config = "x"
        server.max_streams_per_token = 1
        server.requests_per_second = 1
        server.tokens = [{ name = "x", env = "X" }]
        [model]
        temperature = 1
        max_tokens = 1
        tool_choice = "x"
        response_format = {}
        reasoning_effort = "x"
        extra_body = {}
        extra_headers = {}
        price = { input = 1, output = 1, cached_input = 1 }
        [model.quirks]
        brace_close_trusted = true
        stop_means_no_tools = true
        empty_content = "null"
        parallel_tool_calls = true
        stream_usage = true
        id_rule = "any"
        name_on_results = true
        assistant_after_results = true
        signed_calls = true
        reasoning_on_replies = true
        max_tools = 1
        token_limit_field = "max_tokens""#;
    let config = load(everything, &[], &[]).unwrap();
    let mut rest = SHIPPED;
    for row in config.rows() {
        let name = row.key.rsplit('.').next().unwrap();
        let written = [format!("\n{name} = "), format!("# {name} = "), format!("{{ {name} = ")];
        let others = [format!("#   {name} = "), format!(", {name} = ")];
        let at = written.iter().chain(&others).filter_map(|text| rest.find(text)).min();
        rest = &rest[at.unwrap_or_else(|| panic!("no `{name}` after the key before it"))..];
    }
}

#[test]
fn the_rows_load_again_to_the_same_settings() {
    let file = "model.parallel_tool_calls = \"unset\"\n\
                model.fallbacks = [\"a\", \"b\"]\nmodel.temperature = 1\nmodel.tool_choice = \"x\"\n\
                model.response_format = \"json_object\"\nmodel.dialect = \"openai\"\n\
                model.extra_body = { a = { \"b c\" = [1, 2.5, true] } }\nmodel.quirks.max_tools = 0\n\
                model.extra_headers = { x-title = \"a \\\"b\\\"\", api-key = \"${env:K}\" }\n\
                model.price = { input = 1, output = 2.5 }\n[[tools]]\nname = \"x\"\n\
                early = false\nparameters = { type = \"object\", properties = { \"a b\" = { enum = [1, \"\\\"\"] } } }\n\
                [[tools]]\nname = \"y\"\nkind = \"http\"\nurl = \"http://a/{b}?k=${env:K}\"\nquery = { l = 1 }\n\
                headers = { api-key = \"${env:K}\", x-token = \"{b}\" }\nbody = { b = [\"{b}\", 1] }\nmethod = \"PUT\"\n\
                pointer = \"/a\"\nallow_private = [\"10.0.0.0/8\"]\nmax_response_bytes = 7";
    let config = load(file, &[], &["model.system=say \"hi\"\n\t\u{7f}"]).unwrap();
    let (mut text, mut tools) = (String::new(), [(); 2].map(|()| String::from("[[tools]]\n")));
    for Row { key, value, .. } in config.rows() {
        match key.strip_prefix("tools[").and_then(|key| key.split_once("].")) {
            Some((index, key)) => {
                tools[index.parse::<usize>().unwrap()] += &format!("{key} = {value}\n")
            }
            None => text += &format!("{key} = {value}\n"),
        }
    }
    let again = load(&(text + &tools.concat()), &[], &[]).unwrap();
    assert_eq!((&again.model, &again.turn), (&config.model, &config.turn));
    let placeless = |tools: &[Tool]| -> Vec<Tool> {
        tools.iter().map(|tool| Tool { place: String::new(), ..tool.clone() }).collect()
    };
    assert_eq!(placeless(&again.tools), placeless(&config.tools));
}

#[test]
fn the_later_layer_wins_and_each_row_tells_which() {
    let file =
        "[model]\nname = \"file\"\nsystem = \"file\"\nstream = false\n[turn]\nmax_rounds = 3";
    let env =
        [("CALLSHEET__MODEL__NAME", "env"), ("CALLSHEET__TURN__MAX_ROUNDS", "4"), ("HOME", "/")];
    let config = load(file, &env, &["model.name=first", "model.name=second=2"]).unwrap();
    assert_eq!(value_of(&config, "model.name"), ("\"second=2\"".to_owned(), Source::Set));
    let variable = Source::Environment("CALLSHEET__TURN__MAX_ROUNDS".to_owned());
    assert_eq!(value_of(&config, "turn.max_rounds"), ("4".to_owned(), variable));
    let line = Source::File { path: "my.toml".into(), line: 4 };
    assert_eq!(value_of(&config, "model.stream"), ("false".to_owned(), line));
    assert_eq!(value_of(&config, "turn.mode"), ("\"parallel\"".to_owned(), Source::Default));
    assert_eq!((config.model.name.as_str(), config.model.stream), ("second=2", false));
}

#[test]
fn text_becomes_the_type_the_key_wants() {
    let set = [
        "model.stream=0",
        "model.parallel_tool_calls=",
        "turn.max_rounds= 1_000 ",
        "model.system=7",
        "tools[1].simulate.error_rate=0.25",
        "tools[1].simulate.seed=7",
    ];
    let config = load("", &[], &set).unwrap();
    assert_eq!((config.model.stream, config.model.parallel_tool_calls), (false, None));
    assert_eq!((config.turn.max_rounds, config.model.system.as_str()), (1000, "7"));
    let config =
        load("", &[], &[&set[..], &["turn={max_rounds=7}", "tools[2]={name='x'}"]].concat())
            .unwrap();
    assert_eq!(value_of(&config, "turn.max_rounds"), ("7".to_owned(), Source::Set));
    assert_eq!(config.tools[2].name, "x");
    let ToolWork::Demo(simulate) = &config.tools[1].work else { panic!("{config:?}") };
    assert_eq!((simulate.error_rate, simulate.seed), (0.25, Some(7)));
    assert_eq!(simulate.latency, Duration::from_millis(300));
}

#[test]
fn tools_are_replaced_as_a_whole_by_a_file_and_by_a_line_of_toml_or_json() {
    let names =
        |config: Config| -> Vec<_> { config.tools.into_iter().map(|tool| tool.name).collect() };
    let file = "[[tools]]\nname = \"x\"\n[[tools]]\nname = \"y\"\neffects = \"once\"";
    assert_eq!(names(load(file, &[], &[]).unwrap()), ["x", "y"]);
    assert_eq!(names(load(file, &[], &["tools=[{name='z', kind='demo'}]"]).unwrap()), ["z"]);
    let env = [(
        "CALLSHEET__TOOLS",
        r#"[{"name": "j", "simulate": {"latency_ms": 5}, "parameters": {"type": "object"}}]"#,
    )];
    let config = load(file, &env, &[]).unwrap();
    assert_eq!(config.tools[0].parameters, Some(serde_json::json!({"type": "object"})));
    let ToolWork::Demo(simulate) = &config.tools[0].work else { panic!("{config:?}") };
    assert_eq!(simulate.latency, Duration::from_millis(5));
    let (value, source) = value_of(&config, "tools[0].parameters");
    assert_eq!(value, "{ type = \"object\" }");
    assert_eq!(source, Source::Environment("CALLSHEET__TOOLS".to_owned()));
    assert_eq!(names(load("tools = []", &[], &[]).unwrap()), [""; 0]);
}

#[test]
fn an_endpoint_is_tried_again_by_its_effects_and_as_far_as_there_is_time() {
    let retries = |settings: &str| {
        let tool = "[[tools]]\nname = \"x\"\nkind = \"http\"\nurl = \"http://a\"\n";
        let config = load(&format!("{tool}{settings}"), &[], &[]).unwrap();
        (config.tools[0].effects, config.tools[0].retries)
    };
    assert_eq!(retries(""), (Effects::Once, 0));
    assert_eq!(retries("effects = \"none\""), (Effects::None, 2));
    assert_eq!(retries("effects = \"idempotent\""), (Effects::Idempotent, 2));
    assert_eq!(retries("effects = \"none\"\nretries = 0"), (Effects::None, 0));
    assert_eq!(retries("effects = \"none\"\ntime_limit_ms = 200"), (Effects::None, 1));
    assert_eq!(retries("effects = \"none\"\ntime_limit_ms = 100"), (Effects::None, 0));
    let tries = "effects = \"none\"\nattempt_time_limit_ms = 3000\ntime_limit_ms = 7000";
    assert_eq!(retries(tries), (Effects::None, 1));
}

#[test]
fn the_settings_of_an_endpoint_are_read_and_its_secrets_are_not_shown() {
    let file = r#"[[tools]]
        name = "x"
        kind = "http"
        url = "https://me:pa55@a.b/{c}?key=${env:K}"
        query = { n = 1, token = "sk-2" }
        headers = { authorization = "Bearer ${env:K}", x-key = "sk-3" }
        body = { a = "{c}", k = "${env:L}" }"#;
    let env = [("K", " sk-1 "), ("L", "sk-4")];
    let config = load(file, &env, &[]).unwrap();
    let ToolWork::Http(http) = &config.tools[0].work else { panic!("{config:?}") };
    let tool = http.tool(config.variables()).unwrap();
    let secrets: Vec<_> = tool.secrets.iter().map(|(name, key)| (&**name, key.expose())).collect();
    assert_eq!(secrets, [("K", "sk-1"), ("L", "sk-4")]);
    assert_eq!(tool.query, [("n", "1"), ("token", "sk-2")].map(|(a, b)| (a.into(), b.into())));
    let rows: Vec<_> = config.rows().iter().map(|row| &*row.value).collect();
    let shown = format!("{rows:?} {config:?} {tool:?}");
    assert!(!shown.contains("sk-") && !shown.contains("pa55"), "{shown}");
    assert_eq!(value_of(&config, "tools[0].url").0, "\"https://[secret]@a.b/{c}?key=${env:K}\"");
    let headers = "{ authorization = \"Bearer ${env:K}\", x-key = \"[secret]\" }";
    assert_eq!(value_of(&config, "tools[0].headers").0, headers);
    let missing = http.tool(&[("K", "sk-1"), ("L", " ")].into_iter().collect()).unwrap_err();
    let expected = "`body` needs the environment variable `L`, which is not set";
    assert_eq!(missing.to_string(), expected);
    let tool = "[[tools]]\nname = \"x\"\nkind = \"http\"\n";
    check_error(tool, &[], &[], "`tools[0].url` is missing in my.toml:1");
    let expected = "`tools[0].body` in my.toml:5: expected \"json\", \"none\", or a table with places such as {city}, found \"x\"";
    check_error(&format!("{tool}url = \"http://a\"\nbody = \"x\""), &[], &[], expected);
    let expected =
        "`tools[0].headers` in my.toml:5: expected a table of names and texts, found [secret]";
    check_error(&format!("{tool}url = \"http://a\"\nheaders = \"sk-1\""), &[], &[], expected);
}

#[test]
fn an_unknown_key_is_named_with_its_place_and_the_nearest_known_key() {
    let nearest = |key: &str, place: &str, nearest: &str| {
        format!("unknown key `{key}` in {place}; nearest known key: `{nearest}`")
    };
    check_error("", &[], &["model.nam=x"], &nearest("model.nam", "--set", "model.name"));
    check_error("", &[], &["modle.name=x"], &nearest("modle.name", "--set", "model.name"));
    check_error("", &[], &["a..b=x"], &nearest("a..b", "--set", "turn"));
    let file = "[turn]\nmax_rounds = 1\nmax_round = 1";
    check_error(file, &[], &[], &nearest("turn.max_round", "my.toml:3", "turn.max_rounds"));
    let env = [("CALLSHEET__MODEL__API_KEY", "sk-1")];
    let place = "the environment (CALLSHEET__MODEL__API_KEY)";
    check_error("", &env, &[], &nearest("model.api_key", place, "model.api_key_env"));
    let flag = r#"tools=[{"name":"x","simulate":{"seeed":1}}]"#;
    check_error(
        "",
        &[],
        &[flag],
        &nearest("tools[0].simulate.seeed", "--set", "tools[0].simulate.seed"),
    );
    check_error("[[tool]]\nname = \"x\"", &[], &[], &nearest("tool", "my.toml:1", "tools"));
    let file = "[[tools]]\nname = \"x\"\n\n[[tools]]\nname = \"y\"\nsimulate = { latencyms = 1 }";
    let (key, known) = ("tools[1].simulate.latencyms", "tools[1].simulate.latency_ms");
    check_error(file, &[], &[], &nearest(key, "my.toml:6", known));
}

#[test]
fn a_bad_value_is_named_with_its_place_and_what_is_expected() {
    check_error(
        "[turn]\nmax_rounds = \"3\"",
        &[],
        &[],
        "`turn.max_rounds` in my.toml:2: expected a whole number from 1 to 1000000, found \"3\"",
    );
    check_error(
        "",
        &[],
        &["turn.max_rounds=0"],
        "`turn.max_rounds` in --set: expected a whole number from 1 to 1000000, found \"0\"",
    );
    check_error(
        "",
        &[],
        &["turn.call_time_limit_ms=0"],
        "`turn.call_time_limit_ms` in --set: expected milliseconds, 1 or more, at most 365 days, found \"0\"",
    );
    check_error(
        "[[mcp]]\nname = \"x\"\nargs = \"--token sk-1\"",
        &[],
        &[],
        "`mcp[0].args` in my.toml:3: expected an array of strings, found [secret]",
    );
    check_error(
        "model.stream = 1",
        &[],
        &[],
        "`model.stream` in my.toml:1: expected true or false, found 1",
    );
    check_error(
        "",
        &[("CALLSHEET__TURN__MODE", "both")],
        &[],
        "`turn.mode` in the environment (CALLSHEET__TURN__MODE): expected \"parallel\" or \"sequential\", found \"both\"",
    );
    check_error(
        "store.url = \"mysql://u:secret@db/x\"",
        &[],
        &[],
        "`store.url` in my.toml:1: expected \"memory:\", \"sqlite:PATH\" or \"postgres://USER:PASSWORD@HOST/DATABASE\", found \"mysql://[secret]@db/x\"",
    );
    check_error(
        "[tools]\nname = \"x\"",
        &[],
        &[],
        "`tools` in my.toml:2: expected an array of tables, [[tools]], found a table",
    );
    check_error(
        "[model.name]\nx = 1",
        &[],
        &[],
        "`model.name` in my.toml:2: expected a string that is not empty, found a table",
    );
    check_error("model = 3", &[], &[], "`model` in my.toml:1: expected a table, found 3");
    check_error(
        "",
        &[],
        &["model.api_key_env=sk-or-v1-123"],
        "`model.api_key_env` in --set: expected the name of an environment variable, not the key, found [secret]",
    );
    check_error(
        "",
        &[],
        &["supervision.backoff_min_ms=20000"],
        "`supervision.backoff_min_ms` in --set: expected at most `supervision.backoff_max_ms`, 10000, found 20000",
    );
    check_error(
        "",
        &[],
        &["supervision.within_ms=5000"],
        "`supervision.backoff_max_ms` in the defaults: expected at most `supervision.within_ms`, 5000, found 10000",
    );
    check_error(
        "",
        &[],
        &["supervision.max_restarts=0"],
        "`supervision.max_restarts` in --set: expected a whole number from 1 to 1000000, found \"0\"",
    );
    check_error(
        "",
        &[],
        &["tools[0].retries=2", "tools[0].attempt_time_limit_ms=2000"],
        "`tools[0].retries` in --set: expected so few retries that they fit into `time_limit_ms`, 5000: they may take 6360 ms, found 2",
    );
    check_error(
        "[[tools]]\nname = \"x\"\nretries = 9",
        &[],
        &["turn.call_time_limit_ms=1000"],
        "`tools[0].retries` in my.toml:3: expected so few retries that they fit into `turn.call_time_limit_ms`, 1000: they may take 39240 ms, found 9",
    );
    check_error(
        "",
        &[],
        &["tools[0].attempt_time_limit_ms=6000"],
        "`tools[0].attempt_time_limit_ms` in --set: expected at most `time_limit_ms`, 5000, found 6000",
    );
    check_error(
        "",
        &[],
        &["tools[0].max_concurrency=0"],
        "`tools[0].max_concurrency` in --set: expected a whole number from 1 to 1000000, found \"0\"",
    );
    check_error(
        "",
        &[],
        &["tools=x"],
        "`tools` in --set: expected an array of tables, [[tools]], found \"x\"",
    );
    check_error(
        "",
        &[],
        &["tools[0].kind=ftp"],
        "`tools[0].kind` in --set: expected \"demo\", \"http\" or \"command\", found \"ftp\"",
    );
    check_error(
        "",
        &[],
        &["tools[0].simulate.hang_rate=1.5"],
        "`tools[0].simulate.hang_rate` in --set: expected a number from 0.0 to 1.0, found \"1.5\"",
    );
    check_error(
        "[[tools]]\nname = \"get weather\"",
        &[],
        &[],
        "`tools[0].name` in my.toml:2: expected 1 to 64 letters, digits, `_` and `-`, found \"get weather\"",
    );
    check_error(
        "\n[[tools]]\nkind = \"demo\"",
        &[],
        &[],
        "`tools[0].name` is missing in my.toml:2",
    );
    check_error(
        "[[tools]]\nname = \"x\"\n[[tools]]\nname = \"x\"",
        &[],
        &[],
        "two tools named `x`: `tools[0].name` in my.toml:2 and `tools[1].name` in my.toml:4",
    );
    check_error("", &[], &["model.name"], "`--set model.name`: expected key=value");
    check_error("", &[], &["=x"], "`--set =x`: expected key=value");
    check_error(
        "",
        &[],
        &["tools[99999999].name=x"],
        "`--set tools[99999999].name`: expected an index from 0 to 999",
    );
    check_error("a = 1\nb = = 2", &[], &[], "my.toml:2: extra `=`, expected nothing");
    check_error("a = 99999999999999999999", &[], &[], "my.toml:1: number out of range");
}

#[test]
fn a_file_is_looked_for_in_its_usual_places() {
    let mine = "model.name = \"mine\"";
    let place = Directory::new(
        "usual",
        &[("xdg/callsheet/config.toml", mine), ("other.toml", "model.name = \"other\"")],
    );
    let xdg = place.0.join("xdg");
    let mut sources = place.sources();
    assert_eq!(Config::load(sources.clone()).unwrap().model.name, Config::default().model.name);
    sources.env = [("XDG_CONFIG_HOME", xdg.to_str().unwrap())].into_iter().collect();
    assert_eq!(Config::load(sources.clone()).unwrap().model.name, "mine");
    std::fs::write(place.0.join("config.toml"), "\nmodel.name = \"here\"").unwrap();
    let here = Config::load(sources.clone()).unwrap();
    let line = Source::File { path: "config.toml".into(), line: 2 };
    assert_eq!(value_of(&here, "model.name"), ("\"here\"".to_owned(), line));
    sources.file = Some("other.toml".into());
    assert_eq!(Config::load(sources.clone()).unwrap().model.name, "other");
    sources.file = Some("none.toml".into());
    assert_eq!(Config::load(sources).unwrap_err().to_string(), "cannot read none.toml");
}

#[test]
fn dotenv_fills_what_the_environment_lacks_and_is_never_quoted_in_an_error() {
    let text = "\u{feff}# keys\nexport OPENROUTER_API_KEY='sk-file'\nB=\"b\"\nCALLSHEET__MODEL__NAME=dot\n";
    let place = Directory::new("dotenv", &[(".env", text)]);
    let mut sources = place.sources();
    sources.env = [("B", "process")].into_iter().collect();
    let config = Config::load(sources.with_dotenv().unwrap()).unwrap();
    assert_eq!(config.variables().get("B"), Some("process"));
    assert_eq!(config.model.name, "dot");
    assert_eq!(config.api_key().unwrap().unwrap().expose(), "sk-file");
    assert!(!format!("{config:?}").contains("sk-file"));

    let place = Directory::new("dotenv-bad", &[(".env", "A=1\nKEY sk-secret\n")]);
    let error = place.sources().with_dotenv().unwrap_err();
    assert!(!format!("{error} {error:?}").contains("sk-secret"));
    assert_eq!(error.to_string(), ".env:2: expected NAME=value");
}

#[test]
fn an_endpoint_for_traces_is_a_url_and_needs_the_feature() {
    let set = |url: &str| load(&format!("[telemetry]\notlp_endpoint = {url:?}"), &[], &[]);
    assert_eq!(set("").expect("none is fine").telemetry.otlp_endpoint, None);
    let error = set("localhost:4318").expect_err("it is no URL").to_string();
    assert!(error.contains("telemetry.otlp_endpoint") && error.contains("http://"), "{error}");
    let url = set("http://u:p4711@localhost:4318/");
    if cfg!(feature = "otel") {
        let url = url.expect("it is a URL").telemetry.otlp_endpoint.expect("it is set");
        assert_eq!(url.as_str(), "http://u:p4711@localhost:4318");
        assert!(!format!("{url}{url:?}").contains("p4711"));
    } else {
        let error = url.expect_err("nothing would send them").to_string();
        assert!(
            error.contains("without the feature `otel`") && !error.contains("p4711"),
            "{error}"
        );
    }
}
