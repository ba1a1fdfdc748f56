//! Servers that do as they should.

use std::time::{Duration, Instant};

use callsheet::mcp::{Condition, LastStart, Protocol, ServerSettings};
use callsheet::testing::{ScriptedModel, reply};
use callsheet::{CallReport, Question};

use super::{Directory, World, run, told};
use crate::support::mcp_peer::Peer;
use crate::support::outcomes;

#[test]
fn a_tool_of_a_server_is_called_like_any_other_in_both_revisions() {
    run(async {
        for (modern, protocol, revision) in [
            (false, Protocol::Auto, "2025-11-25"),
            (false, Protocol::Handshake, "2025-11-25"),
            (true, Protocol::Auto, "2026-07-28"),
            (true, Protocol::Stateless, "2026-07-28"),
        ] {
            let directory = Directory::new();
            let mut peer = directory.peer(&["echo", "error", "image"]);
            peer.modern = modern;
            let world = World::new([ServerSettings { protocol, ..peer.settings("peer") }]).await;
            let status = &world.servers.status()[0];
            assert_eq!(status.condition, Condition::Ready, "{status:?}");
            assert_eq!(status.revision.as_deref(), Some(revision));
            let script = [
                reply()
                    .call("peer__echo", r#"{"a": 1}"#)
                    .call("peer__error", "{}")
                    .call("peer__image", "{}"),
                reply().text("done"),
            ];
            let answer = world.ask(script).await;
            let calls: Vec<_> = answer.report.rounds[0].calls.iter().map(told).collect();
            assert_eq!(calls[0], ("ok", None, r#"{"a":1}"#.to_owned()));
            let error = "error: the disk is full".to_owned();
            assert_eq!(calls[1], ("tool_error", Some("tool_error".to_owned()), error));
            assert_eq!(calls[2].2, "[image, image/png, 6 bytes]");
            let session = answer.report.session.to_string();
            assert!(
                peer.notes().contains(&format!("call echo {session}/1/1/0")),
                "its key goes along"
            );
        }
    });
}

#[test]
fn a_call_says_what_trace_it_is_a_part_of_where_that_is_known() {
    run(async {
        let directory = Directory::new();
        let peer = directory.peer(&["echo"]);
        let world = World::new([peer.settings("peer")]).await;
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        for question in [Question::new("go").trace_parent(parent), Question::new("go")] {
            let script = [reply().call("peer__echo", "{}"), reply().text("done")];
            let session = world.session(&ScriptedModel::new(script));
            session.ask(question).await.expect("the turn ends well");
        }
        let notes = peer.notes();
        let told: Vec<_> = notes.iter().filter(|note| note.starts_with("part of ")).collect();
        assert_eq!(told, [&format!("part of {parent}")]);
    });
}

#[test]
fn calls_to_one_server_overlap() {
    run(async {
        let directory = Directory::new();
        let world = World::new([directory.peer(&["slow"]).settings("peer")]).await;
        let calls = (0..16).fold(reply(), |reply, n| {
            reply.call("peer__slow", &format!(r#"{{"ms": 500, "n": {n}}}"#))
        });
        let answer = world.ask([calls, reply().text("done")]).await;
        let round = &answer.report.rounds[0];
        assert_eq!(outcomes(round), ["ok"; 16]);
        let slowest = round.calls.iter().map(|call| call.ran).max().unwrap_or_default();
        let most = slowest.mul_f64(1.2);
        assert!(round.wall <= most, "{:?} for calls of {slowest:?} at most", round.wall);
    });
}

#[test]
fn servers_start_side_by_side_and_one_that_does_not_start_delays_no_other() {
    run(async {
        let began = Instant::now();
        let directory = Directory::new();
        let mut slow = directory.peer(&["echo"]);
        slow.start_ms = 700;
        let mut never = directory.peer(&["echo"]);
        never.never_starts = true;
        let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
        let settings = names.iter().map(|name| slow.settings(name));
        let world = World::starting(settings.chain([never.settings("never")]));
        let patience = |settings: &ServerSettings, _| match &*settings.name {
            "never" => Duration::ZERO,
            _ => Duration::MAX,
        };
        world.servers.settled(patience).await;
        let took = began.elapsed();
        assert!(took < Duration::from_millis(9 * 700 / 2), "nine of 700 ms each took {took:?}");
        assert_eq!(world.tools().len(), names.len());
        let script = [reply().call("a__echo", "{}"), reply().text("done")];
        let answer = world.ask(script).await;
        assert_eq!(outcomes(&answer.report.rounds[0]), ["ok"]);
        assert_eq!(world.servers.status()[names.len()].condition, Condition::Starting);
    });
}

#[test]
fn a_server_that_was_there_before_is_offered_before_it_has_started() {
    run(async {
        let directory = Directory::new();
        let mut peer = directory.peer(&["echo", "gone"]);
        let memory = Some(directory.0.join("memory/peer.json"));
        let kept = |peer: &Peer| ServerSettings { memory: memory.clone(), ..peer.settings("peer") };
        let world = World::starting([kept(&peer)]);
        assert_eq!(world.tools(), Vec::<String>::new());
        world.servers.settled(|_, last| patience(last)).await;
        assert_eq!(world.tools(), ["peer__echo", "peer__gone"]);
        drop(world);
        (peer.tools, peer.start_ms) = (directory.peer(&["echo", "new"]).tools, 700);
        let world = World::starting([kept(&peer)]);
        world.servers.settled(|_, last| patience(last)).await;
        let status = &world.servers.status()[0];
        assert_eq!((status.condition, status.last_start), (Condition::Starting, LastStart::Listed));
        assert_eq!(world.tools(), ["peer__echo", "peer__gone"]);
        let script = [reply().call("peer__echo", "{}"), reply().text("done")];
        let answer = world.ask(script).await; // It waits for its server.
        assert_eq!(outcomes(&answer.report.rounds[0]), ["ok"]);
        assert_eq!(world.tools(), ["peer__echo", "peer__new"]);
    });
}

/// Nothing is waited for that is known.
fn patience(last: LastStart) -> Duration {
    if last == LastStart::Unknown { Duration::MAX } else { Duration::ZERO }
}

#[test]
fn the_time_a_call_waits_for_its_server_is_no_running_time() {
    run(async {
        let directory = Directory::new();
        let mut peer = directory.peer(&["echo", "die"]);
        let memory = Some(directory.0.join("memory/peer.json"));
        let kept = |peer: &Peer| ServerSettings { memory: memory.clone(), ..peer.settings("peer") };
        drop(World::new([kept(&peer)]).await);
        peer.start_ms = 600;
        let world = World::starting([kept(&peer)]);
        let script = [
            reply().call("peer__echo", "{}"),
            reply().call("peer__die", "{}"),
            reply().call("peer__echo", r#"{"again": true}"#),
            reply().text("done"),
        ];
        let answer = world.ask(script).await;
        let calls: Vec<_> = answer.report.rounds.iter().map(|round| &round.calls[0]).collect();
        assert_eq!(told(calls[2]).0, "ok");
        let is_long = |time: Duration| time > Duration::from_millis(400);
        let long = |call: &CallReport| [call.startup, call.backoff, call.ran].map(is_long);
        assert_eq!(long(calls[0]), [true, false, false], "{:?}", calls[0]);
        assert_eq!(long(calls[1]), [false, false, false], "{:?}", calls[1]);
        assert_eq!(long(calls[2]), [false, true, false], "{:?}", calls[2]);
        for (call, round) in calls.iter().zip(&answer.report.rounds) {
            let parts = call.queued + call.startup + call.backoff + call.waited + call.ran;
            let rest = round.wall.saturating_sub(call.started + parts);
            assert!(
                rest < Duration::from_millis(100),
                "{rest:?} of {:?} have no owner",
                round.wall
            );
        }
    });
}

#[test]
fn a_call_that_is_given_up_while_its_server_starts_has_not_run() {
    run(async {
        let directory = Directory::new();
        let mut peer = directory.peer(&["echo"]);
        let memory = Some(directory.0.join("memory/peer.json"));
        let kept = |peer: &Peer| {
            let mut settings = peer.settings("peer");
            settings.terms.time_limit = Some(Duration::from_millis(300));
            ServerSettings { memory: memory.clone(), ..settings }
        };
        drop(World::new([kept(&peer)]).await);
        peer.never_starts = true;
        let world = World::starting([kept(&peer)]);
        let answer = world.ask([reply().call("peer__echo", "{}"), reply().text("done")]).await;
        let call = &answer.report.rounds[0].calls[0];
        assert_eq!(told(call).0, "timed_out");
        let most = Duration::from_millis(200);
        assert!(call.startup > most && call.ran < most, "{call:?}");
    });
}

#[test]
fn progress_is_heard_and_is_a_sign_of_life() {
    run(async {
        let directory = Directory::new();
        let mut settings = directory.peer(&["progress", "slow"]).settings("peer");
        settings.terms.silence_limit = Some(Duration::from_secs(1));
        let world = World::new([settings]).await;
        let script = [
            reply()
                .call("peer__progress", r#"{"times": 8, "ms": 250}"#)
                .call("peer__slow", r#"{"ms": 60000}"#),
            reply().text("done"),
        ];
        let answer = world.ask(script).await;
        let round = &answer.report.rounds[0];
        assert_eq!(outcomes(round), ["ok", "timed_out"]);
        assert!(round.calls[0].ran >= Duration::from_secs(2));
        assert_eq!(told(&round.calls[1]).2, "error: no sign of life for 1000 ms");
    });
}

#[test]
fn a_server_sees_a_clean_environment_and_takes_with_it_what_it_started() {
    run(async {
        let directory = Directory::new();
        let world = World::new([directory.peer(&["env", "fork"]).settings("peer")]).await;
        let script =
            [reply().call("peer__env", "{}").call("peer__fork", "{}"), reply().text("done")];
        let answer = world.ask(script).await;
        let calls = &answer.report.rounds[0].calls;
        let names = told(&calls[0]).2;
        let foreign =
            names.split(' ').find(|name| !["PATH", "HOME", "LANG", "MCP_PEER"].contains(name));
        assert_eq!(foreign, None, "of {names}");
        let child = told(&calls[1]).2;
        let process = format!("/proc/{child}/stat");
        let lives = || {
            let stat = std::fs::read_to_string(&process).unwrap_or_default();
            !stat.is_empty() && !stat.contains(") Z ")
        };
        assert!(lives(), "{child} was started");
        drop(world);
        let killed = Instant::now();
        while lives() {
            // It has been killed, and may have to wait for a processor in order to end.
            assert!(killed.elapsed() < Duration::from_secs(5), "{child} has outlived its server");
            std::thread::yield_now();
        }
    });
}
