//! Who has a place, since when, and who has to leave first.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::negotiation::Scope;

/// One connection, as the others see it.
#[derive(Debug, Default)]
pub(super) struct Guest {
    /// Its place is needed.
    pub(super) leave: Notify,
    /// It was told so.
    pub(super) asked: Cell<bool>,
    /// An answer is under way and its client does not take it yet; otherwise it is the client's turn: to send a request
    /// head, or the rest of one.
    pub(super) writes: Cell<bool>,
    /// Metrics are being made for it: these.
    pub(super) making: Cell<Option<Scope>>,
    /// Bytes of the metrics that were made for it last.
    pub(super) made: Cell<usize>,
}

impl Guest {
    /// It is not its client's turn.
    pub(super) fn busy(&self) -> bool {
        self.writes.get() || self.making.get().is_some()
    }
}

/// All of them, the oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Guests(Rc<RefCell<VecDeque<Rc<Guest>>>>);

impl Guests {
    pub(super) fn welcome(&self) -> Rc<Guest> {
        let guest = Rc::new(Guest::default());
        self.0.borrow_mut().push_back(Rc::clone(&guest));
        guest
    }

    pub(super) fn farewell(&self, gone: &Rc<Guest>) {
        self.0.borrow_mut().retain(|guest| !Rc::ptr_eq(guest, gone));
    }

    /// Those for whom workers are being asked, and those who do not take what they were answered: each may hold a page of
    /// many megabytes.
    pub(super) fn waiting(&self) -> usize {
        let guests = self.0.borrow();
        let waits =
            |guest: &&Rc<Guest>| guest.making.get() == Some(Scope::All) || guest.writes.get();
        guests.iter().filter(waits).count()
    }

    /// Bytes of metrics that their clients do not take yet.
    pub(super) fn unread(&self) -> usize {
        let guests = self.0.borrow();
        let unread = guests.iter().filter(|guest| guest.writes.get());
        unread.map(|guest| guest.made.get()).sum()
    }

    /// Of those whose turn it is and who were not asked yet.
    pub(super) fn ask_oldest_to_leave(&self) {
        let guests = self.0.borrow();
        let oldest = guests
            .iter()
            .find(|guest| !guest.busy() && !guest.asked.get());
        if let Some(guest) = oldest {
            guest.asked.set(true);
            guest.leave.notify_one();
        }
    }
}

/// A stream that notes whether its client keeps an answer waiting.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) stream: TcpStream,
    pub(super) guest: Rc<Guest>,
}

impl Watched {
    fn note<T>(&self, outcome: Poll<T>) -> Poll<T> {
        self.guest.writes.set(outcome.is_pending());
        outcome
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.note(outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.note(outcome)
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
