//! The events of a session as a stream: what the journal keeps, then what happens, without a gap and
//! without a repetition.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::web::Bytes;
use futures_util::stream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::Server;
use super::problem::Problem;
use super::registry::InUse;
use super::streams::Permit;
use crate::conversation::{Event, Record};
use crate::session::{Heard, Session, Watch};
use crate::store::ReadLimit;

/// After so long without an event a comment is sent: whatever stands between would close the
/// connection, and a client that is gone is found out.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// So many events are kept in memory for a reader that is slow; after that it reads the journal.
const AHEAD: usize = 128;

/// What is read of the journal at a time.
const PART: ReadLimit = ReadLimit { records: 256, bytes: 1_000_000 };

/// How often the journal is looked at for what happens in a session that this process does not have: at
/// first, and as long as something does. Where nothing does, it is looked at less and less often, down to
/// once in a heartbeat.
const LOOK: Duration = Duration::from_secs(1);

/// A client that was cut off comes again after so long.
const RETRY: &str = "retry: 1000\n\n";

/// A session that is followed.
pub(super) struct Following {
    server: Server,
    used: InUse,
    watch: Watch,
    closing: watch::Receiver<bool>,
    /// The number of the last kept event that was told.
    told: u64,
    /// A part of the journal, to be told first.
    past: VecDeque<Arc<Record>>,
    /// The journal has to be read on, until nothing more is there.
    has_missed: bool,
    /// Also what another process does in the session is told.
    looks_elsewhere: bool,
    /// Another process may have the session, or may have had it since the journal was read.
    is_elsewhere: bool,
    look: Duration,
    next_look: Instant,
    quiet_since: Instant,
    /// The last kept event that was told ends a turn.
    has_ended: bool,
    _permit: Permit,
}

/// What comes next.
pub(super) enum Next {
    Event(Arc<Record>),
    /// The end of a turn that the journal has not, for it failed or has another owner.
    Unkept(Arc<Record>),
    /// Nothing has come for a while.
    Heartbeat,
    /// Nothing comes any more, and why.
    Closed(&'static str),
}

impl Following {
    /// Begins to listen. What is kept after `told` is told first, if it is said that it `has_past`.
    /// Whoever asks for no past is about to ask something here, and hears of what happens here alone.
    pub fn new(server: &Server, used: InUse, told: u64, has_past: bool) -> Result<Self, Problem> {
        // Before it listens: who is refused leaves nothing.
        let permit = server.0.streams.open(&server.tokens().owner_of(used.session.id().as_str()));
        let too_many = || Problem::overloaded("too many streams are open", 1);
        let permit = permit.ok_or_else(too_many)?;
        Ok(Self {
            watch: used.session.overhear(AHEAD),
            closing: server.0.closing.subscribe(),
            server: server.clone(),
            used,
            told,
            past: VecDeque::new(),
            has_missed: has_past,
            looks_elsewhere: has_past,
            is_elsewhere: false,
            look: LOOK,
            next_look: Instant::now() + LOOK,
            quiet_since: Instant::now(),
            has_ended: false,
            _permit: permit,
        })
    }

    /// Tells also what another process does in the session.
    pub fn also_elsewhere(self) -> Self {
        Self { looks_elsewhere: true, ..self }
    }

    pub fn session(&self) -> &Session {
        &self.used.session
    }

    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Tells an event again, that it has just told.
    pub fn put_back(&mut self, record: Arc<Record>) {
        self.past.push_front(record);
    }

    /// What comes next. A future that is dropped loses nothing.
    pub async fn next(&mut self) -> Next {
        loop {
            if let Some(record) = self.past.pop_front() {
                self.told = record.seq;
                return self.tell(record);
            }
            if self.has_missed {
                let id = self.used.session.id();
                let read = self.server.0.store.read_some(id, self.told, PART).await;
                match read.map_err(Problem::from) {
                    Ok(records) => {
                        self.has_missed = !records.is_empty();
                        if self.has_missed {
                            (self.look, self.next_look) = (LOOK, Instant::now() + LOOK);
                        }
                        self.past = records.into_iter().map(Arc::new).collect();
                    }
                    Err(_) => return Next::Closed("store_failed"),
                }
                continue;
            }
            let is_held = self.used.session.is_held();
            if is_held && self.is_elsewhere {
                (self.is_elsewhere, self.has_missed) = (false, true);
                continue; // Nobody else adds anything from now on.
            }
            self.is_elsewhere = self.looks_elsewhere && !is_held;
            let heartbeat = self.quiet_since + HEARTBEAT;
            let heard = tokio::select! {
                biased;
                heard = self.watch.next() => heard,
                () = sleep_until(self.next_look), if self.is_elsewhere => {
                    self.look = (self.look + LOOK).min(HEARTBEAT);
                    self.next_look = Instant::now() + self.look;
                    self.has_missed = true;
                    continue;
                }
                _ = self.closing.wait_for(|is_closing| *is_closing) => {
                    return Next::Closed("shutting_down");
                }
                () = sleep_until(heartbeat) => {
                    self.quiet_since = Instant::now();
                    return Next::Heartbeat;
                }
            };
            match heard {
                // What happened elsewhere comes before it. The journal has both.
                Some(Heard::Event(record)) if self.is_elsewhere && self.is_ahead(&record) => {
                    self.has_missed = true;
                }
                Some(Heard::Event(record)) if self.is_new(&record) => return self.tell(record),
                // The next server goes on with a turn that was left.
                Some(Heard::Event(record))
                    if self.is_unkept(&record) && self.server.is_closing() =>
                {
                    return Next::Closed("shutting_down");
                }
                Some(Heard::Event(record)) if self.is_unkept(&record) => {
                    self.has_ended = true;
                    self.quiet_since = Instant::now();
                    return Next::Unkept(record);
                }
                Some(Heard::Event(_)) => {}
                Some(Heard::Missed) => self.has_missed = true,
                None => return Next::Closed("ended"),
            }
        }
    }

    /// Says whether kept events between the last one that was told and it were not.
    fn is_ahead(&self, record: &Record) -> bool {
        record.event.is_durable() && record.seq > self.told + 1
    }

    /// Says whether the journal has not told it yet.
    fn is_new(&mut self, record: &Record) -> bool {
        if !record.event.is_durable() {
            return record.seq >= self.told;
        }
        let is_new = record.seq > self.told;
        self.told = self.told.max(record.seq);
        is_new
    }

    /// An end that is not kept comes under the number of the last event that is.
    fn is_unkept(&self, record: &Record) -> bool {
        let is_end = matches!(record.event, Event::TurnEnded { .. });
        is_end && record.seq == self.told && !self.has_ended
    }

    fn tell(&mut self, record: Arc<Record>) -> Next {
        if record.event.is_durable() {
            self.has_ended = matches!(record.event, Event::TurnEnded { .. });
        }
        self.quiet_since = Instant::now();
        Next::Event(record)
    }
}

/// An event as it is sent. What is kept has a number that a client can come back with.
pub(super) fn written(record: &Record) -> Bytes {
    write(record, record.event.is_durable())
}

/// The same of an event that is not kept, though others of its kind are.
pub(super) fn written_unkept(record: &Record) -> Bytes {
    write(record, false)
}

fn write(record: &Record, is_kept: bool) -> Bytes {
    let mut text = Vec::with_capacity(256);
    let kind = record.event.kind();
    if is_kept {
        text.extend_from_slice(format!("id: {}\n", record.seq).as_bytes());
    }
    text.extend_from_slice(b"event: ");
    // Of an event that is not known here.
    text.extend(kind.bytes().filter(|byte| byte.is_ascii_graphic()));
    text.extend_from_slice(b"\ndata: ");
    // One line: JSON has no line's end in it.
    if serde_json::to_writer(&mut text, record).is_err() {
        tracing::error!(session = %record.session, seq = record.seq, "an event is no JSON");
    }
    text.extend_from_slice(b"\n\n");
    text.into()
}

/// Another event, that is none of the session's own.
pub(super) fn word(name: &str, data: &str) -> Bytes {
    format!("event: {name}\ndata: {data}\n\n").into()
}

/// A session's events for as long as the client stays.
pub(super) fn respond(following: Following) -> HttpResponse {
    let rest = stream::unfold(Some(following), |following| async {
        let mut following = following?;
        let (bytes, rest) = match following.next().await {
            Next::Event(record) => (written(&record), Some(following)),
            Next::Unkept(record) => (written_unkept(&record), Some(following)),
            Next::Heartbeat => (Bytes::from_static(b": \n\n"), Some(following)),
            Next::Closed(reason) => (closed(reason), None),
        };
        Some((Ok::<_, std::convert::Infallible>(bytes), rest))
    });
    stream_of(rest)
}

pub(super) fn closed(reason: &str) -> Bytes {
    word("closed", &format!("{{\"reason\":\"{reason}\"}}"))
}

/// A response that sends `events` as they come.
pub(super) fn stream_of(
    events: impl futures_util::Stream<Item = Result<Bytes, std::convert::Infallible>> + 'static,
) -> HttpResponse {
    use futures_util::StreamExt;
    let first = stream::iter([Ok(Bytes::from_static(RETRY.as_bytes()))]);
    HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header(("x-accel-buffering", "no"))
        .streaming(first.chain(events))
}

/// Says whether an event ends `turn`.
pub(super) fn ends(event: &Event, number: u64) -> bool {
    matches!(event, Event::TurnEnded { turn, .. } if *turn == number)
}
