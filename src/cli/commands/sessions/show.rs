//! `sessions show`: one session, for people, or as a document so far.

use crate::cli::args::{Output, Show};
use crate::cli::draw::health::count;
use crate::cli::draw::session::{Look, session};
use crate::cli::screen::Screen;
use crate::cli::status::Status;
use crate::cli::store::{find, read};
use crate::cli::when;
use crate::document::Document;
use crate::document::past::Past;
use crate::store::{Error, Store, Summary};

pub(super) async fn run(store: &dyn Store, show: &Show, screen: &Screen) -> anyhow::Result<Status> {
    let summary = find(store, &show.id).await?;
    let records = read(store, &summary.session).await?;
    let Some(past) = Past::of_known(&summary, &records) else {
        return Err(Error::NotFound { session: summary.session }.into()); // Just removed.
    };
    match screen.output {
        Output::Text => {
            let (columns, color) = (screen.data_width(), screen.data_color());
            let look = Look { columns, color, timing: show.timing };
            screen.data(&session(&past, &facts(&summary), look))?;
        }
        Output::Json => {
            let document = Document::of_session(&past, summary.state());
            screen.data_line(&serde_json::to_string(&document)?)?;
        }
        Output::Jsonl => {
            for record in &records {
                screen.data_line(&serde_json::to_string(record)?)?;
            }
        }
    }
    Ok(Status::Done)
}

/// What is known of the session besides what was said in it.
fn facts(summary: &Summary) -> Vec<String> {
    let turns = count(summary.digest.turns, "turn");
    let mut facts = vec![
        format!("session {}", summary.session),
        format!(
            "{}, {turns}, {} events, {} to {}",
            summary.state(),
            summary.last_seq,
            when::local(summary.created_at_us),
            when::local(summary.updated_at_us)
        ),
    ];
    facts.extend(summary.owner.as_ref().map(|owner| format!("open in {owner}")));
    facts.extend(summary.forked_from.as_ref().map(|from| format!("forked from {from}")));
    facts
}
