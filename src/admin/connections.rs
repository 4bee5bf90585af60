//! The open connections: what each is doing, and which is closed first if there are too many.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::model::MetricsScope;

/// One connection, as seen by the others.
#[derive(Debug, Default)]
pub(super) struct Connection {
    /// Wakes the connection when its place is needed.
    pub(super) close: Notify,
    /// It was told to close.
    pub(super) closing: Cell<bool>,
    /// An answer is being written and the client does not read it. Otherwise the server waits for the client to send a
    /// request head, or the rest of one.
    pub(super) writing: Cell<bool>,
    /// The metrics that are being gathered for it.
    pub(super) scraping: Cell<Option<MetricsScope>>,
    /// Bytes of the last page of metrics that it was given.
    pub(super) page_bytes: Cell<usize>,
}

impl Connection {
    /// Whether the runtime has something to do for it; otherwise it waits for its client.
    pub(super) fn is_busy(&self) -> bool {
        self.writing.get() || self.scraping.get().is_some()
    }
}

/// All open connections, the oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Connections(Rc<RefCell<VecDeque<Rc<Connection>>>>);

impl Connections {
    pub(super) fn add(&self) -> Rc<Connection> {
        let connection = Rc::new(Connection::default());
        self.0.borrow_mut().push_back(Rc::clone(&connection));
        connection
    }

    pub(super) fn remove(&self, gone: &Rc<Connection>) {
        self.0
            .borrow_mut()
            .retain(|connection| !Rc::ptr_eq(connection, gone));
    }

    /// How many wait for metrics of workers, or do not read what they were sent: each may hold a page of many megabytes.
    pub(super) fn waiting_for_metrics(&self) -> usize {
        let connections = self.0.borrow();
        let waits = |connection: &&Rc<Connection>| {
            connection.scraping.get() == Some(MetricsScope::All) || connection.writing.get()
        };
        connections.iter().filter(waits).count()
    }

    /// Bytes of metrics that clients have not read yet.
    pub(super) fn unread(&self) -> usize {
        let connections = self.0.borrow();
        let unread = connections
            .iter()
            .filter(|connection| connection.writing.get());
        unread.map(|connection| connection.page_bytes.get()).sum()
    }

    /// Closes the oldest that waits for its client and is not being closed.
    pub(super) fn close_oldest(&self) {
        let connections = self.0.borrow();
        let oldest = connections
            .iter()
            .find(|connection| !connection.is_busy() && !connection.closing.get());
        if let Some(connection) = oldest {
            connection.closing.set(true);
            connection.close.notify_one();
        }
    }
}

/// A stream that tracks whether its client reads the answer.
#[derive(Debug)]
pub(super) struct TrackedStream {
    pub(super) stream: TcpStream,
    pub(super) connection: Rc<Connection>,
}

impl TrackedStream {
    fn track<T>(&self, outcome: Poll<T>) -> Poll<T> {
        self.connection.writing.set(outcome.is_pending());
        outcome
    }
}

impl AsyncRead for TrackedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for TrackedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.track(outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.track(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
