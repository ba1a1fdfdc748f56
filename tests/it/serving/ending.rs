//! SIGTERM in the middle of everything, and the next start.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};

use futures_util::future::join_all;
use serde_json::Value;

use super::http::{Served, run};
use crate::support::cli::{Place, ends_soon, signal};

const SESSIONS: usize = 100;
const QUESTION: &str = "What's the weather in Tokyo, and what's AAPL's stock price?";

#[test]
fn sigterm_in_the_middle_of_a_hundred_rounds_loses_nothing_and_runs_nothing_again() {
    // Some calls end before the drain does, and some do not.
    let settings = [
        "--set",
        "tools[0].simulate.latency_ms=700",
        "--set",
        "tools[1].simulate.latency_ms=60000",
        "--set",
        "tools[1].time_limit_ms=120000",
        "--set",
        "server.drain_ms=1500",
        "--set",
        "tools[0].simulate.log=calls.log",
    ];
    let place = Place::new();
    let mut first = Served::start(&place, &settings);
    run(async {
        let ask = |n: usize| {
            let first = &first;
            async move {
                let mut stream = first.ask(&format!("s{n}"), QUESTION).await;
                stream.until("call_started").await;
                stream.until("call_started").await;
                stream
            }
        };
        let streams = join_all((0..SESSIONS).map(ask)).await;
        signal(first.child.as_ref().expect("it runs"), "TERM");
        let ends = streams.into_iter().map(|mut stream| async move {
            let closed = stream.until("closed").await;
            assert_eq!(closed["reason"], "shutting_down");
            assert!(stream.event().await.is_none());
        });
        join_all(ends).await;
    });
    let ended = ends_soon(first.child.take().expect("it runs")).with(0);
    drop(ended);
    let ran_at_first = begun(&place);
    assert_eq!(ran_at_first.len(), SESSIONS);

    // What was cut is gone on with at once; the second tool is quick now.
    let quick =
        ["--set", "tools[1].simulate.latency_ms=50", "--set", "tools[0].simulate.log=calls.log"];
    let mut second = Served::start(&place, &quick);
    run(async {
        let follow = |n: usize| {
            let second = &second;
            async move {
                let mut events = second.get(&format!("/v1/sessions/s{n}/events")).await;
                let (mut starts, mut ends) = (BTreeMap::new(), BTreeMap::new());
                loop {
                    let (name, data) = events.event().await.expect("it goes on");
                    let call = || data["ordinal"].as_u64().expect("a call");
                    match name.as_str() {
                        "call_started" => *starts.entry(call()).or_insert(0) += 1,
                        "call_ended" => {
                            assert_eq!(data["kind"], "ok", "s{n}: {data}");
                            *ends.entry(call()).or_insert(0) += 1;
                        }
                        "turn_ended" => {
                            assert_eq!(data["end"], "answered", "s{n}");
                            break;
                        }
                        _ => {}
                    }
                }
                // The first call had ended; the second was dropped, and has no effects.
                assert_eq!(
                    (starts, ends),
                    ([(0, 1), (1, 2)].into(), [(0, 1), (1, 1)].into()),
                    "s{n}"
                );
            }
        };
        join_all((0..SESSIONS).map(follow)).await;
        let list = second.get("/v1/sessions?limit=200").await.json().await;
        let is_idle = |line: &Value| line["state"] == "idle" && line["failed"] == 0;
        assert!(
            list["sessions"]
                .as_array()
                .is_some_and(|all| all.len() == SESSIONS && all.iter().all(is_idle))
        );
    });
    assert_eq!(begun(&place), ran_at_first, "what had ended ran again");
    signal(second.child.as_ref().expect("it runs"), "TERM");
    ends_soon(second.child.take().expect("it runs")).with(0);
}

/// How often each call of the first tool began, by its key.
fn begun(place: &Place) -> BTreeMap<String, usize> {
    let mut begun = BTreeMap::new();
    for line in place.read("calls.log").lines().filter(|line| line.contains("began")) {
        *begun.entry(line.replace("began", "").trim().to_owned()).or_insert(0) += 1;
    }
    begun
}

#[test]
fn an_idle_server_ends_at_once() {
    let place = Place::new();
    let mut served = Served::start(&place, &[]);
    let idle = run(async {
        let stream = served.connect().await; // Says nothing.
        served.ask("a", QUESTION).await.until("done").await;
        stream
    });
    signal(served.child.as_ref().expect("it runs"), "INT");
    let began = std::time::Instant::now();
    ends_soon(served.child.take().expect("it runs")).with(0);
    assert!(began.elapsed() < std::time::Duration::from_secs(8), "{:?}", began.elapsed());
    drop(idle);
}

#[test]
fn a_session_that_was_only_made_is_there_after_the_server_for_whoever_looks() {
    let place = Place::new();
    let mut served = Served::start(&place, &[]);
    run(async {
        let made = served.post("/v1/sessions", &serde_json::json!({"id": "made"})).await;
        assert_eq!(made.status, 201);
    });
    signal(served.child.as_ref().expect("it runs"), "KILL");
    let _killed = ends_soon(served.child.take().expect("it ran"));
    let sessions = |arguments: &[&str]| place.run(&[&["sessions"][..], arguments].concat());
    let list = sessions(&["list", "--json"]).with(0).json();
    let line = &list["sessions"][0];
    assert_eq!((&line["session"], &line["state"]), (&"made".into(), &"idle".into()));
    assert_eq!(
        (&line["turns"], &line["events"], &line["title"]),
        (&0.into(), &0.into(), &"".into())
    );
    assert!(sessions(&["list"]).with(0).stdout.contains("made"));
    assert!(sessions(&["show", "made"]).with(0).stdout.contains("idle, 0 turns, 0 events"));
    let shown = sessions(&["show", "made", "--json"]).with(0).json();
    assert_eq!((&shown["session"], &shown["turns"]), (&"made".into(), &Value::Array(Vec::new())));
    assert_eq!(sessions(&["show", "made", "--output", "jsonl"]).with(0).stdout, "");
    assert_eq!(sessions(&["export", "made"]).with(0).stdout, "");
    let export = |format: &str| sessions(&["export", "made", "--format", format]).with(0).stdout;
    assert!(export("markdown").starts_with("# A session without a question\n"));
    assert!(export("chrome-trace").contains("traceEvents"));
    sessions(&["fork", "made"]).complains(2, &["no turn that has ended"]);
    let asked =
        place.run(&["ask", "--json", "--session", "made", "--system", "Be brief.", QUESTION]);
    assert_eq!(asked.with(0).json()["session"], "made");
    assert_eq!(sessions(&["list", "--json"]).with(0).json()["sessions"][0]["turns"], 1);

    let second = Served::start(&place, &[]);
    run(async {
        let made = second.post("/v1/sessions", &serde_json::json!({"id": "made"})).await;
        assert_eq!(made.status, 409);
    });
}

#[test]
fn a_turn_of_another_process_is_its_own_until_that_is_killed() {
    let slow = "tools[1].simulate.hang_rate=1";
    let settings = ["--set", "store.lease_ms=3000"];
    let place = Place::new();
    let arguments = ["ask", "-vv", "--session", "a", QUESTION, "--set", slow];
    let model = ["--set", "model.provider=offline", "--set", "tools[1].time_limit_ms=60000"];
    let mut child = place.command(&[&arguments[..], &model].concat()).spawn().expect("it runs");
    let stderr = BufReader::new(child.stderr.take().expect("standard error is a pipe"));
    let mut lines = stderr.lines().map_while(Result::ok); // Its other end stays open.
    assert!(lines.by_ref().any(|line| line.contains("call ended")));
    let served = Served::start(&place, &settings);
    run(async {
        let mut events = served.get("/v1/sessions/a/events").await;
        events.until("call_ended").await;
        let list = served.get("/v1/sessions").await.json().await;
        assert_eq!(list["sessions"][0]["state"], "elsewhere");
        let shown = served.get("/v1/sessions/a").await.json().await;
        assert_eq!(shown["state"], "elsewhere");
        let removed = served.send("DELETE", "/v1/sessions/a", "", "").await;
        assert_eq!(removed.status, 409);
        let resumed = served.post("/v1/sessions/a/resume", &serde_json::json!({})).await;
        assert_eq!(resumed.status, 409);
        child.kill().and_then(|()| child.wait()).expect("it ran");
        // Nobody asks for it.
        events.until("turn_resumed").await;
        assert_eq!(events.until("turn_ended").await["end"], "answered");
    });
}
