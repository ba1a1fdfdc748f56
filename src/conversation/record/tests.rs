use super::super::{Action, SessionState};
use super::*;

/// A turn as the first version of the journal has it, before calls began early: no attempts of
/// calls, no origins, no wrappers, no usage but of finished replies.
const OLD: [&str; 9] = [
    r#"{"v":1,"seq":1,"at_us":10,"session":"s","type":"session_opened","system":null}"#,
    r#"{"v":1,"seq":2,"at_us":20,"session":"s","type":"turn_started","turn":1,"prompt":"go"}"#,
    r#"{"v":1,"seq":3,"at_us":20,"session":"s","type":"model_asked","round":1,"attempt":1}"#,
    r#"{"v":1,"seq":4,"at_us":30,"session":"s","type":"replied","round":1,"attempt":1,"message":"{\"role\":\"assistant\"}","text":"","calls":[{"id":"a","tool":"t","arguments":"{}"},{"id":"b","tool":"u","arguments":"{","refused":{"kind":"truncated","content":"no"}}],"mode":"parallel","finish":"tool_calls","model":"m","usage":{"input_tokens":7,"output_tokens":3},"first_token_at_us":25}"#,
    r#"{"v":1,"seq":5,"at_us":30,"session":"s","type":"call_started","round":1,"ordinal":0,"id":"a","tool":"t"}"#,
    r#"{"v":1,"seq":6,"at_us":40,"session":"s","type":"call_ended","round":1,"ordinal":0,"id":"a","tool":"t","kind":"ok","content":"done","dispatched_at_us":30,"queued_us":1,"startup_us":2,"backoff_us":0,"waited_us":0,"ran_us":5,"attempts":1,"worker_generation":0}"#,
    r#"{"v":1,"seq":7,"at_us":40,"session":"s","type":"model_asked","round":2,"attempt":1}"#,
    r#"{"v":1,"seq":8,"at_us":45,"session":"s","type":"model_failed","round":2,"attempt":1,"model":"m","error":{"code":"stream_cut","message":"cut"},"retry_in_us":5,"text_was_shown":false}"#,
    r#"{"v":1,"seq":9,"at_us":50,"session":"s","type":"turn_ended","turn":1,"end":"cancelled"}"#,
];

fn read(line: &str) -> Record {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

#[test]
fn a_journal_of_the_first_version_is_read_and_replayed() {
    let mut state = SessionState::new(16);
    let actions: Vec<_> = OLD.map(|line| state.on(&read(line).event)).into();
    let next = |round| Action::AskModel { round, attempt: 1 };
    assert_eq!(
        (&actions[1], &actions[3], &actions[5]),
        (&next(1), &Action::RunCalls(0..2), &next(2))
    );
    let history = concat!(
        r#"{"role":"user","content":"go"},{"role":"assistant"},"#,
        r#"{"role":"tool","tool_call_id":"a","content":"done"},"#,
        r#"{"role":"tool","tool_call_id":"b","content":"no"}"#
    );
    assert_eq!(String::from_utf8_lossy(state.transcript().as_bytes()), history);
    assert_eq!(state.transcript().author(0), None, "nobody wrote down who it was");
    assert_eq!((state.rounds(), state.usage().input_tokens, state.is_busy()), (1, 7, false));
}

#[test]
fn what_a_later_version_wrote_is_kept_as_it_is() {
    for line in [
        r#"{"v":1,"seq":5,"at_us":1,"session":"s","type":"moon_rose","of":{"a":[1,2.5,null]}}"#,
        r#"{"v":2,"seq":5,"at_us":1,"session":"s","type":"turn_ended","turn":1,"in":"peace"}"#,
    ] {
        let record = read(line);
        let Event::Unknown(unknown) = &record.event else { panic!("{record:?}") };
        assert!(line.contains(&format!(r#""type":"{}""#, unknown.kind())));
        let again: serde_json::Value = serde_json::to_value(&record).unwrap();
        assert_eq!(again, serde_json::from_str::<serde_json::Value>(line).unwrap());
        let mut state = SessionState::new(16);
        assert_eq!(state.on(&record.event), Action::Wait);
    }
}

#[test]
fn the_fields_may_stand_in_any_order() {
    let first =
        r#"{"v":1,"seq":7,"at_us":9,"session":"s","type":"turn_started","turn":1,"prompt":"a"}"#;
    let last =
        r#" {"turn":1,"type":"turn_started","prompt":"a","session":"s","at_us":9,"seq":7,"v":1} "#;
    assert_eq!(read(last), read(first));
    assert_eq!(read(last).session.as_str(), "s");
    for field in ["v", "seq", "at_us", "session", "type"] {
        let mut fields: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(first).unwrap();
        fields.remove(field);
        let error = serde_json::from_str::<Record>(&serde_json::to_string(&fields).unwrap());
        let error = error.unwrap_err().to_string();
        assert!(error.contains(&format!("missing field `{field}`")), "{error}");
    }
}

#[test]
fn an_event_of_a_known_kind_that_makes_no_sense_is_an_error() {
    let line = r#"{"v":1,"seq":5,"at_us":1,"session":"s","type":"turn_ended","turn":"one"}"#;
    assert!(serde_json::from_str::<Record>(line).is_err());
}

#[test]
fn every_kind_that_is_written_is_known() {
    let error = serde_json::from_str::<Event>(r#"{"type":"moon_rose"}"#).unwrap_err();
    let kinds = KINDS.map(|kind| format!("`{kind}`")).join(", ");
    let known = error.to_string();
    assert!(known.contains(&kinds), "{known} does not list {kinds}");
}

#[test]
fn what_is_new_is_not_written_where_it_says_nothing() {
    for line in OLD {
        let now = serde_json::to_value(read(line)).unwrap();
        let serde_json::Value::Object(now) = now else { panic!("{now}") };
        let old: serde_json::Map<_, _> = serde_json::from_str(line).unwrap();
        let new: Vec<_> = now.keys().filter(|name| !old.contains_key(*name)).collect();
        let known = matches!(&*old["type"].to_string(), r#""call_started""# | r#""call_ended""#);
        let expected = if known { vec!["reply_attempt"] } else { vec![] };
        assert_eq!(new, expected, "{line}");
    }
}

#[test]
fn news_of_the_first_version_is_read() {
    for line in [
        r#"{"v":1,"seq":5,"at_us":1,"session":"s","type":"call_progressed","round":1,"ordinal":2,"message":"half"}"#,
        r#"{"v":1,"seq":5,"at_us":1,"session":"s","type":"call_queued","round":1,"ordinal":2,"ahead":3}"#,
        r#"{"v":1,"seq":5,"at_us":1,"session":"s","type":"call_retried","round":1,"ordinal":2,"attempt":1,"cause":"c","backoff_us":9}"#,
    ] {
        let (Event::CallProgressed { reply_attempt, .. }
        | Event::CallQueued { reply_attempt, .. }
        | Event::CallRetried { reply_attempt, .. }) = read(line).event
        else {
            panic!("{line}")
        };
        assert_eq!(reply_attempt, 1);
    }
}

#[test]
fn approvals_are_written_in_words() {
    for line in [
        r#"{"v":1,"seq":5,"at_us":1,"session":"s","type":"approval_asked","round":1,"reply_attempt":1,"ordinal":2,"id":"a","tool":"t"}"#,
        r#"{"v":1,"seq":5,"at_us":1,"session":"s","type":"approval_decided","round":1,"reply_attempt":1,"ordinal":2,"id":"a","tool":"t","decision":"approved","for_session":true}"#,
        r#"{"v":1,"seq":5,"at_us":1,"session":"s","type":"approval_decided","round":1,"reply_attempt":1,"ordinal":2,"id":"a","tool":"t","decision":"edited","arguments":"{}","for_session":false}"#,
        r#"{"v":1,"seq":5,"at_us":1,"session":"s","type":"approval_decided","round":1,"reply_attempt":1,"ordinal":2,"id":"a","tool":"t","decision":"denied","reason":"no","for_session":false}"#,
        r#"{"v":1,"seq":5,"at_us":1,"session":"s","type":"approval_decided","round":1,"reply_attempt":1,"ordinal":2,"id":"a","tool":"t","decision":"denied","for_session":false}"#,
    ] {
        assert_eq!(serde_json::to_string(&read(line)).unwrap(), line);
    }
    let needs = r#"{"id":"a","tool":"t","arguments":"{}","approval":"once_per_session"}"#;
    let call: crate::conversation::AskedCall = serde_json::from_str(needs).unwrap();
    assert_eq!(serde_json::to_string(&call).unwrap(), needs);
}
