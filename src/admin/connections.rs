//! The open connections: what each is doing, and which is closed first if there are too many.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::yield_now;

use super::places::{Class, Client, Doing, Seen, leaver};
use crate::model::MetricsScope;

/// One connection, as seen by the others.
#[derive(Debug)]
pub(super) struct Connection {
    client: Client,
    class: Cell<Class>,
    /// Wakes the connection when its place is needed.
    pub(super) close: Notify,
    /// It was told to close.
    pub(super) closing: Cell<bool>,
    /// An answer is being written and the client does not read it. Otherwise the server waits for the client to send a
    /// request head, or the rest of one.
    pub(super) writing: Cell<bool>,
    /// The metrics that are being gathered for it. A look at the workers counts as those of the runtime.
    pub(super) scraping: Cell<Option<MetricsScope>>,
    /// Bytes of the last page that it was given: of metrics, or of the workers.
    pub(super) metrics_bytes: Cell<usize>,
    pub(super) look_bytes: Cell<usize>,
}

impl Connection {
    fn seen(&self) -> Seen {
        let doing = match (self.scraping.get(), self.writing.get()) {
            (Some(_), _) => Doing::Working,
            (None, true) => Doing::Writing,
            (None, false) => Doing::Waiting,
        };
        Seen {
            class: self.class.get(),
            client: self.client,
            doing,
            closing: self.closing.get(),
        }
    }

    /// Whether the runtime waits for its client; otherwise it has something to do for it.
    pub(super) fn is_waiting(&self) -> bool {
        self.seen().doing == Doing::Waiting
    }

    /// Whether it may hold a page of many megabytes: one that is being made, or one that its client does not read.
    fn has_page(&self) -> bool {
        let unread = self.writing.get() && self.metrics_bytes.get() > 0;
        unread || self.scraping.get() == Some(MetricsScope::All)
    }

    /// Bytes of a page that its client has not read yet.
    fn unread(&self) -> usize {
        if self.writing.get() {
            self.metrics_bytes.get() + self.look_bytes.get()
        } else {
            0
        }
    }
}

/// All open connections, the oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Connections(Rc<RefCell<VecDeque<Rc<Connection>>>>);

impl Connections {
    /// Adds a connection of which nothing is known but its client.
    pub(super) fn add(&self, client: IpAddr) -> Rc<Connection> {
        let connection = Rc::new(Connection {
            client: Client::from(client),
            class: Cell::new(Class::Unknown),
            close: Notify::new(),
            closing: Cell::default(),
            writing: Cell::default(),
            scraping: Cell::default(),
            metrics_bytes: Cell::default(),
            look_bytes: Cell::default(),
        });
        self.0.borrow_mut().push_back(Rc::clone(&connection));
        connection
    }

    pub(super) fn remove(&self, gone: &Rc<Connection>) {
        self.0
            .borrow_mut()
            .retain(|connection| !Rc::ptr_eq(connection, gone));
    }

    /// Gives `connection` one of `places` places of a class. If all are taken, another connection leaves first. Returns
    /// whether there is a place: not if the runtime works for all that have one.
    pub(super) async fn enter(&self, connection: &Connection, class: Class, places: usize) -> bool {
        loop {
            if connection.class.get() == class {
                return true;
            }
            if self.number_of(class) < places {
                connection.class.set(class);
                return true;
            }
            if !self.close_one(class) {
                return false;
            }
            // So that it can close now. If it has begun an answer instead, another one is asked.
            yield_now().await;
        }
    }

    /// Lets connections leave until a class has no more than this number.
    pub(super) async fn trim(&self, class: Class, places: usize) {
        while self.number_of(class) > places && self.close_one(class) {
            yield_now().await;
        }
    }

    /// How many connections there are.
    pub(super) fn len(&self) -> usize {
        self.0.borrow().len()
    }

    /// How many connections of this class there are, without those that are about to close.
    fn number_of(&self, class: Class) -> usize {
        let connections = self.0.borrow();
        let stays = |one: &&Rc<Connection>| {
            one.class.get() == class && !(one.closing.get() && one.is_waiting())
        };
        connections.iter().filter(stays).count()
    }

    /// Tells one connection of this class to close. False if none can.
    pub(super) fn close_one(&self, class: Class) -> bool {
        let connections = self.0.borrow();
        let seen: Vec<Seen> = connections.iter().map(|one| one.seen()).collect();
        let leaver = leaver(&seen, class).and_then(|index| connections.get(index));
        if let Some(connection) = leaver {
            connection.closing.set(true);
            connection.close.notify_one();
        }
        leaver.is_some()
    }

    /// How many connections may hold a page of metrics of many megabytes: of all, and of the client of this one.
    pub(super) fn pages(&self, of: &Connection) -> (usize, usize) {
        self.sum(of, |one| usize::from(one.has_page()))
    }

    /// Whether this one may be given a page of so many bytes beside those that were not read yet: those of all clients, and
    /// those of its own client.
    pub(super) fn fits(
        &self,
        of: &Connection,
        more: usize,
        (most, most_of_one): (usize, usize),
    ) -> bool {
        let (all, own) = self.sum(of, Connection::unread);
        let fits = |unread: usize, most: usize| unread == 0 || unread + more <= most;
        fits(all, most) && fits(own, most_of_one)
    }

    fn sum(&self, of: &Connection, count: impl Fn(&Connection) -> usize) -> (usize, usize) {
        let connections = self.0.borrow();
        connections.iter().fold((0, 0), |(all, own), one| {
            let count = count(one);
            let is_own = one.client == of.client;
            (all + count, own + if is_own { count } else { 0 })
        })
    }
}

/// A stream that tracks whether its client reads the answer.
#[derive(Debug)]
pub(super) struct TrackedStream {
    pub(super) stream: TcpStream,
    /// What was read from it before.
    pub(super) head: Vec<u8>,
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
        if !self.head.is_empty() {
            let count = self.head.len().min(buffer.remaining());
            let rest = self.head.split_off(count);
            buffer.put_slice(&self.head);
            self.head = rest;
            return Poll::Ready(Ok(()));
        }
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
