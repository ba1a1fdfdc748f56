//! The real binary is killed in the middle of its turns, again and again, and goes on with them:
//! nothing that has ended runs again, nothing that must not run twice does, and no result is lost.

mod model;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::io::Read;
use std::process::Child;
use std::sync::Arc;
use std::time::{Duration, Instant};

use callsheet::store::Store;
use callsheet::{Event, Record, SessionId};

use self::model::Model;
use crate::support::cli::Place;
use crate::support::dice::Dice;
use crate::support::sql::{self, Database};

/// How often a process is killed, unless the environment says otherwise.
const KILLS: u64 = 60;

/// How many sessions are under way at a time, in one store.
const AT_A_TIME: u64 = 4;

/// Longer than a turn takes that nobody kills: the moment of a kill is before it.
const A_TURN: Duration = Duration::from_millis(1_300);

/// What a turn takes that goes on to its end, on a machine that does other things as well.
const PATIENCE: Duration = Duration::from_secs(60);

const TOOLS: &str = r#"
[model]
provider = "openai"
name = "scripted"

[[tools]]
name = "read"
effects = "none"
simulate = { latency_ms = 60, jitter_ms = 60, log = "calls.log" }

[[tools]]
name = "put"
effects = "idempotent"
simulate = { latency_ms = 60, jitter_ms = 60, log = "calls.log" }

[[tools]]
name = "pay"
effects = "once"
simulate = { latency_ms = 60, jitter_ms = 60, log = "calls.log" }
"#;

/// What the kills came to.
#[derive(Debug, Default)]
struct Tally {
    /// Kills, by what the session did at that moment.
    kills: BTreeMap<&'static str, u64>,
    turns: u64,
    calls: u64,
    /// Calls whose ends were on record at a kill.
    ended_at_a_kill: u64,
    run_again_after_their_end: Vec<String>,
    once_run_twice: Vec<String>,
    lost: Vec<String>,
    begun_before_their_record: Vec<String>,
    told_unknown: u64,
    run_again_with_their_key: u64,
}

impl Tally {
    fn add(&mut self, other: Self) {
        for (moment, kills) in other.kills {
            *self.kills.entry(moment).or_default() += kills;
        }
        self.turns += other.turns;
        self.calls += other.calls;
        self.ended_at_a_kill += other.ended_at_a_kill;
        self.run_again_after_their_end.extend(other.run_again_after_their_end);
        self.once_run_twice.extend(other.once_run_twice);
        self.lost.extend(other.lost);
        self.begun_before_their_record.extend(other.begun_before_their_record);
        self.told_unknown += other.told_unknown;
        self.run_again_with_their_key += other.run_again_with_their_key;
    }

    fn killed(&self) -> u64 {
        self.kills.values().sum()
    }
}

/// What a process that is to be killed is given.
enum Killing {
    /// From outside, after so long.
    After(Duration),
    /// By itself, at a point of an append.
    At(String),
}

struct Stage<'a> {
    place: &'a Place,
    database: &'a Database,
    model: &'a Model,
}

impl Stage<'_> {
    /// Starts the command that begins the turn of `session`, or goes on with it.
    fn start(&self, session: &str, is_on_record: bool, killing: Option<&Killing>) -> Child {
        let base_url = format!("model.base_url={}", self.model.url());
        let store = format!("store.url={}", self.database.url());
        let settings = ["--set", &base_url, "--set", &store];
        let command: &[&str] = match is_on_record {
            true => &["sessions", "resume", session],
            false => &["ask", "--session", session, "go"],
        };
        let mut command = self.place.command(&[command, &settings].concat());
        if let Some(Killing::At(point)) = killing {
            command.env("CALLSHEET_ABORT_AT", point);
        }
        command.spawn().expect("the binary runs")
    }

    /// The calls that began by what the tools wrote down, as (key, tool).
    fn began(&self) -> Vec<(String, String)> {
        let log = fs::read_to_string(self.place.path("calls.log")).unwrap_or_default();
        let began = log.lines().filter_map(|line| line.strip_prefix("began "));
        began.filter_map(|line| line.split_once(' ')).map(|(k, t)| (k.into(), t.into())).collect()
    }
}

/// Kills the processes of one turn some times, lets it end, and looks at what came of it.
fn one_turn(stage: &Stage<'_>, store: &dyn Store, name: &str, dice: &mut Dice) -> Tally {
    let mut tally = Tally { turns: 1, ..Tally::default() };
    let id = SessionId::new(name);
    let mut known: Vec<Record> = Vec::new();
    let mut noted = Noted::new();
    let mut left = dice.between(1, 4);
    while left > 0 {
        left -= 1;
        let killing = match dice.percent(70) {
            true => Killing::After(A_TURN.mul_f64(dice.between(0, 1000) as f64 / 1000.0)),
            false => Killing::At(point(dice)),
        };
        let is_resume = !known.is_empty();
        let mut child = stage.start(name, is_resume, Some(&killing));
        match killing {
            Killing::After(time) => {
                std::thread::sleep(time);
                child.kill().expect("it is ours");
            }
            Killing::At(_) => wait(&mut child),
        }
        let status = child.wait().expect("it was started");
        let records = sql::now(store.read(&id, 0)).expect("the store is sound");
        if records[..known.len().min(records.len())] != known[..] {
            tally.lost.push(format!("{name}: the record of before a kill is not that of after it"));
        }
        let again = calls_of(&stage.began(), name);
        let (starts, ends) = (starts(&records), ends(&records));
        tally.begun_before_their_record.extend(
            again.keys().filter(|key| !starts.contains(*key)).map(|key| format!("{name}: {key}")),
        );
        if status.success() {
            return finish(stage, store, name, noted, tally);
        }
        *tally.kills.entry(moment(&records, is_resume)).or_default() += 1;
        let before = noted.len();
        tally.run_again_after_their_end.extend(check_ended(&again, &mut noted, &ends));
        tally.ended_at_a_kill += (noted.len() - before) as u64;
        known = records;
    }
    finish(stage, store, name, noted, tally)
}

/// How often calls had begun when their ends were first seen on record: no more from then on.
type Noted = HashMap<String, u64>;

/// Looks whether calls have begun again since they were `noted`, and notes those that have ended now.
fn check_ended(
    began: &HashMap<String, u64>,
    noted: &mut Noted,
    ended: &HashSet<String>,
) -> Vec<String> {
    let again = noted.iter().filter(|(key, before)| began.get(*key) > Some(*before));
    let again = again.map(|(key, _)| key.clone()).collect();
    for key in ended {
        let times = began.get(key).copied().unwrap_or_default();
        noted.entry(key.clone()).or_insert(times);
    }
    again
}

/// Lets the turn of `name` end, and looks at all of it.
fn finish(
    stage: &Stage<'_>,
    store: &dyn Store,
    name: &str,
    mut noted: Noted,
    mut tally: Tally,
) -> Tally {
    let id = SessionId::new(name);
    let is_on_record = !sql::now(store.read(&id, 0)).expect("the store is sound").is_empty();
    let mut child = stage.start(name, is_on_record, None);
    wait(&mut child);
    let status = child.wait().expect("it was started");
    let mut said = String::new();
    let _ = child.stdout.take().expect("a pipe").read_to_string(&mut said);
    if !status.success() || said.trim() != "done" {
        let mut complaint = String::new();
        let _ = child.stderr.take().expect("a pipe").read_to_string(&mut complaint);
        tally.lost.push(format!("{name} does not end well: {status}, {said:?}, {complaint}"));
    }
    let records = sql::now(store.read(&id, 0)).expect("the store is sound");
    let began = calls_of(&stage.began(), name);
    tally.run_again_after_their_end.extend(check_ended(&began, &mut noted, &HashSet::new()));
    let once: HashSet<String> =
        stage.began().into_iter().filter(|(_, tool)| tool == "pay").map(|(key, _)| key).collect();
    for (key, times) in began {
        tally.calls += 1;
        match once.contains(&key) {
            true if times > 1 => tally.once_run_twice.push(format!("{key}: {times} times")),
            true => {}
            false => tally.run_again_with_their_key += times - 1,
        }
    }
    let is_unknown = |record: &&Record| match &record.event {
        Event::CallEnded { outcome, .. } => outcome.kind.as_str() == "unknown_outcome",
        _ => false,
    };
    tally.told_unknown += records.iter().filter(is_unknown).count() as u64;
    tally
}

/// Waits for the end of a process that ends by itself; kills it if it does not.
fn wait(child: &mut Child) {
    let began = Instant::now();
    while child.try_wait().expect("it was started").is_none() {
        if began.elapsed() > PATIENCE {
            child.kill().expect("it is ours");
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A point of one of the first appends of a process.
fn point(dice: &mut Dice) -> String {
    let nth = dice.between(0, 11);
    match dice.between(0, 3) {
        0 => format!("before:{nth}"),
        1 => format!("after:{nth}"),
        _ => format!("during:{nth}:{}", dice.between(0, 1_500)),
    }
}

/// What a session did, by its record, when its process was killed.
fn moment(records: &[Record], is_resume: bool) -> &'static str {
    let last = records.iter().rev().map(|record| &record.event);
    let running = starts(records).len() > ends(records).len();
    match last.clone().next() {
        None => "before its first record",
        Some(Event::TurnResumed { .. }) => "in a resume",
        Some(Event::TurnEnded { .. }) => "after the end of the turn",
        Some(Event::ModelAsked { .. }) if is_resume => "in a model's reply, resumed",
        Some(Event::ModelAsked { .. }) => "in a model's reply",
        Some(_) if running && is_resume => "while calls ran, resumed",
        Some(_) if running => "while calls ran",
        Some(_) => "between calls",
    }
}

fn key(session: &SessionId, round: u64, attempt: u32, ordinal: u32) -> String {
    format!("{session}/{round}/{attempt}/{ordinal}")
}

fn starts(records: &[Record]) -> HashSet<String> {
    let start = |record: &Record| match &record.event {
        Event::CallStarted { round, reply_attempt, ordinal, .. } => {
            Some(key(&record.session, *round, *reply_attempt, *ordinal))
        }
        _ => None,
    };
    records.iter().filter_map(start).collect()
}

fn ends(records: &[Record]) -> HashSet<String> {
    let end = |record: &Record| match &record.event {
        Event::CallEnded { round, reply_attempt, ordinal, .. } => {
            Some(key(&record.session, *round, *reply_attempt, *ordinal))
        }
        _ => None,
    };
    records.iter().filter_map(end).collect()
}

/// How often each call of `session` began.
fn calls_of(began: &[(String, String)], session: &str) -> HashMap<String, u64> {
    let mut times = HashMap::new();
    for (key, _) in began.iter().filter(|(key, _)| key.split('/').next() == Some(session)) {
        *times.entry(key.clone()).or_default() += 1;
    }
    times
}

/// Kills processes until it was done so often as the environment says, and says what came of it.
fn kill_and_resume(database: &Database) -> String {
    let variable = |name| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let kills = variable("CALLSHEET_KILLS").unwrap_or(KILLS);
    let seed = variable("CALLSHEET_KILL_SEED").unwrap_or(1);
    let place = Place::new().file("config.toml", TOOLS).variable("OPENROUTER_API_KEY", "none");
    let model = Model::start();
    let store = database.open();
    let stage = Stage { place: &place, database, model: &model };
    let mut tally = Tally::default();
    let killed = std::sync::atomic::AtomicU64::new(0);
    std::thread::scope(|scope| {
        let worker = |worker: u64| {
            let (stage, store, killed) = (&stage, Arc::clone(&store), &killed);
            scope.spawn(move || {
                let mut dice = Dice::new(seed * AT_A_TIME + worker);
                let mut tally = Tally::default();
                for turn in 0.. {
                    if killed.load(std::sync::atomic::Ordering::Relaxed) >= kills {
                        return tally;
                    }
                    let name = format!("w{worker}-{turn}");
                    let of_turn = one_turn(stage, &*store, &name, &mut dice);
                    killed.fetch_add(of_turn.killed(), std::sync::atomic::Ordering::Relaxed);
                    tally.add(of_turn);
                }
                tally
            })
        };
        let workers: Vec<_> = (0..AT_A_TIME).map(worker).collect();
        workers.into_iter().for_each(|worker| tally.add(worker.join().expect("no panic")));
    });
    let refused = model.violations();
    let (kind, killed) = (database.kind(), tally.killed());
    let histories = refused.len();
    let report = format!(
        "{kind}: killed {killed} times, {tally:#?}, {histories} histories that a provider would refuse"
    );
    assert_eq!(tally.run_again_after_their_end, Vec::<String>::new());
    assert_eq!(tally.once_run_twice, Vec::<String>::new());
    assert_eq!(tally.lost, Vec::<String>::new());
    assert_eq!(tally.begun_before_their_record, Vec::<String>::new());
    assert_eq!(refused, Vec::<String>::new());
    assert!(tally.ended_at_a_kill > 0 && tally.told_unknown > 0, "the kills tried nothing");
    report
}

#[test]
fn nothing_is_lost_or_run_twice_where_a_process_on_sqlite_is_killed() {
    println!("{}", kill_and_resume(&Database::sqlite()));
}

#[cfg(feature = "postgres")]
#[test]
fn nothing_is_lost_or_run_twice_where_a_process_on_postgres_is_killed() {
    match Database::postgres() {
        Some(database) => println!("{}", kill_and_resume(&database)),
        None => println!("skipped: PostgreSQL, CALLSHEET_POSTGRES is not set"),
    }
}
