//! A list of rows for people: each column as wide as the widest text in it.

use super::width::{left, width};

/// Returns the lines, the heading among `rows` included.
pub fn columns<R: AsRef<[String]>>(rows: &[R]) -> Vec<String> {
    let count = rows.iter().map(|row| row.as_ref().len()).max().unwrap_or_default();
    let cell = |row: &R, column: usize| row.as_ref().get(column).map(|cell| width(cell));
    let widest = |column: usize| rows.iter().filter_map(|row| cell(row, column)).max();
    let widths: Vec<_> = (0..count).map(|column| widest(column).unwrap_or_default()).collect();
    let line = |row: &R| {
        let cells = row.as_ref().iter().zip(&widths).map(|(cell, width)| left(cell, *width));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}
