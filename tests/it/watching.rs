//! Following a session with little memory, and a question that nobody waits for.

use callsheet::session::{Heard, Watch};
use callsheet::testing::{self, reply};
use callsheet::{Error, Event, Question, ToolType};

use crate::support::{seconds, sleeper, stage};

/// What is heard at once.
async fn heard(watch: &mut Watch) -> Option<Heard> {
    tokio::time::timeout(seconds(1), watch.next()).await.expect("something is heard")
}

fn is_start(heard: Option<Heard>, number: u64) -> bool {
    matches!(heard, Some(Heard::Event(record))
        if matches!(record.event, Event::TurnStarted { turn, .. } if turn == number))
}

#[test]
fn who_reads_too_slowly_is_told_where_events_are_missing() {
    testing::run(async {
        let stage = stage([reply().text("one"), reply().text("two")], Vec::<ToolType>::new());
        let mut watch = stage.session.watch(2);
        stage.ask().await;
        let opened = heard(&mut watch).await;
        assert!(matches!(&opened, Some(Heard::Event(record)) if record.seq == 1), "{opened:?}");
        // There is room again, and what comes now comes after what was missed.
        stage.ask().await;
        assert!(is_start(heard(&mut watch).await, 1));
        assert!(matches!(heard(&mut watch).await, Some(Heard::Missed)));
        let next = tokio::time::timeout(seconds(1), watch.next()).await;
        assert!(next.is_err(), "{next:?}");
    });
}

#[test]
fn after_what_was_missed_all_is_heard_again() {
    testing::run(async {
        let stage = stage([reply().text("one"), reply().text("two")], Vec::<ToolType>::new());
        let mut watch = stage.session.watch(3);
        stage.ask().await;
        while !matches!(heard(&mut watch).await, Some(Heard::Missed)) {}
        let session = stage.session.clone();
        let asked = session.begin("again").expect("it is a question");
        assert!(is_start(heard(&mut watch).await, 2));
        asked.await.expect("an answer");
        drop((session, stage));
    });
}

#[test]
fn who_reads_in_time_misses_nothing_until_the_session_ends() {
    testing::run(async {
        let calls = reply().call("sleep", r#"{"s": 1}"#);
        let stage = stage([calls, reply().text("done")], [sleeper()]);
        let (mut watch, mut events) = (stage.session.watch(64), stage.session.events());
        stage.ask().await;
        drop(stage);
        let (mut all, mut missed) = (Vec::new(), 0);
        while let Some(heard) = watch.next().await {
            match heard {
                Heard::Event(record) => all.push(record),
                Heard::Missed => missed += 1,
            }
        }
        let mut expected = Vec::new();
        while let Some(record) = events.next().await {
            expected.push(record);
        }
        assert_eq!((all, missed), (expected, 0));
    });
}

#[test]
fn a_question_that_nobody_waits_for_is_answered() {
    testing::run(async {
        let calls = reply().call("sleep", r#"{"s": 5}"#);
        let stage = stage([calls, reply().text("done")], [sleeper()]);
        let mut events = stage.session.events();
        let question = Question::new("go").key("k-1");
        drop(stage.session.begin(question).expect("it is a question"));
        let (mut key, mut answered) = (None, false);
        while !answered {
            match &events.next().await.expect("the session lives").event {
                Event::TurnStarted { key: name, .. } => key.clone_from(name),
                Event::TurnEnded { end, .. } => {
                    answered = *end == callsheet::conversation::TurnEnd::Answered;
                }
                _ => {}
            }
        }
        assert_eq!(key.as_deref(), Some("k-1"));
    });
}

#[test]
fn the_turn_of_a_question_is_known_before_anybody_hears_of_it() {
    testing::run(async {
        let calls = reply().call("sleep", r#"{"s": 5}"#);
        let stage = stage([calls, reply().text("done")], [sleeper()]);
        let mut events = stage.session.events();
        let first = stage.session.begin("go").expect("it is a question");
        while !matches!(
            events.next().await.expect("the session lives").event,
            Event::TurnStarted { .. }
        ) {}
        assert_eq!(first.turn(), Some(1));
        let second = stage.session.begin("and this?").expect("it is a question");
        let turn = second.turn();
        assert!(matches!(second.await, Err(Error::Busy)));
        assert_eq!(turn, None);
        assert!(matches!(stage.session.begin(" "), Err(Error::EmptyPrompt)));
        first.await.expect("an answer");
    });
}
