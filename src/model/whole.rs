//! A reply that comes whole, from a server that does not stream, asked to or not.

use reqwest::Response;

use super::Event;
use super::decoding::meant;
use super::error::Error;
use super::exchange::Exchange;
use crate::wire::{self, MAX_REPLY_BYTES, chat};

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

/// What the body says: a reply, or an error and what it cost.
pub(super) fn said(
    body: &[u8],
    exchange: &Exchange,
) -> impl Iterator<Item = Result<Event, Error>> + use<> {
    let reply = chat::decode_reply(body).map_err(|error| exchange.wire_error(error));
    let counted = if reply.is_err() { chat::usage_in(body) } else { None };
    let reply = reply.map(|reply| Event::Reply(Box::new(meant(reply, &exchange.dialect))));
    counted.map(|usage| Ok(Event::Counted(usage))).into_iter().chain([reply])
}
