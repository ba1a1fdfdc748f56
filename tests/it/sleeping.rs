//! Sessions that are found from anywhere in the process, sleep while nothing is asked of them, and
//! wake with the next message: nothing is lost in between, whatever the store's pace.

use std::collections::HashMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use callsheet::conversation::Record;
use callsheet::store::{Access, Error as StoreError, Journal, MemoryStore, Store};
use callsheet::testing::{self, Sabotage, ScriptedModel, reply};
use callsheet::{
    Error, Event, Limits, Question, Runtime, Session, SessionId, SessionOptions, ToolSet,
};
use futures_util::FutureExt;
use futures_util::future::join_all;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::support::dice::Dice;
use crate::support::echo::Echo;
use crate::support::journal::{Asked, Does, faults, rigged_builder};
use crate::support::{limits, seconds, sleeper};

/// A session sleeps after so long.
const QUIET: Duration = Duration::from_secs(60);

fn runtime(store: Arc<MemoryStore>) -> Runtime {
    let builder = Runtime::builder().journal(store).sleep_after(Some(QUIET)).watchdog(None);
    builder.in_current_system().expect("within `testing::run`")
}

fn options(model: Arc<ScriptedModel>, id: &str) -> SessionOptions {
    let tools = Arc::new(ToolSet::new([sleeper()]).expect("well formed"));
    SessionOptions::new(model, tools).id(SessionId::new(id)).limits(limits())
}

/// Somebody else who would have the session if it were free.
async fn is_free(store: &MemoryStore, id: &str) -> bool {
    let id = SessionId::new(id);
    match store.open(&id, Access::IfFree).await {
        Ok(epoch) => {
            store.close(&id, epoch);
            true
        }
        Err(StoreError::Busy { .. }) => false,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_quiet_session_sleeps_and_wakes_with_its_history() {
    testing::run(async {
        let store = Arc::new(MemoryStore::keeping());
        let model = ScriptedModel::new([reply().text("one"), reply().text("two")]);
        let session = runtime(store.clone()).session(options(model.clone(), "s"));
        assert_eq!(&*session.ask("first").await.unwrap().text, "one");
        sleep(QUIET / 2).await;
        assert!(!is_free(&store, "s").await);
        sleep(QUIET * 2).await;
        assert!(is_free(&store, "s").await);
        assert_eq!(&*session.ask("second").await.unwrap().text, "two");
        let last: Vec<_> = model.requests()[1].iter().map(|message| message.text.clone()).collect();
        assert_eq!(last, ["first", "one", "second"]);
        assert_eq!(session.status().await.unwrap().turns, 2);
    });
}

#[test]
fn messages_keep_a_session_awake_and_time_alone_does_not() {
    testing::run(async {
        let store = Arc::new(MemoryStore::keeping());
        let session = runtime(store.clone()).session(options(ScriptedModel::new([]), "s"));
        for _ in 0..20 {
            session.status().await.unwrap();
            sleep(QUIET / 2).await;
            assert!(!is_free(&store, "s").await);
        }
        sleep(QUIET * 2).await;
        assert!(is_free(&store, "s").await);
    });
}

#[test]
fn a_session_does_not_sleep_while_a_round_runs() {
    testing::run(async {
        let store = Arc::new(MemoryStore::keeping());
        let calls = reply().call("sleep", r#"{"s": 900}"#);
        let model = ScriptedModel::new([calls, reply().text("done")]);
        let session = runtime(store.clone()).session(options(model, "s"));
        let began = Instant::now();
        let (answer, ()) = tokio::join!(session.ask("go"), async {
            sleep(QUIET * 10).await;
            assert!(!is_free(&store, "s").await);
        });
        assert_eq!((&*answer.unwrap().text, began.elapsed()), ("done", seconds(900)));
    });
}

#[test]
fn a_session_does_not_sleep_while_somebody_hears_it() {
    testing::run(async {
        let store = Arc::new(MemoryStore::keeping());
        let model = ScriptedModel::new([reply().text("one")]);
        let session = runtime(store.clone()).session(options(model, "s"));
        let events = session.events();
        sleep(QUIET * 10).await;
        assert!(!is_free(&store, "s").await);
        drop(events);
        sleep(QUIET * 2).await;
        assert!(is_free(&store, "s").await);
        let mut events = session.events(); // Wakes it.
        session.ask("hi").await.unwrap();
        let first = timeout(seconds(1), events.next()).await.expect("it is heard").unwrap();
        assert!(matches!(first.event, Event::SessionOpened { .. }), "{first:?}");
    });
}

#[test]
fn a_session_whose_records_end_with_it_stays_awake() {
    testing::run(async {
        let model = ScriptedModel::new([reply().text("one"), reply().text("two")]);
        let session = runtime(Arc::new(MemoryStore::new())).session(options(model, "s"));
        session.ask("first").await.unwrap();
        sleep(QUIET * 10).await;
        assert_eq!(session.status().await.unwrap().turns, 1);
        assert_eq!(&*session.ask("second").await.unwrap().text, "two");
    });
}

#[test]
fn whoever_asks_for_the_same_id_has_the_same_session() {
    testing::run(async {
        let runtime = runtime(Arc::new(MemoryStore::keeping()));
        let calls = reply().call("sleep", r#"{"s": 9}"#);
        let model = ScriptedModel::new([calls, reply().text("done")]);
        let one = runtime.session(options(model, "s"));
        let other = runtime.session(options(ScriptedModel::new([]), "s"));
        assert_eq!(runtime.sessions(), 1);
        let (answer, busy) = tokio::join!(one.ask("go"), async {
            sleep(seconds(1)).await;
            other.ask("me too").await
        });
        assert!(matches!(busy, Err(Error::Busy)), "{busy:?}");
        assert_eq!(&*answer.unwrap().text, "done");
        assert_eq!(other.status().await.unwrap().turns, 1);
    });
}

#[test]
fn a_turn_goes_on_without_a_handle_and_whoever_comes_then_finds_it() {
    testing::run(async {
        let store = Arc::new(MemoryStore::keeping());
        let runtime = runtime(store.clone());
        let calls = reply().call("sleep", r#"{"s": 9}"#);
        let model = ScriptedModel::new([calls, reply().text("done")]);
        let session = runtime.session(options(model.clone(), "s"));
        let asked = session.ask("go");
        assert!(timeout(seconds(1), asked).await.is_err(), "it is given up by then");
        drop(session);
        sleep(seconds(1)).await;
        let again = runtime.session(options(model, "s"));
        assert!(again.status().await.unwrap().busy);
        drop(again);
        sleep(seconds(20)).await;
        assert_eq!(runtime.sessions(), 0, "it has ended, and is forgotten");
        assert!(is_free(&store, "s").await);
        let records = store.read(&SessionId::new("s"), 0).await.unwrap();
        assert!(matches!(records.last().unwrap().event, Event::TurnEnded { .. }));
    });
}

#[test]
fn ten_thousand_sessions_that_nobody_has_leave_nothing() {
    testing::run(async {
        let runtime = runtime(Arc::new(MemoryStore::keeping()));
        for n in 0..10_000 {
            drop(runtime.session(options(ScriptedModel::new([]), &n.to_string())));
        }
        assert_eq!(runtime.sessions(), 0);
    });
}

#[test]
fn a_session_that_somebody_else_had_is_there_for_the_same_handle_once_they_have_gone() {
    testing::run(async {
        let (store, id) = (Arc::new(MemoryStore::keeping()), SessionId::new("s"));
        let epoch = store.open(&id, Access::IfFree).await.expect("it is free");
        let model = ScriptedModel::new([reply().text("one")]);
        let session = runtime(store.clone()).session(options(model, "s"));
        for _ in 0..2 {
            let asked = session.ask("go").await;
            assert!(matches!(asked, Err(Error::Store(StoreError::Busy { .. }))), "{asked:?}");
        }
        store.close(&id, epoch);
        assert_eq!(&*session.ask("go").await.unwrap().text, "one");
    });
}

/// However it was opened before, and although somebody follows it, which keeps it awake.
#[test]
fn a_session_that_was_taken_over_goes_on_once_it_is_free_with_what_was_done_meanwhile() {
    testing::run(async {
        for takes_over in [false, true] {
            let store = Arc::new(MemoryStore::keeping());
            let model = ScriptedModel::new(["one", "lost", "three"].map(|text| reply().text(text)));
            let own = options(model.clone(), "s");
            let own = if takes_over { own.take_over() } else { own };
            let session = runtime(store.clone()).session(own);
            let mut events = session.events();
            session.ask("first").await.unwrap();
            let two =
                ScriptedModel::new([reply().text("two"), reply().text("2").after(seconds(5))]);
            let other_runtime = runtime(store.clone());
            let other = other_runtime.session(options(two, "s").take_over());
            other.ask("second").await.unwrap();
            let asked = session.ask("lost").await;
            assert!(matches!(asked, Err(Error::Turn(_))), "{asked:?}");
            let (still, asked) = tokio::join!(other.ask("still there"), session.ask("busy"));
            assert_eq!(&*still.expect("nobody takes it away").text, "2");
            assert!(matches!(asked, Err(Error::Store(StoreError::Busy { .. }))), "{asked:?}");
            other_runtime.release(other.id());
            sleep(seconds(1)).await;

            model.rewrite([reply().text("three")]);
            assert_eq!(&*session.ask("third").await.unwrap().text, "three");
            let requests = model.requests();
            let last = requests.last().expect("it was asked");
            let last: Vec<_> = last.iter().map(|message| message.text.clone()).collect();
            assert_eq!(last, ["first", "one", "second", "two", "still there", "2", "third"]);
            let records = store.read(session.id(), 0).await.unwrap();
            assert_eq!(faults(&records), Vec::<String>::new());
            let mut heard = Vec::new();
            while heard.last() != records.last().map(|last| &last.seq) {
                let record = events.next().await.expect("it goes on");
                heard.extend(record.event.is_durable().then_some(record.seq));
            }
            heard.dedup(); // The end of the turn that the store did not take is told, too.
            assert_eq!(heard, (1..=records.len() as u64).collect::<Vec<_>>());
        }
    });
}

/// Whether the store has what it was given or not: the next question is answered, and the record is whole.
#[test]
fn a_session_whose_store_failed_goes_on_when_it_is_there_again() {
    testing::run(async {
        for does in [Does::Fails, Does::FailsAfterwards] {
            for place in 0..6 {
                let left = Mutex::new(place);
                let (builder, store) = rigged_builder(move |_| {
                    let mut left = left.lock().expect("no panic holds it");
                    *left -= 1;
                    if *left == -1 { does } else { Does::AsAsked }
                });
                let runtime = builder.in_current_system().expect("within `testing::run`");
                let calls = reply().call("sleep", r#"{"s": 9}"#);
                let model = ScriptedModel::new([calls, reply().text("one"), reply().text("two")]);
                let session = runtime.session(options(model.clone(), "s"));
                let mut events = session.events();
                let is_over = session.ask("first").await.is_ok();
                assert_eq!(is_over, place < 2, "{place}"); // Before, it is opened once more.
                model.rewrite([reply().text("again"), reply().text("two")]);
                assert_eq!(&*session.ask("again").await.unwrap().text, "again");
                assert_eq!(model.violations(), Vec::<String>::new());
                let records = store.read(session.id(), 0).await.unwrap();
                assert_eq!(faults(&records), Vec::<String>::new(), "{does:?} {place}");
                drop(session);
                let mut heard = Vec::new();
                while let Some(record) = events.next().await {
                    heard.extend(record.event.is_durable().then_some(record.seq));
                }
                // The end of a turn that the store did not take is told, too.
                heard.dedup();
                heard.retain(|seq| *seq > 0);
                assert_eq!(
                    heard,
                    (1..=records.len() as u64).collect::<Vec<_>>(),
                    "{does:?} {place}"
                );
            }
        }
    });
}

#[test]
fn a_store_that_opens_the_session_too_late_has_it_back() {
    testing::run(async {
        let opens = Mutex::new(0);
        let (builder, store) = rigged_builder(move |asked| {
            let mut opens = opens.lock().expect("no panic holds it");
            *opens += i32::from(matches!(asked, Asked::Open(_)));
            match (asked, *opens) {
                (Asked::Open(_), 1) => Does::AsAskedAfter(seconds(90)),
                _ => Does::AsAsked,
            }
        });
        let runtime = builder.in_current_system().expect("within `testing::run`");
        let limits = Limits { turn_time_limit: seconds(60), ..limits() };
        let session = runtime.session(options(ScriptedModel::new([]), "s").limits(limits));
        let asked = session.ask("go").await;
        assert!(matches!(asked, Err(Error::Store(StoreError::Unavailable { .. }))), "{asked:?}");
        drop(session);
        sleep(seconds(60)).await;
        assert!(is_free(&store, "s").await);
    });
}

/// Asks something when it is dropped, and drops its handle.
struct FollowUp(Option<Session>);

impl Drop for FollowUp {
    fn drop(&mut self) {
        if let Some(session) = self.0.take() {
            drop(session.ask("and then?").now_or_never());
        }
    }
}

#[test]
fn what_was_sent_before_the_last_handle_went_is_done() {
    testing::run(async {
        let store = Arc::new(MemoryStore::keeping());
        let calls = reply().call("sleep", r#"{"s": 9}"#);
        let model = ScriptedModel::new([calls, reply().text("one"), reply().text("two")]);
        let session = runtime(store.clone()).session(options(model, "s"));
        let question = Question::new("go").context(FollowUp(Some(session.clone())));
        assert!(timeout(seconds(1), session.ask(question)).await.is_err(), "it is given up");
        drop(session);
        sleep(seconds(20)).await;
        let mut none = Vec::new();
        let records = store.read(&SessionId::new("s"), 0).await.unwrap();
        assert_eq!((turns(&records, &mut none), none), (2, vec![]));
        assert!(is_free(&store, "s").await);
    });
}

#[test]
fn a_session_that_is_open_can_be_copied_and_is_removed_only_from_its_owner() {
    testing::run(async {
        let (store, id, copy) =
            (Arc::new(MemoryStore::keeping()), SessionId::new("s"), SessionId::new("c"));
        let calls = reply().call("sleep", r#"{"s": 9}"#);
        let model = ScriptedModel::new([calls, reply().text("one"), reply().text("two")]);
        let runtime = runtime(store.clone());
        let session = runtime.session(options(model, "s"));
        let (answer, ()) = tokio::join!(session.ask("go"), async {
            sleep(seconds(1)).await;
            let found = store.find(&id).await.unwrap().expect("it is there");
            assert!(found.digest.is_open && found.owner.is_some());
            assert!(matches!(
                store.remove(&id, Access::IfFree).await,
                Err(StoreError::Busy { .. })
            ));
            assert_eq!(store.prune(u64::MAX).await, Ok(0));
            store.fork(&id, found.last_seq, &copy).await.unwrap();
        });
        answer.unwrap();
        let copied = runtime.session(options(ScriptedModel::new([reply().text("copied")]), "c"));
        assert_eq!(&*copied.resume().await.unwrap().text, "copied");
        let mut none = Vec::new();
        let kept = store.read(&copy, 0).await.unwrap();
        assert_eq!((turns(&kept, &mut none), none), (1, vec![]));
        assert_eq!(store.remove(&id, Access::TakeOver).await, Ok(true));
        assert!(session.ask("more").await.is_err(), "it was fenced");
        assert_eq!(store.find(&id).await.unwrap(), None);
        sleep(QUIET * 2).await;
        let mut events = session.events();
        session.ask("anew").await.unwrap();
        let first = timeout(seconds(1), events.next()).await.expect("it is heard").unwrap();
        assert_eq!(first.seq, 1, "{first:?}");
    });
}

#[test]
fn a_session_that_was_opened_and_never_asked_leaves_nothing_in_the_store() {
    testing::run(async {
        let (store, id) = (MemoryStore::keeping(), SessionId::new("s"));
        let stale = store.open(&id, Access::IfFree).await.unwrap();
        let later = store.open(&id, Access::TakeOver).await.unwrap();
        store.close(&id, later);
        assert_eq!(store.keep_result(&id, "x".into()).await.ok(), None, "it is forgotten");
        store.open(&id, Access::IfFree).await.unwrap();
        let kept = store.append(&id, 0, stale, Arc::default()).await;
        assert!(matches!(kept, Err(StoreError::Fenced { .. })), "{kept:?}");
    });
}

/// Goes on when every task that is ready by now has run.
async fn behind_the_others() {
    let mut has_waited = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut has_waited, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// One run of sessions that many ask, on a store of random pace. Says what went wrong.
async fn simulate(seed: u64) -> Vec<String> {
    const SESSIONS: u64 = 6;
    const CLIENTS: u64 = 9;
    const QUESTIONS: u64 = 16;
    let dice = Rc::new(Mutex::new(Dice::new(seed)));
    let roll = move |sides: u64| dice.lock().expect("no panic holds it").between(0, sides - 1);
    let paces = Mutex::new(Dice::new(seed ^ 0x5a5a));
    let (builder, store) = rigged_builder(move |asked| {
        let mut dice = paces.lock().expect("no panic holds it");
        let most = match asked {
            Asked::Open(_) | Asked::Read | Asked::Keep | Asked::ReadPart => 8,
            Asked::Append(_) => 4,
        };
        match dice.between(0, most - 1) {
            0 | 1 => Does::AsAsked,
            n => Does::AsAskedAfter(Duration::from_millis(n * 125)),
        }
    });
    // Looked at twice a second, when questions come, too. A watchdog has the machine's time.
    let runtime = builder.sleep_after(Some(seconds(2))).watchdog(None).in_current_system();
    let runtime = runtime.expect("within `testing::run`");
    let opener = runtime.clone();
    let open = move |session: u64| -> Session {
        let options = SessionOptions::new(Arc::new(Echo), Arc::default());
        opener.session(options.id(SessionId::new(format!("s{session}"))))
    };
    let began = Instant::now();
    let clients = (0..CLIENTS).map(|client| {
        let (roll, open) = (roll.clone(), open.clone());
        actix_rt::spawn(async move {
            let mut faults = Vec::new();
            let mut held: HashMap<u64, Session> = HashMap::new();
            for n in 0..QUESTIONS {
                let now = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
                let at = (now / 500 + 1 + roll(40)) * 500;
                sleep_until(began + Duration::from_millis(at)).await;
                for _ in 0..roll(4) {
                    behind_the_others().await; // Before and after whatever else is due now.
                }
                let number = roll(SESSIONS);
                let session = held.remove(&number).unwrap_or_else(|| open(number));
                let prompt = format!("{client}/{n}");
                if roll(4) == 0 {
                    drop(session.status().await);
                }
                let question = Question::new(prompt.as_str()).wait_in_line();
                match timeout(seconds(600), session.ask(question)).await {
                    Ok(Ok(answer)) if *answer.text == *prompt => {}
                    other => faults.push(format!("{prompt} of s{number}: {other:?}")),
                }
                if roll(2) == 0 {
                    held.insert(number, session);
                }
            }
            faults
        })
    });
    let clients = join_all(clients).await;
    let mut faults: Vec<String> = clients.into_iter().flat_map(|c| c.expect("no panic")).collect();
    sleep(seconds(60)).await;
    if runtime.sessions() > 0 {
        faults.push(format!("{} sessions are not forgotten", runtime.sessions()));
    }
    let mut asked = 0;
    for session in 0..SESSIONS {
        let id = SessionId::new(format!("s{session}"));
        let records = store.read(&id, 0).await.expect("memory does not fail");
        asked += turns(&records, &mut faults);
        if !is_free(&store, id.as_str()).await {
            faults.push(format!("{id} is not free"));
        }
    }
    if asked != CLIENTS * QUESTIONS {
        faults.push(format!("{asked} turns of {}", CLIENTS * QUESTIONS));
    }
    faults
}

/// How many turns there are; each begins when the one before it has ended.
fn turns(records: &[Record], faults: &mut Vec<String>) -> u64 {
    let (mut turns, mut is_open) = (0, false);
    for (place, record) in (1..).zip(records) {
        if record.seq != place {
            faults.push(format!("event {} at place {place}", record.seq));
        }
        match &record.event {
            Event::TurnStarted { turn, .. } => {
                turns += 1;
                if is_open || *turn != turns {
                    faults.push(format!("turn {turn} begins as the {turns}th"));
                }
                is_open = true;
            }
            Event::TurnEnded { .. } => is_open = false,
            _ => {}
        }
    }
    turns
}

#[test]
fn no_question_is_lost_between_waking_and_sleep() {
    let variable = |name| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let first = variable("CALLSHEET_SLEEP_SEED").unwrap_or_default();
    let runs = variable("CALLSHEET_SLEEP_RUNS").unwrap_or(60);
    for seed in first..first + runs {
        let faults = testing::run(simulate(seed));
        assert!(faults.is_empty(), "seed {seed}: {faults:#?}");
    }
    println!("{runs} simulations of 144 questions to 6 sessions, none lost");
}

/// A session that goes when it is idle, without looking whether something was sent meanwhile, loses
/// questions; one that tells the store later finds it taken by itself.
#[test]
fn a_sleep_that_is_broken_is_found() {
    for broken in [Sabotage::SleepsInOnePhase, Sabotage::ClosesLater] {
        let is_found = (0..60).any(|seed| {
            testing::run(async {
                testing::sabotage(Some(broken));
                let faults = simulate(seed).await;
                testing::sabotage(None);
                !faults.is_empty()
            })
        });
        assert!(is_found, "{broken:?} was not found");
    }
}
