//! A conversation that outgrows its model goes on: what leaves its history is on record before the
//! request that goes without it, and what is left is what a provider takes.

use std::sync::Arc;
use std::time::Duration;

use callsheet::conversation::{Compaction, ContextBudget, SessionState, Span};
use callsheet::model::{Dialect, Error as ModelError, Model};
use callsheet::session::Cause;
use callsheet::store::{Journal, MemoryStore};
use callsheet::testing::{self, Scripted, ScriptedModel, failure, reply, silence};
use callsheet::{
    Answer, Error, Event, Limits, ModelRetries, Record, Session, SessionId, SessionOptions, ToolSet,
};

use futures_util::FutureExt;

use crate::support::bounded::Bounded;
use crate::support::{limits, seconds, sleeper};

/// A session on a journal that can be looked into.
struct Stage {
    journal: Arc<MemoryStore>,
    session: Session,
}

fn options(models: &[Arc<dyn Model>], tokens: u64, compaction: Compaction) -> SessionOptions {
    let tools = Arc::new(ToolSet::new([sleeper()]).expect("the tool is well formed"));
    let many = Limits { max_rounds: 1_000, ..limits() };
    let mut options = SessionOptions::new(Arc::clone(&models[0]), tools).limits(many);
    for model in &models[1..] {
        options = options.fallback(Arc::clone(model));
    }
    options
        .id(SessionId::new("s"))
        .system("be kind")
        .model_retries(ModelRetries::none())
        .context_budget(ContextBudget { tokens, compaction })
}

fn stage(model: &Arc<Bounded>, tokens: u64, compaction: Compaction) -> Stage {
    stage_of(options(&[Arc::clone(model) as Arc<dyn Model>], tokens, compaction))
}

fn stage_of(options: SessionOptions) -> Stage {
    let journal = Arc::new(MemoryStore::keeping());
    let builder = testing::builder().journal(Arc::clone(&journal) as Arc<dyn Journal>);
    let runtime = builder.watchdog(None).in_current_system().expect("within `testing::run`");
    let session = runtime.session(options);
    Stage { journal, session }
}

impl Stage {
    async fn records(&self) -> Vec<Record> {
        self.journal.read(&SessionId::new("s"), 0).await.expect("it can be read")
    }

    async fn ask(&self, question: &str) -> Answer {
        self.session.ask(question).await.expect("the turn ends well")
    }

    /// What happened to the history, in order.
    async fn compactions(&self) -> Vec<Event> {
        let events = self.records().await.into_iter().map(|record| record.event);
        events.filter(|event| matches!(event, Event::ContextCompacted { .. })).collect()
    }
}

/// The kinds of events of a record.
fn kinds(records: &[Record]) -> Vec<String> {
    let kind = |record: &Record| {
        serde_json::to_value(record).expect("it is JSON")["type"].as_str().unwrap_or("").to_owned()
    };
    records.iter().map(kind).collect()
}

/// What a session that is opened again would send.
fn replayed(records: &[Record]) -> String {
    let mut state = SessionState::new(1_000);
    for record in records {
        let json = serde_json::to_string(record).expect("it is JSON");
        let record: Record = serde_json::from_str(&json).expect("and is read again");
        let _ = state.on(&record.event);
    }
    String::from_utf8_lossy(state.transcript().as_bytes()).into_owned()
}

fn long(what: &str) -> String {
    format!("{what} {}", "word ".repeat(60))
}

/// A turn: a call, and an answer of some length.
fn turn(number: usize) -> [Scripted; 2] {
    [reply().call("sleep", r#"{"s": 1}"#), reply().text(&long(&format!("answer {number}")))]
}

#[test]
fn a_long_conversation_stays_within_its_budget_and_what_is_left_is_whole() {
    testing::run(async {
        let model = Bounded::new(usize::MAX, (0..40).flat_map(turn));
        let stage = stage(&model, 1_000, Compaction::DropOldest);
        for number in 0..40 {
            stage.ask(&long(&format!("question {number}"))).await;
        }
        assert_eq!(model.script.violations(), Vec::<String>::new());
        let asked = model.asked();
        let most = asked.iter().map(|asked| asked.tokens).max().unwrap();
        assert!((700..=1_000).contains(&most), "{most}");
        assert!(asked.iter().all(|asked| {
            asked.messages.starts_with(r#"{"role":"system","content":"be kind"},{"role":"user""#)
        }));
        // Few requests begin otherwise than the one before: a prompt cache holds in between.
        let breaks = asked.windows(2).filter(|two| !two[1].messages.starts_with(&two[0].messages));
        let breaks = breaks.count();
        assert_eq!(stage.compactions().await.len(), breaks);
        assert!((5..20).contains(&breaks), "{breaks}");
        let records = stage.records().await;
        for (place, kind) in kinds(&records).iter().enumerate() {
            if kind == "context_compacted" {
                assert_eq!(kinds(&records)[place + 1], "model_asked", "it is recorded first");
            }
        }
        // All of it is in the record, and a session that is opened again goes on with the same.
        let prompts = records.iter().filter(|it| matches!(it.event, Event::TurnStarted { .. }));
        assert_eq!(prompts.count(), 40);
        assert!(replayed(&records).starts_with(&asked.last().unwrap().messages));
        drop(stage.session);
        model.script.rewrite([reply().text("done")]);
        let options = options(&[Arc::clone(&model) as Arc<dyn Model>], 0, Compaction::Off);
        let other = testing::builder().journal(stage.journal.clone()).in_current_system();
        let other = other.expect("within `testing::run`");
        other.session(options.take_over()).ask("more").await.unwrap();
        assert!(model.asked().last().unwrap().messages.starts_with(&replayed(&records)));
    });
}

#[test]
fn in_one_long_turn_its_older_rounds_leave_and_its_question_stays() {
    testing::run(async {
        let round = || reply().text(&long("I look")).call("sleep", r#"{"s": 1}"#);
        let script = std::iter::repeat_with(round).take(60).chain([reply().text("done")]);
        let model = Bounded::new(usize::MAX, script);
        let stage = stage(&model, 1_000, Compaction::DropOldest);
        let answer = stage.ask("the question").await;
        assert_eq!(answer.report.rounds.len(), 60);
        assert_eq!(model.script.violations(), Vec::<String>::new());
        for asked in model.asked() {
            assert!(asked.tokens <= 1_000, "{}", asked.tokens);
            assert!(asked.messages.contains("the question"), "{}", asked.messages);
        }
    });
}

#[test]
fn what_the_model_refuses_for_its_length_is_cut_and_asked_once_more() {
    testing::run(async {
        let model = Bounded::new(800, (0..30).flat_map(turn));
        let stage = stage(&model, 0, Compaction::DropOldest);
        for number in 0..30 {
            let answer = stage.ask(&long(&format!("question {number}"))).await;
            assert!(answer.text.starts_with(&format!("answer {number} ")));
        }
        assert_eq!(model.script.violations(), Vec::<String>::new());
        let kinds = kinds(&stage.records().await);
        let refused = kinds.iter().filter(|kind| *kind == "model_failed").count();
        assert!((3..15).contains(&refused), "{refused}");
        for (place, _) in kinds.iter().enumerate().filter(|(_, kind)| *kind == "model_failed") {
            assert_eq!(kinds[place + 1..=place + 2], ["context_compacted", "model_asked"]);
        }
    });
}

#[test]
fn a_refusal_that_nothing_can_be_done_about_fails_the_turn() {
    testing::run(async {
        for (compaction, requests) in [(Compaction::Off, 1), (Compaction::DropOldest, 2)] {
            let model = Bounded::new(300, turn(0));
            let stage = stage(&model, 0, compaction);
            stage.ask("short").await;
            let before = model.asked().len();
            let error = stage.session.ask("very ".repeat(2_000)).await.unwrap_err();
            let Error::Turn(failed) = error else { panic!("{error}") };
            let Cause::Model(ModelError::TooLong { .. }) = failed.cause else {
                panic!("{:?}", failed.cause)
            };
            assert_eq!(failed.cause.code(), "context_length");
            assert_eq!(model.asked().len() - before, requests, "{compaction:?}");
        }
    });
}

#[test]
fn another_model_is_asked_where_the_first_finds_what_is_left_too_long_as_well() {
    testing::run(async {
        let (small, large) = (Bounded::new(10, []), Bounded::new(10_000, [reply().text("done")]));
        let models = [small.clone() as Arc<dyn Model>, large.clone() as Arc<dyn Model>];
        let stage = stage_of(options(&models, 0, Compaction::DropOldest));
        assert_eq!(&*stage.ask("go").await.text, "done");
        assert_eq!((small.asked().len(), large.asked().len()), (1, 1));
    });
}

#[test]
fn a_history_that_is_translated_is_translated_anew() {
    testing::run(async {
        let dialect =
            Dialect { name_on_results: true, assistant_after_results: true, ..Dialect::generic() };
        let script = ScriptedModel::named("fussy", dialect, (0..20).flat_map(turn));
        let model = Bounded::of(usize::MAX, script);
        let stage = stage(&model, 1_000, Compaction::DropOldest);
        for number in 0..20 {
            stage.ask(&long(&format!("question {number}"))).await;
        }
        assert_eq!(model.script.violations(), Vec::<String>::new());
        assert!(model.asked().iter().all(|asked| asked.tokens <= 1_050)); // The names, too.
        let last = model.asked().pop().unwrap().messages;
        assert!(last.contains("question 19") && !last.contains("question 3 "), "{last}");
        assert!(last.contains(r#""tool_call_id":"call_0","name":"sleep""#), "{last}");
    });
}

#[test]
fn a_call_that_began_before_the_history_was_cut_is_the_same_call_after_it() {
    testing::run(async {
        let calls = || reply().call("sleep", r#"{"s": 7}"#).text("and");
        let too_long = ModelError::TooLong { url: "u".into(), status: 400, message: "no".into() };
        let pace = Duration::from_millis(100);
        let script = (0..3).flat_map(turn).chain([
            calls().call("sleep", r#"{"s": 8}"#).paced(pace).broken_off_after(4),
            failure(too_long),
            calls(),
            reply().text("done"),
        ]);
        let model = Bounded::new(usize::MAX, script);
        let retries = ModelRetries { retries: 1, ..ModelRetries::default() };
        let options = options(&[model.clone() as Arc<dyn Model>], 0, Compaction::DropOldest);
        let stage = stage_of(options.model_retries(retries));
        for number in 0..3 {
            stage.ask(&format!("question {number}")).await;
        }
        let answer = stage.ask("go").await;
        assert_eq!(&*answer.text, "done");
        let round = &answer.report.rounds[0];
        let retries: Vec<_> = round.retries.iter().map(|retry| &*retry.error.code).collect();
        assert_eq!(retries, ["stream_cut", "context_length"]);
        assert!(round.calls[0].early && round.calls[0].attempts == 1, "{round:?}");
        let records = stage.records().await;
        let begins = records.iter().filter(|record| match &record.event {
            Event::CallStarted { arguments, .. } => arguments.as_deref() == Some(r#"{"s": 7}"#),
            _ => false,
        });
        assert_eq!(begins.count(), 1);
        assert_eq!(stage.compactions().await.len(), 1);
        assert_eq!(model.script.violations(), Vec::<String>::new());
    });
}

/// So many summaries, each of which takes two seconds.
fn summaries(count: usize) -> impl Iterator<Item = Scripted> {
    let summary = |number| reply().text(&format!("SUMMARY {number}: nothing new"));
    (0..count).map(move |number| summary(number).after(seconds(2)))
}

#[test]
fn a_summary_takes_the_place_of_what_left_and_goes_into_the_next_one() {
    testing::run(async {
        let model = Bounded::new(usize::MAX, (0..24).flat_map(turn));
        model.summaries.rewrite(summaries(24));
        let stage = stage(&model, 1_200, Compaction::Summarise);
        let mut events = stage.session.events();
        let mut usage = callsheet::wire::Usage::default();
        let mut count = 0;
        for number in 0..24 {
            let answer = stage.ask(&long(&format!("question {number}"))).await;
            assert!(answer.text.starts_with(&format!("answer {number} ")));
            usage += answer.report.usage;
            let before = std::mem::replace(&mut count, stage.compactions().await.len());
            let took = seconds(2 * (count - before) as u64);
            assert_eq!(answer.report.elapsed, seconds(1) + took);
            // The rounds add up: what was asked for before the round's reply is part of its model time,
            // what was asked for before the answer is in no round, as the answer itself.
            let round = &answer.report.rounds[0];
            assert!(round.model == took || round.model.is_zero(), "{round:?}");
            assert_eq!(round.clock, round.model + round.wall - round.overlap + round.overhead);
            assert!(round.overhead.is_zero(), "{round:?}");
        }
        assert!(count >= 3, "{count}");
        while let Some(Some(record)) = events.next().now_or_never() {
            if let Event::TextStreamed { text } = &record.event {
                assert!(!text.contains("SUMMARY"), "nobody is shown it as an answer");
            }
        }
        let violations = [model.script.violations(), model.summaries.violations()].concat();
        assert_eq!(violations, Vec::<String>::new());
        let asked = model.asked();
        let (replies, summaries): (Vec<_>, Vec<_>) = asked.iter().partition(|it| it.may_call);
        assert!(replies.iter().all(|asked| asked.tokens <= 1_200), "{asked:?}");
        assert_eq!(summaries.len(), count);
        for (number, asked) in summaries.iter().enumerate().skip(1) {
            assert!(asked.messages.contains(&format!("SUMMARY {}: ", number - 1)));
        }
        let last = &replies.last().unwrap().messages;
        let begins =
            r#"{"role":"system","content":"be kind"},{"role":"user","content":"[Summary of"#;
        assert!(last.starts_with(begins), "{last}");
        assert!(last.contains(&format!("SUMMARY {}: ", count - 1)) && !last.contains("SUMMARY 0"));
        let records = stage.records().await;
        assert!(replayed(&records).starts_with(last));
        assert_eq!(stage.session.status().await.unwrap().usage, usage, "all of it is counted");
        let summed: u64 = asked.iter().map(|asked| asked.tokens as u64).sum();
        assert_eq!(usage.input_tokens, summed);
        let kinds = kinds(&records);
        for (place, _) in kinds.iter().enumerate().filter(|(_, kind)| *kind == "summary_asked") {
            assert_eq!(kinds[place + 1..=place + 2], ["context_compacted", "model_asked"]);
        }
    });
}

/// Turns until the history has become too long, and the question after which it has.
async fn until_it_is_too_long(stage: &Stage, model: &Bounded, summary: Scripted) -> String {
    model.script.rewrite((0..40).flat_map(turn));
    model.summaries.rewrite([]);
    for number in 0..40 {
        let question = long(&format!("question {number}"));
        // The last one that fits leaves no room for the next.
        if model.asked().last().is_some_and(|asked| asked.tokens > 1_000) {
            model.summaries.rewrite([summary]);
            return question;
        }
        stage.ask(&question).await;
    }
    panic!("it never is")
}

#[test]
fn without_a_summary_the_oldest_messages_leave_all_the_same_and_the_record_says_why() {
    testing::run(async {
        let refused = ModelError::RateLimited {
            url: "u".into(),
            message: "too many".into(),
            retry_after: None,
        };
        for (says, code) in [
            (failure(refused), "rate_limited"),
            (reply().text(" \n"), "no_summary"),
            (reply().call("sleep", "{}"), "no_summary"),
            (reply().text("half").finish("error"), "model_failed"),
        ] {
            let model = Bounded::new(usize::MAX, []);
            let stage = stage(&model, 1_200, Compaction::Summarise);
            let question = until_it_is_too_long(&stage, &model, says).await;
            stage.ask(&question).await;
            let compactions = stage.compactions().await;
            let [Event::ContextCompacted { summary: None, problem: Some(problem), dropped, .. }] =
                &compactions[..]
            else {
                panic!("{compactions:?}")
            };
            assert_eq!(problem.code, code);
            assert_eq!(dropped[0].from, 1);
            assert_eq!(model.script.violations(), Vec::<String>::new());
            assert!(model.asked().iter().all(|asked| asked.tokens <= 1_200));
        }
    });
}

#[test]
fn a_turn_can_be_cancelled_and_ends_in_time_while_a_summary_is_written() {
    testing::run(async {
        let model = Bounded::new(usize::MAX, []);
        let stage = stage(&model, 1_200, Compaction::Summarise);
        let question = until_it_is_too_long(&stage, &model, silence()).await;
        let (ended, cancelled) = tokio::join!(stage.session.ask(&*question), async {
            tokio::time::sleep(seconds(3)).await;
            stage.session.cancel().await
        });
        let Err(Error::Turn(failed)) = ended else { panic!("{ended:?}") };
        assert!(cancelled && matches!(failed.cause, Cause::Cancelled));
        assert_eq!(failed.report.elapsed, seconds(3));
        model.summaries.rewrite([silence()]);
        let ended = stage.session.ask("again").await;
        let Err(Error::Turn(failed)) = ended else { panic!("{ended:?}") };
        assert!(matches!(failed.cause, Cause::TimedOut));
        // And the next one goes on as if nothing had been.
        model.summaries.rewrite([reply().text("SUMMARY")]);
        stage.ask("once more").await;
        assert_eq!(stage.compactions().await.len(), 1);
        assert!(model.asked().last().unwrap().messages.contains("SUMMARY"));
        assert_eq!(model.script.violations(), Vec::<String>::new());
    });
}

#[test]
fn a_turn_that_was_cut_while_a_summary_was_written_is_resumed() {
    testing::run(async {
        let model = Bounded::new(usize::MAX, []);
        let stage = stage(&model, 1_200, Compaction::Summarise);
        let question = until_it_is_too_long(&stage, &model, silence()).await;
        let asking = stage.session.ask(&*question);
        assert!(tokio::time::timeout(seconds(5), asking).await.is_err());
        assert_eq!(kinds(&stage.records().await).last().unwrap(), "summary_asked");
        // Another process takes over.
        model.summaries.rewrite([reply().text("SUMMARY")]);
        let options =
            options(&[Arc::clone(&model) as Arc<dyn Model>], 1_200, Compaction::Summarise);
        let other = testing::builder().journal(stage.journal.clone()).in_current_system();
        let session = other.expect("within `testing::run`").session(options.take_over());
        session.resume().await.unwrap();
        let kinds = kinds(&stage.records().await);
        let end = kinds.iter().rposition(|kind| kind == "turn_resumed").unwrap();
        let expected = ["turn_resumed", "summary_asked", "context_compacted", "model_asked"];
        assert_eq!(kinds[end..end + 4], expected);
        assert!(model.asked().last().unwrap().messages.contains("SUMMARY"));
        assert_eq!(model.script.violations(), Vec::<String>::new());
    });
}

#[test]
fn a_compaction_reads_back_as_it_was_written() {
    let event = Event::ContextCompacted {
        dropped: [Span { from: 1, to: 7 }].into(),
        summary: None,
        problem: None,
        usage: None,
        tokens_before: 9,
        tokens_after: 4,
    };
    let json = r#"{"type":"context_compacted","dropped":[{"from":1,"to":7}],"tokens_before":9,"tokens_after":4}"#;
    assert_eq!(serde_json::to_string(&event).unwrap(), json);
    assert_eq!(serde_json::from_str::<Event>(json).unwrap(), event);
}
