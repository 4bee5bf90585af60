//! Which network namespace a socket of another process belongs to (network_namespaces(7)). `bind` means an address of
//! that network, wherever the thread is that calls it.
#![expect(unsafe_code, reason = "pidfd_getfd(2) has no safe wrapper")]

use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;

use nix::errno::Errno;

use super::pidfd;
use super::remote::Descriptor;
use super::rights::namespace;

/// The network namespace of the runtime.
#[derive(Debug)]
pub struct OwnNetwork {
    link: Option<PathBuf>,
    cookie: Option<u64>,
}

impl OwnNetwork {
    /// Reads which one it is. It stays the same.
    pub fn read() -> Self {
        // A socket of any family is in a network.
        let socket = std::os::unix::net::UnixDatagram::unbound();
        Self {
            link: namespace("self", "net"),
            cookie: socket.ok().and_then(cookie),
        }
    }

    /// Whether this socket of another process is in it. Where the kernel does not tell of the socket (before 5.14, and
    /// where a profile or Yama forbids pidfd_getfd(2)), the thread decides: only a program that changes its namespace
    /// between socket(2) and bind(2) has the two in different ones.
    pub fn has(&self, socket: Descriptor) -> bool {
        if let (Some(own), Ok(copy)) = (self.cookie, copy(socket))
            && let Some(cookie) = cookie(copy)
        {
            return cookie == own;
        }
        namespace(&socket.task.to_string(), "net") == self.link
    }
}

/// SO_NETNS_COOKIE: the number of a socket's network namespace, which is never used again.
fn cookie(socket: impl AsFd) -> Option<u64> {
    // include/uapi/asm-generic/socket.h
    const SO_NETNS_COOKIE: i32 = 71;
    let mut cookie = 0_u64;
    // The kernel refuses another length.
    let mut len = libc::socklen_t::try_from(size_of::<u64>()).ok()?;
    let fd = socket.as_fd().as_raw_fd();
    let value = (&raw mut cookie).cast();
    // SAFETY: the value is as long as `len` says, and any bits are a number (getsockopt(2)).
    let result =
        unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, SO_NETNS_COOKIE, value, &raw mut len) };
    Errno::result(result).ok().map(|_| cookie)
}

/// A copy of a descriptor of another process. Fails with EPERM if we may not trace that process.
fn copy(socket: Descriptor) -> nix::Result<OwnedFd> {
    // Since Linux 6.9 for each thread; before, for the first thread of a process.
    let process =
        pidfd::open(socket.task, libc::O_EXCL).or_else(|_| pidfd::open(socket.task, 0))?;
    // SAFETY: integers only.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), socket.fd, 0) };
    pidfd::owned(fd)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_socket_of_ours_is_in_our_network_whichever_thread_has_it() {
        let own = OwnNetwork::read();
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let fd = socket.as_raw_fd();
        let here = |task| OwnNetwork::has(&own, Descriptor { task, fd });
        assert!(here(nix::unistd::gettid().as_raw()));
        std::thread::scope(|scope| {
            let other = scope.spawn(|| here(nix::unistd::gettid().as_raw()));
            assert!(other.join().unwrap());
        });
        assert!(!here(i32::MAX), "no such thread");
    }

    #[test]
    fn the_thread_decides_where_the_kernel_does_not_tell_of_the_socket() {
        let blind = OwnNetwork {
            cookie: None,
            ..OwnNetwork::read()
        };
        let task = nix::unistd::gettid().as_raw();
        assert!(blind.has(Descriptor { task, fd: 0 }));
        let elsewhere = OwnNetwork {
            cookie: None,
            link: Some(PathBuf::from("net:[1]")),
        };
        assert!(!elsewhere.has(Descriptor { task, fd: 0 }));
    }
}
