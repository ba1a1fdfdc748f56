//! `callsheet doctor`: each check, and the exit code that comes of them.

use serde_json::Value;

use crate::support::cli::{Ended, MockModel, Place, nobody};
use crate::support::peer::{Peer, response};

/// The status and the message of each check, by its name.
#[track_caller]
fn found(ended: &Ended, check: &str) -> (String, String) {
    let checks = ended.json();
    let checks = checks.as_array().expect("a list");
    let found = checks.iter().find(|found| found["check"] == check).expect("the check");
    let text = |name: &str| found[name].as_str().expect("text").to_owned();
    (text("status"), text("message"))
}

fn names(ended: &Ended) -> Vec<Value> {
    ended.json().as_array().expect("a list").iter().map(|found| found["check"].clone()).collect()
}

#[test]
fn a_fresh_copy_is_well_but_has_no_model() {
    let ended = Place::new().run(&["doctor", "--json"]).with(0);
    let expected =
        ["panic_strategy", "settings", "arbiters", "tools", "store", "provider", "key", "endpoint"];
    assert_eq!(names(&ended), expected);
    assert_eq!(found(&ended, "panic_strategy").0, "ok");
    assert_eq!(found(&ended, "settings"), ("ok".into(), "from the defaults".into()));
    assert!(found(&ended, "arbiters").1.ends_with("(one for each core)"));
    let (status, message) = found(&ended, "provider");
    assert!(status == "warn" && message.contains("OPENROUTER_API_KEY"), "{message}");
    let ended = Place::new().run(&["doctor", "--json", "--set", "model.provider=offline"]);
    assert_eq!(found(&ended.with(0), "provider").0, "ok");
}

#[test]
fn a_person_gets_a_table() {
    let place = Place::new().file("config.toml", "[runtime]\narbiters = 3\n");
    let ended = place.run(&["doctor", "--set", "turn.max_rounds=3"]).with(0);
    let row = |name: &str| {
        let row = ended.stdout.lines().find(|line| line.starts_with(name)).expect("a row");
        row.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(row("CHECK"), "CHECK STATUS MESSAGE");
    assert_eq!(row("settings"), "settings ok from --set, config.toml, the defaults");
    assert_eq!(row("arbiters"), "arbiters ok 3 (runtime.arbiters)");
    assert_eq!(row("tools"), "tools ok 3: get_weather, get_stock_price, get_news_headlines");
    assert_eq!(ended.stderr, "");
}

#[test]
fn an_endpoint_that_answers_is_found_without_asking_a_model() {
    let place = Place::new();
    let server = MockModel::start(&place, None);
    let ended = place.run(&["doctor", "--json", "--set", &server.setting()]).with(0);
    let expected = format!("{} answers", server.url);
    assert_eq!(found(&ended, "endpoint"), ("ok".into(), expected));
    assert_eq!(found(&ended, "key").0, "ok");
}

#[test]
fn the_dialect_is_told() {
    let setting = format!("model.base_url={}", nobody());
    let ended = Place::new().run(&["doctor", "--json", "--set", &setting]).with(1);
    assert!(found(&ended, "provider").1.ends_with(", dialect generic"));
    let named = ["doctor", "--json", "--set", &setting, "--set", "model.dialect=mistral"];
    let ended = Place::new().run(&named).with(1);
    assert!(found(&ended, "provider").1.ends_with(", dialect mistral"));
}

#[test]
fn a_refused_key_is_a_failure_and_never_shown() {
    let body = "no such key: sk-very-secret";
    let answer = || vec![response("401 Unauthorized", "text/plain", "", body)];
    let peer = Peer::start([answer(), answer()]);
    let url = peer.base_url().replace("http://", "http://me:pa55word@");
    let setting = format!("model.base_url={url}");
    let place = Place::new().variable("OPENROUTER_API_KEY", "sk-very-secret");
    let key = "model.api_key_env=OPENROUTER_API_KEY";
    let ended = place.run(&["doctor", "--json", "-vv", "--set", &setting, "--set", key]).with(1);
    let expected = format!("http://[secret]@{}/v1 refuses the key (401)", peer.addr());
    assert_eq!(found(&ended, "endpoint"), ("fail".into(), expected));
    assert_eq!(found(&ended, "key"), ("ok".into(), "in OPENROUTER_API_KEY".into()));
    let table = place.run(&["doctor", "--set", &setting, "--set", key]).with(1);
    for ended in [ended, table] {
        let text = ended.stdout + &ended.stderr;
        assert!(!text.contains("very-secret") && !text.contains("pa55word"), "{text}");
    }
    let head = &peer.heard()[0].head;
    assert!(head.starts_with("GET /v1/models HTTP/1.1\r\n"), "{head}");
    assert!(head.to_lowercase().contains("authorization: "), "{head}");
}

#[test]
fn an_endpoint_where_nobody_listens_is_a_failure() {
    let url = nobody();
    let setting = format!("model.base_url={url}");
    let ended = Place::new().run(&["doctor", "--json", "--set", &setting]).with(1);
    let (status, message) = found(&ended, "endpoint");
    assert!(status == "fail" && message.contains(&url), "{message}");
}

#[test]
fn a_key_that_is_missing_or_broken_is_a_failure() {
    let ended = Place::new().run(&["doctor", "--json", "--set", "model.provider=openai"]).with(1);
    for check in ["provider", "key"] {
        let (status, message) = found(&ended, check);
        assert!(status == "fail" && message.contains("OPENROUTER_API_KEY"), "{message}");
    }
    assert_eq!(found(&ended, "endpoint").0, "warn");
    let file = ["doctor", "--json", "--set", "model.api_key_file=none.key"];
    let (status, message) = found(&Place::new().run(&file).with(1), "key");
    assert!(status == "fail" && message.starts_with("cannot read none.key: "), "{message}");
}

#[test]
fn settings_that_cannot_be_read_are_told_with_exit_code_2() {
    let place = Place::new().file("config.toml", "[model]\nbase_ulr = \"http://a/v1\"\n");
    let ended = place.run(&["doctor", "--json"]).with(2);
    assert_eq!(names(&ended), ["panic_strategy", "settings"]);
    let (status, message) = found(&ended, "settings");
    assert!(status == "fail" && message.contains("config.toml:2"), "{message}");
}
