//! A whole reply as a provider streams it, and notes of what its bytes say.

use serde_json::json;

use super::dialect::{Dialect, Lines};
use super::flaw::Flaw;
use super::pieces::{Bit, Writing, boundary};
use super::truth::{FAILURES, FILTERS, News, Note, Written};
use super::wish::Wish;
use crate::support::dice::Dice;

/// A stream as it was written.
#[derive(Default)]
pub struct Stream {
    pub bytes: Vec<u8>,
    pub notes: Vec<Note>,
    /// Where its events end.
    pub events: Vec<usize>,
    /// An event's end shows only when the next has come.
    pub ends_late: bool,
    pub calls: Vec<Written>,
}

/// How a reply is to end.
#[derive(Clone, Copy, Debug)]
struct Ending {
    finish: Option<&'static str>,
    native: Option<&'static str>,
    error: bool,
    done: bool,
}

impl Ending {
    fn new(dice: &mut Dice) -> Self {
        let nothing = Self { finish: None, native: None, error: false, done: dice.percent(80) };
        let with = |finish| Self { finish: Some(finish), ..nothing };
        match dice.between(1, 100) {
            1..=45 => with("tool_calls"),
            46..=53 => with("stop"),
            54..=56 => with("end_turn"),
            57..=60 => Self { done: true, ..nothing },
            61..=68 => with("length"),
            69..=72 => {
                let natives = ["length", "max_output_tokens", "MAX_TOKENS"];
                Self { native: Some(dice.one_of(&natives)), ..with("tool_calls") }
            }
            73..=80 => with(dice.one_of(&FILTERS)),
            81..=85 => with(dice.one_of(&FAILURES)),
            86..=92 => Self { error: true, ..nothing },
            _ => Self { done: false, ..nothing },
        }
    }

    /// Says whether the last call may lack its end.
    fn cuts(&self) -> bool {
        let cuts = |word| word == "length" || FILTERS.contains(&word) || FAILURES.contains(&word);
        self.finish.is_some_and(cuts)
            || self.native.is_some()
            || self.error
            || (self.finish.is_none() && !self.done)
    }
}

/// Writes a reply that asks for `wishes`.
pub fn write(dice: &mut Dice, wishes: &[Wish]) -> Stream {
    let (dialect, ending) = (Dialect::new(dice, wishes.len()), Ending::new(dice));
    let ends_late = dialect.lines == Lines::Single;
    let mut stream = Stream { ends_late, ..Stream::default() };
    let mut late: Vec<Bit> = Vec::new();
    let mut all = Vec::new();
    for (call, wish) in wishes.iter().enumerate() {
        let is_last = call + 1 == wishes.len();
        let whole = wish.arguments();
        let flaw = if is_last && ending.cuts() && dice.percent(60) {
            Flaw::Stops(boundary(&whole, dice.between(0, whole.len() as u64 - 1)))
        } else {
            Flaw::new(dice, wish, &dialect, is_last)
        };
        let style = dialect.style(dice);
        let writing = Writing { call, wish, flaw: &flaw, style, dialect: &dialect };
        let (bits, later) = writing.bits(dice);
        stream.calls.push(writing.written());
        let mut bits = bits.into_iter();
        if !late.is_empty() {
            let between = dice.between(1, bits.len() as u64) as usize;
            all.extend(bits.by_ref().take(between));
            all.append(&mut late);
        }
        all.extend(bits);
        late = later;
    }
    let mut writer = Writer { stream, dialect, ending };
    writer.begin(dice);
    writer.chunks(dice, all);
    writer.end(dice);
    writer.stream
}

struct Writer {
    stream: Stream,
    dialect: Dialect,
    ending: Ending,
}

/// A chunk, as JSON, and what it says.
type Chunk = (String, Vec<Note>);

impl Writer {
    fn begin(&mut self, dice: &mut Dice) {
        if dice.percent(20) {
            self.line(": PROCESSING");
        }
        if dice.percent(20) {
            self.event(None, &[(r#"{"choices":[],"prompt_filter_results":[]}"#.into(), vec![])]);
        }
        if dice.percent(50) {
            let delta = r#""role":"assistant","content":"""#;
            let chunk = self.chunk(dice, delta, Vec::new(), None);
            self.event(None, &[chunk]);
        }
    }

    /// The chunks of the calls' pieces. Sometimes the last one ends the reply.
    fn chunks(&mut self, dice: &mut Dice, bits: Vec<Bit>) {
        let mut bits = bits.into_iter().peekable();
        let mut ready: Vec<Chunk> = Vec::new();
        while let Some(bit) = bits.next() {
            let mut group = vec![bit];
            while !self.dialect.legacy
                && dice.percent(self.dialect.crowded)
                && let Some(bit) = bits.next()
            {
                group.push(bit);
            }
            let (before, behind) = match self.dialect.legacy {
                true => (r#""function_call":"#, ""),
                false => (r#""tool_calls":["#, "]"),
            };
            let (mut delta, mut notes) = (before.to_owned(), Vec::new());
            for (place, bit) in group.into_iter().enumerate() {
                delta.push_str(if place > 0 { "," } else { "" });
                let before = delta.len();
                let told = |note: Note| Note { behind: note.behind + before, ..note };
                notes.extend(bit.notes.into_iter().map(told));
                delta.push_str(&bit.json);
            }
            delta.push_str(behind);
            let is_last = bits.peek().is_none();
            let finish = match self.dialect.finishes_always {
                true => Some("tool_calls"),
                false => self.ending.finish.filter(|_| is_last && dice.percent(15)),
            };
            ready.push(self.chunk(dice, &delta, notes, finish));
            if is_last || !dice.percent(4) {
                self.event(None, &std::mem::take(&mut ready)); // Else they share a line.
            }
            if dice.percent(self.dialect.chatty) {
                self.chat(dice);
            }
        }
    }

    /// Something that is no call.
    fn chat(&mut self, dice: &mut Dice) {
        let deltas = [
            r#""content":"so far } \"so\" good""#,
            r#""content":null"#,
            r#""reasoning_content":"hm, {""#,
            r#""reasoning":"hm""#,
            r#""content":[{"type":"text","text":"é"}]"#,
            r#""tool_calls":[]"#,
        ];
        match dice.between(0, 9) {
            place @ 0..=5 => {
                let chunk = self.chunk(dice, deltas[place as usize], Vec::new(), None);
                self.event(None, &[chunk]);
            }
            6 => self.line(": keep-alive"),
            7 => self.event(
                None,
                &[(r#"{"choices":[{"index":0,"finish_reason":null}]}"#.into(), vec![])],
            ),
            _ => self.event(None, &[(r#"{"choices":[{"index":0}],"usage":{}}"#.into(), vec![])]),
        }
    }

    fn end(&mut self, dice: &mut Dice) {
        let Ending { finish, error, done, .. } = self.ending;
        if error {
            self.error(dice);
        }
        for _ in 0..if dice.percent(8) { 2 } else { 1 } {
            if finish.is_some() {
                let (json, mut notes) = self.chunk(dice, "", Vec::new(), finish);
                notes.push(Note { behind: json.len(), news: News::Closes });
                self.event(None, &[(json, notes)]);
            }
        }
        // Tokens are counted of what has come to its end.
        if (finish.is_some() || done) && dice.percent(40) {
            let usage = r#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":7}}"#;
            let note = Note { behind: usage.len(), news: News::Closes };
            self.event(None, &[(usage.into(), vec![note])]);
        }
        if done {
            let note = Note { behind: "[DONE]".len(), news: News::Done };
            self.event(None, &[("[DONE]".into(), vec![note])]);
            if dice.percent(10) {
                let call = r#"{"index":99,"id":"x","function":{"name":"pay","arguments":"{}"}}"#;
                let delta = format!(r#""tool_calls":[{call}]"#);
                let chunk = self.chunk(dice, &delta, Vec::new(), None);
                self.event(None, &[chunk]);
            }
        }
    }

    fn error(&mut self, dice: &mut Dice) {
        let (name, json) = match dice.between(0, 3) {
            0 => (None, r#"{"error":{"message":"overloaded","code":502}}"#),
            1 => (Some("error"), r#"{"error":{"message":"overloaded"},"status_code":500}"#),
            2 => (None, r#"{"id":"r","error":{"message":"lost","code":502},"choices":[]}"#),
            _ => (
                None,
                r#"{"choices":[{"index":0,"delta":{},"finish_reason":"error","error":{"message":"x"}}]}"#,
            ),
        };
        let note = Note { behind: json.len(), news: News::Error };
        self.event(name, &[(json.to_owned(), vec![note])]);
    }

    /// A chunk with the fields `delta`, whose notes count from its beginning.
    fn chunk(
        &self,
        dice: &mut Dice,
        delta: &str,
        mut notes: Vec<Note>,
        finish: Option<&'static str>,
    ) -> Chunk {
        let native = self.ending.native.filter(|_| finish.is_some());
        let nothing = if dice.percent(80) { "null" } else { "\"\"" };
        let word = finish.map_or(nothing.to_owned(), |word| json!(word).to_string());
        let mut reason = format!(r#""finish_reason":{word}"#);
        if let Some(native) = native {
            reason.push_str(&format!(r#","native_finish_reason":"{native}""#));
        }
        let (before, behind) = match dice.between(0, 9) {
            0..=7 => (String::new(), format!(",{reason}")),
            _ => (format!("{reason},"), String::new()),
        };
        let field = if dice.percent(4) { "message" } else { "delta" };
        let head = format!(r#"{{"id":"r","model":"m","choices":[{{"index":0,{before}"{field}":{{"#);
        for note in &mut notes {
            note.behind += head.len();
        }
        let json = format!("{head}{delta}}}{behind}}}]}}");
        for note in notes.iter_mut().filter(|note| matches!(note.news, News::GoesOn(_))) {
            note.behind = json.len(); // A part of it says nothing.
        }
        let ends = [finish.map(News::Finish), native.map(|_| News::NativeLength)];
        notes.extend(ends.into_iter().flatten().map(|news| Note { behind: json.len(), news }));
        (json, notes)
    }

    fn line(&mut self, text: &str) {
        self.stream.bytes.extend_from_slice(text.as_bytes());
        self.end_event();
        if self.stream.ends_late {
            self.stream.events.pop(); // It shows the end of no event.
        }
    }

    /// An event of these chunks in one line.
    fn event(&mut self, name: Option<&str>, chunks: &[Chunk]) {
        if let Some(name) = name {
            self.stream.bytes.extend_from_slice(format!("event: {name}").as_bytes());
            self.stream.bytes.extend_from_slice(self.line_end().as_bytes());
        }
        self.stream.bytes.extend_from_slice(b"data: ");
        for (json, notes) in chunks {
            let before = self.stream.bytes.len();
            let behind = |note: &Note| Note { behind: note.behind + before, ..*note };
            self.stream.notes.extend(notes.iter().map(behind));
            self.stream.bytes.extend_from_slice(json.as_bytes());
        }
        self.end_event();
    }

    fn line_end(&self) -> &'static str {
        match self.dialect.lines {
            Lines::Lf | Lines::Single => "\n",
            Lines::CrLf => "\r\n",
            Lines::Cr => "\r",
        }
    }

    fn end_event(&mut self) {
        let times = if self.dialect.lines == Lines::Single { 1 } else { 2 };
        for _ in 0..times {
            self.stream.bytes.extend_from_slice(self.line_end().as_bytes());
        }
        self.stream.events.push(self.stream.bytes.len());
    }
}
