//! Calls that a person has to approve: nothing of them begins before, nothing else waits for them, and
//! the wait costs nobody any time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use callsheet::conversation::{NotDecided, Place};
use callsheet::session::Clock;
use callsheet::store::{Journal, MemoryStore};
use callsheet::testing::{self, Sabotage, Scripted, ScriptedModel, reply};
use callsheet::{
    Approval, CallKey, DecideError, Decision, Effects, Error, Event, Limits, Mode, ModelRetries,
    Runtime, Session, SessionId, SessionOptions, ToolSet, ToolType,
};
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

use crate::support::journal::{Asked, Does, faults, faults_of_cut, rigged};
use crate::support::{Stage, dynamic, limits, outcomes, seconds, sleeper, stage, stage_with};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A tool that needs approval, sleeps `{"s": seconds}` and answers with its arguments.
fn pay(approval: Approval) -> ToolType {
    asking("pay", approval)
}

fn asking(name: &'static str, approval: Approval) -> ToolType {
    let properties = json!({"s": {"type": "integer"}, "to": {"type": "string"}});
    let parameters = json!({"type": "object", "properties": properties});
    let tool = dynamic(name, parameters, move |arguments, _| async move {
        sleep(seconds(arguments["s"].as_u64().unwrap_or_default())).await;
        Ok(format!("{name} {arguments}"))
    });
    tool.approval(approval)
}

/// Decides about each call so long after it was asked about.
fn decides(session: &Session, after: Duration, says: impl Fn(&str) -> Decision + 'static) {
    let (session, mut events) = (session.clone(), session.events());
    actix_rt::spawn(async move {
        while let Some(record) = events.next().await {
            let Some(call) = record.event.waiting_call(session.id()) else { continue };
            let Event::ApprovalAsked { id, .. } = &record.event else { continue };
            let (session, decision) = (session.clone(), says(id));
            actix_rt::spawn(async move {
                sleep(after).await;
                session.decide(&call, decision).await.expect("it waits");
            });
        }
    });
}

fn approves(session: &Session, after: Duration) {
    decides(session, after, |_| Decision::Approved);
}

/// Waits until a call is asked about, and gives its key.
async fn asked(events: &mut callsheet::EventStream, session: &Session) -> CallKey {
    loop {
        let record = events.next().await.expect("the session lives");
        if let Some(call) = record.event.waiting_call(session.id()) {
            return call;
        }
    }
}

fn denied(reason: &str) -> Decision {
    Decision::Denied { reason: Some(reason.into()) }
}

#[test]
fn a_wait_of_days_costs_no_time_limit_and_no_sibling_any_time() {
    testing::run(async {
        let limits = Limits {
            call_time_limit: seconds(30),
            round_time_limit: seconds(60),
            turn_time_limit: seconds(90),
            ..Limits::default()
        };
        let calls = reply().call("sleep", r#"{"s": 2}"#).call("pay", r#"{"s": 5}"#);
        let script = [calls, reply().text("done").after(seconds(20))];
        let stage = stage_with(script, [sleeper(), pay(Approval::Always)], limits);
        approves(&stage.session, 3 * DAY);
        let mut events = stage.session.events();
        let (began, ended) = (Instant::now(), async {
            loop {
                let record = events.next().await.expect("the session lives");
                if let Event::CallEnded { .. } = record.event {
                    break Instant::now();
                }
            }
        });
        let (answer, sibling_ended) = tokio::join!(stage.ask(), ended);
        assert_eq!(sibling_ended - began, seconds(2));
        let round = &answer.report.rounds[0];
        let [sibling, pay] = &round.calls[..] else { panic!("{round:?}") };
        assert_eq!((sibling.waited, sibling.ran), (Duration::ZERO, seconds(2)));
        assert_eq!((pay.waited, pay.ran, pay.started), (3 * DAY, seconds(5), Duration::ZERO));
        assert_eq!(round.wall, 3 * DAY + seconds(5), "a call was unfinished all the time");
        assert_eq!(round.clock, round.model + round.wall - round.overlap + round.overhead);
        assert_eq!((round.overhead, round.sum), (Duration::ZERO, seconds(7)));
        assert_eq!(answer.report.elapsed, 3 * DAY + seconds(5 + 20));
    });
}

#[test]
fn the_time_limits_go_on_where_they_stood_still() {
    testing::run(async {
        let limits =
            Limits { round_time_limit: seconds(10), turn_time_limit: seconds(50), ..limits() };
        let calls = reply().call("sleep", r#"{"s": 4}"#).call("pay", r#"{"s": 99}"#);
        let stage =
            stage_with([calls, reply().text("done")], [sleeper(), pay(Approval::Always)], limits);
        approves(&stage.session, DAY);
        let answer = stage.ask().await;
        let round = &answer.report.rounds[0];
        assert_eq!(outcomes(round), ["ok", "timed_out"]);
        // The round's time began with its first call, and stood still at once.
        assert_eq!((round.calls[1].waited, round.calls[1].ran), (DAY, seconds(10)));

        let limits = Limits { turn_time_limit: seconds(50), ..crate::support::limits() };
        let slow = reply().call("pay", "{}").after(seconds(30));
        let late = reply().text("late").after(seconds(21));
        let stage = stage_with([slow, late], [pay(Approval::Always)], limits);
        approves(&stage.session, DAY);
        let began = Instant::now();
        let failed = stage.ask_in_vain().await;
        assert_eq!((failed.cause.code(), began.elapsed()), ("turn_timed_out", DAY + seconds(50)));
    });
}

/// Each broken variant is found by the wait of days.
#[test]
fn a_clock_that_runs_on_and_a_call_that_does_not_wait_are_found_out() {
    let run = |broken: Option<Sabotage>| {
        testing::run(async move {
            testing::sabotage(broken);
            let limits = Limits { turn_time_limit: seconds(600), ..limits() };
            let script = [reply().call("pay", "{}"), reply().text("done")];
            let stage = stage_with(script, [pay(Approval::Always)], limits);
            let (session, mut events) = (stage.session.clone(), stage.session.events());
            actix_rt::spawn(async move {
                let call = asked(&mut events, &session).await;
                sleep(DAY).await;
                let _ = session.decide(&call, Decision::Approved).await;
            });
            let asked = stage.session.ask("go").await;
            testing::sabotage(None);
            asked.is_ok_and(|answer| answer.report.rounds[0].calls[0].waited == DAY)
        })
    };
    assert!(run(None));
    for broken in [Sabotage::ClockRunsOn, Sabotage::Unapproved] {
        assert!(!run(Some(broken)), "{broken:?} was not found");
    }
}

#[test]
fn siblings_keep_their_own_limits_while_a_person_is_awaited() {
    testing::run(async {
        let limits = Limits { call_time_limit: seconds(30), ..limits() };
        let calls = reply().call("sleep", r#"{"s": 99}"#).call("pay", "{}");
        let stage =
            stage_with([calls, reply().text("done")], [sleeper(), pay(Approval::Always)], limits);
        approves(&stage.session, DAY);
        let round = &stage.ask().await.report.rounds[0];
        assert_eq!((outcomes(round), round.calls[0].ran), (vec!["timed_out", "ok"], seconds(30)));
    });
}

#[test]
fn a_call_that_waits_holds_no_permit() {
    testing::run(async {
        let tool = pay(Approval::Always).max_concurrency(1).exclusive();
        let calls =
            reply().call_with_id("a", "pay", r#"{"s": 1}"#).call_with_id("b", "pay", r#"{"s": 1}"#);
        let Stage { session, .. } = stage([calls, reply().text("done")], [tool]);
        let waits = |id: &str| if id == "a" { DAY } else { seconds(1) };
        let mut events = session.events();
        let person = session.clone();
        actix_rt::spawn(async move {
            while let Some(record) = events.next().await {
                let Some(call) = record.event.waiting_call(person.id()) else { continue };
                let Event::ApprovalAsked { id, .. } = &record.event else { continue };
                let (person, after) = (person.clone(), waits(id));
                actix_rt::spawn(async move {
                    sleep(after).await;
                    person.decide(&call, Decision::Approved).await.expect("it waits");
                });
            }
        });
        let answer = session.ask("go").await.expect("it is answered");
        let calls = &answer.report.rounds[0].calls;
        assert_eq!(
            (calls[1].waited, calls[1].queued, calls[1].ran),
            (seconds(1), Duration::ZERO, seconds(1))
        );
        assert_eq!((calls[0].waited, calls[0].queued), (DAY, Duration::ZERO));
    });
}

#[test]
fn a_denied_call_is_answered_and_its_siblings_results_stand() {
    testing::run(async {
        let calls = reply().call("pay", "{}").call("sleep", r#"{"s": 1}"#);
        let stage = stage([calls, reply().text("done")], [sleeper(), pay(Approval::Always)]);
        decides(&stage.session, seconds(10), |_| denied("too\nmuch"));
        let answer = stage.ask().await;
        let round = &answer.report.rounds[0];
        assert_eq!(outcomes(round), ["denied", "ok"]);
        let problem = round.calls[0].error.as_ref().expect("it did not end well");
        assert_eq!(&*problem.code, "not_approved");
        assert_eq!((round.calls[0].waited, round.calls[0].attempts), (seconds(10), 0));
        assert_eq!(round.wall, seconds(10));
        let told = ["error: the call was not approved and was not run: too much", "slept 1"];
        assert_eq!(stage.told(), told);
    });
}

#[test]
fn an_edited_call_runs_as_edited_and_the_model_is_told() {
    testing::run(async {
        let stage = stage(
            [reply().call("pay", r#"{"to":"a"}"#), reply().text("done")],
            [pay(Approval::Always)],
        );
        decides(&stage.session, seconds(1), |_| Decision::Edited {
            arguments: r#"{"to":"b"}"#.into(),
        });
        let answer = stage.ask().await;
        let [told] = &stage.told()[..] else { panic!("one call") };
        assert!(
            told.starts_with(r#"pay {"to":"b"}"#)
                && told.contains("a person changed the arguments"),
            "{told}"
        );
        let history = stage.model.last_history();
        assert!(history.contains(r#"{\"to\":\"a\"}"#), "it keeps what the model wrote: {history}");
        let arguments = answer.report.rounds[0].calls[0].arguments.clone();
        assert_eq!(arguments.as_deref(), Some(r#"{"to":"b"}"#), "the account has what ran");
    });
}

#[test]
fn arguments_that_do_not_fit_are_refused_and_the_call_still_waits() {
    testing::run(async {
        let Stage { session, .. } =
            stage([reply().call("pay", "{}"), reply().text("done")], [pay(Approval::Always)]);
        let mut events = session.events();
        let person = async {
            let call = asked(&mut events, &session).await;
            for arguments in [r#"{"s":"x"}"#, "[]", "no"] {
                let decision = Decision::Edited { arguments: arguments.into() };
                let refused = session.decide(&call, decision).await;
                assert!(
                    matches!(
                        refused,
                        Err(DecideError::NotDecided(NotDecided::BadArguments { .. }))
                    ),
                    "{refused:?}"
                );
            }
            session.decide(&call, Decision::Approved).await.expect("it still waits");
        };
        let (answer, ()) = tokio::join!(session.ask("go"), person);
        assert_eq!(outcomes(&answer.expect("it is answered").report.rounds[0]), ["ok"]);
    });
}

#[test]
fn a_decision_that_counts_for_nothing_says_why() {
    testing::run(async {
        let calls = reply().call("pay", r#"{"s": 9}"#).call("pay", "{}");
        let Stage { session, .. } = stage([calls, reply().text("done")], [pay(Approval::Always)]);
        let not = |why: NotDecided| Err(DecideError::NotDecided(why));
        let mut events = session.events();
        let person = async {
            let first = asked(&mut events, &session).await;
            let second = asked(&mut events, &session).await;
            session.decide(&first, Decision::Approved).await.expect("it waits");
            assert_eq!(session.decide(&first, denied("")).await, not(NotDecided::Already));
            let others = [
                CallKey { ordinal: 7, ..second.clone() },
                CallKey { round: 2, ..second.clone() },
                CallKey { session: SessionId::new("other"), ..second.clone() },
            ];
            for call in others {
                assert_eq!(
                    session.decide(&call, Decision::Approved).await,
                    not(NotDecided::NotWaiting)
                );
            }
            session.decide(&second, denied("no")).await.expect("it waits");
            second
        };
        let (answer, call) = tokio::join!(session.ask("go"), person);
        assert_eq!(outcomes(&answer.expect("it is answered").report.rounds[0]), ["ok", "denied"]);
        assert_eq!(session.decide(&call, Decision::Approved).await, not(NotDecided::NotWaiting));
    });
}

#[test]
fn cancelling_answers_a_call_that_waits_at_once() {
    testing::run(async {
        let Stage { session, model } =
            stage([reply().call("pay", "{}"), reply().text("next")], [pay(Approval::Always)]);
        let mut events = session.events();
        let person = async {
            asked(&mut events, &session).await;
            sleep(seconds(60)).await;
            assert!(session.cancel().await);
        };
        let began = Instant::now();
        let (answer, ()) = tokio::join!(session.ask("go"), person);
        let Err(Error::Turn(failed)) = answer else { panic!("it was cancelled") };
        let call = &failed.report.rounds[0].calls[0];
        assert_eq!(
            (call.outcome.map(|it| it.as_str()), call.waited),
            (Some("cancelled"), seconds(60))
        );
        assert_eq!(began.elapsed(), seconds(60));
        session.ask("and now?").await.expect("it goes on");
        assert_eq!(model.violations(), Vec::<String>::new());
    });
}

#[test]
fn one_call_that_waits_can_be_cancelled_and_the_clock_goes_on() {
    testing::run(async {
        let limits = Limits { turn_time_limit: seconds(100), ..limits() };
        let calls = reply().call_with_id("a", "pay", "{}").call("sleep", r#"{"s": 1}"#);
        let script = [calls, reply().text("late").after(seconds(101))];
        let stage = stage_with(script, [sleeper(), pay(Approval::Always)], limits);
        let (session, mut events) = (stage.session.clone(), stage.session.events());
        actix_rt::spawn(async move {
            asked(&mut events, &session).await;
            sleep(DAY).await;
            assert!(session.cancel_call("a").await);
        });
        let began = Instant::now();
        let failed = stage.ask_in_vain().await;
        assert_eq!(outcomes(&failed.report.rounds[0]), ["cancelled", "ok"]);
        assert_eq!((failed.cause.code(), began.elapsed()), ("turn_timed_out", DAY + seconds(100)));
    });
}

#[test]
fn an_approval_once_per_session_releases_those_that_wait_and_all_later_ones() {
    testing::run(async {
        let two = || reply().call("pay", "{}").call("pay", r#"{"s": 1}"#);
        let stage = stage([two(), two(), reply().text("done")], [pay(Approval::OncePerSession)]);
        let mut events = stage.session.events();
        let (session, counted) = (stage.session.clone(), Arc::new(AtomicU32::new(0)));
        let count = Arc::clone(&counted);
        actix_rt::spawn(async move {
            let first = asked(&mut events, &session).await;
            asked(&mut events, &session).await;
            session.decide(&first, Decision::Approved).await.expect("it waits");
            loop {
                asked(&mut events, &session).await;
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        let answer = stage.ask().await;
        assert!(answer.report.rounds.iter().all(|round| outcomes(round) == ["ok", "ok"]));
        assert_eq!(counted.load(Ordering::Relaxed), 0, "nobody is asked again");
    });
}

#[test]
fn in_sequence_each_call_waits_in_its_turn() {
    testing::run(async {
        let limits = Limits { mode: Mode::Sequential, ..limits() };
        let calls = reply()
            .call("pay", r#"{"s": 1}"#)
            .call("sleep", r#"{"s": 1}"#)
            .call("pay", r#"{"s": 1}"#);
        let stage =
            stage_with([calls, reply().text("done")], [sleeper(), pay(Approval::Always)], limits);
        approves(&stage.session, seconds(10));
        let round = &stage.ask().await.report.rounds[0];
        let started: Vec<_> = round.calls.iter().map(|call| call.started.as_secs()).collect();
        assert_eq!((started, round.wall), (vec![0, 11, 12], seconds(23)));
    });
}

#[test]
fn calls_of_a_wrapper_wait_as_others_do_and_refused_ones_are_not_asked_about() {
    testing::run(async {
        let calls = json!({"tool_uses": [
            {"recipient_name": "functions.pay", "parameters": {"s": 1}},
            {"recipient_name": "pay", "parameters": {"s": "x"}},
            {"recipient_name": "sleep", "parameters": {"s": 1}},
        ]});
        let wrapper =
            reply().call("multi_tool_use.parallel", &calls.to_string()).call("nobody", "{}");
        let stage = stage([wrapper, reply().text("done")], [sleeper(), pay(Approval::Always)]);
        approves(&stage.session, seconds(10)); // A decision that is not awaited would fail.
        let round = &stage.ask().await.report.rounds[0];
        assert_eq!(outcomes(round), ["ok", "bad_arguments", "ok", "unknown_tool"]);
        assert_eq!(round.calls[0].waited, seconds(10));
    });
}

#[test]
fn what_needs_approval_does_not_begin_early_unless_it_is_approved_for_the_session() {
    testing::run(async {
        let tool = asking("read", Approval::OncePerSession).effects(Effects::None);
        let two =
            || reply().call("read", r#"{"s": 1}"#).call("read", r#"{"s": 2}"#).paced(seconds(1));
        let stage = stage([two(), two(), reply().text("done")], [tool]);
        approves_first(&stage.session);
        let answer = stage.ask().await;
        let early = |round: usize| answer.report.rounds[round].calls.iter().any(|call| call.early);
        assert!(!early(0) && early(1), "{:?}", answer.report.rounds);
    });
}

/// Approves of the first call that is asked about, and of no other.
fn approves_first(session: &Session) {
    let (session, mut events) = (session.clone(), session.events());
    actix_rt::spawn(async move {
        let call = asked(&mut events, &session).await;
        session.decide(&call, Decision::Approved).await.expect("it waits");
    });
}

#[test]
fn what_is_decided_beforehand_is_on_record_and_waits_for_nobody() {
    testing::run(async {
        let journal = Arc::new(MemoryStore::keeping());
        let calls = reply().call("pay", "{}").call("sell", "{}");
        let model = ScriptedModel::new([calls, reply().text("done")]);
        let tools = [pay(Approval::Always), asking("sell", Approval::OncePerSession)];
        let tools = Arc::new(ToolSet::new(tools).expect("well formed"));
        let options = SessionOptions::new(model, tools).id(SessionId::new("s"));
        let options = options.approve_tools(["pay"]).deny_unasked();
        let runtime = testing::builder().journal(journal.clone()).in_current_system();
        let session = runtime.expect("within `testing::run`").session(options);
        let answer = session.ask("go").await.expect("it is answered");
        assert_eq!(outcomes(&answer.report.rounds[0]), ["ok", "denied"]);
        let records = journal.read(session.id(), 0).await.expect("memory does not fail");
        let mut told = Vec::new();
        for record in &records {
            match &record.event {
                Event::ApprovalAsked { tool, .. } => told.push(format!("{tool} asked")),
                Event::ApprovalDecided { tool, decision, .. } => {
                    told.push(format!("{tool} {}", decision.as_str()));
                }
                _ => {}
            }
        }
        assert_eq!(told, ["pay asked", "pay approved", "sell asked", "sell denied"]);
        assert_eq!(faults(&records), ["call (1, 1, 1): (0, 1)"], "what was denied never began");
    });
}

/// A session on `journal` that has said so many of the replies.
fn opened(journal: &Arc<MemoryStore>, script: Vec<Scripted>, tool: ToolType) -> (Runtime, Session) {
    let tools = Arc::new(ToolSet::new([tool, sleeper()]).expect("well formed"));
    let options = SessionOptions::new(ScriptedModel::new(script), tools).limits(limits());
    let options = options.id(SessionId::new("s")).model_retries(ModelRetries::none());
    let builder = testing::builder().journal(journal.clone());
    let runtime = builder.clock(Clock::at(seconds(1_000_000))).in_current_system();
    let runtime = runtime.expect("within `testing::run`");
    let session = runtime.session(options);
    (runtime, session)
}

#[test]
fn a_shutdown_leaves_a_turn_that_only_waits_open_and_it_goes_on_elsewhere() {
    testing::run(async {
        let journal = Arc::new(MemoryStore::keeping());
        let calls = reply().call("pay", "{}").call("sleep", r#"{"s": 1}"#);
        let (runtime, session) = opened(&journal, vec![calls], pay(Approval::Always));
        let asking = session.clone();
        let asked_first = actix_rt::spawn(async move { asking.ask("go").await });
        sleep(seconds(5)).await;
        let report = runtime.shutdown(seconds(1)).await;
        assert_eq!((report.cut.len(), report.cut[0].recorded), (1, false), "{report:?}");
        assert_eq!(&*report.cut[0].calls[0].1, "pay");
        assert!(matches!(asked_first.await.expect("it runs"), Err(Error::Turn(_))));
        drop((session, runtime));
        sleep(DAY).await;
        let (_runtime, session) =
            opened(&journal, vec![reply().text("done")], pay(Approval::Always));
        approves(&session, seconds(7));
        let answer = session.resume().await.expect("it goes on");
        let round = &answer.report.rounds[0];
        assert_eq!((outcomes(round), round.calls[0].waited), (vec!["ok", "ok"], seconds(7)));
        let records = journal.read(session.id(), 0).await.expect("memory does not fail");
        assert_eq!(faults_of_cut(&records), Vec::<String>::new());
    });
}

#[test]
fn what_was_approved_for_the_session_stays_so_when_it_is_opened_again() {
    testing::run(async {
        let journal = Arc::new(MemoryStore::keeping());
        let script = || vec![reply().call("pay", "{}"), reply().text("done")];
        let (runtime, session) = opened(&journal, script(), pay(Approval::OncePerSession));
        approves_first(&session);
        session.ask("go").await.expect("it is answered");
        runtime.shutdown(seconds(1)).await;
        drop((session, runtime));
        let (_runtime, session) = opened(&journal, script(), pay(Approval::OncePerSession));
        let answer = timeout(seconds(60), session.ask("again")).await.expect("nobody is asked");
        assert_eq!(outcomes(&answer.expect("it is answered").report.rounds[0]), ["ok"]);
    });
}

#[test]
fn a_store_that_hangs_while_a_person_is_awaited_holds_the_turn_no_longer_than_its_time() {
    testing::run(async {
        let (runtime, _) = rigged(|asked| match asked {
            Asked::Append(records) => {
                let is_end = |it: &callsheet::Record| matches!(it.event, Event::CallEnded { .. });
                if records.iter().any(is_end) { Does::Hangs } else { Does::AsAsked }
            }
            _ => Does::AsAsked,
        });
        let calls =
            reply().call("sleep", &format!(r#"{{"s": {}}}"#, 3 * 24 * 3600)).call("pay", "{}");
        let tools = [sleeper().time_limit(4 * DAY), pay(Approval::Always)];
        let tools = Arc::new(ToolSet::new(tools).expect("well formed"));
        let model = ScriptedModel::new([calls]);
        let limits = Limits { turn_time_limit: seconds(600), ..limits() };
        let session = runtime.session(SessionOptions::new(model, tools).limits(limits));
        let began = Instant::now();
        let answer = timeout(10 * DAY, session.ask("go")).await.expect("it does not hang");
        assert!(matches!(answer, Err(Error::Turn(_))));
        assert_eq!(began.elapsed().as_secs(), (3 * DAY + seconds(601)).as_secs());
    });
}

#[test]
fn an_approved_call_whose_tool_was_withdrawn_meanwhile_is_unavailable() {
    testing::run(async {
        let tool = asking("pay", Approval::Always);
        let bomb = dynamic("pay", json!({"type": "object"}), |arguments, _| async move {
            assert!(arguments["boom"] != json!(true), "boom");
            Ok(String::new())
        });
        drop(tool);
        let calls = (0..8).fold(reply().call_with_id("last", "pay", "{}"), |reply, n| {
            reply.call("pay", &format!(r#"{{"boom": true, "n": {n}}}"#))
        });
        let stage = stage([calls, reply().text("done")], [bomb.approval(Approval::Always)]);
        let (session, mut events) = (stage.session.clone(), stage.session.events());
        actix_rt::spawn(async move {
            let last = asked(&mut events, &session).await;
            for _ in 0..8 {
                let call = asked(&mut events, &session).await;
                session.decide(&call, Decision::Approved).await.expect("it waits");
            }
            while let Some(record) = events.next().await {
                if let Event::CircuitOpened { .. } = record.event {
                    break;
                }
            }
            session.decide(&last, Decision::Approved).await.expect("it waits");
        });
        let round = &stage.ask().await.report.rounds[0];
        assert_eq!(outcomes(round)[0], "unavailable", "{round:#?}");
    });
}

#[test]
fn a_session_that_waits_for_a_person_does_not_sleep() {
    testing::run(async {
        let journal = Arc::new(MemoryStore::keeping());
        let script = vec![reply().call("pay", "{}"), reply().text("done")];
        let (_runtime, session) = opened(&journal, script, pay(Approval::Always));
        let asking = session.clone();
        let answer = actix_rt::spawn(async move { asking.ask("go").await });
        sleep(DAY).await;
        let status = session.status().await.expect("it lives");
        assert!(status.busy && status.calls_in_flight == 0, "{status:?}");
        let call = CallKey { session: session.id().clone(), round: 1, attempt: 1, ordinal: 0 };
        assert_eq!(call.place(), Place { reply_attempt: 1, ordinal: 0 });
        session.decide(&call, Decision::Approved).await.expect("it waits");
        answer.await.expect("it runs").expect("it is answered");
    });
}

#[test]
fn a_decision_that_the_store_does_not_take_is_told_so() {
    testing::run(async {
        let is_decision =
            |it: &callsheet::Record| matches!(it.event, Event::ApprovalDecided { .. });
        let (runtime, _) = rigged(move |asked| match asked {
            Asked::Append(records) if records.iter().any(is_decision) => Does::Fails,
            _ => Does::AsAsked,
        });
        let tools = Arc::new(ToolSet::new([pay(Approval::Always)]).expect("well formed"));
        let model = ScriptedModel::new([reply().call("pay", "{}")]);
        let session = runtime.session(SessionOptions::new(model, tools).limits(limits()));
        let (deciding, mut events) = (session.clone(), session.events());
        let decided = actix_rt::spawn(async move {
            let call = asked(&mut events, &deciding).await;
            deciding.decide(&call, Decision::Approved).await
        });
        let answer = timeout(seconds(60), session.ask("go")).await.expect("it ends");
        assert!(matches!(answer, Err(Error::Turn(_))), "{answer:?}");
        let decided = decided.await.expect("it runs");
        assert!(matches!(decided, Err(DecideError::Store(_))), "{decided:?}");
    });
}

#[test]
fn a_shutdown_ends_a_turn_in_which_something_runs_beside_the_call_that_waits() {
    testing::run(async {
        let journal = Arc::new(MemoryStore::keeping());
        let calls = reply().call("pay", "{}").call("sleep", r#"{"s": 100}"#);
        let (runtime, session) = opened(&journal, vec![calls], pay(Approval::Always));
        let asking = session.clone();
        let answer = actix_rt::spawn(async move { asking.ask("go").await });
        sleep(seconds(5)).await;
        let report = runtime.shutdown(seconds(1)).await;
        assert_eq!((report.cut.len(), report.cut[0].recorded), (1, true), "{report:?}");
        assert!(matches!(answer.await.expect("it runs"), Err(Error::Turn(_))));
        let records = journal.read(session.id(), 0).await.expect("memory does not fail");
        let last = records.last().expect("there are some");
        assert!(matches!(last.event, Event::TurnEnded { .. }), "{last:?}");
    });
}
