//! A list of rows for people: each column as wide as the widest text in it.

use super::width::{left, one_line, width};

/// Returns the lines, the heading among `rows` included.
pub fn columns<R: AsRef<[String]>>(rows: &[R]) -> Vec<String> {
    let one_line = |row: &R| row.as_ref().iter().map(|cell| one_line(cell)).collect();
    let rows: Vec<Vec<String>> = rows.iter().map(one_line).collect();
    let count = rows.iter().map(Vec::len).max().unwrap_or_default();
    let widest =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| width(cell)).max();
    let widths: Vec<_> = (0..count).map(|column| widest(column).unwrap_or_default()).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| left(cell, *width));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}
