//! A stream socket between the runtime and a worker, over which descriptors pass (socketpair(2), SCM_RIGHTS in unix(7)).
#![expect(
    unsafe_code,
    reason = "recvmsg(2) returns descriptors as plain numbers"
)]

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg,
    sendmsg, socketpair,
};

use super::{io, retry};

/// The two ends of a channel, both close-on-exec.
#[derive(Debug)]
pub struct Channel {
    /// The runtime's end, in non-blocking mode.
    pub ours: OwnedFd,
    /// The worker's end.
    pub theirs: OwnedFd,
}

impl Channel {
    /// Fails with EMFILE, ENFILE or ENOMEM.
    pub fn new() -> nix::Result<Self> {
        let (ours, theirs) = socketpair(
            AddressFamily::Unix,
            SockType::Stream,
            None,
            SockFlag::SOCK_CLOEXEC,
        )?;
        io::set_nonblocking(&ours, true)?;
        Ok(Self { ours, theirs })
    }
}

/// Sends as much of `bytes` as fits, with a descriptor attached to the first byte. Returns the number of bytes. Fails with
/// EAGAIN if nothing fits, and with EPIPE or ECONNRESET if the other end is closed.
pub fn send(fd: impl AsFd, bytes: &[u8], attached: Option<BorrowedFd<'_>>) -> nix::Result<usize> {
    let raw = attached.map(|fd| [fd.as_raw_fd()]);
    let rights = raw.as_ref().map(|raw| [ControlMessage::ScmRights(raw)]);
    let control: &[ControlMessage<'_>] = rights.as_ref().map_or(&[], |rights| rights);
    let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
    let fd = fd.as_fd().as_raw_fd();
    retry(|| sendmsg::<()>(fd, &[IoSlice::new(bytes)], control, flags, None))
}

/// What one call has read.
#[derive(Debug, Default)]
pub struct Received {
    /// Number of bytes in the buffer; 0 at the end of the stream.
    pub len: usize,
    /// Descriptors that came with them, close-on-exec. If there are more than a few, the kernel closes the rest.
    pub fds: Vec<OwnedFd>,
}

/// Reads once. Fails with EAGAIN if there is nothing, and with ECONNRESET if the other end was closed before it had read
/// everything.
pub fn receive(fd: impl AsFd, buffer: &mut [u8]) -> nix::Result<Received> {
    let mut control = nix::cmsg_space!([RawFd; 4]);
    let raw = fd.as_fd().as_raw_fd();
    let mut parts = [IoSliceMut::new(buffer)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_DONTWAIT;
    loop {
        let message = match recvmsg::<()>(raw, &mut parts, Some(&mut control), flags) {
            Err(Errno::EINTR) => continue,
            other => other?,
        };
        let mut received = Received {
            len: message.bytes,
            fds: Vec::new(),
        };
        for part in message.cmsgs().into_iter().flatten() {
            if let ControlMessageOwned::ScmRights(numbers) = part {
                // SAFETY: recvmsg has just made these descriptors, and each is taken from the message once.
                let owned = |raw| unsafe { OwnedFd::from_raw_fd(raw) };
                received.fds.extend(numbers.into_iter().map(owned));
            }
        }
        return Ok(received);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_comes_with_its_message() {
        let Channel { ours, theirs } = Channel::new().unwrap();
        let sent = crate::sys::io::OutputPipe::new().unwrap();
        assert_eq!(send(&ours, b"one\n", None), Ok(4));
        assert_eq!(send(&ours, b"two\n", Some(sent.read.as_fd())), Ok(4));
        assert_eq!(send(&ours, b"three\n", None), Ok(6));
        assert_eq!(io::unread(&theirs), Ok(14));
        let mut buffer = [0; 64];
        // The kernel joins what comes before a descriptor, and nothing after it.
        let received = receive(&theirs, &mut buffer).unwrap();
        assert_eq!((received.len, received.fds.len()), (8, 1));
        assert_eq!(io::is_same(&received.fds[0], &sent.read), Ok(true));
        let received = receive(&theirs, &mut buffer).unwrap();
        assert_eq!((received.len, received.fds.len()), (6, 0));
        assert_eq!(receive(&theirs, &mut buffer).unwrap_err(), Errno::EAGAIN);
    }

    #[test]
    fn what_does_not_fit_stays_with_the_sender() {
        let Channel { ours, theirs } = Channel::new().unwrap();
        let bytes = vec![b'x'; 4 << 20];
        let sent = send(&ours, &bytes, None).unwrap();
        assert!(sent < bytes.len());
        assert_eq!(io::unread(&theirs), Ok(sent));
        assert_eq!(send(&ours, &bytes, None), Err(Errno::EAGAIN));
        drop(theirs);
        assert_eq!(send(&ours, b"x", None), Err(Errno::EPIPE));
    }
}
