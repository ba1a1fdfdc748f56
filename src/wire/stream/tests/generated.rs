//! Streams made up from bytes, each of which is a choice: a case that fails shrinks to few and small ones.

use super::*;

/// Choices yet to be made. When they run out, the first of everything is chosen.
pub(super) struct Choices<'a>(pub &'a [u8]);

impl Choices<'_> {
    fn below(&mut self, count: usize) -> usize {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        usize::from(*first) % count
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    /// A place in `length` bytes, its end included.
    fn place(&mut self, length: usize) -> usize {
        (self.below(256) << 8 | self.below(256)) % (length + 1)
    }
}

/// A stream as some provider may send it, and the calls it holds: `id name arguments`.
pub(super) struct Generated {
    pub stream: String,
    pub calls: Vec<String>,
}

/// How the provider numbers its calls.
#[derive(Clone, Copy, PartialEq)]
enum Index {
    Counted,
    FromOne,
    AllZero,
    None,
}

/// What comes with the pieces of a call but the first.
#[derive(Clone, Copy, PartialEq)]
enum Repeats {
    Nothing,
    EmptyId,
    IdAndName,
}

/// How arguments are put into pieces.
#[derive(Clone, Copy, PartialEq)]
enum Pieces {
    Plain,
    /// An empty object comes first.
    Placeholder,
    /// All of them come again in the end.
    Repeated,
    /// After a part of them all of them come.
    BegunAnew,
}

struct Dialect {
    index: Index,
    repeats: Repeats,
    pieces: Pieces,
    /// The finish reason of each chunk but the last.
    finish: &'static str,
}

const ARGUMENTS: [&str; 8] = [
    r#"{"x":1}"#,
    "{}",
    "",
    r#"{ "city" : "Zürich 東京", "n": [1, {"}": "{"}] }"#,
    r#"{"q":"a \"quoted\" \\ {word}\n"}"#,
    r#"{"a":{"b":{"c":[[],{}]}},"t":true,"z":null}"#,
    r#"{"text":"a longer text, of which a piece is only a small part, and which ends here."}"#,
    r#"{"x":-1.5e3,"x2":"😀"}"#,
];

const BETWEEN: [&str; 9] = [
    "",
    ": ping\n\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"so \\\"be\\\" it {\"}}]}\n\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"reasoning\":\"hm\",\"x\":[1]}}]}\n\n",
    "data: {\"choices\":[],\"x\":1}\n\n",
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1}}\n\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":null},\"finish_reason\":\"\"}]}\n\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"and\"},\"finish_reason\":\"stop\"}]}\n\n",
    "event: chunk\ndata: {\"choices\":[{\"index\":1,\"delta\":{\"content\":\"other\"}}]}\n\n",
];

/// A stream that keeps to what providers do, one call after the other.
pub(super) fn stream_of(choices: &mut Choices<'_>) -> Generated {
    let mut dialect = Dialect {
        index: choices.of(&[Index::Counted, Index::FromOne, Index::AllZero, Index::None]),
        repeats: choices.of(&[Repeats::Nothing, Repeats::EmptyId, Repeats::IdAndName]),
        pieces: choices.of(&[
            Pieces::Plain,
            Pieces::Plain,
            Pieces::Placeholder,
            Pieces::Repeated,
            Pieces::BegunAnew,
        ]),
        finish: choices.of(&["null", "null", "\"\"", "\"stop\""]),
    };
    let mut stream = String::new();
    let mut calls = Vec::new();
    let count = choices.below(4);
    let finish = choices.of(&["\"tool_calls\"", "\"stop\"", "\"length\"", "\"content_filter\""]);
    let cuts = matches!(finish, "\"length\"" | "\"content_filter\"");
    if cuts && dialect.pieces == Pieces::BegunAnew {
        dialect.pieces = Pieces::Plain; // Where the last piece may be cut, it does not count as all of them.
    }
    for ordinal in 0..count {
        let arguments = choices.of(&ARGUMENTS);
        let name = choices.of(&["f", "get_weather"]);
        add_call(&mut stream, &dialect, ordinal, name, arguments, choices);
        let whole = match arguments {
            // Of the last call of a reply that was cut it is not known whether they are whole.
            "" | "{}" if cuts && ordinal + 1 == count => "truncated",
            "" => "{}",
            arguments => arguments,
        };
        calls.push(format!("id{ordinal} {name} {whole}"));
    }
    stream += &chunk("{}", finish);
    stream += choices.of(&["", "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3}}\n\n"]);
    stream += choices.of(&["data: [DONE]\n\n", ""]);
    let stream = match choices.of(&["\n", "\n", "\r\n", "\r", "one"]) {
        "one" => stream.replace("\n\n", "\n"),
        ending => stream.replace('\n', ending),
    };
    Generated { stream, calls }
}

fn add_call(
    stream: &mut String,
    dialect: &Dialect,
    ordinal: usize,
    name: &str,
    arguments: &str,
    choices: &mut Choices<'_>,
) {
    let index = match dialect.index {
        Index::Counted => format!("\"index\":{ordinal},"),
        Index::FromOne => format!("\"index\":{},", ordinal + 1),
        Index::AllZero => "\"index\":0,".to_owned(),
        Index::None => String::new(),
    };
    let id = format!("\"id\":\"id{ordinal}\",");
    let name = format!("\"name\":\"{name}\",");
    for (at, piece) in in_pieces(dialect.pieces, arguments, choices).into_iter().enumerate() {
        let (id, name) = match dialect.repeats {
            _ if at == 0 => (id.as_str(), name.as_str()),
            Repeats::Nothing => ("", ""),
            Repeats::EmptyId => ("\"id\":\"\",", "\"name\":null,"),
            Repeats::IdAndName => (id.as_str(), name.as_str()),
        };
        let piece = serde_json::to_string(piece).unwrap();
        let call = format!("{{{index}{id}\"function\":{{{name}\"arguments\":{piece}}}}}");
        *stream += &chunk(&format!("{{\"tool_calls\":[{call}]}}"), dialect.finish);
        *stream += choices.of(&BETWEEN);
    }
}

fn in_pieces<'a>(how: Pieces, arguments: &'a str, choices: &mut Choices<'_>) -> Vec<&'a str> {
    let mut pieces = vec![choices.of(&["", "{}"])];
    if how != Pieces::Placeholder || arguments.is_empty() {
        pieces[0] = "";
    }
    let size = choices.of(&[1000, 8, 3, 20]);
    let mut rest = arguments;
    while !rest.is_empty() {
        let end = (size.min(rest.len())..).find(|at| rest.is_char_boundary(*at)).unwrap();
        let (piece, behind) = rest.split_at(end);
        pieces.push(piece);
        rest = behind;
        if how == Pieces::BegunAnew && pieces.len() == 3 {
            break;
        }
    }
    let may_repeat = !matches!(arguments, "" | "{}");
    if may_repeat && matches!(how, Pieces::Repeated | Pieces::BegunAnew) {
        pieces.push(arguments);
    }
    pieces
}

/// Does some harm to `bytes`.
pub(super) fn spoil(bytes: &mut Vec<u8>, choices: &mut Choices<'_>) {
    for _ in 0..=choices.below(3) {
        let from = choices.place(bytes.len());
        let to = (from + 1 + choices.below(20)).min(bytes.len());
        if from == to {
            continue;
        }
        match choices.below(6) {
            0 => bytes[from] ^= 1 << choices.below(8),
            1 => bytes[from] = choices.of(b"{}[]\",:\\\n\r \x00\xff0n"),
            2 => drop(bytes.drain(from..to)),
            3 => {
                let again = bytes[from..to].to_vec();
                bytes.splice(from..from, again);
            }
            4 => bytes.insert(from, choices.of(b"{}[]\",:\\\n\r \x00\xff0n")),
            _ => bytes.truncate(from),
        }
    }
}

/// Cuts `bytes` in up to eight pieces.
pub(super) fn cut<'a>(bytes: &'a [u8], choices: &mut Choices<'_>) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = (0..choices.below(8)).map(|_| choices.place(bytes.len())).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}
