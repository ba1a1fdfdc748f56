//! A process ends in the middle of a turn, and another one goes on with it: wherever it ended, the
//! conversation comes to what it would have come to, calls that have ended do not run again, and those
//! that must not run twice do not.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use callsheet::conversation::{Record, ResumePlan, SessionState};
use callsheet::session::Clock;
use callsheet::store::{Journal, MemoryStore};
use callsheet::testing::{self, Sabotage, Scripted, ScriptedModel, reply};
use callsheet::{
    Answer, Approval, Budget, Budgets, Decision, Effects, Error, Event, Limits, Mode, ModelRetries,
    OutcomeKind, Session, SessionId, SessionOptions, ToolSet, ToolType,
};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use crate::support::journal::{
    Asked, Does, Rigged, faults_of_approvals, faults_of_cut, kept, rigged,
};
use crate::support::{dynamic, limits, seconds};

/// How often each call ran, by its key.
#[derive(Clone, Default)]
struct Ran(Arc<Mutex<HashMap<String, u32>>>);

impl Ran {
    fn count(&self, key: String) {
        *self.0.lock().expect("no panic holds it").entry(key).or_default() += 1;
    }

    fn times(&self) -> HashMap<String, u32> {
        self.0.lock().expect("no panic holds it").clone()
    }
}

/// A tool that sleeps `{"s": seconds}` and answers with its name and its arguments.
fn tool(name: &'static str, effects: Effects, ran: &Ran) -> ToolType {
    let ran = ran.clone();
    let parameters = json!({"type": "object", "properties": {"s": {"type": "integer"}}});
    let tool = dynamic(name, parameters, move |arguments, context| {
        ran.count(context.key().to_string());
        async move {
            sleep(seconds(arguments["s"].as_u64().unwrap_or_default())).await;
            Ok(format!("{name} {arguments}"))
        }
    });
    tool.effects(effects)
}

/// What the model says, and how its calls are run.
struct Course {
    name: &'static str,
    script: fn() -> Vec<Scripted>,
    limits: Limits,
    budgets: Budgets,
    /// Calls with effects begin early, too.
    early: bool,
    /// Calls with effects need approval: `put` once per session, `pay` always.
    asks: bool,
    /// What every process reads.
    clock: Clock,
}

fn courses() -> [Course; 8] {
    let rounds = || {
        let first = reply()
            .call("read", r#"{"s": 3}"#)
            .call("pay", r#"{"s": 1}"#)
            .call("put", r#"{"s": 2}"#)
            .call("pay", r#"{"s": 4}"#);
        let second = reply().call("read", r#"{"s": 1}"#).call("pay", r#"{"s": 1}"#);
        vec![first, second, reply().text("done")]
    };
    let paced = || {
        let first = reply()
            .call("read", r#"{"s": 3}"#)
            .call("pay", r#"{"s": 1}"#)
            .call("put", r#"{"s": 9}"#)
            .call("read", r#"{"s": 1}"#);
        vec![first.paced(seconds(1)), reply().text("done")]
    };
    let wrapped = || {
        let calls = json!({"tool_uses": [
            {"recipient_name": "functions.read", "parameters": {"s": 2}},
            {"recipient_name": "functions.pay", "parameters": {"s": 1}},
        ]});
        let wrapper = reply().call("multi_tool_use.parallel", &calls.to_string());
        vec![wrapper.call("nothing", "{}").call("put", r#"{"s": 1}"#), reply().text("done")]
    };
    let one_by_one = Limits { mode: Mode::Sequential, ..limits() };
    let clock = Clock::at(seconds(1_000_000));
    let budgets = Budgets::default();
    let course = |name, script, limits, early| {
        let asks = false;
        Course { name, script, limits, budgets, early, asks, clock }
    };
    let asking =
        |name, script, limits| Course { asks: true, ..course(name, script, limits, false) };
    let just_enough = Budget { tokens: Some(31), cost: None }; // Two replies of 15, and the last.
    let budgets = Budgets { turn: just_enough, session: just_enough };
    let scarce = Limits { max_calls: 6, ..limits() };
    [
        course("parallel", rounds, limits(), false),
        course("sequential", rounds, one_by_one.clone(), false),
        course("early", paced, limits(), false),
        course("early with effects", paced, limits(), true),
        course("wrapped", wrapped, limits(), false),
        asking("approved", rounds, limits()),
        asking("approved one by one", rounds, one_by_one),
        Course { budgets, ..course("just enough", rounds, scarce, false) },
    ]
}

impl Course {
    fn tools(&self, ran: &Ran) -> Arc<ToolSet> {
        let all = [("read", Effects::None), ("put", Effects::Idempotent), ("pay", Effects::Once)];
        let all = all.map(|(name, effects)| {
            let tool = tool(name, effects, ran).approval(match name {
                "put" if self.asks => Approval::OncePerSession,
                "pay" if self.asks => Approval::Always,
                _ => Approval::Never,
            });
            if self.early { tool.early(true) } else { tool }
        });
        Arc::new(ToolSet::new(all).expect("well formed"))
    }

    /// A session on `journal` whose model has said what `records` hold.
    fn open(
        &self,
        journal: Arc<dyn Journal>,
        records: &[Record],
        ran: &Ran,
    ) -> (Session, Arc<ScriptedModel>) {
        let said = records.iter().filter(|r| matches!(r.event, Event::Replied { .. })).count();
        let model = ScriptedModel::new((self.script)().split_off(said));
        let options = SessionOptions::new(model.clone(), self.tools(ran))
            .id(SessionId::new("s"))
            .take_over()
            .limits(self.limits.clone())
            .budgets(self.budgets)
            .model_retries(ModelRetries::none());
        let runtime = testing::builder().journal(journal).clock(self.clock).in_current_system();
        let session = runtime.expect("within `testing::run`").session(options);
        if self.asks {
            person(&session);
        }
        (session, model)
    }

    /// Runs it to its end without trouble.
    async fn whole(&self) -> Vec<Record> {
        let journal = Arc::new(MemoryStore::keeping());
        let (session, model) = self.open(journal.clone(), &[], &Ran::default());
        let answer = session.ask("go").await.expect("the turn ends well");
        assert_eq!((&*answer.text, model.violations()), ("done", Vec::<String>::new()));
        all(&*journal).await
    }

    /// Goes on from `prefix` in a new process, or asks where the question is not on record.
    async fn go_on(&self, prefix: &[Record], ran: &Ran) -> (Answer, Vec<Record>) {
        let journal = Arc::new(kept(prefix).await);
        let (session, model) = self.open(journal.clone(), prefix, ran);
        let is_begun = prefix.iter().any(|r| matches!(r.event, Event::TurnStarted { .. }));
        let answer = match is_begun {
            true => timeout(seconds(100_000), session.resume()).await,
            false => timeout(seconds(100_000), session.ask("go")).await,
        };
        let answer = answer.expect("it does not hang").expect("the turn ends well");
        assert_eq!(model.violations(), Vec::<String>::new());
        (answer, all(&*journal).await)
    }

    /// Goes on from `prefix`, and says what is wrong with what comes of it.
    async fn check(&self, prefix: &[Record], whole: &[Record]) -> Result<Vec<Record>, String> {
        let ran = Ran::default();
        let (answer, records) = self.go_on(prefix, &ran).await;
        let name = self.name;
        let at = format!("{name}, after {} events: {:?}", prefix.len(), prefix.last());
        if &*answer.text != "done" {
            return Err(format!("{at}: the answer is {:?}", answer.text));
        }
        let times = ran.times();
        for Begun { key, tool, is_ended } in begun(prefix) {
            let again = times.get(&key).copied().unwrap_or_default();
            let may_run = !is_ended && tool != "pay";
            if again > u32::from(may_run) {
                return Err(format!("{at}: {tool} {key} ran {again} times more"));
            }
        }
        if let Some((key, times)) = times.iter().find(|(_, times)| **times > 1) {
            return Err(format!("{at}: {key} ran {times} times"));
        }
        let mut faults = faults_of_cut(&records);
        if self.asks {
            faults.extend(faults_of_approvals(&records, &["put", "pay"]));
        }
        if !faults.is_empty() {
            return Err(format!("{at}: {faults:?}"));
        }
        let (expected, found) = (history(whole), history(&records));
        match self.early || are_alike(&expected, &found) {
            true => Ok(records),
            false => Err(format!("{at}:\n{expected:#?}\nwas to be, and is\n{found:#?}")),
        }
    }
}

/// Decides about each call five seconds after it was asked about, always in the same way.
fn person(session: &Session) {
    let (session, mut events) = (session.clone(), session.events());
    actix_rt::spawn(async move {
        while let Some(record) = events.next().await {
            if matches!(record.event, Event::TurnEnded { .. }) {
                break;
            }
            let Some(call) = record.event.waiting_call(session.id()) else { continue };
            let decision = match (call.round, call.ordinal) {
                (1, 3) => Decision::Denied { reason: Some("too much".into()) },
                (2, _) => Decision::Edited { arguments: r#"{"s": 2}"#.into() },
                _ => Decision::Approved,
            };
            let session = session.clone();
            actix_rt::spawn(async move {
                sleep(seconds(5)).await;
                drop(session.decide(&call, decision).await); // The turn may have ended.
            });
        }
    });
}

async fn all(journal: &dyn Journal) -> Vec<Record> {
    journal.read(&SessionId::new("s"), 0).await.expect("memory does not fail")
}

/// A store that holds `records`, and was not closed.
struct Begun {
    key: String,
    tool: String,
    is_ended: bool,
}

/// The calls that have begun by the record.
fn begun(records: &[Record]) -> Vec<Begun> {
    let mut begun: Vec<Begun> = Vec::new();
    for record in records {
        match &record.event {
            Event::CallStarted { round, reply_attempt, ordinal, tool, .. } => {
                let (key, tool) =
                    (format!("s/{round}/{reply_attempt}/{ordinal}"), tool.to_string());
                begun.push(Begun { key, tool, is_ended: false });
            }
            Event::CallEnded { round, reply_attempt, ordinal, .. } => {
                let key = format!("s/{round}/{reply_attempt}/{ordinal}");
                begun.iter_mut().filter(|call| call.key == key).for_each(|c| c.is_ended = true);
            }
            _ => {}
        }
    }
    begun
}

/// The messages of the conversation.
fn history(records: &[Record]) -> Vec<Value> {
    let mut state = SessionState::new(16);
    for record in records {
        let _ = state.on(&record.event);
    }
    let messages = String::from_utf8_lossy(state.transcript().as_bytes()).into_owned();
    serde_json::from_str(&format!("[{messages}]")).expect("a list of messages")
}

/// Says whether two histories are the same, but for calls of which nobody knows whether they happened.
fn are_alike(expected: &[Value], found: &[Value]) -> bool {
    let is_unknown = |message: &Value| {
        let content = message["content"].as_str().unwrap_or_default();
        message["role"] == "tool" && content.contains("may have taken effect")
    };
    expected.len() == found.len()
        && expected.iter().zip(found).all(|(expected, found)| {
            expected == found
                || (is_unknown(found) && expected["tool_call_id"] == found["tool_call_id"])
        })
}

#[test]
fn a_turn_goes_on_from_every_prefix_of_its_journal() {
    testing::run(async {
        let mut prefixes = 0;
        for course in courses() {
            let whole = course.whole().await;
            for length in 0..=whole.len() {
                course.check(&whole[..length], &whole).await.unwrap_or_else(|why| panic!("{why}"));
                prefixes += 1;
            }
        }
        println!("{prefixes} prefixes of 8 journals, each gone on from");
    });
}

#[test]
fn a_turn_goes_on_also_where_the_process_ends_again_while_it_resumes() {
    testing::run(async {
        let mut prefixes = 0;
        for course in courses() {
            let whole = course.whole().await;
            for length in 2..whole.len() {
                let again = course.check(&whole[..length], &whole).await.expect("as above");
                for length in length + 1..again.len() {
                    let checked = course.check(&again[..length], &whole).await;
                    checked.unwrap_or_else(|why| panic!("{why}"));
                    prefixes += 1;
                }
            }
        }
        println!("{prefixes} prefixes of resumed journals, each gone on from");
    });
}

/// Each broken variant is found by one of the prefixes.
#[test]
fn a_resume_that_is_broken_is_found() {
    for (course, broken) in [
        (0, Sabotage::OnceRunsAgain),
        (0, Sabotage::ResultsForgotten),
        (0, Sabotage::StartsForgotten),
        (5, Sabotage::Unapproved),
        (5, Sabotage::ApprovalsForgotten),
    ] {
        let found = testing::run(async {
            let course = &courses()[course];
            let whole = course.whole().await;
            for length in 0..=whole.len() {
                testing::sabotage(Some(broken));
                let checked = course.check(&whole[..length], &whole).await;
                testing::sabotage(None);
                if checked.is_err() {
                    return true;
                }
            }
            false
        });
        assert!(found, "{broken:?} was not found");
    }
}

/// A process that ends before or after each of its appends: before it the step is not on record and
/// has no effect; after it, it is, and nobody was told.
#[test]
fn a_turn_goes_on_from_every_failing_append() {
    testing::run(async {
        let mut failures = 0;
        for course in courses() {
            let whole = course.whole().await;
            for fails in [Does::Fails, Does::FailsAfterwards] {
                for nth in 0.. {
                    let left = Mutex::new(nth);
                    let (_, store) = rigged(|_| Does::AsAsked);
                    let journal = Rigged::new(Arc::clone(&store), move |asked| {
                        let mut left = left.lock().expect("no panic holds it");
                        match (asked, *left) {
                            (Asked::Append(_), 0) => fails,
                            (Asked::Append(_), _) => {
                                *left -= 1;
                                Does::AsAsked
                            }
                            _ => Does::AsAsked,
                        }
                    });
                    let ran = Ran::default();
                    let (session, _) = course.open(Arc::new(journal), &[], &ran);
                    match session.ask("go").await {
                        Ok(_) => break,
                        Err(Error::Turn(_) | Error::Store(_)) => failures += 1,
                        Err(other) => panic!("{other:?}"),
                    }
                    let prefix = all(&*store).await;
                    // What had run has begun by the record: it was there first.
                    let begun: Vec<String> = begun(&prefix).into_iter().map(|c| c.key).collect();
                    let unknown: Vec<_> =
                        ran.times().into_keys().filter(|key| !begun.contains(key)).collect();
                    assert_eq!(unknown, Vec::<String>::new(), "{} {fails:?} {nth}", course.name);
                    course.check(&prefix, &whole).await.unwrap_or_else(|why| panic!("{why}"));
                }
            }
        }
        println!("{failures} failing appends, each gone on from");
    });
}

#[test]
fn where_nothing_was_cut_the_last_answer_comes_again_and_nothing_runs() {
    testing::run(async {
        let course = &courses()[0];
        let (whole, ran) = (course.whole().await, Ran::default());
        let (answer, records) = course.go_on(&whole, &ran).await;
        assert_eq!((&*answer.text, answer.report.rounds.len()), ("done", 2));
        assert_eq!(answer.report.elapsed, seconds(5));
        assert_eq!((ran.times().len(), records.len()), (0, whole.len()));
    });
}

#[test]
fn a_session_without_an_answer_has_nothing_to_resume() {
    testing::run(async {
        let (session, _) =
            courses()[0].open(Arc::new(MemoryStore::keeping()), &[], &Ran::default());
        assert!(matches!(session.resume().await, Err(Error::NoAnswer)));
    });
}

/// The prefix of a journal that ends when so many calls have ended.
fn cut_after_ends(whole: &[Record], ends: usize) -> &[Record] {
    let mut left = ends;
    let is_last = |record: &Record| {
        if matches!(record.event, Event::CallEnded { .. }) {
            left -= 1;
        }
        left == 0
    };
    &whole[..=whole.iter().position(is_last).expect("so many calls end")]
}

#[test]
fn a_report_of_a_turn_that_was_cut_leaves_out_the_time_that_the_process_was_down() {
    testing::run(async {
        let course = &courses()[0];
        let whole = course.whole().await;
        let cut = cut_after_ends(&whole, 2); // After 2 s.
        sleep(seconds(3600)).await;
        let (answer, _) = course.go_on(cut, &Ran::default()).await;
        let rounds = &answer.report.rounds;
        assert_eq!(rounds.len(), 2);
        // `read` runs again: 3 s after the two that had passed.
        assert_eq!((rounds[0].wall, rounds[0].clock), (seconds(5), seconds(5)));
        assert_eq!(answer.report.elapsed, seconds(6));
    });
}

#[test]
fn time_does_not_run_backwards_where_the_clock_of_the_next_process_is_behind() {
    testing::run(async {
        let mut course = courses().into_iter().next().expect("seven");
        let whole = course.whole().await;
        course.clock = Clock::at(seconds(500_000));
        let (answer, records) = course.go_on(cut_after_ends(&whole, 2), &Ran::default()).await;
        assert!(records.is_sorted_by_key(|record| record.at_us));
        assert_eq!(answer.report.rounds[0].clock, seconds(5));
    });
}

#[test]
fn time_limits_stand_still_while_the_process_is_down() {
    testing::run(async {
        let mut course = courses().into_iter().next().expect("seven");
        course.limits.turn_time_limit = seconds(4); // Of the 5 that it takes, and 2 s have passed.
        let whole = courses()[0].whole().await;
        let journal = Arc::new(kept(cut_after_ends(&whole, 2)).await);
        sleep(seconds(3600)).await;
        let (session, _) = course.open(journal.clone(), &whole[..5], &Ran::default());
        let began = Instant::now();
        let Err(Error::Turn(failed)) = session.resume().await else { panic!("it was to fail") };
        assert_eq!(failed.cause.code(), "turn_timed_out");
        assert_eq!(began.elapsed(), seconds(2));
        assert_eq!(faults_of_cut(&all(&*journal).await), Vec::<String>::new());
    });
}

#[test]
fn a_question_ends_a_turn_that_was_cut_and_runs_nothing_of_it() {
    testing::run(async {
        let course = &courses()[0];
        let whole = course.whole().await;
        let (journal, ran) = (Arc::new(kept(cut_after_ends(&whole, 2)).await), Ran::default());
        let (session, model) = course.open(journal.clone(), &whole, &ran);
        model.rewrite([reply().text("never mind")]);
        assert!(session.status().await.expect("it is open").cut);
        assert_eq!(&*session.ask("and now?").await.expect("it answers").text, "never mind");
        assert!(!session.status().await.expect("it is open").cut);
        assert_eq!((ran.times().len(), model.violations()), (0, Vec::<String>::new()));
        assert_eq!(faults_of_cut(&all(&*journal).await), Vec::<String>::new());
    });
}

#[test]
fn a_plan_says_beforehand_what_a_resume_does() {
    testing::run(async {
        let course = &courses()[0];
        let whole = course.whole().await;
        let cut = cut_after_ends(&whole, 2);
        let mut state = SessionState::new(16);
        for record in cut {
            let _ = state.on(&record.event);
        }
        let tools = course.tools(&Ran::default());
        let effects = |tool: &str| Some(tools.get(tool)?.declared_effects());
        let plan = ResumePlan::of(&state, &effects).expect("the turn was cut");
        let fates: Vec<_> =
            plan.calls.iter().map(|call| format!("{} {}", call.tool, call.fate)).collect();
        assert_eq!(
            fates,
            [
                "read had begun: runs again under the same key",
                "pay has ended: its result is used",
                "put has ended: its result is used",
                "pay is answered unknown_outcome: the process ended while the call ran",
            ]
        );
        let (_, records) = course.go_on(cut, &Ran::default()).await;
        let unknown = records.iter().filter(|record| match &record.event {
            Event::CallEnded { outcome, .. } => outcome.kind == OutcomeKind::UnknownOutcome,
            _ => false,
        });
        assert_eq!(unknown.count(), 1);
    });
}
