//! A stored session, turn by turn: what its records say, folded once for whatever is made of it.

use std::sync::Arc;
use std::time::Duration;

use crate::conversation::{Event, Problem, Record, SessionId, TurnEnd};
use crate::session::Cause;
use crate::store::{Digest, Summary};
use crate::supervision::{ModelRetry, RoundReport, Rounds};
use crate::wire::Usage;

/// A stored session.
#[derive(Debug)]
pub struct Past<'a> {
    /// The conversation.
    pub session: &'a SessionId,
    /// The beginning of the first question, on one line.
    pub title: Arc<str>,
    /// The system prompt.
    pub system: Option<&'a str>,
    /// The first event, or when it was made.
    pub began_at_us: u64,
    /// The last event; of none, when it was made.
    pub updated_at_us: u64,
    /// In order.
    pub turns: Vec<PastTurn<'a>>,
}

/// A turn of it, that has ended or has not.
#[derive(Debug)]
pub struct PastTurn<'a> {
    /// Counts the session's turns from 1.
    pub turn: u64,
    /// The question.
    pub prompt: &'a str,
    /// From the question to the next one.
    #[cfg_attr(not(feature = "cli"), allow(dead_code, reason = "drawn on a terminal alone"))]
    pub records: &'a [Record],
    /// The number of its last event, which ends it; absent while it is open.
    pub end: Option<(u64, &'a TurnEnd)>,
    /// The text of the model's last reply, and why it stopped; absent unless it answered.
    pub answer: Option<(&'a str, &'a str)>,
    /// The model as it names itself, else as it was asked for, if that is on record.
    pub model: Option<&'a str>,
    /// From the question to the end, or to the last event; the time in which no process ran it is left
    /// out.
    pub elapsed: Duration,
    /// The tokens of its replies.
    pub usage: Usage,
    /// Its rounds; the last one may be open.
    pub rounds: Vec<Arc<RoundReport>>,
    /// Those of the last reply, where it led to no round.
    pub retries: Vec<ModelRetry>,
}

impl<'a> Past<'a> {
    /// The session of `summary`, whose records are `records`, all of them in order. One that was only made
    /// has none; `None` if it was removed since it was found.
    pub fn of_known(summary: &'a Summary, records: &'a [Record]) -> Option<Self> {
        if !records.is_empty() || summary.last_seq > 0 {
            return Self::of(records);
        }
        Some(Self {
            session: &summary.session,
            title: Arc::clone(&summary.digest.title),
            system: None,
            began_at_us: summary.created_at_us,
            updated_at_us: summary.updated_at_us,
            turns: Vec::new(),
        })
    }

    /// The session of `records`, all of them in order; `None` if there are none.
    pub fn of(records: &'a [Record]) -> Option<Self> {
        let (first, last) = (records.first()?, records.last()?);
        let begins = |record: &Record| matches!(record.event, Event::TurnStarted { .. });
        let mut system = None;
        let head = records.iter().take_while(|record| !begins(record));
        for record in head {
            if let Event::SessionOpened { system: Some(prompt), .. } = &record.event {
                system = Some(&**prompt);
            }
        }
        // Each piece but the first begins with a question.
        let pieces = records.chunk_by(|_, next| !begins(next));
        Some(Self {
            session: &first.session,
            title: Digest::of(records).title,
            system,
            began_at_us: first.at_us,
            updated_at_us: last.at_us,
            turns: pieces.filter_map(PastTurn::of).collect(),
        })
    }
}

impl<'a> PastTurn<'a> {
    /// The turn of `records`, the first of which is its question.
    fn of(records: &'a [Record]) -> Option<Self> {
        let Event::TurnStarted { turn, prompt, .. } = &records.first()?.event else { return None };
        let mut past = Self {
            turn: *turn,
            prompt,
            records,
            end: None,
            answer: None,
            model: None,
            elapsed: Duration::ZERO,
            usage: Usage::default(),
            rounds: Vec::new(),
            retries: Vec::new(),
        };
        let (mut rounds, mut reply) = (Rounds::default(), None);
        let mut before_us = records[0].at_us;
        for Record { seq, at_us, event, .. } in records {
            rounds.on(*at_us, event);
            let stood_still = matches!(event, Event::TurnResumed { .. }) || past.end.is_some();
            if !stood_still {
                past.elapsed += Duration::from_micros(at_us.saturating_sub(before_us));
            }
            before_us = *at_us;
            match event {
                Event::ModelAsked { model: Some(model), .. } => past.model = Some(model),
                Event::ModelFailed { model, usage, .. } => {
                    past.usage += usage.unwrap_or_default();
                    past.model = Some(model);
                }
                Event::Replied { text, finish, model, usage, .. } => {
                    past.usage += usage.unwrap_or_default();
                    past.model = model.as_deref().or(past.model);
                    reply = Some((&**text, &**finish));
                }
                Event::TurnEnded { end, usage, .. } if past.end.is_none() => {
                    past.usage += usage.unwrap_or_default();
                    past.end = Some((*seq, end));
                    past.answer = reply.filter(|_| *end == TurnEnd::Answered);
                }
                _ => {}
            }
        }
        past.rounds = rounds.done().to_vec();
        past.rounds.extend(rounds.so_far().map(Arc::new));
        past.retries = rounds.retries_so_far().to_vec();
        Some(past)
    }

    /// Why it has no answer; `None` if it has one, or may still get one.
    pub fn problem(&self) -> Option<Problem> {
        let of = |cause: Cause| {
            let (code, message) = (cause.code().into(), cause.to_string());
            Some(Problem { code, message })
        };
        match self.end?.1 {
            TurnEnd::Answered => None,
            TurnEnd::Cancelled => of(Cause::Cancelled),
            TurnEnd::TimedOut => of(Cause::TimedOut),
            TurnEnd::Failed { problem } => Some(problem.clone()),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::conversation::OutcomeKind;

    /// The records of a journal of `lines`, each without what every record has: an event every
    /// millisecond, unless it says `at_us` itself.
    pub(crate) fn journal(lines: &[&str]) -> Vec<Record> {
        let record = |(seq, line): (u64, &&str)| {
            let at_us = seq * 1000;
            let at = if line.contains("\"at_us\":") {
                String::new()
            } else {
                format!(r#""at_us":{at_us},"#)
            };
            let json = format!(r#"{{"v":1,"seq":{seq},"session":"s",{at}{line}}}"#);
            serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {json}"))
        };
        (1..).zip(lines).map(record).collect()
    }

    pub(crate) const OPENED: &str = r#""type":"session_opened","system":"Be brief.""#;
    pub(crate) const ASKED: &str =
        r#""type":"turn_started","turn":1,"prompt":"Weather and stock?\nToday.""#;
    pub(crate) const MODEL_ASKED: &str = r#""type":"model_asked","round":1,"attempt":1"#;
    /// Asks for two calls; the second has arguments that did not arrive whole.
    pub(crate) const CALLS: &str = r#""type":"replied","round":1,"attempt":1,"message":"{}","text":"","calls":[{"id":"a","tool":"get_weather","arguments":"{\"city\":\"Tokyo\"}"},{"id":"b","tool":"get_stock","arguments":"{\"x\":1}"}],"mode":"parallel","finish":"tool_calls","model":"m","usage":{"input_tokens":7,"output_tokens":3},"first_token_at_us":3500"#;
    pub(crate) const A_STARTED: &str = r#""type":"call_started","round":1,"reply_attempt":1,"ordinal":0,"id":"a","tool":"get_weather""#;
    pub(crate) const B_STARTED: &str = r#""type":"call_started","round":1,"reply_attempt":1,"ordinal":1,"id":"b","tool":"get_stock""#;
    /// Waited 100 µs for its turn and 50 for its worker, rested 200 and ran 650: from 5000 to 6000.
    pub(crate) const A_ENDED: &str = r#""at_us":7000,"type":"call_ended","round":1,"reply_attempt":1,"ordinal":0,"id":"a","tool":"get_weather","kind":"ok","content":"{\"temp\":71}","dispatched_at_us":5000,"queued_us":100,"startup_us":50,"backoff_us":200,"waited_us":0,"ran_us":650,"attempts":2,"worker_generation":0"#;
    pub(crate) const B_ENDED: &str = r#""at_us":9000,"type":"call_ended","round":1,"reply_attempt":1,"ordinal":1,"id":"b","tool":"get_stock","kind":"timed_out","content":"error: too late","problem":{"code":"timed_out","message":"too late"},"dispatched_at_us":6000,"queued_us":0,"startup_us":0,"backoff_us":0,"waited_us":0,"ran_us":2500,"attempts":1,"worker_generation":0"#;
    pub(crate) const ASKED_AGAIN: &str =
        r#""at_us":9500,"type":"model_asked","round":2,"attempt":1"#;
    pub(crate) const ANSWER: &str = r#""at_us":11000,"type":"replied","round":2,"attempt":1,"message":"{}","text":"71 degrees.","calls":[],"mode":"parallel","finish":"stop","model":"m","usage":{"input_tokens":20,"output_tokens":5},"first_token_at_us":null"#;
    pub(crate) const ENDED: &str = r#""at_us":11000,"type":"turn_ended","turn":1,"end":"answered""#;

    /// A turn with a round of two calls and an answer.
    pub(crate) const WHOLE: [&str; 11] = [
        OPENED,
        ASKED,
        MODEL_ASKED,
        CALLS,
        A_STARTED,
        B_STARTED,
        A_ENDED,
        B_ENDED,
        ASKED_AGAIN,
        ANSWER,
        ENDED,
    ];

    #[test]
    fn a_session_is_read_turn_by_turn() {
        let second = [
            r#""at_us":90000,"type":"turn_started","turn":2,"prompt":"And now?""#,
            r#""at_us":90000,"type":"model_asked","round":2,"attempt":1"#,
            r#""at_us":95000,"type":"turn_ended","turn":2,"end":"cancelled","usage":{"input_tokens":1,"output_tokens":0}"#,
        ];
        let records = journal(&[&WHOLE[..], &second].concat());
        let past = Past::of(&records).unwrap();
        assert_eq!((past.session.as_str(), past.system), ("s", Some("Be brief.")));
        assert_eq!(
            (&*past.title, past.began_at_us, past.updated_at_us),
            ("Weather and stock? Today.", 1000, 95_000)
        );
        let [first, second] = &past.turns[..] else { panic!("{past:#?}") };
        assert_eq!((first.answer, first.model), (Some(("71 degrees.", "stop")), Some("m")));
        assert_eq!((first.end, first.problem()), (Some((11, &TurnEnd::Answered)), None));
        assert_eq!((first.elapsed, first.usage.input_tokens), (Duration::from_millis(9), 27));
        assert_eq!((first.rounds.len(), first.records.len()), (1, 10));
        assert_eq!((second.answer, second.usage.input_tokens), (None, 1));
        assert_eq!(second.problem().unwrap().code, "cancelled");
    }

    #[test]
    fn an_open_round_is_there_with_its_calls_so_far() {
        let records = journal(&WHOLE[..7]);
        let past = Past::of(&records).unwrap();
        let [turn] = &past.turns[..] else { panic!("{past:#?}") };
        assert_eq!((turn.end, turn.answer, turn.problem()), (None, None, None));
        let [round] = &turn.rounds[..] else { panic!("{turn:#?}") };
        let outcomes: Vec<_> = round.calls.iter().map(|call| call.outcome).collect();
        assert_eq!(outcomes, [Some(OutcomeKind::Ok), None]);
        let open = &round.calls[1];
        assert_eq!(
            (open.ran, open.attempts),
            (Duration::from_millis(1), 1),
            "until the last event"
        );
        assert_eq!((&open.result, &open.error), (&None, &None));
        assert_eq!(round.critical_call.as_deref(), Some("b"));
    }

    #[test]
    fn the_time_in_which_no_process_ran_the_turn_is_left_out() {
        let resumed = r#""at_us":1000000,"type":"turn_resumed","turn":1"#;
        let ended = r#""at_us":1002000,"type":"turn_ended","turn":1,"end":"cancelled""#;
        let later = r#""at_us":9000000,"type":"circuit_closed","tool":"t""#;
        let lines = [&WHOLE[..7], &[resumed, ended, later]].concat();
        let records = journal(&lines);
        let past = Past::of(&records).unwrap();
        assert_eq!(past.turns[0].elapsed, Duration::from_millis(5 + 2));
    }

    #[test]
    fn what_is_not_known_is_passed_over() {
        let unknown = r#""type":"moon_rose","of":1"#;
        let records = journal(&[&[unknown][..], &WHOLE[..3], &[unknown]].concat());
        let past = Past::of(&records).unwrap();
        assert_eq!(past.turns.len(), 1);
        assert!(past.turns[0].rounds.is_empty());
        assert!(Past::of(&[]).is_none());
        assert!(Past::of(&records[..2]).unwrap().turns.is_empty(), "nothing was asked yet");
    }
}
