//! The socket on which a worker reports its state (sd_notify(3)): datagrams in the abstract namespace, which needs no
//! file (unix(7)).
#![expect(unsafe_code, reason = "recvmsg(2) with credentials")]

use std::mem::{size_of, zeroed};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, UnixAddr, sockopt};

use super::{random, retry};

/// Opens a non-blocking socket under a name that cannot be guessed. Also returns the value for NOTIFY_SOCKET. Fails
/// with EMFILE, ENFILE or ENOMEM.
pub fn open() -> nix::Result<(OwnedFd, String)> {
    let name = format!(
        "rpm-runtime/notify/{:032x}",
        u128::from_ne_bytes(random::bytes()?)
    );
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket::socket(AddressFamily::Unix, SockType::Datagram, flags, None)?;
    // The name can be read in /proc/net/unix without guessing, so the sender is checked as well.
    socket::setsockopt(&fd, sockopt::PassCred, &true)?;
    socket::bind(fd.as_raw_fd(), &UnixAddr::new_abstract(name.as_bytes())?)?;
    Ok((fd, format!("@{name}")))
}

/// One datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Number of bytes in the buffer.
    pub len: usize,
    /// The datagram was longer than the buffer.
    pub cut: bool,
    /// The process that sent it; `None` without credentials.
    pub sender: Option<Sender>,
}

/// Who sent a datagram, as the kernel vouches for it. Only root can name another process than itself (unix(7),
/// SCM_CREDENTIALS).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sender {
    /// The PID; 0 for a process of another PID namespace.
    pub pid: i32,
    /// The real uid.
    pub uid: u32,
}

/// Room for the sender's credentials and nothing else: CMSG_SPACE of `struct ucred`, laid out as in cmsg(3).
#[repr(C)]
struct Control {
    header: libc::cmsghdr,
    credentials: libc::ucred,
}

/// Receives one datagram; EAGAIN if there is none. The kernel closes descriptors that came with it, because the control
/// buffer has no room for them. That answers BARRIER=1, and senders cannot fill our descriptor table.
pub fn receive(fd: impl AsFd, buffer: &mut [u8]) -> nix::Result<Datagram> {
    // SAFETY: integers only, for which zero is valid.
    let mut control: Control = unsafe { zeroed() };
    let mut part = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    let space = u32::try_from(size_of::<Control>()).map_err(|_| Errno::EINVAL)?;
    // SAFETY: all fields are integers or pointers, for which zero is valid.
    let mut message: libc::msghdr = unsafe { zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = (&raw mut control).cast();
    let raw = fd.as_fd().as_raw_fd();
    let len = retry(|| {
        message.msg_controllen = space as _;
        // SAFETY: every pointer in the message points to a live local of the given length.
        Errno::result(unsafe { libc::recvmsg(raw, &raw mut message, libc::MSG_CMSG_CLOEXEC) })
    })?;
    let header = &control.header;
    let told = header.cmsg_level == libc::SOL_SOCKET && header.cmsg_type == libc::SCM_CREDENTIALS;
    Ok(Datagram {
        len: usize::try_from(len).unwrap_or(0),
        cut: message.msg_flags & libc::MSG_TRUNC != 0,
        sender: told.then_some(Sender {
            pid: control.credentials.pid,
            uid: control.credentials.uid,
        }),
    })
}
