//! `sessions export`: a session as events, as text to be read, or as a trace.

use serde_json::json;

use crate::cli::args::{Export, ExportFormat, Output};
use crate::cli::markdown::markdown;
use crate::cli::screen::Screen;
use crate::cli::status::Status;
use crate::cli::store::{find, read};
use crate::conversation::Record;
use crate::document::lines;
use crate::document::past::Past;
use crate::document::trace::Trace;
use crate::store::{Error, Store};

pub(super) async fn run(
    store: &dyn Store,
    export: &Export,
    screen: &Screen,
) -> anyhow::Result<Status> {
    let summary = find(store, &export.id).await?;
    let session = &summary.session;
    let records = read(store, session).await?;
    let Some(past) = Past::of_known(&summary, &records) else {
        return Err(Error::NotFound { session: session.clone() }.into()); // Just removed.
    };
    let text = write(&past, &records, export.format)?;
    let Some(path) = &export.out else {
        // Text to be read has nothing in it that JSON would escape.
        screen.json(&text)?;
        return Ok(Status::Done);
    };
    std::fs::write(path, &text)
        .map_err(|error| anyhow::anyhow!("cannot write {}: {error}", path.display()))?;
    match screen.output {
        Output::Text => screen.note(&format!("{} bytes in {}", text.len(), path.display())),
        Output::Json | Output::Jsonl => {
            let line = json!({"session": session, "file": path, "bytes": text.len()});
            screen.data_line(&line.to_string())?;
        }
    }
    Ok(Status::Done)
}

/// Writes the session `past`, whose records are `records`, with the last line's end.
fn write(
    past: &Past<'_>,
    records: &[Record],
    format: ExportFormat,
) -> Result<String, serde_json::Error> {
    let text = match format {
        ExportFormat::Jsonl => lines(records)?,
        ExportFormat::Markdown => markdown(past),
        ExportFormat::ChromeTrace => {
            serde_json::to_string(&Trace::of(past.session, records))? + "\n"
        }
    };
    Ok(text)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::document::past::tests::{WHOLE, journal};

    fn write(records: &[Record], format: ExportFormat) -> Result<String, serde_json::Error> {
        super::write(&Past::of(records).unwrap(), records, format)
    }

    #[test]
    fn events_are_written_as_they_are_kept_also_such_as_are_not_known() {
        let unknown = r#""type":"moon_rose","of":{"a":[1,2.5,null]}"#;
        let records = journal(&[&WHOLE[..], &[unknown]].concat());
        let text = write(&records, ExportFormat::Jsonl).unwrap();
        assert_eq!(text.lines().count(), 12);
        let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        let expected = json!({"v": 1, "seq": 12, "at_us": 12000, "session": "s", "type": "moon_rose",
            "of": {"a": [1, 2.5, null]}});
        assert_eq!(last, expected);
        let again: Vec<Record> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(again, records);
    }

    #[test]
    fn the_other_formats_take_what_is_not_known_too() {
        let records = journal(&[r#""type":"moon_rose""#]);
        assert!(
            write(&records, ExportFormat::Markdown).unwrap().starts_with("# A session without")
        );
        let trace: Value =
            serde_json::from_str(&write(&records, ExportFormat::ChromeTrace).unwrap()).unwrap();
        assert!(trace["traceEvents"].is_array(), "{trace}");
    }
}
