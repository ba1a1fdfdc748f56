use std::time::Duration;

use super::*;
use crate::conversation::{Effects, Mode};
use crate::model::{
    Dialect, EmptyContent, IdRule, Price, Quirks, RequestSettings, TokenLimitField, ToolChoice,
};

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
fn load(file: &str, env: &[(&str, &str)], set: &[&str]) -> Result<Config, Error> {
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
            call_time_limit: seconds(30),
            round_time_limit: 2 * MINUTE,
            turn_time_limit: 10 * MINUTE,
        }
    );
    let session = Session { max_concurrency: None, max_result_bytes: 100_000 };
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
    assert_eq!(config.store, Store { url: "memory:".to_owned() });
    assert_eq!(config.log, Log { level: LogLevel::Warn, format: LogFormat::Text });
    let tool = |name: &str| Tool {
        name: name.to_owned(),
        kind: ToolKind::Demo,
        description: None,
        parameters: None,
        effects: Effects::None,
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
        simulate: Simulate { latency: Duration::from_millis(300), ..Simulate::default() },
    };
    let names = ["get_weather", "get_stock_price", "get_news_headlines"];
    assert_eq!(config.tools, names.map(tool));
}

#[test]
fn the_shipped_file_shows_every_known_key_in_the_order_of_the_rows() {
    let everything = r#"tools = [{ name = "x", description = "", parameters = {}, early = true, time_limit_ms = 1,
        retries = 0, attempt_time_limit_ms = 1, silence_time_limit_ms = 1, max_concurrency = 1,
        exclusive = true, serial_by = "a", rate_limit = { calls = 1, per_ms = 1 }, max_queue = 1,
        simulate = { latency_ms = 1, jitter_ms = 1, error_rate = 0, panic_rate = 0, hang_rate = 0,
        crash_after = 1, seed = 1 } }]
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
                early = false\nparameters = { type = \"object\", properties = { \"a b\" = { enum = [1, \"\\\"\"] } } }";
    let config = load(file, &[], &["model.system=say \"hi\"\n\t\u{7f}"]).unwrap();
    let (mut text, mut tool) = (String::new(), String::from("[[tools]]\n"));
    for Row { key, value, .. } in config.rows() {
        match key.strip_prefix("tools[0].") {
            Some(key) => tool += &format!("{key} = {value}\n"),
            None => text += &format!("{key} = {value}\n"),
        }
    }
    let again = load(&(text + &tool), &[], &[]).unwrap();
    assert_eq!((&again.model, &again.turn), (&config.model, &config.turn));
    assert_eq!(again.tools, config.tools);
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
    let simulate = &config.tools[1].simulate;
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
    assert_eq!(config.tools[0].simulate.latency, Duration::from_millis(5));
    let (value, source) = value_of(&config, "tools[0].parameters");
    assert_eq!(value, "{ type = \"object\" }");
    assert_eq!(source, Source::Environment("CALLSHEET__TOOLS".to_owned()));
    assert_eq!(names(load("tools = []", &[], &[]).unwrap()), [""; 0]);
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
        "store.url = \"postgres://u:secret@db/x\"",
        &[],
        &[],
        "`store.url` in my.toml:1: expected \"memory:\", the only store of this version, found \"postgres://[secret]@db/x\"",
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
        &["tools[0].kind=http"],
        "`tools[0].kind` in --set: expected \"demo\", the only one of this version, found \"http\"",
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
fn the_key_comes_from_the_file_before_the_variable() {
    let place = Directory::new("key", &[("key", " sk-file\n"), ("empty", "\n")]);
    let with = |set: &[&str]| {
        let mut sources = place.sources();
        sources.env = [("OPENROUTER_API_KEY", "sk-env")].into_iter().collect();
        sources.set = set.iter().map(|&flag| flag.to_owned()).collect();
        Config::load(sources).unwrap().api_key()
    };
    assert_eq!(with(&[]).unwrap().unwrap().expose(), "sk-env");
    assert_eq!(with(&["model.api_key_file=key"]).unwrap().unwrap().expose(), "sk-file");
    assert!(with(&["model.api_key_env=OTHER"]).unwrap().is_none());
    let error = with(&["model.api_key_file=empty"]).unwrap_err().to_string();
    assert_eq!(error, "the key in empty is empty or has characters that a key cannot have");
    assert_eq!(with(&["model.api_key_file=none"]).unwrap_err().to_string(), "cannot read none");
}

#[test]
fn auto_asks_an_endpoint_only_if_it_can() {
    let resolved =
        |env: &[(&str, &str)], set: &[&str]| load("", env, set).unwrap().resolved_provider();
    let key = [("OPENROUTER_API_KEY", "sk-1")];
    assert_eq!(resolved(&[], &[]).unwrap(), ResolvedProvider::Offline);
    assert_eq!(resolved(&[("OPENROUTER_API_KEY", " ")], &[]).unwrap(), ResolvedProvider::Offline);
    assert_eq!(resolved(&key, &[]).unwrap(), ResolvedProvider::OpenAi);
    assert_eq!(resolved(&key, &["model.provider=offline"]).unwrap(), ResolvedProvider::Offline);
    assert_eq!(resolved(&[], &["model.api_key_file=key"]).unwrap(), ResolvedProvider::OpenAi);
    let local = "model.base_url=http://127.0.0.1:8080/v1";
    assert_eq!(resolved(&[], &[local]).unwrap(), ResolvedProvider::OpenAi);
    assert_eq!(resolved(&[], &[local, "model.provider=openai"]).unwrap(), ResolvedProvider::OpenAi);
    let error =
        resolved(&[], &["model.provider=openai", "model.base_url=https://u:p@a.b/v1"]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no key for https://[secret]@a.b/v1: set `model.api_key_env` to the environment variable that \
         holds it, or `model.api_key_file`, give it in `model.extra_headers`, or work without a network: --set model.provider=offline"
    );
}

#[test]
fn a_key_in_a_header_is_one() {
    let resolved = |name: &str, value: &str, env: &[(&str, &str)], provider: &str| {
        let header = format!("model.extra_headers.{name}={value}");
        load("", env, &[&header, &format!("model.provider={provider}")])
            .unwrap()
            .resolved_provider()
    };
    let key = [("MY_KEY", "sk-1")];
    for (name, value) in
        [("api-key", "${env:MY_KEY}"), ("Authorization", "Key ${env:MY_KEY}"), ("x-token", "sk-2")]
    {
        for provider in ["auto", "openai"] {
            let resolved = resolved(name, value, &key, provider).unwrap();
            assert_eq!(resolved, ResolvedProvider::OpenAi, "{name}");
        }
    }
    for (name, value) in [("x-title", "${env:MY_KEY}"), ("x-session", "7"), ("api-key", " ")] {
        let auto = resolved(name, value, &key, "auto").unwrap();
        assert_eq!(auto, ResolvedProvider::Offline, "{name}");
        assert!(
            matches!(resolved(name, value, &key, "openai"), Err(Error::NoKey { .. })),
            "{name}"
        );
    }
    let auto = resolved("api-key", "${env:MY_KEY}", &[], "auto").unwrap();
    assert_eq!(auto, ResolvedProvider::Offline);
    let error = resolved("api-key", "${env:MY_KEY}", &[("MY_KEY", " ")], "openai").unwrap_err();
    assert!(error.to_string().contains("`MY_KEY`, which is not set"), "{error}");
}

#[test]
fn a_header_in_other_letters_is_the_same_one() {
    let file = "[model.extra_headers]\nX-Title = \"file\"\nX-Other = \"kept\"";
    let headers = |env: &[(&str, &str)], set: &[&str]| {
        let headers = load(file, env, set).unwrap().model.extra_headers;
        let shown = headers.iter().map(|header| format!("{}={}", header.name(), header.shown()));
        shown.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(headers(&[], &[]), "x-other=kept x-title=file");
    let env = [("CALLSHEET__MODEL__EXTRA_HEADERS__X-TITLE", "env")];
    assert_eq!(headers(&env, &[]), "x-other=kept x-title=env");
    let set = ["model.extra_headers.x-Title=set", "model.extra_headers.X-TITLE=last"];
    assert_eq!(headers(&env, &set), "x-other=kept x-title=last");
    let section = [r#"model={extra_headers={X-tItLe="section"}}"#];
    assert_eq!(headers(&env, &section), "x-other=kept x-title=section");
    check_error(
        "[model.extra_headers]\nX-Title = \"a\"\nx-title = \"b\"",
        &[],
        &[],
        "`model.extra_headers` in my.toml:2: expected each header once, and `x-title` is there twice, found [secret]",
    );
}

#[test]
fn a_password_in_the_endpoint_is_masked_wherever_it_is_shown() {
    let config = load("", &[], &["model.base_url=https://u:hidden@a.b/v1/"]).unwrap();
    assert_eq!(value_of(&config, "model.base_url").0, "\"https://[secret]@a.b/v1\"");
    assert!(!format!("{config:?}").contains("hidden"));
    check_error(
        "",
        &[],
        &["model.base_url=u:hidden@a.b"],
        "`model.base_url` in --set: expected a URL with a host, http:// or https://, without `?` and `#`, found \"[secret]@a.b\"",
    );
}

#[test]
fn every_request_setting_is_read() {
    let file = r#"[model]
        fallbacks = ["second", "third"]
        temperature = 0.5
        max_tokens = 4096
        tool_choice = "get_weather"
        response_format = { type = "json_schema", json_schema = { name = "x" } }
        reasoning_effort = "low"
        extra_body = { top_k = 40 }
        retries = 0
        retry_min_ms = 1
        retry_max_ms = 2
        price = { input = 1, output = 2.5, cached_input = 0.1 }"#;
    let model = load(file, &[], &["turn.early_dispatch=false", "tools[0].early=true"]).unwrap();
    assert_eq!((model.turn.early_dispatch, model.tools[0].early), (false, Some(true)));
    let model = model.model;
    let object = |json: serde_json::Value| json.as_object().cloned().unwrap();
    let schema = serde_json::json!({"type": "json_schema", "json_schema": {"name": "x"}});
    let expected = RequestSettings {
        temperature: Some(0.5),
        max_tokens: Some(4096),
        tool_choice: Some(ToolChoice::Tool("get_weather".to_owned())),
        response_format: Some(object(schema)),
        reasoning_effort: Some("low".to_owned()),
        extra_body: object(serde_json::json!({"top_k": 40})),
    };
    assert_eq!(model.request, expected);
    assert_eq!(model.fallbacks, ["second", "third"]);
    assert_eq!((model.retries, model.retry_max), (0, Duration::from_millis(2)));
    let price = Price { input: 1.0, output: 2.5, cached_input: Some(0.1) };
    assert_eq!(model.price, Some(price));
}

#[test]
fn a_choice_must_name_a_tool_that_there_is() {
    let expected = "expected \"auto\", \"none\", \"required\" or the name of a tool";
    let typo = format!(
        "`model.tool_choice` in my.toml:2: {expected} (nearest: \"get_weather\"), found \"get_wether\""
    );
    check_error("[model]\ntool_choice = \"get_wether\"", &[], &[], &typo);
    let nobody = format!(
        "`model.tool_choice` in --set: {expected}, of which there are none, found \"get_weather\""
    );
    check_error("tools = []", &[], &["model.tool_choice=get_weather"], &nobody);
    let own = "tools = [{ name = \"x\", kind = \"demo\" }]";
    let other =
        format!("`model.tool_choice` in --set: {expected} (nearest: \"x\"), found \"get_weather\"");
    check_error(own, &[], &["model.tool_choice=get_weather"], &other);
    load(own, &[], &["model.tool_choice=x"]).unwrap();
    load("tools = []", &[], &["model.tool_choice=required"]).unwrap();
}

#[test]
fn text_of_a_request_setting_is_what_it_looks_like() {
    let set = [
        "model.temperature=0.5",
        "model.tool_choice=required",
        "model.response_format=json_object",
        "model.extra_body.top_k=40",
        "model.extra_body.stop=end",
        "model.extra_body.deep={\"a\": 1}",
        "model.extra_headers.x-title=7",
        "model.fallbacks=[\"a\"]",
        "model.price={input=1,output=2}",
        "model.quirks.id_rule=kimi",
    ];
    let Config { model, .. } = load("", &[], &set).unwrap();
    let body = serde_json::json!({"top_k": 40, "stop": "end", "deep": {"a": 1}});
    assert_eq!(serde_json::Value::from(model.request.extra_body), body);
    let format = model.request.response_format.unwrap();
    assert_eq!(serde_json::Value::from(format), serde_json::json!({"type": "json_object"}));
    assert_eq!(model.request.tool_choice, Some(ToolChoice::Required));
    assert_eq!(model.extra_headers[0].shown(), "7");
    assert_eq!((model.fallbacks, model.quirks.id_rule), (vec!["a".into()], Some(IdRule::Kimi)));
    let env = [("CALLSHEET__MODEL__EXTRA_BODY", r#"{"top_k": "40"}"#)];
    let body = load("", &env, &[]).unwrap().model.request.extra_body;
    assert_eq!(serde_json::Value::from(body), serde_json::json!({"top_k": "40"}));
}

#[test]
fn the_dialect_is_that_of_the_host_unless_one_is_named_and_each_flag_can_be_set() {
    let dialect = |set: &[&str]| load("", &[], set).unwrap().model.resolved_dialect();
    let mistral = "model.base_url=https://api.mistral.ai/v1";
    assert_eq!(dialect(&[]).name, "openrouter");
    assert_eq!(dialect(&[mistral]), Dialect::named("mistral").unwrap());
    assert_eq!(dialect(&[mistral, "model.dialect=vllm"]), Dialect::named("vllm").unwrap());
    let file = r#"[model]
        dialect = "openai"
        [model.quirks]
        brace_close_trusted = false
        stop_means_no_tools = true
        empty_content = "empty"
        parallel_tool_calls = false
        stream_usage = false
        id_rule = "kimi"
        name_on_results = true
        assistant_after_results = true
        signed_calls = true
        reasoning_on_replies = true
        max_tools = 0
        token_limit_field = "max_tokens""#;
    let expected = Dialect {
        brace_close_trusted: false,
        stop_means_no_tools: true,
        empty_content: EmptyContent::Empty,
        parallel_tool_calls: false,
        stream_usage: false,
        id_rule: IdRule::Kimi,
        name_on_results: true,
        assistant_after_results: true,
        signed_calls: true,
        reasoning_on_replies: true,
        max_tools: None,
        token_limit_field: TokenLimitField::MaxTokens,
        ..Dialect::named("openai").unwrap()
    };
    assert_eq!(load(file, &[], &[]).unwrap().model.resolved_dialect(), expected);
}

#[test]
fn the_number_of_tools_is_limited_by_the_dialect_or_the_flag_in_its_place() {
    let check = |count: usize, file: &str, set: &[&str], whose: Option<&str>| {
        let env = [("OPENROUTER_API_KEY", "sk-1"), ("GEMINI_API_KEY", "sk-1")];
        let error = load(file, &env, set).unwrap().check_tool_count(count).err();
        let expected = whose.map(|whose| {
            format!("{count} tools, and one request may list {whose}: offer fewer, or set `model.quirks.max_tools`")
        });
        assert_eq!(error.map(|error| error.to_string()), expected, "{count} {file} {set:?}");
    };
    let openrouter = "128 (dialect `openrouter`, that of https://openrouter.ai/api/v1)";
    check(128, "", &[], None);
    check(129, "", &[], Some(openrouter));
    let gemini = "model.base_url=https://generativelanguage.googleapis.com/v1beta/openai";
    check(512, "", &[gemini], None);
    let of_gemini = "512 (dialect `gemini`, that of \
        https://generativelanguage.googleapis.com/v1beta/openai)";
    check(513, "", &[gemini], Some(of_gemini));
    let named = "128 (dialect `openai`, of `model.dialect` in --set)";
    check(129, "", &["model.dialect=openai"], Some(named));
    let few = "[model.quirks]\nmax_tools = 2";
    check(2, few, &[], None);
    check(3, few, &[], Some("2 (`model.quirks.max_tools` in my.toml:2)"));
    check(300, "", &["model.quirks.max_tools=300"], None);
    check(1_000, "", &["model.quirks.max_tools=0"], None);
    // Whoever has no row has no limit that is known, and the stand-in has none.
    check(1_000, "", &["model.base_url=http://localhost:8080/v1"], None);
    check(1_000, "", &["model.provider=offline"], None);
    check(3, few, &["model.provider=offline"], Some("2 (`model.quirks.max_tools` in my.toml:2)"));
}

#[test]
fn a_provider_with_a_variable_of_its_own_is_asked_with_the_key_in_that_one() {
    let env = [("OPENROUTER_API_KEY", "sk-router"), ("OPENAI_API_KEY", "sk-openai"), ("K", "sk-k")];
    let key = |set: &[&str]| key_of("", &env, set);
    let pair = |variable: &str, key: &str| Some((variable.to_owned(), key.to_owned()));
    let openai = "model.base_url=https://api.openai.com/v1";
    assert_eq!(key(&[]), pair("OPENROUTER_API_KEY", "sk-router"));
    assert_eq!(key(&[openai]), pair("OPENAI_API_KEY", "sk-openai"));
    assert_eq!(key(&[openai, "model.api_key_env=K"]), pair("K", "sk-k"));
    // The key of one provider is not shown to another.
    let groq = load("", &env, &["model.base_url=https://api.groq.com/v1", "model.provider=openai"]);
    let error = groq.unwrap().resolved_provider().unwrap_err().to_string();
    assert!(error.contains("set the environment variable `GROQ_API_KEY`"), "{error}");
}

#[test]
fn the_usual_key_is_for_a_host_that_nobody_knows_only_if_it_is_set_for_it() {
    let env = [("OPENROUTER_API_KEY", "sk-router"), ("OPENAI_API_KEY", "sk-openai"), ("K", "sk-k")];
    let key = |file: &str, set: &[&str]| key_of(file, &env, set);
    let pair = |variable: &str, key: &str| Some((variable.to_owned(), key.to_owned()));
    let router = pair("OPENROUTER_API_KEY", "sk-router");
    let named = "model.api_key_env=OPENROUTER_API_KEY";
    for unknown in ["https://example.com/v1", "http://localhost:8080/v1", "http://10.0.0.1/v1"] {
        let set = &*format!("model.base_url={unknown}");
        assert_eq!(key("", &[set]), None, "{unknown}");
        assert_eq!(key("", &[set, "model.dialect=openai"]), None, "{unknown}");
        assert_eq!(key("", &[set, named]), router, "{unknown}");
        assert_eq!(key("", &[set, "model.api_key_env=K"]), pair("K", "sk-k"), "{unknown}");
        // What a file says of its own endpoint does not hold for one that replaces it.
        let both = "model.api_key_env = \"OPENROUTER_API_KEY\"\nmodel.base_url = \"https://a.b\"";
        assert_eq!(key(both, &[]), router);
        assert_eq!(key(both, &[set]), None, "{unknown}");
        assert_eq!(key(SHIPPED, &[set]), None, "{unknown}");
        assert_eq!(key("model.api_key_env = \"K\"", &[set]), pair("K", "sk-k"), "{unknown}");
    }
    assert_eq!(key(SHIPPED, &[]), router);
    let unknown = load("", &env, &["model.base_url=https://example.com/v1"]).unwrap();
    assert_eq!(unknown.resolved_provider().unwrap(), ResolvedProvider::Offline);
}

/// The variable that is looked at for the key, and what is in it.
fn key_of(file: &str, env: &[(&str, &str)], set: &[&str]) -> Option<(String, String)> {
    let config = load(file, env, set).unwrap();
    let key = config.api_key().unwrap().map(|key| key.expose().to_owned());
    Some((config.key_variable()?.to_owned(), key.unwrap_or_default()))
}

#[test]
fn a_header_from_a_variable_is_filled_in_and_never_shown() {
    let file = "[model.extra_headers]\napi-key = \"${env:K}\"\nx-title = \"mine\"\nx-token = \"sk-literal\"";
    let config = load(file, &[("K", "sk-hidden")], &[]).unwrap();
    let headers = config.headers().unwrap();
    let headers: Vec<_> =
        headers.iter().map(|header| (&*header.name, header.value.expose())).collect();
    let expected = [("api-key", "sk-hidden"), ("x-title", "mine"), ("x-token", "sk-literal")];
    assert_eq!(headers, expected);
    let shown = value_of(&config, "model.extra_headers").0;
    let expected = r#"{ api-key = "${env:K}", x-title = "mine", x-token = "[secret]" }"#;
    assert_eq!(shown, expected);
    let shown = format!("{config:?} {:?}", config.headers());
    assert!(!shown.contains("sk-"), "{shown}");
    let error = load(file, &[], &[]).unwrap().headers().unwrap_err().to_string();
    let expected =
        "`model.extra_headers.api-key` needs the environment variable `K`, which is not set";
    assert_eq!(error, expected);
}

#[test]
fn a_bad_request_setting_is_named_with_what_is_expected() {
    let check = |set: &str, key: &str, expected: &str, found: &str| {
        let text = format!("`model.{key}` in --set: expected {expected}, found {found}");
        check_error("", &[], &[set], &text);
    };
    let number = "a number, 0.0 or more";
    check("model.temperature=-1", "temperature", number, "\"-1\"");
    check("model.temperature=NaN", "temperature", number, "\"NaN\"");
    check("model.price={input=-1,output=1}", "price.input", number, "-1");
    check("model.extra_body=7", "extra_body", "a table", "\"7\"");
    let elsewhere = "a table without `tools`, which is set elsewhere";
    check("model.extra_body={tools=1}", "extra_body", elsewhere, "\"{tools=1}\"");
    check(
        "model.response_format=json",
        "response_format",
        "\"json_object\" or a table",
        "\"json\"",
    );
    check("model.fallbacks=a", "fallbacks", "an array of strings that are not empty", "\"a\"");
    check(
        "model.extra_headers={x=1}",
        "extra_headers",
        "a table of headers, each a string",
        "[secret]",
    );
    let ours = "headers without `host`, which is ours to set";
    check("model.extra_headers.host=a", "extra_headers", ours, "[secret]");
    let choice = "\"absent\", \"null\" or \"empty\"";
    check("model.quirks.empty_content=none", "quirks.empty_content", choice, "\"none\"");
    let most = "at most `model.retry_max_ms`, 30000";
    check("model.retry_min_ms=40000", "retry_min_ms", most, "40000");
    let error = load("", &[], &["model.dialect=opnai"]).unwrap_err().to_string();
    assert!(error.contains("expected \"auto\" or one of \"openai\", \"azure\""), "{error}");
    check_error(
        "[model.quirks]\nbrace_close = true",
        &[],
        &[],
        "unknown key `model.quirks.brace_close` in my.toml:2; nearest known key: `model.quirks.brace_close_trusted`",
    );
}
