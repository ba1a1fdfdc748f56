//! A streamed reply, read piece by piece.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use reqwest::Response;
use tokio::time::{Instant, timeout, timeout_at};

use super::decoding::Decoding;
use super::exchange::{Exchange, Sending};
use super::{Error, Event, Events, Stage};

/// How long a rest of a reply may take to arrive once it is complete, before its connection is
/// given up.
const TAIL_TIME_LIMIT: Duration = Duration::from_secs(1);

/// How often other tasks have their turn before the end of a reply counts as late.
const TAIL_TURNS: usize = 2;

/// A streamed reply. A server that does not stream although it was asked to is read all the same.
pub(super) fn streamed(exchange: Arc<Exchange>, sending: Sending) -> Events {
    let begin = async move {
        let deadline = Instant::now() + exchange.time_limits.first_token;
        let response = exchange.send(sending, deadline).await?;
        let reading = Reading {
            decoder: Some(Decoding::new(exchange.dialect)),
            exchange,
            response: Some(response),
            said: Vec::new(),
            ready: VecDeque::new(),
            deadline,
            pieces: 0,
        };
        Ok(stream::unfold(reading, Reading::next))
    };
    stream::once(begin)
        .flat_map(|begun| match begun {
            Ok(events) => events.left_stream(),
            Err(error) => stream::iter([Err(error)]).right_stream(),
        })
        .boxed_local()
}

/// A streamed reply that is being read.
struct Reading {
    exchange: Arc<Exchange>,
    response: Option<Response>,
    decoder: Option<Decoding>,
    /// Room for what one piece says.
    said: Vec<Event>,
    ready: VecDeque<Result<Event, Error>>,
    deadline: Instant,
    /// How many pieces of the reply had come when the deadline was last moved.
    pieces: u64,
}

impl Reading {
    async fn next(mut self) -> Option<(Result<Event, Error>, Self)> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some((event, self));
            }
            self.decoder.as_ref()?;
            if let Err(error) = self.read().await {
                self.decoder = None;
                self.response = None;
                self.ready.push_back(Err(error));
            }
        }
    }

    /// Reads one piece, and the end if there is one.
    async fn read(&mut self) -> Result<(), Error> {
        let exchange = &self.exchange;
        let (Some(response), Some(decoder)) = (&mut self.response, &mut self.decoder) else {
            return Ok(());
        };
        let stage = if self.pieces > 0 { Stage::Silence } else { Stage::FirstToken };
        let (piece, broken) = match timeout_at(self.deadline, response.chunk()).await {
            Ok(Ok(piece)) => (piece, None),
            Ok(Err(error)) => (None, Some(exchange.cut(&error))),
            Err(_) => (None, Some(exchange.late(stage))),
        };
        let ended = piece.is_none();
        if let Some(piece) = piece {
            let fed = decoder.feed(&piece, &mut self.said);
            self.ready.extend(self.said.drain(..).map(Ok));
            fed.map_err(|error| exchange.wire_error(error))?;
        }
        if decoder.pieces() > self.pieces {
            // Comments that keep a connection alive are no progress.
            self.deadline = Instant::now() + exchange.time_limits.silence;
            self.pieces = decoder.pieces();
        }
        if ended || decoder.done() {
            if let Some(response) = self.response.take().filter(|_| !ended) {
                keep_alive(response).await;
            }
            if let Some(decoder) = self.decoder.take() {
                let reply = decoder.finish(&mut self.said);
                self.ready.extend(self.said.drain(..).map(Ok));
                let reply = match (reply, broken) {
                    // Some servers give a finish reason with every chunk: a call may lack its tail.
                    (Ok(reply), Some(broken)) if !reply.calls.is_empty() => Err(broken),
                    // A text that gave its finish reason stands, however its connection ended.
                    (Ok(reply), _) => Ok(reply),
                    (Err(_), Some(broken)) => Err(broken),
                    (Err(error), None) => Err(self.exchange.wire_error(error)),
                };
                self.ready.push_back(Ok(Event::Reply(Box::new(reply?))));
            }
        }
        Ok(())
    }
}

/// Reads what is left of a complete reply (mostly nothing but its end), so that its connection can
/// be used again. The end has mostly arrived, but the connection's task must have its turn to see
/// it: without that a request that follows at once would open a connection of its own. The reply
/// does not wait for more.
async fn keep_alive(mut response: Response) {
    use futures_util::FutureExt;
    for _ in 0..TAIL_TURNS {
        let ended = matches!(response.chunk().now_or_never(), Some(Ok(None) | Err(_)));
        tokio::task::yield_now().await;
        if ended {
            return;
        }
    }
    tokio::task::spawn(async move {
        let rest = async { while let Ok(Some(_)) = response.chunk().await {} };
        drop(timeout(TAIL_TIME_LIMIT, rest).await);
    });
}
