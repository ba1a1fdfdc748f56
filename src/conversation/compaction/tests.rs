use std::sync::Arc;

use super::*;

/// A byte a token, so that a budget is said in bytes.
const BYTES: Scale = Scale(1.0);

/// A history from letters: `s`ystem, `q`uestion, `a`nswer, and `r` for a call with its result, each of
/// some hundred bytes.
fn history(said: &str) -> Transcript {
    let mut history = Transcript::default();
    let text = "x".repeat(70);
    for (number, letter) in said.chars().enumerate() {
        match letter {
            's' => history.push_system(&text),
            'q' => history.push_user(&text),
            'a' => {
                let message = format!(r#"{{"role":"assistant","content":"{text}"}}"#);
                history.push_assistant(&message, Some(&Arc::from("me")));
            }
            'r' => {
                let calls =
                    format!(r#"{{"role":"assistant","tool_calls":[{{"id":"c{number}"}}]}}"#);
                history.push_assistant(&calls, Some(&Arc::from("me")));
                history.push_tool_result(&format!("c{number}"), "x");
            }
            other => panic!("{other}"),
        }
    }
    history
}

fn bytes(said: &str) -> usize {
    history(said).as_bytes().len()
}

/// What is left of the history, in the same letters and `S` for a summary.
fn left(mut history: Transcript, dropped: &[Span], summary: Option<&str>) -> String {
    history.compact(dropped, summary);
    let messages = history.said();
    let mut left = String::new();
    for (number, (role, json)) in messages.iter().enumerate() {
        left.push(match role {
            Role::System => 's',
            Role::User if json.contains("sum") => 'S',
            Role::User => 'q',
            Role::Assistant if messages.get(number + 1).is_some_and(|it| it.0 == Role::Tool) => 'r',
            Role::Assistant => 'a',
            Role::Tool => continue,
        });
    }
    left
}

fn budget(tokens: usize, compaction: Compaction) -> ContextBudget {
    ContextBudget { tokens: tokens as u64, compaction }
}

#[track_caller]
fn check(said: &str, max: usize, why: TooLong, expected: &str) {
    let history = history(said);
    let cut = cut(&history, 0, &budget(max, Compaction::DropOldest), BYTES, why);
    let left = left(history, &cut.map(|cut| cut.dropped).unwrap_or_default(), None);
    assert_eq!(left, expected, "{said} in {max} bytes");
}

#[test]
fn whole_turns_go_the_oldest_first_and_more_than_must() {
    let turns = "sqrraqaqraq";
    check(turns, bytes(turns), TooLong::Estimated, turns);
    check(turns, bytes(turns) - 1, TooLong::Estimated, "sqaqraq");
    check(turns, 0, TooLong::Estimated, turns); // As long as the model takes.
    check(turns, bytes("sqaq"), TooLong::Estimated, "sq");
    check(turns, 1, TooLong::Estimated, "sq"); // Less there cannot be.
}

#[test]
fn rounds_of_the_turn_under_way_go_only_where_turns_are_not_enough() {
    let all = "sqaqrrrrrr";
    check(all, bytes(all) - 1, TooLong::Estimated, "sqrrrrrr");
    check(all, bytes("sqrrrrrr") - 1, TooLong::Estimated, "sqrrr");
    check(all, 1, TooLong::Estimated, "sqr");
    check("qrrrr", 1, TooLong::Estimated, "qr");
    check("qr", 1, TooLong::Estimated, "qr");
    check("sq", 1, TooLong::Estimated, "sq");
}

#[test]
fn what_the_model_has_refused_is_halved_whatever_the_estimate_says() {
    let all = "sqaqaqaqaqaqaqaqaq";
    check(all, 0, TooLong::Refused, "sqaqaqaq");
    check(all, 1_000_000, TooLong::Refused, "sqaqaqaq");
    check(all, bytes("sqaqaq"), TooLong::Refused, "sqaq");
    check("sq", 0, TooLong::Refused, "sq");
}

#[test]
fn with_off_nothing_goes_and_without_a_budget_only_what_was_refused() {
    let history = history("sqaqaqaq");
    let is_cut = |budget, why| cut(&history, 0, &budget, BYTES, why).is_some();
    for why in [TooLong::Estimated, TooLong::Refused] {
        assert!(!is_cut(budget(1, Compaction::Off), why));
    }
    assert!(!is_cut(ContextBudget::default(), TooLong::Estimated));
    assert!(is_cut(ContextBudget::default(), TooLong::Refused));
}

#[test]
fn tools_count_and_a_count_of_the_provider_is_the_measure() {
    let history = history("sqaqaq");
    let all = bytes("sqaqaq");
    let is_cut = |fixed, counted| {
        let budget = budget(all, Compaction::DropOldest);
        cut(&history, fixed, &budget, Scale::of(counted), TooLong::Estimated).is_some()
    };
    assert!(!is_cut(all * 2, None), "three bytes a token");
    assert!(is_cut(all * 2 + 1, None));
    assert!(!is_cut(all, Some((1_000, 500))));
    assert!(is_cut(all + 1, Some((1_000, 500))));
    assert!(is_cut(all * 15 + 1, Some((1_000_000, 1))), "nobody believes that");
    assert!(!is_cut(0, Some((1, 1_000))), "nor that");
    assert!(!is_cut(all, Some((1_000, 0))), "nor that this was counted");
}

#[test]
fn a_summary_stands_behind_the_system_prompt_and_goes_into_the_next_one() {
    let summarise = |history: &Transcript, max| {
        let budget = budget(max, Compaction::Summarise);
        cut(history, 0, &budget, BYTES, TooLong::Estimated).expect("it is too long")
    };
    let turns = "qa".repeat(30);
    let mut history = history(&format!("s{turns}q"));
    let first = summarise(&history, 6_000);
    assert!((MIN_SUMMARY..=1_000).contains(&first.summary_bytes), "{first:?}");
    assert_eq!(first.dropped[0].from, 1);
    assert!(!history.first(first.summarised()).is_empty());
    history.compact(&first.dropped, Some("sum one"));
    assert!(history.has_summary() && left(history.clone(), &[], None).starts_with("sSq"));
    for _ in 0..10 {
        history.push_user(&"x".repeat(150));
    }
    let second = summarise(&history, 4_500);
    assert_eq!(second.dropped[0].from, 1, "the first one is in the second");
    assert!(history.first(second.summarised()).contains("sum one"));
    let mut again = history.clone();
    again.compact(&second.dropped, Some("sum two"));
    let text = String::from_utf8_lossy(again.as_bytes()).into_owned();
    assert!(text.contains("sum two") && !text.contains("sum one"));
    // Without a second one it stays as long as it can.
    let dropped = |max| {
        let budget = budget(max, Compaction::DropOldest);
        cut(&history, 0, &budget, BYTES, TooLong::Estimated).expect("it is too long").dropped
    };
    assert!(left(history.clone(), &dropped(4_500), None).starts_with("sSq"));
    assert_eq!(left(history.clone(), &dropped(100), None), "sq");
    let mut shorter = history.clone();
    shorter.compact(&dropped(100), None);
    assert!(!shorter.has_summary());
}

#[test]
fn a_summary_of_the_turn_under_way_stands_before_its_question() {
    let history = history(&format!("sq{}", "r".repeat(30)));
    let budget = budget(2_700, Compaction::Summarise);
    let cut = cut(&history, 0, &budget, BYTES, TooLong::Estimated).expect("it is too long");
    assert!(cut.summary_bytes > 0 && cut.dropped[0].from == 2, "{cut:?}");
    let seen = history.first(cut.summarised());
    assert!(seen.contains(r#""role":"user""#), "its question, too");
    assert!(left(history, &cut.dropped, Some("sum")).starts_with("sSqrr"));
}

#[test]
fn where_there_is_no_room_for_a_summary_there_is_none() {
    let history = history("sqaqaqaq");
    let cut = cut(&history, 0, &budget(400, Compaction::Summarise), BYTES, TooLong::Estimated);
    assert_eq!(cut.expect("it is too long").summary_bytes, 0);
}

#[test]
fn the_authors_of_what_is_left_are_known_as_before() {
    let mut history = Transcript::default();
    let authors = ["a", "a", "b", "c", "c", "b"];
    for (number, author) in authors.iter().enumerate() {
        history.push_user("q");
        let message = format!(r#"{{"role":"assistant","content":"{number}"}}"#);
        history.push_assistant(&message, Some(&Arc::from(*author)));
    }
    history.compact(&[Span { from: 2, to: 8 }], Some("sum"));
    let left: Vec<_> = (0..4).map(|number| history.author(number)).collect();
    assert_eq!(left, [Some("a"), Some("c"), Some("b"), None]);
    history.compact(&[Span { from: 0, to: 5 }], None);
    assert!(history.is_all_of("b"));
    assert_eq!(history.len(), 2);
}

#[test]
fn what_the_record_says_of_messages_that_are_not_there_does_no_harm() {
    let mut history = history("sqaq");
    history.compact(&[Span { from: 3, to: 900 }, Span { from: 7, to: 5 }], Some("sum"));
    assert_eq!(left(history, &[], None), "sSqa");
}
