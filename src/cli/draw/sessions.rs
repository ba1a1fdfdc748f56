//! The list of sessions as a table that fits the terminal.

use super::width::{fit, left, one_line, right, width};

/// What separates two columns.
const GAP: usize = 2;

/// Fewer columns of a title say nothing.
const MIN_TITLE: usize = 10;

/// A session, in words.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// Never cut: it is to be copied.
    pub id: String,
    pub state: &'static str,
    pub turns: String,
    pub active: String,
    pub title: String,
}

impl Row {
    fn heading() -> Self {
        let [id, turns, active, title] = ["SESSION", "TURNS", "ACTIVE", "TITLE"].map(str::to_owned);
        Self { id, state: "STATE", turns, active, title }
    }
}

/// Returns the lines, a heading first. In `columns` as many as they have room for: the title is cut, and
/// what has no room is left out, the turns first, then when the session was active, the title, and the
/// state.
pub fn sessions(rows: &[Row], columns: Option<usize>) -> Vec<String> {
    let rows: Vec<Row> =
        std::iter::once(Row::heading()).chain(rows.iter().cloned()).map(clean).collect();
    let widest =
        |text: fn(&Row) -> &str| rows.iter().map(|row| width(text(row))).max().unwrap_or(0);
    let id = widest(|row| &row.id);
    let (state, turns) = (widest(|row| row.state) + GAP, widest(|row| &row.turns) + GAP);
    let active = widest(|row| &row.active) + GAP;
    let room = columns.unwrap_or(usize::MAX).saturating_sub(id);
    let title = MIN_TITLE + GAP;
    let shows_state = room >= state;
    let shows_title = room >= state + title;
    let shows_active = room >= state + active + title;
    let shows_turns = room >= state + active + turns + title;
    let used = state + if shows_active { active } else { 0 } + if shows_turns { turns } else { 0 };
    let for_title = room.saturating_sub(used + GAP);
    let line = |row: &Row| {
        let gap = " ".repeat(GAP);
        let mut line = left(&row.id, id);
        if shows_state {
            line += &(gap.clone() + &left(row.state, state - GAP));
        }
        if shows_turns {
            line += &(gap.clone() + &right(&row.turns, turns - GAP));
        }
        if shows_active {
            line += &(gap.clone() + &left(&row.active, active - GAP));
        }
        if shows_title {
            line += &(gap + &fit(&row.title, for_title, "…"));
        }
        line.trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

fn clean(row: Row) -> Row {
    Row { id: one_line(&row.id), title: one_line(&row.title), ..row }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Row> {
        let row = |id: &str, state, turns: u64, active: &str, title: &str| Row {
            id: id.to_owned(),
            state,
            turns: turns.to_string(),
            active: active.to_owned(),
            title: title.to_owned(),
        };
        vec![
            row("0192f3c4-aaaa", "running", 12, "3 s ago", "What's the weather in Tokyo?"),
            row("trip", "cut", 1, "2026-10-01", "東京の天気は\u{1b}[2J\n今どうですか"),
        ]
    }

    #[test]
    fn off_a_terminal_nothing_is_cut() {
        let expected = [
            "SESSION        STATE    TURNS  ACTIVE      TITLE",
            "0192f3c4-aaaa  running     12  3 s ago     What's the weather in Tokyo?",
            "trip           cut          1  2026-10-01  東京の天気は 今どうですか",
        ];
        assert_eq!(sessions(&rows(), None), expected);
    }

    #[test]
    fn a_narrow_terminal_leaves_out_what_matters_least() {
        let check = |columns, heading: &str, second: &str| {
            let lines = sessions(&rows(), Some(columns));
            assert_eq!((&*lines[0], &*lines[2]), (heading, second), "{columns}");
            assert!(lines.iter().all(|line| width(line) <= columns.max(13)), "{lines:#?}");
        };
        check(
            56,
            "SESSION        STATE    TURNS  ACTIVE      TITLE",
            "trip           cut          1  2026-10-01  東京の天気は…",
        );
        check(
            50,
            "SESSION        STATE    ACTIVE      TITLE",
            "trip           cut      2026-10-01  東京の天気は …",
        );
        check(40, "SESSION        STATE    TITLE", "trip           cut      東京の天気は 今…");
        check(30, "SESSION        STATE", "trip           cut");
        check(20, "SESSION", "trip");
        check(5, "SESSION", "trip");
    }
}
