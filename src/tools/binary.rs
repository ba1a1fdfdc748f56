//! What a tool returned as bytes: text is told as it is, anything else described.

/// How files of some kinds begin.
const KINDS: [(&[u8], &str); 10] = [
    (b"\x89PNG\r\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"%PDF-", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "gzip data"),
    (b"BZh", "bzip2 data"),
    (b"\x28\xb5\x2f\xfd", "zstd data"),
    (b"\x7fELF", "an ELF file"),
    (b"SQLite format 3\0", "a SQLite database"),
];

/// `bytes` as text, or a line that says how many there are and what they look like.
pub(crate) fn told(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| described(error.as_bytes()))
}

/// Says in a line what `bytes`, which are not text, are.
pub(crate) fn described(bytes: &[u8]) -> String {
    let kind = KINDS.iter().find(|(begin, _)| bytes.starts_with(begin));
    let kind = kind.map_or(String::new(), |(_, kind)| format!("; it looks like {kind}"));
    format!("[{} bytes that are not text are not shown here{kind}]", bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_told_and_bytes_are_described() {
        assert_eq!(told(b"caf\xc3\xa9".to_vec()), "café");
        assert_eq!(told(b"caf\xe9".to_vec()), "[4 bytes that are not text are not shown here]");
        let image = told(b"\x89PNG\r\n\x1a\n".to_vec());
        assert_eq!(
            image,
            "[8 bytes that are not text are not shown here; it looks like a PNG image]"
        );
    }
}
