//! `sessions list`: a page of them, the last active one first.

use serde::Serialize;

use crate::cli::args::{List, Output};
use crate::cli::draw::sessions::{Row, sessions};
use crate::cli::going_on::quoted;
use crate::cli::screen::Screen;
use crate::cli::status::{Status, UsageError};
use crate::cli::when;
use crate::conversation::SessionId;
use crate::store::{Cursor, Listing, Owner, Store, Summary};

pub(super) async fn run(store: &dyn Store, list: &List, screen: &Screen) -> anyhow::Result<Status> {
    let after = list.after.as_deref().map(read_cursor).transpose()?;
    let limit = usize::try_from(list.limit)?;
    let page =
        store.list(&Listing { limit, after, open_only: list.open, ..Listing::default() }).await?;
    let next = page.next.as_ref().map(write_cursor);
    match screen.output {
        Output::Text => {
            if page.sessions.is_empty() {
                screen.note("no sessions");
            }
            print_table(&page.sessions, screen)?;
            if let Some(next) = &next {
                screen.foreign_note(&format!("there are more: --after {}", quoted(next)));
            }
        }
        Output::Json => {
            let sessions = page.sessions.iter().map(describe).collect();
            screen.data_line(&serde_json::to_string(&DescribedPage { sessions, next })?)?;
        }
        Output::Jsonl => {
            for summary in &page.sessions {
                screen.data_line(&serde_json::to_string(&describe(summary))?)?;
            }
        }
    }
    Ok(Status::Done)
}

/// Prints a table of `found`; nothing if there are none.
pub(super) fn print_table(found: &[Summary], screen: &Screen) -> anyhow::Result<()> {
    if found.is_empty() {
        return Ok(());
    }
    let now = when::now_us();
    let row = |summary: &Summary| Row {
        id: summary.session.to_string(),
        state: summary.state(),
        turns: summary.digest.turns.to_string(),
        active: when::ago(summary.updated_at_us, now),
        title: summary.digest.title.to_string(),
    };
    let rows: Vec<_> = found.iter().map(row).collect();
    let lines = sessions(&rows, screen.data_width());
    screen.data(&lines.iter().map(|line| format!("{line}\n")).collect::<String>())?;
    Ok(())
}

/// What the list says of a session to programs.
#[derive(Debug, Serialize)]
pub(super) struct Described<'a> {
    session: &'a str,
    state: &'static str,
    turns: u64,
    title: &'a str,
    created_at: String,
    updated_at: String,
    events: u64,
    owner: Option<DescribedOwner<'a>>,
    forked_from: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct DescribedOwner<'a> {
    host: &'a str,
    pid: u32,
}

pub(super) fn describe(summary: &Summary) -> Described<'_> {
    Described {
        session: summary.session.as_str(),
        state: summary.state(),
        turns: summary.digest.turns,
        title: &summary.digest.title,
        created_at: when::exact(summary.created_at_us),
        updated_at: when::exact(summary.updated_at_us),
        events: summary.last_seq,
        owner: summary.owner.as_ref().map(DescribedOwner::of),
        forked_from: summary.forked_from.as_ref().map(SessionId::as_str),
    }
}

impl<'a> DescribedOwner<'a> {
    fn of(owner: &'a Owner) -> Self {
        Self { host: &owner.host, pid: owner.pid }
    }
}

/// A page of them.
#[derive(Debug, Serialize)]
struct DescribedPage<'a> {
    sessions: Vec<Described<'a>>,
    next: Option<String>,
}

/// A place in the list as it can be typed.
fn write_cursor(cursor: &Cursor) -> String {
    format!("{}:{}", cursor.updated_at_us, cursor.session)
}

fn read_cursor(text: &str) -> Result<Cursor, UsageError> {
    let read = || {
        let (at_us, session) = text.split_once(':')?;
        let session = SessionId::new(session);
        Some(Cursor { updated_at_us: at_us.parse().ok()?, session })
    };
    read().ok_or_else(|| UsageError(format!("`{text}` is no place in the list of sessions")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::Digest;

    #[test]
    fn a_place_in_the_list_can_be_typed() {
        let cursor = Cursor { updated_at_us: 12, session: SessionId::new("a:b") };
        assert_eq!(write_cursor(&cursor), "12:a:b");
        assert_eq!(read_cursor("12:a:b").unwrap(), cursor);
        assert!(read_cursor("a").is_err() && read_cursor("x:a").is_err());
    }

    #[test]
    fn a_session_is_idle_runs_or_was_cut() {
        let digest = Digest { title: "t".into(), turns: 2, is_open: true };
        let summary = |is_open, owner| Summary {
            session: SessionId::new("s"),
            created_at_us: 0,
            updated_at_us: 1,
            last_seq: 9,
            digest: Digest { is_open, ..digest.clone() },
            owner,
            forked_from: None,
        };
        let owner = || Some(Owner { host: "h".into(), pid: 7, is_here: false });
        let states = [(false, None), (false, owner()), (true, owner()), (true, None)]
            .map(|(is_open, owner)| summary(is_open, owner).state());
        assert_eq!(states, ["idle", "idle", "running", "cut"]);
        let summary = summary(true, owner());
        let described = serde_json::to_value(describe(&summary)).unwrap();
        let expected = json!({"session": "s", "state": "running", "turns": 2, "title": "t",
            "created_at": "1970-01-01T00:00:00Z", "updated_at": "1970-01-01T00:00:00.000001Z",
            "events": 9, "owner": {"host": "h", "pid": 7}, "forked_from": null});
        assert_eq!(described, expected);
    }
}
