//! A connection as the HTTP library sees it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::answer::StatusReader;
use super::check::Failure;
use super::connection::Connection;

/// Lets one request pass, and the answer to it. What comes before a status is looked at here: what is not HTTP ends it at
/// once, and so do interim answers (1xx) without an end. Such an end is a [`Failure`] in an [`io::Error`].
#[derive(Debug)]
pub(super) struct Wire<'a> {
    connection: &'a mut Connection,
    /// Until the status is known.
    status: Option<StatusReader>,
    /// Something of the request was sent; before that nothing is read, because the library would take an answer that
    /// comes early for a mistake.
    asked: bool,
    /// Waits for that.
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

    /// Looks at the next bytes; none are the end.
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
        // A worker that answers and closes before it has read all is still heard.
        Poll::Ready(Ok(written.unwrap_or(bytes.len())))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Nothing is said before the connection is closed: an end that is sent before would let it rest in TIME_WAIT.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
