//! A poller for threads without an async runtime, and a way to wake them (epoll(7), eventfd(2)).

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};

/// What a descriptor is watched for. Errors and hang-ups are always reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Data to read; reported while there is any (level-triggered).
    Readable,
    /// Room to write (level-triggered).
    Writable,
    /// Both (level-triggered).
    Both,
    /// New data to read; reported once for each arrival (edge-triggered).
    Arrival,
    /// Only errors and hang-ups; each is reported once (edge-triggered).
    Hangup,
}

fn flags(interest: Interest) -> EpollFlags {
    match interest {
        Interest::Readable => EpollFlags::EPOLLIN,
        Interest::Writable => EpollFlags::EPOLLOUT,
        Interest::Both => EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT,
        Interest::Arrival => EpollFlags::EPOLLIN | EpollFlags::EPOLLET,
        Interest::Hangup => EpollFlags::EPOLLET,
    }
}

/// One report of [`Poller::wait`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadyFd {
    /// The token from [`Poller::add`].
    pub token: u64,
    /// Data or the end of the stream can be read.
    pub readable: bool,
    /// The peer closed, or the descriptor has an error.
    pub hangup: bool,
}

/// An epoll instance, close-on-exec.
#[derive(Debug)]
pub struct Poller {
    epoll: Epoll,
    events: Vec<EpollEvent>,
}

impl Poller {
    /// Fails with EMFILE, ENFILE or ENOMEM (epoll_create(2)).
    pub fn new() -> nix::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        Ok(Self {
            epoll,
            events: vec![EpollEvent::empty(); 64],
        })
    }

    /// Watches `fd` under `token`. If a copy of the descriptor stays open, the caller must call [`Poller::remove`]
    /// before it closes `fd`: epoll watches open file descriptions, not descriptor numbers (epoll(7), "Questions and
    /// answers" 6).
    pub fn add(&self, fd: impl AsFd, token: u64, interest: Interest) -> nix::Result<()> {
        self.epoll.add(fd, EpollEvent::new(flags(interest), token))
    }

    /// Watches a descriptor that was added before for something else.
    pub fn change(&self, fd: impl AsFd, token: u64, interest: Interest) -> nix::Result<()> {
        let mut event = EpollEvent::new(flags(interest), token);
        self.epoll.modify(fd, &mut event)
    }

    /// Stops watching `fd`.
    pub fn remove(&self, fd: impl AsFd) -> nix::Result<()> {
        self.epoll.delete(fd)
    }

    /// Waits until a descriptor is ready or `timeout` has passed (`None`: no timeout). Fills `ready` in the order in
    /// which the descriptors became ready.
    pub fn wait(&mut self, ready: &mut Vec<ReadyFd>, timeout: Option<Duration>) -> nix::Result<()> {
        ready.clear();
        let timeout = match timeout {
            None => EpollTimeout::NONE,
            // Rounded up, because a wait that ends before its deadline would make the caller spin.
            Some(wait) => EpollTimeout::try_from(wait.as_nanos().div_ceil(1_000_000))
                .unwrap_or(EpollTimeout::MAX),
        };
        let count = match self.epoll.wait(&mut self.events, timeout) {
            Ok(count) => count,
            Err(Errno::EINTR) => 0,
            Err(errno) => return Err(errno),
        };
        ready.extend(self.events.iter().take(count).map(|event| ReadyFd {
            token: event.data(),
            readable: event.events().intersects(EpollFlags::EPOLLIN),
            hangup:
                event.events().intersects(
                    EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR | EpollFlags::EPOLLRDHUP,
                ),
        }));
        Ok(())
    }
}

/// So that another poller can wait for this one: it is readable while a descriptor is ready.
impl AsFd for Poller {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }
}

/// Wakes a thread that waits in [`Poller::wait`]; cheap to clone, safe from any thread.
#[derive(Clone, Debug)]
pub struct Waker(Arc<EventFd>);

impl Waker {
    /// Creates a waker. The waiting thread adds it to its poller.
    pub fn new() -> nix::Result<Self> {
        EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)
            .map(|fd| Self(Arc::new(fd)))
    }

    /// Whether both wake the same thread.
    pub fn wakes_the_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Makes the descriptor readable. It fails only if the counter is full; then the descriptor is readable already.
    pub fn wake(&self) {
        let _ = self.0.write(1);
    }

    /// Clears pending wake-ups. Call it before looking for the work that they announce. It is no error if there are
    /// none.
    pub fn clear(&self) {
        let _ = self.0.read();
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waker_ends_a_wait_and_is_taken_back() {
        let (mut poller, waker) = (Poller::new().unwrap(), Waker::new().unwrap());
        poller.add(&waker, 7, Interest::Readable).unwrap();
        let mut ready = Vec::new();
        poller.wait(&mut ready, Some(Duration::ZERO)).unwrap();
        assert!(ready.is_empty());
        waker.clone().wake();
        poller.wait(&mut ready, None).unwrap();
        assert_eq!(
            ready,
            [ReadyFd {
                token: 7,
                readable: true,
                hangup: false
            }]
        );
        waker.clear();
        poller.wait(&mut ready, Some(Duration::ZERO)).unwrap();
        assert!(ready.is_empty());
    }

    #[test]
    fn an_arrival_is_told_once() {
        let (mut poller, waker) = (Poller::new().unwrap(), Waker::new().unwrap());
        poller.add(&waker, 7, Interest::Arrival).unwrap();
        let mut told = || {
            let mut ready = Vec::new();
            poller.wait(&mut ready, Some(Duration::ZERO)).unwrap();
            ready.len()
        };
        assert_eq!(told(), 0);
        waker.wake();
        // The arrived data is still unread, but nothing new arrived.
        assert_eq!([told(), told()], [1, 0]);
        waker.wake();
        assert_eq!([told(), told()], [1, 0]);
    }
}
