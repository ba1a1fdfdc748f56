//! A stored session for people: its questions, calls and answers, with the waterfall of each round if
//! that is wanted.

use super::clean::clean;
use super::color::Style;
use super::columns::look as look_of;
use super::render::{arguments, asked_calls, outcome, retry_lines, round_lines, short};
use super::table::{retry_table, round_table};
use super::width::{fit, one_line};
use crate::document::past::{Past, PastTurn};

/// The most columns of a line about a call, where no terminal says less.
const CALL: usize = 200;

/// How it is drawn.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// The columns of the terminal, if there is one.
    pub columns: Option<usize>,
    pub color: bool,
    /// Draws the rounds as they are drawn while they run.
    pub timing: bool,
}

/// Draws `past` under the facts about it.
pub fn session(past: &Past<'_>, facts: &[String], look: Look) -> String {
    let mut text = facts.iter().map(|fact| one_line(fact) + "\n").collect::<String>();
    for turn in &past.turns {
        text += "\n";
        text += &question(turn, look);
        text += &rounds(turn, look);
        text += &answer(turn);
    }
    text
}

fn question(turn: &PastTurn<'_>, look: Look) -> String {
    let line = |line: &str| Style::Bold.paint(format!("> {line}").trim_end(), look.color) + "\n";
    clean(turn.prompt).trim().lines().map(line).collect()
}

fn rounds(turn: &PastTurn<'_>, look: Look) -> String {
    let mut text = String::new();
    for round in &turn.rounds {
        text += &match (look.timing, look.columns) {
            (true, Some(columns)) => round_table(round, columns, look.color),
            (true, None) => round_lines(round),
            (false, columns) => asked_calls(round)
                .map(|asked| {
                    let (mark, style) = look_of(asked.call.outcome);
                    let call = asked.call;
                    let result =
                        call.result.as_deref().map(|result| format!(": {}", one_line(result)));
                    let line = format!(
                        "{} {} {} {}{}",
                        one_line(&call.tool),
                        arguments(call),
                        outcome(asked),
                        short(call.ran),
                        result.unwrap_or_default()
                    );
                    let room = columns.unwrap_or(CALL).saturating_sub(4).max(1);
                    format!("  {} {}\n", style.paint(mark, look.color), fit(&line, room, "…"))
                })
                .collect(),
        };
    }
    match (look.timing && !turn.retries.is_empty(), look.columns) {
        (true, Some(columns)) => text + &retry_table(&turn.retries, columns, look.color),
        (true, None) => text + &retry_lines(&turn.retries),
        (false, _) => text,
    }
}

fn answer(turn: &PastTurn<'_>) -> String {
    match (turn.answer, turn.problem()) {
        (Some((answer, _)), _) => clean(answer).trim_end().to_owned() + "\n",
        (None, Some(problem)) => format!("[no answer: {}]\n", one_line(&problem.message)),
        (None, None) => "[no answer yet: the turn has not ended]\n".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::past::tests::{WHOLE, journal};

    fn drawn(lines: &[&str], look: Look) -> String {
        session(
            &Past::of(&journal(lines)).unwrap(),
            &["session s\u{1b}[2J · idle".to_owned()],
            look,
        )
    }

    const PLAIN: Look = Look { columns: None, color: false, timing: false };

    #[test]
    fn a_session_is_read_from_top_to_bottom() {
        let expected = "\
session s · idle

> Weather and stock?
> Today.
  ✓ get_weather {\"city\":\"Tokyo\"} ok, 2 tries 0.7 ms: {\"temp\":71}
  ✗ get_stock {\"x\":1} timed_out 2.5 ms: error: too late
71 degrees.
";
        assert_eq!(drawn(&WHOLE, PLAIN), expected);
        let narrow = drawn(&WHOLE, Look { columns: Some(30), ..PLAIN });
        assert!(narrow.contains("\n  ✓ get_weather {\"city\":\"Toky…\n"), "{narrow}");
    }

    #[test]
    fn with_timing_each_round_is_drawn_as_it_was() {
        let plain = drawn(&WHOLE, Look { timing: true, ..PLAIN });
        assert!(plain.contains("\nround 1: 2 calls, parallel, model 1.0 ms"), "{plain}");
        let table = drawn(&WHOLE, Look { timing: true, columns: Some(80), color: false });
        assert!(table.contains("\nround 1 · parallel · 2 calls"), "{table}");
    }

    #[test]
    fn a_turn_that_was_cut_is_drawn_as_far_as_it_came() {
        let cut = drawn(&WHOLE[..7], PLAIN);
        assert!(cut.contains("\n  … get_stock {\"x\":1} unfinished 1.0 ms\n"), "{cut}");
        assert!(cut.ends_with("\n[no answer yet: the turn has not ended]\n"), "{cut}");
    }
}
