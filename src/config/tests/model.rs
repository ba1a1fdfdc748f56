//! What requests say, and to whom.

use super::*;

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

#[test]
fn a_budget_of_money_needs_somebody_who_says_what_replies_cost() {
    let check = |set: &[&str], name: Option<&str>| {
        let key = [("OPENROUTER_API_KEY", "sk-1"), ("OPENAI_API_KEY", "sk-2")];
        load("", &key, set).unwrap().check_cost_budget(name).map_err(|error| error.to_string())
    };
    let (turn, session) = ("turn.cost_budget=0.5", "session.cost_budget=1");
    let (price, other) = ("model.price={input=1,output=2}", Some("another"));
    let openai = "model.base_url=https://api.openai.com/v1";
    assert_eq!(check(&[openai], None), Ok(()), "there is no budget");
    assert_eq!(check(&[turn], other), Ok(()), "OpenRouter says");
    assert_eq!(check(&[openai, turn, price], None), Ok(()));
    assert_eq!(check(&[openai, turn, "model.quirks.reports_cost=true"], None), Ok(()));
    let at = "https://api.openai.com/v1";
    let needs = |key: &str, who: &str, missing: &str| {
        Err(format!(
            "`{key}` in --set needs to know what replies cost, and {who} does not say: set {missing}{}",
            if who == at { ", or `model.quirks.reports_cost` if it does say" } else { "" }
        ))
    };
    assert_eq!(check(&[openai, turn], None), needs("turn.cost_budget", at, "`model.price`"));
    assert_eq!(check(&[openai, session], None), needs("session.cost_budget", at, "`model.price`"));
    let missing = "`model.name` to the model that `model.price` is of";
    assert_eq!(check(&[openai, turn, price], other), needs("turn.cost_budget", at, missing));
    let missing = "`model.fallbacks` to none, as `model.price` is of another model";
    let fallbacks = "model.fallbacks=[\"b\"]";
    assert_eq!(
        check(&[openai, turn, price, fallbacks], None),
        needs("turn.cost_budget", at, missing)
    );
    let offline = "model.provider=offline";
    let who = "the offline stand-in";
    assert_eq!(check(&[offline, turn], None), needs("turn.cost_budget", who, "`model.price`"));
    assert_eq!(check(&[offline, turn, price, fallbacks], other), Ok(()));
}

#[test]
fn a_budget_is_an_amount_and_0_is_none() {
    let config = load("", &[], &["turn.token_budget=9", "session.cost_budget=0.25"]).unwrap();
    assert_eq!(config.turn.budget, Budget { tokens: Some(9), cost: None });
    assert_eq!(config.session.budget, Budget { tokens: None, cost: Some(0.25) });
    for set in ["turn.token_budget=-1", "session.cost_budget=-0.5", "turn.cost_budget=much"] {
        assert!(load("", &[], &[set]).is_err(), "{set}");
    }
}

#[test]
fn a_tool_with_effects_must_have_its_calls_run() {
    let refused = |reuse: &str| {
        let tool = format!("[[tools]]\nname = \"pay\"\neffects = \"once\"\n{reuse}");
        load(&tool, &[], &[]).unwrap_err().to_string()
    };
    let expected = "expected nothing, as `effects` is \"once\" and not \"none\", found";
    for (setting, found) in [("single_flight = true", "true"), ("cache_ms = 5", "5")] {
        let key = setting.split(' ').next().unwrap();
        let told = format!("`tools[0].{key}` in my.toml:4: {expected} {found}");
        assert_eq!(refused(setting), told);
    }
    let fine =
        "[[tools]]\nname = \"read\"\nsingle_flight = true\ncache_ms = 5\ncache_scope = \"process\"";
    let tool = &load(fine, &[], &[]).unwrap().tools[0];
    assert_eq!((tool.single_flight, tool.cache), (true, Some(Duration::from_millis(5))));
    assert_eq!(tool.cache_scope, CacheScope::Process);
}
