//! A poller for the threads that have no async runtime, and a way to wake them (epoll(7), eventfd(2)).

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};

/// What a descriptor is watched for. Errors and hang-ups are always reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Data to read, as long as there is any.
    Readable,
    /// Something new to read, once each time it arrives.
    Arrival,
    /// Nothing but errors and hang-ups, once each time they come up.
    Hangup,
}

/// One report of [`Poller::wait`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    /// The token the descriptor was added with.
    pub token: u64,
    /// There is something to read (data, or the end).
    pub readable: bool,
    /// The other side is gone, or the descriptor is in error.
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

    /// Watches `fd` under `token`. The caller removes it before it closes the descriptor if any copy stays open:
    /// epoll watches open file descriptions, not numbers (epoll(7), "Questions and answers" 6).
    pub fn add(&self, fd: impl AsFd, token: u64, interest: Interest) -> nix::Result<()> {
        let flags = match interest {
            Interest::Readable => EpollFlags::EPOLLIN,
            Interest::Arrival => EpollFlags::EPOLLIN | EpollFlags::EPOLLET,
            Interest::Hangup => EpollFlags::EPOLLET,
        };
        self.epoll.add(fd, EpollEvent::new(flags, token))
    }

    /// Stops watching `fd`.
    pub fn remove(&self, fd: impl AsFd) -> nix::Result<()> {
        self.epoll.delete(fd)
    }

    /// Waits until something is ready or `timeout` is over (`None`: for ever), and puts what is ready into `ready`,
    /// in the order in which it became so.
    pub fn wait(&mut self, ready: &mut Vec<Ready>, timeout: Option<Duration>) -> nix::Result<()> {
        ready.clear();
        let timeout = match timeout {
            None => EpollTimeout::NONE,
            // Rounded up: a wait must not end before its deadline and spin.
            Some(wait) => EpollTimeout::try_from(wait.as_nanos().div_ceil(1_000_000))
                .unwrap_or(EpollTimeout::MAX),
        };
        let count = match self.epoll.wait(&mut self.events, timeout) {
            Ok(count) => count,
            Err(Errno::EINTR) => 0,
            Err(errno) => return Err(errno),
        };
        ready.extend(self.events.iter().take(count).map(|event| Ready {
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

/// Wakes a thread that waits in [`Poller::wait`]; cheap to clone, safe from any thread.
#[derive(Clone, Debug)]
pub struct Waker(Arc<EventFd>);

impl Waker {
    /// Makes one; the waiting side adds it to its poller.
    pub fn new() -> nix::Result<Self> {
        EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)
            .map(|fd| Self(Arc::new(fd)))
    }

    /// Makes the descriptor readable. A counter that is full is readable already, so the error means nothing.
    pub fn wake(&self) {
        let _ = self.0.write(1);
    }

    /// Takes the wake-ups back, before the work they announce is looked for. None there is no error.
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
            [Ready {
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
        // What arrived is still there, and nothing new.
        assert_eq!([told(), told()], [1, 0]);
        waker.wake();
        assert_eq!([told(), told()], [1, 0]);
    }
}
