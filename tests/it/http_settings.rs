//! Tools of the kind `http` in settings: what is made of them, and which are left out.

use crate::support::cli::Place;
use crate::support::peer::{Peer, json, response};

const SECRET: &str = "sk-very-secret-0123456789";

/// Settings with a good tool at `peer`, and `others`.
fn settings(peer: &Peer, others: &str) -> String {
    let addr = peer.addr();
    format!(
        r#"
[model]
provider = "offline"

[[tools]]
name = "find_city"
kind = "http"
description = "Coordinates of a city"
parameters = {{ type = "object", properties = {{ city = {{ type = "string" }} }}, required = ["city"] }}
url = "http://{addr}/v1/cities/{{city}}"
headers = {{ authorization = "Bearer ${{env:CITY_KEY}}" }}
effects = "none"
pointer = "/at"
allow_private = ["127.0.0.0/8"]
{others}"#
    )
}

/// Another tool.
fn tool(name: &str, lines: &str) -> String {
    format!("[[tools]]\nname = \"{name}\"\nkind = \"http\"\n{lines}\n")
}

fn place(peer: &Peer, others: &str) -> Place {
    Place::new().file("config.toml", &settings(peer, others)).variable("CITY_KEY", SECRET)
}

#[test]
fn a_tool_of_the_settings_is_listed_described_called_and_looked_at() {
    let peer = Peer::start([vec![json(r#"{"at": {"lat": 50.9}}"#)]]);
    let place = place(&peer, "");
    let list = place.run(&["tools", "list", "--json"]).with(0).json();
    assert_eq!((&list[0]["kind"], &list[0]["effects"]), (&"http".into(), &"none".into()));
    let tool = place.run(&["tools", "describe", "find_city", "--json"]).with(0).json();
    assert_eq!(tool["function"]["parameters"]["required"][0], "city");
    assert_eq!(tool["function"]["description"], "Coordinates of a city");
    let ended = place.run(&["tools", "call", "find_city", r#"{"city": "Köln"}"#, "--json"]).with(0);
    let call = ended.json();
    assert_eq!((&call["outcome"], &call["result"]), (&"ok".into(), &r#"{"lat": 50.9}"#.into()));
    let head = &peer.heard()[0].head;
    assert!(head.starts_with("GET /v1/cities/K%C3%B6ln HTTP/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("authorization: Bearer {SECRET}\r\n")), "{head}");
    let doctor = place.run(&["doctor", "--json"]).with(0).json();
    let checks = doctor.as_array().expect("a list").iter();
    let hosts: Vec<_> = checks.filter(|check| check["check"] == "http_host").collect();
    assert_eq!(hosts.len(), 1);
    assert_eq!(hosts[0]["message"], "find_city: 127.0.0.1 is at 127.0.0.1");
    assert_eq!(peer.heard().len(), 1, "nothing is called to look at it");
}

#[test]
fn a_tool_that_cannot_be_made_is_left_out_with_a_line_and_the_others_go_on() {
    let peer = Peer::start([vec![json(r#"{"at": 1}"#)]]);
    let bad = [
        (
            "host",
            "url = \"https://{host}/x\"",
            "url: `{host}` stands in its host, which must be fixed",
        ),
        (
            "undeclared",
            "url = \"https://a.example\"\nheaders = { x-key = \"${env:NO_KEY}\" }",
            "`headers.x-key` needs the environment variable `NO_KEY`, which is not set",
        ),
        (
            "no_parameter",
            "url = \"https://a.example/{town}\"",
            "`{town}` in the path is no parameter: `parameters.properties` has nothing",
        ),
        ("method", "url = \"https://a.example\"\nmethod = \"FETCH\"", "found \"FETCH\""),
        ("private", "url = \"http://169.254.169.254/\"", "169.254.169.254 is not a public address"),
        ("password", "url = \"https://me:pa55word@a.example/\"", "a user or a password"),
    ];
    let others: String = bad.iter().map(|(name, lines, _)| tool(name, lines)).collect();
    let place = place(&peer, &others);
    let ended = place.run(&["tools", "list", "--json"]).with(0);
    let names: Vec<_> =
        ended.json().as_array().unwrap().iter().map(|tool| tool["name"].clone()).collect();
    assert_eq!(names, ["find_city"]);
    let lines: Vec<_> = ended.stderr.lines().collect();
    assert_eq!(lines.len(), bad.len(), "{lines:#?}");
    for ((index, (name, _, problem)), line) in bad.iter().enumerate().zip(lines) {
        let place = format!("(`tools[{}]` in config.toml:", index + 1);
        assert!(line.contains(&format!("the tool `{name}` is left out: ")), "{line}");
        assert!(line.contains(problem) && line.contains(&place), "{line}");
        assert!(!line.contains("pa55word"), "{line}");
    }
    place.run(&["tools", "call", "find_city", r#"{"city": "a"}"#]).with(0);
    place.run(&["ask", "hi"]).with(0);
    let doctor = place.run(&["doctor", "--json"]).with(1);
    assert!(doctor.stdout.contains("`undeclared` is left out"), "{}", doctor.stdout);
}

#[test]
fn a_host_that_leads_to_a_private_address_is_found_by_doctor() {
    let peer = Peer::start([]);
    let place = place(&peer, &tool("intranet", "url = \"http://localhost:1/\""));
    let doctor = place.run(&["doctor", "--json"]).with(1).json();
    let checks = doctor.as_array().expect("a list");
    let check = checks.iter().rfind(|check| check["check"] == "http_host").expect("the check");
    assert_eq!(check["status"], "fail");
    let message = check["message"].as_str().expect("text");
    assert!(message.starts_with("intranet: localhost is at "), "{message}");
    assert!(message.ends_with(", which is not a public address"), "{message}");
}

#[test]
fn a_proxy_of_the_environment_is_not_asked() {
    let (peer, proxy) = (Peer::start([vec![json(r#"{"at": 1}"#)]]), Peer::start([]));
    let url = format!("http://{}", proxy.addr());
    let place = ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]
        .into_iter()
        .fold(place(&peer, ""), |place, name| place.variable(name, &url));
    place.run(&["tools", "call", "find_city", r#"{"city": "a"}"#]).with(0);
    assert_eq!((peer.heard().len(), proxy.heard().len()), (1, 0));
}

#[test]
fn what_a_variable_holds_is_nowhere_to_be_read() {
    let body = format!("no such key: {SECRET}");
    let answer = || vec![response("401 Unauthorized", "text/plain", "", &body)];
    let peer = Peer::start([answer(), answer()]);
    let written = "url = \"https://a.example/?key=sk-very-written\"\nheaders = { authorization = \"Bearer sk-very-written\" }";
    let place = place(&peer, &tool("written", written));
    for arguments in [
        &["config", "show"][..],
        &["config", "show", "--json"],
        &["doctor"],
        &["tools", "list", "--json"],
        &["tools", "call", "find_city", r#"{"city": "a"}"#, "-vv"],
        &["tools", "call", "find_city", r#"{"city": "a"}"#, "--json", "--set", "log.level=trace"],
    ] {
        let ended = place.run(arguments);
        let shown = format!("{} {}", ended.stdout, ended.stderr);
        assert!(!shown.contains("very-secret") && !shown.contains("very-written"), "{shown}");
    }
    assert_eq!(peer.heard().len(), 2);
}
