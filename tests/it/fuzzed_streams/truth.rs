//! What the bytes of a stream really say, known because they were written so: the decoder has no
//! say in it.

use std::time::Duration;

/// Finish reasons of a filter, in the words of several providers.
pub const FILTERS: [&str; 4] = ["content_filter", "content_filter", "sensitive", "BLOCKLIST"];

/// Finish reasons of a failure.
pub const FAILURES: [&str; 4] = ["error", "error", "network_error", "insufficient_system_resource"];

/// What a piece of a stream tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// The call began.
    Opened(usize),
    /// All bytes of the call's arguments were sent.
    Complete(usize),
    /// More was sent for the call.
    GoesOn(usize),
    /// The reply ended for this reason.
    Finish(&'static str),
    /// It gave its reason, or counted its tokens, after the last piece of a call.
    Closes,
    /// It was too long, whatever the reason is.
    NativeLength,
    Done,
    Error,
}

/// News, and behind which byte it has been told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note {
    pub behind: usize,
    pub news: News,
}

/// When something was sent, after the request: with which piece, and when that came. What shows only
/// because nothing follows comes with no piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    pub piece: usize,
    pub at: Duration,
}

impl Moment {
    /// Says whether it came with a piece, and not with the end of all.
    pub fn has_piece(&self) -> bool {
        self.piece < usize::MAX
    }
}

/// How a reply ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Good,
    /// By a limit of its length: what is whole stands.
    TooLong,
    Filtered,
    /// With an error, or with nothing.
    Failed,
}

/// A way to read the arguments of a call.
#[derive(Clone, Debug)]
pub struct Reading {
    pub arguments: String,
    /// From then on; never if they were not sent.
    pub from: Option<Moment>,
    /// Until more came, and nobody can have missed it.
    pub until: Option<Moment>,
}

/// A call of a stream, as it was meant.
#[derive(Clone, Debug)]
pub struct CallTruth {
    pub tool: &'static str,
    pub readings: Vec<Reading>,
    /// When it was as certain as can be: the next call began, or the reply gave its finish reason.
    pub sealed: Option<Moment>,
    /// It may not begin before the end: nobody knows its place until a wrapper is complete.
    pub waits: bool,
    /// It is due to be asked for if the reply ends well.
    pub stands: bool,
}

/// What the bytes of a stream say.
#[derive(Clone, Debug)]
pub struct Truth {
    pub calls: Vec<CallTruth>,
    pub fate: Fate,
    /// When nobody can have missed any more that a filter cut it, or that it failed.
    pub failed: Option<Duration>,
    /// It said that there are no more pieces of calls.
    pub is_closed: bool,
    /// It said that there is no more, and nobody can have missed it.
    pub is_done: bool,
    pub ended: Moment,
    /// It did not break off in the middle of an event.
    pub is_sure: bool,
}

/// A call that was written.
#[derive(Clone, Debug)]
pub struct Written {
    pub tool: &'static str,
    /// One after another.
    pub readings: Vec<String>,
    pub is_whole: bool,
    /// Its arguments are written as nothing at all.
    pub is_nothing: bool,
    /// At the end of a reply that was cut nothing shows that it is whole.
    pub is_shy: bool,
    /// The calls within it, each a tool with its arguments.
    pub parts: Vec<(&'static str, String)>,
}

impl Truth {
    /// The same, where the connection is lost in place of the end.
    pub fn lost(mut self) -> Self {
        if !self.is_done {
            self.fate = Fate::Failed;
        }
        self
    }
}

/// A stream that was sent as far as it goes.
pub struct Playback<'a> {
    pub calls: &'a [Written],
    pub notes: &'a [Note],
    /// Where its events end.
    pub events: &'a [usize],
    /// An event's end shows only when the next has come.
    pub ends_late: bool,
    /// What was sent of it.
    pub length: usize,
    pub is_cut: bool,
    /// Where its pieces end, and when they came.
    pub pieces: &'a [(usize, Duration)],
}

impl Playback<'_> {
    /// When the first `length` bytes had been sent.
    fn moment(&self, length: usize) -> Moment {
        let piece = self.pieces.partition_point(|(end, _)| *end < length);
        let piece = piece.min(self.pieces.len().saturating_sub(1));
        Moment { piece, at: self.pieces.get(piece).map_or(Duration::ZERO, |(_, at)| *at) }
    }

    fn end(&self) -> Moment {
        let at = self.pieces.last().map_or(Duration::ZERO, |(_, at)| *at);
        Moment { piece: usize::MAX, at }
    }

    /// When nobody can have missed what is told in the first `length` bytes.
    fn seen(&self, length: usize) -> Moment {
        let event = self.events.partition_point(|end| *end < length);
        let shows = self.events.get(event + usize::from(self.ends_late));
        let shows = shows.filter(|end| **end <= self.length);
        shows.map_or(self.end(), |end| self.moment(*end))
    }

    /// From when on what happens does so behind the piece of `moment`, and not with one that came in
    /// the same instant before it.
    fn alone(&self, moment: Moment) -> Duration {
        let before = moment.piece.checked_sub(1).map(|piece| self.pieces[piece].1);
        let is_shared = before == Some(moment.at);
        moment.at + Duration::from_micros(is_shared.into())
    }

    /// What the bytes say.
    pub fn truth(&self) -> Truth {
        let ends = |note: &&Note| matches!(note.news, News::Done | News::Error);
        let sent = |note: &&Note| note.behind <= self.length;
        let over = self.notes.iter().filter(sent).find(ends);
        let last = over.map_or(self.length, |note| note.behind);
        let notes: Vec<Note> =
            self.notes.iter().copied().filter(|note| note.behind <= last).collect();
        let fate = fate(&notes);
        let is_closed = notes.iter().any(|note| matches!(note.news, News::Done | News::Closes));
        let opened: Vec<usize> = (0..self.calls.len())
            .filter(|call| notes.iter().any(|note| note.news == News::Opened(*call)))
            .collect();
        let is_cut = fate != Fate::Good || !is_closed;
        let fails = |note: &&Note| match note.news {
            News::Error => true,
            News::Finish(word) => FILTERS.contains(&word) || FAILURES.contains(&word),
            _ => false,
        };
        let failed = notes.iter().find(fails).map(|note| self.seen(note.behind));
        let failed = failed.filter(Moment::has_piece).map(|seen| self.alone(seen));
        let call = |call: &usize| self.call(*call, Some(call) == opened.last(), is_cut, &notes);
        Truth {
            calls: opened.iter().flat_map(call).collect(),
            fate,
            failed,
            is_closed,
            is_done: notes
                .iter()
                .any(|note| note.news == News::Done && self.seen(note.behind).has_piece()),
            ended: over.map_or(self.end(), |note| self.moment(note.behind)),
            is_sure: !self.is_cut || self.events.contains(&self.length),
        }
    }

    fn call(&self, call: usize, is_last: bool, is_cut: bool, notes: &[Note]) -> Vec<CallTruth> {
        let written = &self.calls[call];
        let find = |news| notes.iter().find(|note| note.news == news);
        let at = |note: &Note| self.moment(note.behind);
        let is_lost = is_last && is_cut && written.is_nothing;
        let complete = find(News::Complete(call)).filter(|_| !is_lost);
        let goes_on = find(News::GoesOn(call));
        let seals = |note: &&Note| {
            let ends = match note.news {
                News::Opened(other) => other > call,
                News::Finish(_) | News::Done => true,
                _ => false,
            };
            ends && complete.is_some_and(|complete| complete.behind <= note.behind)
        };
        let reading = |arguments: &String, from: Option<&Note>, until: Option<&Note>| Reading {
            arguments: arguments.clone(),
            from: from.map(at),
            until: until.map(|note| self.seen(note.behind)),
        };
        let mut readings = Vec::new();
        if let Some(first) = written.readings.first() {
            readings.push(reading(first, complete, goes_on));
        }
        if let (Some(then), Some(_)) = (written.readings.get(1), goes_on) {
            readings.push(reading(then, goes_on, None));
        }
        let is_behind_a_wrapper = self.calls[..call].iter().any(|call| !call.parts.is_empty());
        let whole = CallTruth {
            tool: written.tool,
            readings,
            sealed: notes.iter().find(seals).map(at),
            waits: is_behind_a_wrapper || !written.parts.is_empty(),
            stands: written.is_whole
                && complete.is_some()
                && !(is_last && self.is_cut)
                && !(is_cut && written.is_shy),
        };
        let is_one = complete.is_none() || goes_on.is_some() || (is_cut && written.is_shy);
        if written.parts.is_empty() || is_one {
            return vec![whole];
        }
        let part = |(tool, arguments): &(&'static str, String)| CallTruth {
            tool,
            readings: vec![reading(arguments, complete, None)],
            ..whole.clone()
        };
        written.parts.iter().map(part).collect()
    }
}

fn fate(notes: &[Note]) -> Fate {
    let mut finishes = notes.iter().filter_map(|note| match note.news {
        News::Finish(word) => Some(word),
        _ => None,
    });
    let has = |news| notes.iter().any(|note| note.news == news);
    match finishes.next_back() {
        _ if has(News::Error) => Fate::Failed,
        None if !has(News::Done) => Fate::Failed,
        Some(word) if FAILURES.contains(&word) => Fate::Failed,
        Some(word) if FILTERS.contains(&word) => Fate::Filtered,
        Some("length") => Fate::TooLong,
        _ if has(News::NativeLength) => Fate::TooLong,
        _ => Fate::Good,
    }
}
