//! Messages from a forked worker before it executes its program, over a SOCK_SEQPACKET socket that closes on exec.
#![expect(
    unsafe_code,
    reason = "send(2) between fork and exec, and descriptors that come with a message"
)]

use std::io::IoSliceMut;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};

use super::intercept::Notifier;
use super::retry;
use super::send_fd::send_fd;

/// One message, or the end of the socket.
#[derive(Debug)]
pub enum Status {
    /// The notifier for `bind` and `listen` calls of this worker.
    Notifier(Notifier),
    /// The filter could not be installed; the program runs without interception.
    NotIntercepted(Errno),
    /// The program could not be executed.
    ExecFailed(Errno),
    /// The socket closed: the program runs, or the process died before exec.
    Closed,
}

const NOTIFIER: u8 = b'N';
const NOT_INTERCEPTED: u8 = b'I';
const EXEC_FAILED: u8 = b'E';

impl Status {
    /// Whether the system was only short of a resource. The shortage may pass, and the program is not at fault.
    pub fn is_shortage(errno: Errno) -> bool {
        matches!(
            errno,
            Errno::EAGAIN | Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM
        )
    }

    /// The exit code as a shell reports it: 127 for a program that does not exist, 126 for one that cannot be executed.
    pub fn exec_code(errno: Errno) -> u8 {
        match errno {
            Errno::ENOENT | Errno::ENOTDIR => 127,
            _ => 126,
        }
    }
}

/// Reads one message; fails with EAGAIN if there is none yet.
pub fn receive(socket: impl AsFd) -> nix::Result<Status> {
    let mut bytes = [0_u8; 5];
    let mut control = nix::cmsg_space!(RawFd);
    let raw = socket.as_fd().as_raw_fd();
    let (len, fd): (usize, Option<OwnedFd>) = {
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let message = retry(|| {
            recvmsg::<()>(
                raw,
                &mut parts,
                Some(&mut control),
                MsgFlags::MSG_CMSG_CLOEXEC,
            )
            .map(|message| {
                let fd = message
                    .cmsgs()
                    .ok()
                    .into_iter()
                    .flatten()
                    .find_map(|part| match part {
                        ControlMessageOwned::ScmRights(fds) => fds.first().copied(),
                        _ => None,
                    });
                (message.bytes, fd)
            })
        });
        let (len, fd) = message?;
        // SAFETY: recvmsg has just made this descriptor, and it is taken from the message once.
        (len, fd.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }))
    };
    let errno = bytes
        .get(1..5)
        .and_then(|raw| raw.try_into().ok())
        .map_or(Errno::EIO, |raw| Errno::from_raw(i32::from_ne_bytes(raw)));
    Ok(match (len, bytes[0], fd) {
        (0, _, _) => Status::Closed,
        (_, NOTIFIER, Some(fd)) => Status::Notifier(Notifier::from(fd)),
        (_, EXEC_FAILED, _) => Status::ExecFailed(errno),
        _ => Status::NotIntercepted(errno),
    })
}

/// Sends one of the two failures; other messages are ignored. Async-signal-safe.
pub fn send(socket: BorrowedFd<'_>, status: &Status) {
    let (tag, errno) = match status {
        Status::ExecFailed(errno) => (EXEC_FAILED, *errno),
        Status::NotIntercepted(errno) => (NOT_INTERCEPTED, *errno),
        Status::Notifier(_) | Status::Closed => return,
    };
    let mut bytes = [tag; 5];
    if let Some(place) = bytes.get_mut(1..) {
        place.copy_from_slice(&(errno as i32).to_ne_bytes());
    }
    // SAFETY: the buffer is live and the length is its own. The error is ignored: it means that the parent is gone.
    unsafe {
        libc::send(
            socket.as_raw_fd(),
            bytes.as_ptr().cast(),
            bytes.len(),
            libc::MSG_NOSIGNAL,
        )
    };
}

/// Sends the notifier. Async-signal-safe.
pub fn send_notifier(socket: BorrowedFd<'_>, notifier: BorrowedFd<'_>) -> Result<(), Errno> {
    send_fd(socket, NOTIFIER, notifier)
}
