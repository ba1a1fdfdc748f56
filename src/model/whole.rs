//! A reply that is read whole, from a server that is not asked to stream.

use reqwest::Response;

use super::Event;
use super::decoding::Decoding;
use super::error::Error;
use super::exchange::Exchange;
use crate::wire::{self, MAX_REPLY_BYTES};

/// The body of a reply, up to [`MAX_REPLY_BYTES`] of it.
pub(super) async fn body(mut response: Response, exchange: &Exchange) -> Result<Vec<u8>, Error> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|error| exchange.cut(&error))? {
        if body.len() + piece.len() > MAX_REPLY_BYTES {
            return Err(exchange.wire_error(wire::Error::ReplyTooLarge { limit: MAX_REPLY_BYTES }));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

/// What the body says: a reply, or an error and what it cost. Some servers stream although they were
/// not asked to; no call begins before the end of what is here already.
pub(super) fn said(body: &[u8], exchange: &Exchange) -> Vec<Result<Event, Error>> {
    let mut decoding = Decoding::new(exchange.dialect);
    let mut said = Vec::new();
    let read = decoding.feed(body, &mut said);
    let reply = read.and_then(|()| decoding.finish(&mut said));
    let reply = reply.map(|reply| Event::Reply(Box::new(reply)));
    let reply = reply.map_err(|error| exchange.wire_error(error));
    said.retain(|event| !event.is_of_call());
    said.into_iter().map(Ok).chain([reply]).collect()
}
