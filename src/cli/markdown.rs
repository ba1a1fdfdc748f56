//! A stored session as Markdown, to be read or passed on: questions, calls with their results, answers.

use std::fmt::Write;

use crate::cli::draw::clean::clean;
use crate::cli::draw::render::{arguments, short};
use crate::cli::draw::width::one_line;
use crate::cli::when;
use crate::conversation::OutcomeKind;
use crate::document::past::{Past, PastTurn};
use crate::supervision::CallReport;

/// Writes the session. Text of tools and models is cleaned of what would control a terminal; what they
/// wrote as Markdown stays Markdown.
pub fn markdown(past: &Past<'_>) -> String {
    let mut text = format!("# {}\n\n", heading(&past.title));
    let _ = writeln!(
        text,
        "Session {}, {} to {}.",
        code(past.session.as_str()),
        when::exact(past.began_at_us),
        when::exact(past.updated_at_us)
    );
    if let Some(system) = past.system {
        let _ = write!(text, "\n## System prompt\n\n{}", quote(system));
    }
    for turn in &past.turns {
        write_turn(&mut text, turn);
    }
    text
}

fn heading(title: &str) -> String {
    let title = one_line(title);
    if title.is_empty() { "A session without a question".to_owned() } else { title }
}

fn write_turn(text: &mut String, turn: &PastTurn<'_>) {
    let _ = write!(text, "\n## Turn {}\n\n{}", turn.turn, quote(turn.prompt));
    for round in &turn.rounds {
        let _ = write!(text, "\n### Round {}\n\n", round.round);
        let calls = round.calls.iter().map(|call| (call, ""));
        let discarded = round.discarded.iter().map(|call| (call, ", discarded"));
        for (call, note) in calls.chain(discarded) {
            write_call(text, call, note);
        }
    }
    match (turn.answer, turn.problem()) {
        (Some((answer, _)), _) => {
            text.truncate(text.trim_end().len());
            let _ = write!(text, "\n\n### Answer\n\n{}\n", clean(answer).trim_end());
        }
        (None, Some(problem)) => {
            let _ = writeln!(text, "\nNo answer: {}.", one_line(&problem.message));
        }
        (None, None) => *text += "\nNo answer yet: the turn has not ended.\n",
    }
}

fn write_call(text: &mut String, call: &CallReport, note: &str) {
    let outcome = call.outcome.map_or("unfinished", OutcomeKind::as_str);
    let tries =
        if call.attempts > 1 { format!(", {} tries", call.attempts) } else { String::new() };
    let reused = call.reused.map_or_else(String::new, |reused| format!(", {}", reused.as_str()));
    let _ = writeln!(
        text,
        "- {} {}: {outcome}{tries}{reused}{note}, {}",
        code(&call.tool),
        code(&arguments(call)),
        short(call.ran)
    );
    if let Some(result) = &call.result {
        let _ = write!(text, "\n{}\n", block(result));
    }
}

/// Text that somebody said.
fn quote(text: &str) -> String {
    clean(text)
        .trim_end()
        .lines()
        .map(|line| format!("> {line}").trim_end().to_owned() + "\n")
        .collect()
}

/// Text on one line that is no Markdown, whatever is in it.
fn code(text: &str) -> String {
    let text = one_line(text);
    let ticks = "`".repeat(longest_ticks(&text) + 1);
    let gap = if text.starts_with('`') || text.ends_with('`') { " " } else { "" };
    format!("{ticks}{gap}{text}{gap}{ticks}")
}

/// The same of more lines, as a part of the list's entry.
fn block(text: &str) -> String {
    let text = clean(text);
    let fence = "`".repeat(longest_ticks(&text).max(2) + 1);
    let lines = std::iter::once(&*fence).chain(text.trim_end().lines()).chain([&*fence]);
    lines.map(|line| format!("  {line}").trim_end().to_owned() + "\n").collect()
}

/// The length of the longest row of back-ticks.
fn longest_ticks(text: &str) -> usize {
    text.split(|letter| letter != '`').map(str::len).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::past::tests::{WHOLE, journal};

    fn written(lines: &[&str]) -> String {
        markdown(&Past::of(&journal(lines)).unwrap())
    }

    #[test]
    fn a_session_reads_from_top_to_bottom() {
        let expected = "\
# Weather and stock? Today.

Session `s`, 1970-01-01T00:00:00.001Z to 1970-01-01T00:00:00.011Z.

## System prompt

> Be brief.

## Turn 1

> Weather and stock?
> Today.

### Round 1

- `get_weather` `{\"city\":\"Tokyo\"}`: ok, 2 tries, 0.7 ms

  ```
  {\"temp\":71}
  ```

- `get_stock` `{\"x\":1}`: timed_out, 2.5 ms

  ```
  error: too late
  ```

### Answer

71 degrees.
";
        assert_eq!(written(&WHOLE), expected);
    }

    #[test]
    fn what_is_open_and_what_failed_say_so() {
        let cut = written(&WHOLE[..7]);
        assert!(cut.contains("`get_stock` `{\"x\":1}`: unfinished, 1.0 ms\n"), "{cut}");
        assert!(cut.ends_with("\nNo answer yet: the turn has not ended.\n"), "{cut}");
        let ended = r#""type":"turn_ended","turn":1,"end":"failed","problem":{"code":"c","message":"no\ncredit"}"#;
        let failed = written(&[&WHOLE[..3], &[ended]].concat());
        assert!(failed.ends_with("\nNo answer: no credit.\n"), "{failed}");
        assert!(written(&WHOLE[..1]).starts_with("# A session without a question\n"));
    }

    #[test]
    fn foreign_text_cannot_break_out() {
        assert_eq!(code("a`b``c"), "```a`b``c```");
        assert_eq!(code("`"), "`` ` ``");
        assert_eq!(code("\u{1b}[2Ja\nb"), "`a b`");
        assert_eq!(block("x\n````\n# y\n"), "  `````\n  x\n  ````\n  # y\n  `````\n");
        assert_eq!(quote("a\n\n# b\n"), "> a\n>\n> # b\n");
    }
}
