//! Tells of each arrival at a listener, also of a connection that is accepted before anybody looks.
//!
//! epoll looks at a descriptor again before it reports it (`ep_send_events`), and says nothing if the connection has been
//! accepted meanwhile. A poll request of kernel AIO (IOCB_CMD_POLL, io_submit(2), Linux 4.19) is completed by the wake-up
//! itself (`aio_poll_wake`). A request holds its file open, and a listener must be closed when its owner closes it; so
//! the request is for an epoll instance that watches the listener (epoll(7): an epoll descriptor can be polled). The
//! instance is edge-triggered and emptied before each request, so that connections that wait already do not ring again.
#![expect(unsafe_code, reason = "no package wraps kernel AIO")]

use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr::{from_mut, null_mut};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};

/// `struct iocb` (linux/aio_abi.h).
#[derive(Debug, Default)]
#[repr(C)]
struct Request {
    data: u64,
    key: u32,
    rw_flags: u32,
    opcode: u16,
    priority: i16,
    fd: u32,
    buffer: u64,
    bytes: u64,
    offset: i64,
    reserved: u64,
    flags: u32,
    event_fd: u32,
}

/// `struct io_event` (linux/aio_abi.h).
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
struct Completion {
    data: u64,
    request: u64,
    result: i64,
    more: i64,
}

const IOCB_CMD_POLL: u16 = 5;
const IOCB_FLAG_RESFD: u32 = 1;

/// One listener.
#[derive(Debug)]
struct Bell {
    /// It watches the listener, until it is closed.
    epoll: Epoll,
    /// The kernel knows it by its address.
    request: Box<Request>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The next arrival rings.
    Armed,
    /// It has rung.
    Rung,
}

/// Bells at listeners, by token. A descriptor for each, and one for all that is readable when one has rung.
#[derive(Debug)]
pub struct Bells {
    context: usize,
    /// So many can be armed.
    most: usize,
    rung: EventFd,
    by_token: BTreeMap<u64, Bell>,
}

impl Bells {
    /// Fails where the kernel has no such requests, does not allow them here, or has no room (fs.aio-max-nr). At most `most`
    /// bells can be armed.
    pub fn new(most: usize) -> nix::Result<Self> {
        let rung = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        let mut context = 0_usize;
        // SAFETY: io_setup writes the context to the address, which is that of a live value.
        let result = unsafe { libc::syscall(libc::SYS_io_setup, most, from_mut(&mut context)) };
        Errno::result(result)?;
        let bells = Self {
            context,
            most,
            rung,
            by_token: BTreeMap::new(),
        };
        bells.probe()?;
        Ok(bells)
    }

    /// Whether poll requests work: kernels before 4.19 refuse them.
    fn probe(&self) -> nix::Result<()> {
        let pipe = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        let mut bell = self.bell(&pipe, u64::MAX)?;
        self.submit(&mut [from_mut(&mut *bell.request)])?;
        self.cancel(&mut bell);
        Ok(())
    }

    fn bell(&self, listener: impl AsFd, token: u64) -> nix::Result<Bell> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(
            listener,
            EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, token),
        )?;
        let number = |fd: BorrowedFd<'_>| fd.as_raw_fd().unsigned_abs();
        let request = Box::new(Request {
            data: token,
            opcode: IOCB_CMD_POLL,
            fd: number(epoll.0.as_fd()),
            buffer: u64::from(libc::POLLIN.unsigned_abs()),
            flags: IOCB_FLAG_RESFD,
            event_fd: number(self.rung.as_fd()),
            ..Request::default()
        });
        Ok(Bell {
            epoll,
            request,
            state: State::Rung,
        })
    }

    /// Whether so many can be armed.
    pub fn has_room_for(&self, count: usize) -> bool {
        count <= self.most
    }

    /// Hangs a bell at a listener, unless it has one. It is armed by [`Self::arm`].
    pub fn hang(&mut self, listener: impl AsFd, token: u64) -> nix::Result<()> {
        if self.by_token.contains_key(&token) {
            return Ok(());
        }
        let bell = self.bell(listener, token)?;
        self.by_token.insert(token, bell);
        Ok(())
    }

    /// Takes away the bells that are not to be kept. Call it after listeners were closed.
    pub fn retain(&mut self, keep: impl Fn(u64) -> bool) {
        let mut bells = std::mem::take(&mut self.by_token);
        bells.retain(|token, bell| {
            let keep = keep(*token);
            if !keep {
                self.cancel(bell);
            }
            keep
        });
        self.by_token = bells;
    }

    /// Whether the next arrival at this listener rings.
    pub fn is_armed(&self, token: u64) -> bool {
        self.by_token
            .get(&token)
            .is_some_and(|bell| bell.state == State::Armed)
    }

    /// Arms all bells that have rung: each rings at the next arrival.
    pub fn arm(&mut self) {
        let mut now = [EpollEvent::empty()];
        let rung = self.by_token.values_mut();
        let rung = rung.filter(|bell| bell.state == State::Rung);
        let (tokens, mut requests): (Vec<u64>, Vec<*mut Request>) = rung
            .map(|bell| {
                // What arrives from now on makes the instance ready again.
                let _ = bell.epoll.wait(&mut now, EpollTimeout::ZERO);
                bell.state = State::Armed;
                (bell.request.data, from_mut(&mut *bell.request))
            })
            .unzip();
        let mut done = 0;
        while let Some(rest) = requests.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.submit(rest) {
                Ok(count) if count > 0 => done += count,
                Ok(_) | Err(_) => break,
            }
        }
        // What is refused is tried again by the next call.
        for token in tokens.iter().skip(done) {
            if let Some(bell) = self.by_token.get_mut(token) {
                bell.state = State::Rung;
            }
        }
    }

    /// Calls `each` with the token of each bell that has rung.
    pub fn take(&mut self, mut each: impl FnMut(u64)) {
        let _ = self.rung.read();
        let mut done = [Completion::default(); 32];
        loop {
            // SAFETY: the array is live and has room for as many completions; without a timeout of its own (a zero timespec)
            // the call does not wait.
            let count = unsafe {
                let mut now = libc::timespec {
                    tv_sec: 0,
                    tv_nsec: 0,
                };
                libc::syscall(
                    libc::SYS_io_getevents,
                    self.context,
                    0_usize,
                    done.len(),
                    done.as_mut_ptr(),
                    from_mut(&mut now),
                )
            };
            let count = usize::try_from(count).unwrap_or(0);
            for completion in done.iter().take(count) {
                if let Some(bell) = self.by_token.get_mut(&completion.data) {
                    bell.state = State::Rung;
                    each(completion.data);
                }
            }
            if count < done.len() {
                return;
            }
        }
    }

    fn submit(&self, requests: &mut [*mut Request]) -> nix::Result<usize> {
        // SAFETY: each pointer is that of a live request; the kernel copies it, and writes its key.
        let result = unsafe {
            libc::syscall(
                libc::SYS_io_submit,
                self.context,
                requests.len(),
                requests.as_mut_ptr(),
            )
        };
        Errno::result(result).map(|count| usize::try_from(count).unwrap_or(0))
    }

    /// Takes an armed request back, so that it does not keep the epoll instance.
    fn cancel(&self, bell: &mut Bell) {
        let mut completion = Completion::default();
        // SAFETY: the kernel compares the address of the request and reads its key. Since Linux 3.11 it writes no completion
        // there, but to the ring.
        let _ = unsafe {
            libc::syscall(
                libc::SYS_io_cancel,
                self.context,
                from_mut(&mut *bell.request),
                from_mut(&mut completion),
            )
        };
    }
}

/// Readable when a bell has rung.
impl AsFd for Bells {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.rung.as_fd()
    }
}

impl Drop for Bells {
    fn drop(&mut self) {
        // SAFETY: nobody else uses the context. This takes back all requests and waits until they are gone.
        let _ = unsafe { libc::syscall(libc::SYS_io_destroy, self.context, null_mut::<u8>()) };
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    fn rung(bells: &mut Bells) -> Vec<u64> {
        let mut tokens = Vec::new();
        bells.take(|token| tokens.push(token));
        tokens
    }

    #[test]
    fn an_arrival_rings_even_if_it_was_accepted_already() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut bells = Bells::new(8).unwrap();
        bells.hang(&listener, 7).unwrap();
        bells.hang(&other, 8).unwrap();
        bells.arm();
        assert!(bells.is_armed(7) && bells.is_armed(8));
        assert_eq!(rung(&mut bells), [0; 0]);
        for _ in 0..3 {
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            drop(listener.accept().unwrap());
            assert_eq!(rung(&mut bells), [7], "epoll would say nothing");
            assert!(!bells.is_armed(7));
            bells.arm();
            assert!(bells.is_armed(7));
            assert_eq!(rung(&mut bells), [0; 0]);
            drop(client);
        }
    }

    #[test]
    fn only_arrivals_ring_and_not_connections_that_wait() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut bells = Bells::new(8).unwrap();
        bells.hang(&listener, 7).unwrap();
        let connect = || TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let _before = connect();
        for waiting in 1..4 {
            bells.arm();
            assert!(bells.is_armed(7));
            assert_eq!(rung(&mut bells), [0; 0], "{waiting} wait already");
            let _next = connect();
            assert_eq!(rung(&mut bells), [7]);
        }
        // Two at once are one.
        bells.arm();
        let _both = [connect(), connect()];
        assert_eq!(rung(&mut bells), [7]);
    }

    #[test]
    fn a_bell_does_not_keep_its_listener_open() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut bells = Bells::new(8).unwrap();
        bells.hang(&listener, 7).unwrap();
        bells.arm();
        drop(listener);
        assert!(TcpStream::connect(address).is_err());
        bells.retain(|_| false);
        // The place is free again.
        for token in 100..140 {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            bells.hang(&listener, token).unwrap();
            bells.arm();
            assert!(bells.is_armed(token));
            bells.retain(|_| false);
        }
    }
}
