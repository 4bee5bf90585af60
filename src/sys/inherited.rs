//! Sockets that the runtime was started with.
#![expect(
    unsafe_code,
    reason = "descriptors that are known by their number only"
)]

use std::fs;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sys::socket::{getsockopt, sockopt};

use super::{io, listener};

/// Sockets that were open when the process began. They stay open until it ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inherited(Vec<RawFd>);

impl Inherited {
    /// Reads which there are. Call it before anything is opened. Without /proc there are none.
    pub fn find() -> Self {
        let entries = fs::read_dir("/proc/self/fd").into_iter().flatten();
        let numbers = entries.flatten().filter_map(|entry| {
            let number = entry.file_name().to_str()?.parse().ok()?;
            let socket = fs::read_link(entry.path()).ok()?;
            socket.to_str()?.starts_with("socket:").then_some(number)
        });
        Self(numbers.collect())
    }

    /// A copy of this one, in non-blocking mode, if it listens. Fails with EBADF if the runtime was not started with it, and
    /// with EINVAL if it does not listen.
    pub fn listener(&self, number: i64) -> nix::Result<OwnedFd> {
        let raw = self.0.iter().find(|raw| i64::from(**raw) == number);
        let raw = *raw.ok_or(Errno::EBADF)?;
        // SAFETY: it was open when the process began, and nothing closes it.
        let fd = unsafe { BorrowedFd::borrow_raw(raw) };
        if !getsockopt(&fd, sockopt::AcceptConn)? {
            return Err(Errno::EINVAL);
        }
        io::set_nonblocking(fd, true)?;
        listener::duplicate(fd)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn only_sockets_from_before_that_listen_are_given() {
        let [listens, idle] = [true, false].map(|listens| {
            let addr = "127.0.0.1:0".parse().unwrap();
            let fd = listener::bound(addr, false, false).unwrap();
            if listens {
                listener::listen(&fd, 1).unwrap();
            }
            fd
        });
        let found = Inherited::find();
        let later = listener::bound("127.0.0.1:0".parse().unwrap(), false, false).unwrap();
        let get = |fd: &OwnedFd| found.listener(i64::from(fd.as_raw_fd()));
        let copy = get(&listens).unwrap();
        assert_eq!(listener::inode(&copy), listener::inode(&listens));
        assert_eq!(get(&idle).unwrap_err(), Errno::EINVAL);
        assert_eq!(get(&later).unwrap_err(), Errno::EBADF);
        assert_eq!(found.listener(-1).unwrap_err(), Errno::EBADF);
    }
}
