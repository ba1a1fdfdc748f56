//! Where it listens, and for whom.

use tokio::io::AsyncWriteExt;

use super::http::{Answer, Served, run};
use crate::support::cli::Place;

#[test]
fn an_address_that_others_reach_needs_a_token() {
    let place = Place::new();
    let serve = |bind: &str, more: &[&str]| {
        let mut arguments = vec!["serve", "--bind", bind, "--set", "model.provider=offline"];
        arguments.extend(more);
        place.run(&arguments)
    };
    serve("0.0.0.0:0", &[])
        .complains(2, &["0.0.0.0:0 can be reached from elsewhere", "[[server.tokens]]"]);
    let token = ["--set", r#"server.tokens=[{name="ann",env="ANN"}]"#];
    serve("0.0.0.0:0", &token).complains(2, &["the token `ann`: the variable ANN is not set"]);
    let place = Place::new().variable("ANN", "short");
    let mut arguments = vec!["serve", "--set", "model.provider=offline"];
    arguments.extend(token);
    place.run(&arguments).complains(2, &["`server.tokens`", "less than 16 characters"]);
    place
        .run(&["serve", "--set", "server.bind=nowhere"])
        .complains(2, &["server.bind", "an address with a port"]);
}

#[test]
fn a_token_of_the_settings_admits_and_is_never_shown() {
    let place = Place::new().variable("ANN", "a-secret-of-some-length");
    let tokens = r#"server.tokens=[{name="ann",env="ANN"}]"#;
    let served = Served::start(&place, &["--set", tokens]);
    run(async {
        assert_eq!(served.get("/v1/sessions").await.status, 401);
        assert_eq!(served.get("/healthz").await.status, 200);
        let header = "authorization: Bearer a-secret-of-some-length\r\n";
        assert_eq!(served.send("GET", "/v1/sessions", header, "").await.status, 200);
    });
    let shown = place.run(&["config", "show", "--set", tokens]).with(0);
    assert!(shown.stdout.contains("server.tokens[0].env") && !shown.stdout.contains("a-secret-of"));
}

#[test]
fn an_address_that_is_taken_is_said_in_one_line() {
    let place = Place::new();
    let served = Served::start(&place, &[]);
    let other = Place::new();
    let ended = other.run(&["serve", "--bind", &served.addr, "--set", "model.provider=offline"]);
    ended.complains(1, &["cannot listen on", &served.addr]);
}

#[test]
fn with_tokens_and_names_it_is_reached_by_those_names_alone() {
    let place = Place::new().variable("ANN", "a-secret-of-some-length");
    let tokens = r#"server.tokens=[{name="ann",env="ANN"}]"#;
    let hosts = r#"server.hosts=["box.lan"]"#;
    let any = Served::start(&place, &["--set", tokens]);
    let other = Place::new().variable("ANN", "a-secret-of-some-length");
    let some = Served::start(&other, &["--set", tokens, "--set", hosts]);
    run(async {
        for (host, of_any, of_some) in [("box.lan", 200, 200), ("evil.example", 200, 421)] {
            let request = format!("GET /healthz HTTP/1.1\r\nhost: {host}\r\n\r\n");
            for (served, expected) in [(&any, of_any), (&some, of_some)] {
                let mut stream = served.connect().await;
                stream.write_all(request.as_bytes()).await.expect("it reads");
                assert_eq!(Answer::read(stream).await.status, expected, "{host}");
            }
        }
    });
}
