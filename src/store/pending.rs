//! An answer that may be there already.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;

/// An answer that may be there already: a store in memory costs its callers no waiting.
pub enum Pending<T> {
    /// It is there.
    Ready(Option<T>),
    /// It will come.
    Later(BoxFuture<'static, T>),
}

impl<T> Pending<T> {
    /// An answer that is there.
    pub fn ready(value: T) -> Self {
        Self::Ready(Some(value))
    }

    /// What `change` makes of it.
    pub(super) fn map<U>(self, change: impl FnOnce(T) -> U + Send + 'static) -> Pending<U>
    where
        T: 'static,
    {
        match self {
            Self::Ready(value) => Pending::Ready(value.map(change)),
            Self::Later(future) => Pending::Later(Box::pin(async move { change(future.await) })),
        }
    }
}

impl<T: Unpin> Future for Pending<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        match self.get_mut() {
            Self::Ready(value) => Poll::Ready(value.take().expect("polled after its answer")),
            Self::Later(future) => future.as_mut().poll(cx),
        }
    }
}
