//! Servers that die, hang, babble or answer too much.

use std::time::Duration;

use callsheet::Effects;
use callsheet::mcp::{Condition, Program, Reach, ServerSettings, ToolTerms};
use callsheet::observe::Overview;
use callsheet::testing::{ScriptedModel, reply};

use super::{Directory, World, run, told};
use crate::support::outcomes;

#[test]
fn a_server_that_dies_is_started_again_behind_the_same_tools_and_spares_others() {
    run(async {
        let directory = Directory::new();
        let (one, two) = (directory.peer(&["die", "slow", "echo"]), directory.peer(&["slow"]));
        let world = World::new([one.settings("one"), two.settings("two")]).await;
        let script = [
            reply()
                .call("one__slow", r#"{"ms": 60000}"#)
                .call("two__slow", r#"{"ms": 300}"#)
                .call("one__die", "{}"),
            reply().call("one__echo", "{}"),
            reply().text("done"),
        ];
        let answer = world.ask(script).await;
        let calls: Vec<_> = answer.report.rounds[0].calls.iter().map(told).collect();
        let lost = "error: the server `one` ended in the middle of the call".to_owned();
        let lost = ("unavailable", Some("server_lost".to_owned()), lost);
        assert_eq!(calls, [lost.clone(), ("ok", None, "done".to_owned()), lost]);
        assert_eq!(outcomes(&answer.report.rounds[1]), ["ok"], "it is back");
        let status = &world.servers.status()[0];
        assert_eq!((status.condition, status.restarts), (Condition::Ready, 1));
        let cause = status.last_failure.as_deref().unwrap_or_default();
        assert!(cause.contains("exit status: 3"), "{cause}");
    });
}

#[test]
fn an_old_server_that_ends_when_it_is_asked_for_a_newer_revision_comes_back_as_often_as_it_dies() {
    run(async {
        let directory = Directory::new();
        let mut peer = directory.peer(&["die", "echo"]);
        peer.is_old = true;
        let world = World::starting([peer.settings("peer")]);
        while world.tools().is_empty() {
            tokio::task::yield_now().await; // Until its second start, or the test hangs.
        }
        let script = [
            reply().call("peer__die", r#"{"n": 1}"#),
            reply().call("peer__die", r#"{"n": 2}"#),
            reply().call("peer__echo", "{}"),
            reply().text("done"),
        ];
        let answer = world.ask(script).await;
        let ends: Vec<_> = answer.report.rounds.iter().map(|round| outcomes(round)).collect();
        assert_eq!(ends, [["unavailable"], ["unavailable"], ["ok"]]);
        assert_eq!(world.servers.status()[0].restarts, 3, "the first start, and two deaths");
    });
}

#[test]
fn a_server_that_closes_its_output_and_lives_on_is_started_again_and_spares_others() {
    run(async {
        let directory = Directory::new();
        let (one, two) = (directory.peer(&["hang_up", "echo"]), directory.peer(&["echo"]));
        let world = World::new([one.settings("one"), two.settings("two")]).await;
        let script = [
            reply().call("one__hang_up", "{}"),
            reply().call("one__echo", "{}").call("two__echo", "{}"),
            reply().text("done"),
        ];
        let answer = world.ask(script).await;
        assert_eq!(outcomes(&answer.report.rounds[0]), ["unavailable"]);
        assert_eq!(outcomes(&answer.report.rounds[1]), ["ok", "ok"]);
        assert_eq!(world.servers.status()[0].restarts, 1);
    });
}

#[test]
fn a_server_that_takes_no_requests_any_more_is_started_again() {
    run(async {
        let directory = Directory::new();
        let mut settings = directory.peer(&["close_stdin", "echo"]).settings("peer");
        settings.terms.retries = Some(5);
        let world = World::new([settings]).await;
        let script = [
            reply().call("peer__close_stdin", "{}"),
            // It was waiting for this one when it closed it.
            reply().call("peer__echo", r#"{"n": 1}"#),
            reply().call("peer__echo", r#"{"n": 2}"#),
            reply().text("done"),
        ];
        let answer = world.ask(script).await;
        assert_eq!(outcomes(&answer.report.rounds[2]), ["ok"]);
        let status = &world.servers.status()[0];
        assert_eq!(status.restarts, 1);
        assert_eq!(status.last_failure.as_deref(), Some("it takes no requests any more"));
    });
}

#[test]
fn of_a_call_that_must_not_happen_twice_the_model_is_told_that_it_may_have_happened() {
    run(async {
        let directory = Directory::new();
        let mut settings = directory.peer(&["die_once"]).settings("peer");
        settings.terms.effects = Some(Effects::Once);
        settings.terms.retries = Some(3);
        let world = World::new([settings]).await;
        let script = [reply().call("peer__die_once", "{}"), reply().text("done")];
        let answer = world.ask(script).await;
        let call = &answer.report.rounds[0].calls[0];
        let (outcome, code, told) = told(call);
        assert_eq!(
            (outcome, code.as_deref(), call.attempts),
            ("unknown_outcome", Some("server_lost"), 1)
        );
        assert!(told.contains("may have taken effect"), "{told}");
    });
}

#[test]
fn calls_that_may_be_tried_again_come_through_a_server_that_dies_every_second_time() {
    run(async {
        let directory = Directory::new();
        let peer = directory.peer(&["die_once"]);
        let mut settings = peer.settings("peer");
        settings.terms.retries = Some(2);
        settings.terms.max_concurrency = Some(1);
        let world = World::new([settings]).await;
        let calls = (0..4)
            .fold(reply(), |reply, n| reply.call("peer__die_once", &format!(r#"{{"n": {n}}}"#)));
        let answer = world.ask([calls, reply().text("done")]).await;
        let round = &answer.report.rounds[0];
        assert_eq!(outcomes(round), ["ok"; 4]);
        assert!(round.calls.iter().all(|call| call.attempts == 2), "{round:?}");
        let status = &world.servers.status()[0];
        assert_eq!(status.restarts, 4);
        let cause = status.last_failure.as_deref().unwrap_or_default();
        assert!(cause.contains("and said: out of memory"), "{cause}");
        let keys = peer.notes().into_iter().filter(|note| note.starts_with("call"));
        let keys: std::collections::BTreeSet<_> = keys.collect();
        assert_eq!(keys.len(), 4, "each try has its call's key: {keys:?}");
    });
}

#[test]
fn a_call_that_hangs_is_late_alone_its_server_is_told_and_stays() {
    run(async {
        let directory = Directory::new();
        let peer = directory.peer(&["hang", "echo"]);
        let mut settings = peer.settings("peer");
        let late =
            ToolTerms { time_limit: Some(Duration::from_millis(300)), ..settings.terms.clone() };
        settings.tool_terms.insert("hang".to_owned(), late);
        let world = World::new([settings]).await;
        let script = [
            reply().call("peer__hang", "{}").call("peer__echo", "{}"),
            reply().call("peer__echo", "{}"),
            reply().text("done"),
        ];
        let answer = world.ask(script).await;
        assert_eq!(outcomes(&answer.report.rounds[0]), ["timed_out", "ok"]);
        assert_eq!(outcomes(&answer.report.rounds[1]), ["ok"]);
        assert!(peer.notes().contains(&"cancelled".to_owned()), "{:?}", peer.notes());
        let status = &world.servers.status()[0];
        assert_eq!((status.condition, status.restarts), (Condition::Ready, 0));
    });
}

#[test]
fn a_turn_that_is_cancelled_takes_its_calls_back() {
    run(async {
        let directory = Directory::new();
        let peer = directory.peer(&["hang"]);
        let world = World::new([peer.settings("peer")]).await;
        let model = ScriptedModel::new([reply().call("peer__hang", "{}"), reply().text("done")]);
        let session = world.session(&model);
        let asked = session.ask("go");
        let cancel = async {
            while !peer.notes().iter().any(|note| note.starts_with("call hang")) {
                tokio::task::yield_now().await;
            }
            session.cancel().await;
        };
        let (asked, ()) = tokio::join!(asked, cancel);
        assert!(asked.is_err());
        while !peer.notes().contains(&"cancelled".to_owned()) {
            tokio::task::yield_now().await; // Or the test hangs.
        }
    });
}

#[test]
fn an_answer_that_is_too_large_is_the_failure_of_its_call() {
    run(async {
        let directory = Directory::new();
        let world = World::new([directory.peer(&["big", "echo"]).settings("peer")]).await;
        let script = [
            reply().call("peer__big", r#"{"bytes": 100000000}"#).call("peer__echo", "{}"),
            reply().call("peer__big", r#"{"bytes": 1000}"#),
            reply().text("done"),
        ];
        let answer = world.ask(script).await;
        let rounds = &answer.report.rounds;
        let call = told(&rounds[0].calls[0]);
        let message = "error: its answer is larger than 4000000 bytes".to_owned();
        assert_eq!(call, ("tool_error", Some("too_large".to_owned()), message));
        assert_eq!(outcomes(&rounds[0])[1], "ok");
        assert_eq!(outcomes(&rounds[1]), ["ok"]);
        assert_eq!(world.servers.status()[0].restarts, 0);
    });
}

#[test]
fn a_server_that_babbles_is_understood() {
    run(async {
        let directory = Directory::new();
        let mut peer = directory.peer(&["echo"]);
        peer.babbles = true;
        let world = World::new([peer.settings("peer")]).await;
        let script = [reply().call("peer__echo", r#"{"a": 1}"#), reply().text("done")];
        let answer = world.ask(script).await;
        assert_eq!(told(&answer.report.rounds[0].calls[0]).2, r#"{"a":1}"#);
    });
}

#[test]
fn what_does_not_start_says_why_and_the_others_go_on() {
    run(async {
        let directory = Directory::new();
        let program = |command: &str, args: &[&str]| {
            Reach::Stdio(Program {
                command: command.to_owned(),
                args: args.iter().map(|arg| (*arg).to_owned()).collect(),
                env: Vec::new(),
                cwd: None,
            })
        };
        let mut never = directory.peer(&["echo"]);
        never.never_starts = true;
        let mut never = never.settings("never");
        never.startup_time_limit = Duration::from_millis(300);
        let world = World::new([
            ServerSettings::new("nobody", program("no-such-program", &[])),
            ServerSettings::new("broken", program("sh", &["-c", "echo no licence >&2; exit 7"])),
            ServerSettings::new(
                "closed",
                Reach::Http { url: "http://127.0.0.1:9/mcp".to_owned(), headers: Vec::new() },
            ),
            never,
            directory.peer(&["echo"]).settings("good"),
        ])
        .await;
        assert_eq!(world.tools(), ["good__echo"]);
        let why: Vec<String> =
            world.servers.status().iter().filter_map(|it| it.last_failure.clone()).collect();
        assert!(why[0].contains("`no-such-program` cannot be started"), "{why:?}");
        assert!(why[1].contains("exit status: 7, and said: no licence"), "{why:?}");
        assert!(why[2].contains("cannot be reached: ") && why[2].contains("refused"), "{why:?}");
        assert_eq!(why[3], "it did not start within 300 ms");
        let script = [reply().call("good__echo", "{}"), reply().text("done")];
        assert_eq!(outcomes(&world.ask(script).await.report.rounds[0]), ["ok"]);
    });
}

#[test]
fn a_server_that_fails_too_often_is_withdrawn_and_comes_back() {
    run(async {
        let directory = Directory::new();
        let world = World::new([directory.peer(&["die", "echo"]).settings("peer")]).await;
        let deaths = (0..6).map(|n| reply().call("peer__die", &format!(r#"{{"n": {n}}}"#)));
        let script = deaths.chain([reply().call("peer__echo", "{}"), reply().text("done")]);
        let answer = world.ask(script).await;
        let last = answer.report.rounds.last().expect("there were rounds");
        let (outcome, _, text) = told(&last.calls[0]);
        assert_eq!(outcome, "unavailable", "{text}");
        assert!(text.contains("exit status: 3"), "{text}");
        assert_eq!(world.servers.status()[0].condition, Condition::Down);
        while world.servers.status()[0].condition != Condition::Ready {
            tokio::task::yield_now().await; // After its cool-down, or the test hangs.
        }
        let script = [reply().call("peer__echo", "{}"), reply().text("done")];
        assert_eq!(outcomes(&world.ask(script).await.report.rounds[0]), ["ok"]);
    });
}

#[test]
fn a_server_that_is_back_has_its_tools_offered_and_called_at_once() {
    run(async {
        let directory = Directory::new();
        let world = World::new([directory.peer(&["die", "echo"]).settings("peer")]).await;
        let deaths = (0..6).map(|n| reply().call("peer__die", &format!(r#"{{"n": {n}}}"#)));
        world.ask(deaths.chain([reply().text("done")])).await;
        let circuits = || {
            let tools = world.servers.source().current();
            tools.iter().map(|tool| tool.health().circuit).collect::<Vec<_>>()
        };
        // Those that no call has been to are among them.
        let (overview, source) = (Overview::new(), world.servers.source());
        overview
            .tools()
            .read_health(move || source.current().iter().map(|it| it.health()).collect());
        // It goes out of service, and comes back without a call that finds out; or the test hangs.
        for (state, withdrawn) in [("open", 2), ("closed", 0)] {
            while circuits() != [state, state] {
                tokio::task::yield_now().await;
            }
            let counted =
                overview.tools().snapshot().iter().filter(|tool| tool.circuit.everywhere).count();
            assert_eq!(counted, withdrawn);
        }
        let calls =
            (0..4).fold(reply(), |reply, n| reply.call("peer__echo", &format!(r#"{{"n": {n}}}"#)));
        let answer = world.ask([calls, reply().text("done")]).await;
        assert_eq!(outcomes(&answer.report.rounds[0]), ["ok"; 4], "there is nothing to find out");
    });
}

#[test]
fn time_outs_while_a_server_is_away_are_not_held_against_its_tools() {
    run(async {
        let directory = Directory::new();
        let mut peer = directory.peer(&["echo", "die"]);
        peer.start_ms = 1000;
        let mut settings = peer.settings("peer");
        let late =
            ToolTerms { time_limit: Some(Duration::from_millis(60)), ..settings.terms.clone() };
        settings.tool_terms.insert("echo".to_owned(), late);
        let world = World::new([settings]).await;
        let echoes = (0..4).map(|n| reply().call("peer__echo", &format!(r#"{{"n": {n}}}"#)));
        let script = [reply().call("peer__die", "{}")].into_iter().chain(echoes);
        let answer = world.ask(script.chain([reply().text("done")])).await;
        let rounds = &answer.report.rounds;
        let ends: Vec<_> = rounds.iter().map(|round| outcomes(round)[0]).collect();
        assert_eq!(ends, ["unavailable", "timed_out", "timed_out", "timed_out", "timed_out"]);
        let tools = world.servers.source().current();
        let health = tools.get("peer__echo").expect("it stays").health();
        assert_eq!((health.restarts, health.withdrawals), (0, 0), "{health:?}");
    });
}

#[test]
fn a_server_that_reads_no_more_costs_its_calls_their_time_and_nobody_else_anything() {
    run(async {
        let directory = Directory::new();
        let mut settings = directory.peer(&["deaf", "echo"]).settings("peer");
        settings.terms.time_limit = Some(Duration::from_millis(400));
        let world = World::new([settings, directory.peer(&["echo"]).settings("other")]).await;
        let large = format!(r#"{{"text": "{}"}}"#, "x".repeat(1_000_000));
        let script = [
            reply().call("peer__deaf", "{}"),
            // More than any pipe holds, and another one behind it.
            reply().call("peer__echo", &large).call("peer__echo", "{}").call("other__echo", "{}"),
            reply().call("other__echo", r#"{"n": 2}"#),
            reply().text("done"),
        ];
        let answer = world.ask(script).await;
        let rounds = &answer.report.rounds;
        assert_eq!(outcomes(&rounds[0]), ["ok"]);
        assert_eq!(outcomes(&rounds[1]), ["timed_out", "timed_out", "ok"]);
        assert!(rounds[1].calls[2].ran < Duration::from_millis(300), "{:?}", rounds[1].calls[2]);
        assert_eq!(outcomes(&rounds[2]), ["ok"]);
        let began = std::time::Instant::now();
        drop(world); // It has to be killed.
        assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    });
}
