//! The connection as the HTTP library uses it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::checks::Failure;
use crate::checks::client::{Connection, StatusReader};

/// Passes one request and its answer. Checks the bytes before the final status itself: an answer that is not HTTP, or
/// endless interim answers (1xx), end it at once with a [`Failure`] inside an [`io::Error`].
#[derive(Debug)]
pub(super) struct Wire<'a> {
    connection: &'a mut Connection,
    /// Set until the final status is known.
    status: Option<StatusReader>,
    /// A part of the request was sent. Nothing is read before that, because the library would treat an early answer as
    /// an error.
    asked: bool,
    /// The reader that waits for that.
    reader: Option<Waker>,
}

impl<'a> Wire<'a> {
    pub fn new(connection: &'a mut Connection) -> Self {
        Self {
            connection,
            status: Some(StatusReader::new()),
            asked: false,
            reader: None,
        }
    }

    /// Checks the next bytes; no bytes mean the end.
    fn look(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let Some(reader) = &mut self.status else {
            return Ok(());
        };
        if bytes.is_empty() {
            return Err(Failure::Closed);
        }
        if let Some(outcome) = reader.feed(bytes) {
            self.status = None;
            outcome?;
        }
        Ok(())
    }
}

impl AsyncRead for Wire<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.asked {
            self.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let read = ready!(self.connection.stream().poll_read(cx, buf));
        if read.is_err() && self.status.is_some() {
            return Poll::Ready(Err(io::Error::other(Failure::Reset)));
        }
        read?;
        let new = buf.filled().get(before..).unwrap_or_default();
        Poll::Ready(self.look(new).map_err(io::Error::other))
    }
}

impl AsyncWrite for Wire<'_> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(self.connection.stream().poll_write(cx, bytes));
        self.asked = true;
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
        // A worker may answer and close before it has read the whole request, so ignore the error and read the answer.
        Poll::Ready(Ok(written.unwrap_or(bytes.len())))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Sends no end of stream before the connection is closed; otherwise the connection would enter TIME_WAIT.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
