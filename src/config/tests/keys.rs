//! The endpoint's key: where it is looked for, who may see it, and who must not.

use super::*;

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
