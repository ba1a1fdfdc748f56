//! A list of rows for people: each column as wide as the widest text in it.

use super::width::{left, width};

/// Returns the lines, the heading among `rows` included.
pub fn columns<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let widest = |column: usize| rows.iter().map(|row| width(&row[column])).max();
    let widths: Vec<_> = (0..N).map(|column| widest(column).unwrap_or_default()).collect();
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| left(cell, *width));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}
