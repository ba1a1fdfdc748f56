//! A response body: pieces with a time each, and an end that may be a broken connection.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

/// The connection ends here on purpose.
#[derive(Debug, thiserror::Error)]
#[error("cut on purpose")]
pub(super) struct Cut;

/// Sends its pieces when they are due. Dropping it ends all of it.
pub(super) struct Body {
    pieces: VecDeque<(Duration, Bytes)>,
    /// Announced as the content's length; a stream has none.
    length: Option<u64>,
    end: End,
    began: Instant,
    timer: Option<Pin<Box<Sleep>>>,
}

#[derive(Clone, Copy)]
enum End {
    Whole,
    /// The pieces sent so far must leave the buffer before the connection breaks.
    Flush,
    Cut,
}

impl Body {
    /// A body sent at once, its length announced.
    pub fn whole(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let length = Some(bytes.len() as u64);
        Self { length, ..Self::stream(vec![(Duration::ZERO, bytes)]) }
    }

    /// A body that comes in pieces, each with its time since now, in order of time.
    pub fn stream(pieces: Vec<(Duration, Bytes)>) -> Self {
        let pieces = pieces.into();
        Self { pieces, length: None, end: End::Whole, began: Instant::now(), timer: None }
    }

    /// Breaks the connection after the last piece.
    pub fn then_cut(mut self) -> Self {
        self.end = End::Flush;
        self
    }

    /// Loses the second half, then breaks the connection.
    pub fn cut_in_half(mut self) -> Self {
        for (_, bytes) in &mut self.pieces {
            bytes.truncate(bytes.len() / 2);
        }
        self.then_cut()
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if let Some((at, _)) = self.pieces.front() {
            let due = self.began + *at;
            if due > Instant::now() {
                let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
                ready!(timer.as_mut().poll(context));
            }
            self.timer = None;
            return Poll::Ready(self.pieces.pop_front().map(|(_, bytes)| Ok(Frame::data(bytes))));
        }
        match self.end {
            End::Whole => Poll::Ready(None),
            End::Flush => {
                self.end = End::Cut;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            End::Cut => Poll::Ready(Some(Err(Cut))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty() && matches!(self.end, End::Whole)
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
