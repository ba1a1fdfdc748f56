//! The load itself: sessions that ask at the same time, each one question after another.

use std::cell::Cell;
use std::future::{Future, ready};
use std::pin::pin;
use std::sync::Arc;

use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use tokio::time::Instant;

use super::tally::Ended;
use super::witness::Witness;
use crate::session::Session;

/// A session that asks, and what watches its model.
pub struct Asker {
    pub session: Session,
    pub witness: Arc<Witness>,
}

impl Asker {
    async fn ask(&self, prompt: &str) -> Ended {
        let asked = Instant::now();
        let result = self.session.ask(prompt).await;
        Ended { result, took: asked.elapsed(), asked_for: self.witness.take() }
    }
}

/// Has each of `askers` ask `prompt` so many times, all of them at the same time, and hands on how
/// each question ended. A question that failed is followed by the next.
///
/// Once `interrupted` is over nothing more is asked, and what is under way is cancelled and waited
/// for. Says whether that happened.
pub async fn load(
    askers: &[Asker],
    questions: u32,
    prompt: &str,
    interrupted: impl Future<Output = ()>,
    mut on_ended: impl FnMut(&Ended),
) -> bool {
    let stopping = Cell::new(false);
    let conversations = askers.iter().map(|asker| {
        let questions = stream::iter(0..questions).take_while(|_| ready(!stopping.get()));
        questions.then(|_| asker.ask(prompt)).boxed_local()
    });
    let mut ends = stream::select_all(conversations);
    let mut interrupted = pin!(interrupted);
    loop {
        tokio::select! {
            biased;
            () = &mut interrupted, if !stopping.get() => {
                stopping.set(true);
                join_all(askers.iter().map(|asker| asker.session.cancel())).await;
            }
            ended = ends.next() => match ended {
                Some(ended) => on_ended(&ended),
                None => return stopping.get(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::time::Duration;

    use super::*;
    use crate::cli::bench::tally::Tally;
    use crate::conversation::Effects;
    use crate::model::Error;
    use crate::session::{Runtime, SessionOptions};
    use crate::testing::{self, Scripted, ScriptedModel, failure, reply};
    use crate::tools::{Demo, Simulation, ToolSet};

    /// A session that follows `script`, with a tool that takes a second.
    fn asker(runtime: &Runtime, script: impl IntoIterator<Item = Scripted>) -> Asker {
        let simulation = Simulation { latency: Duration::from_secs(1), ..Simulation::default() };
        let tool = Demo::Anything.tool_type("wait", simulation).effects(Effects::None);
        let tools = Arc::new(ToolSet::new([tool]).unwrap());
        let witness = Arc::new(Witness::new(ScriptedModel::new(script)));
        let session = runtime.session(SessionOptions::new(witness.clone(), tools));
        Asker { session, witness }
    }

    fn two_calls() -> Scripted {
        reply().call("wait", "{}").call("wait", "{}")
    }

    fn done() -> Scripted {
        reply().text("done")
    }

    #[test]
    fn sessions_ask_at_the_same_time_and_each_one_question_after_another() {
        testing::run(async {
            let runtime = testing::runtime();
            let script = || [two_calls(), done(), two_calls(), done(), two_calls(), done()];
            let askers: Vec<_> = (0..5).map(|_| asker(&runtime, script())).collect();
            let (began, mut tally) = (Instant::now(), Tally::default());
            let stopped = load(&askers, 3, "go", pending(), |ended| tally.on(ended)).await;
            assert!(!stopped && tally.is_sound());
            assert_eq!((tally.asked(), tally.answered), (15, 15));
            assert_eq!((tally.rounds, tally.calls, tally.outcomes["ok"]), (15, 30, 30));
            assert_eq!(began.elapsed(), Duration::from_secs(3));
        });
    }

    #[test]
    fn a_question_that_failed_is_followed_by_the_next() {
        testing::run(async {
            let url = "u".to_owned();
            let lost = failure(Error::Cut { url, reason: "cut".into() });
            let runtime = testing::runtime();
            let askers = [asker(&runtime, [two_calls(), lost, two_calls(), done()])];
            let mut tally = Tally::default();
            load(&askers, 2, "go", pending(), |ended| tally.on(ended)).await;
            assert_eq!((tally.answered, tally.failed["stream_cut"]), (1, 1));
            assert_eq!((tally.rounds, tally.calls, tally.is_sound()), (2, 4, true));
        });
    }

    #[test]
    fn an_interrupt_cancels_what_runs_and_nothing_more_is_asked() {
        testing::run(async {
            let runtime = testing::runtime();
            let askers = [0, 1].map(|_| asker(&runtime, [two_calls(), done(), two_calls()]));
            let (began, mut tally) = (Instant::now(), Tally::default());
            let interrupted = tokio::time::sleep(Duration::from_millis(1500));
            let stopped = load(&askers, 9, "go", interrupted, |ended| tally.on(ended)).await;
            assert!(stopped && tally.is_sound());
            assert_eq!((tally.answered, tally.failed["cancelled"], tally.asked()), (2, 2, 4));
            assert_eq!((tally.outcomes["ok"], tally.outcomes["cancelled"]), (4, 4));
            assert_eq!(began.elapsed(), Duration::from_millis(1500));
        });
    }
}
