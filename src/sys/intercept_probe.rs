//! A short-lived child that tests whether `bind` can be intercepted here.
#![expect(unsafe_code, reason = "fork, and plain calls in the child")]

use std::mem::size_of;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::model::Pid;

use super::fork::fork_with_status;
use super::intercept::Filter;
use super::status::{self, Status};

/// The state of a listener in `struct tcp_info` (TCP_LISTEN in include/net/tcp_states.h).
const TCP_LISTEN: u8 = 10;

/// Forks a child that installs the filter, sends the notifier (or the error) over the returned socket and binds a TCP
/// socket. The child exits with 0 if that socket then listens, which is only possible if the socket was replaced.
pub fn start(filter: &Filter) -> nix::Result<(Pid, OwnedFd)> {
    // SAFETY: the child makes async-signal-safe calls only.
    unsafe { fork_with_status(|status| u8::from(!bind_is_intercepted(status, filter))) }
}

fn bind_is_intercepted(status: BorrowedFd<'_>, filter: &Filter) -> bool {
    if let Err(errno) = filter
        .install()
        .and_then(|notifier| status::send_notifier(status, notifier.as_fd()))
    {
        status::send(status, &Status::NotIntercepted(errno));
        return false;
    }
    let address = libc::sockaddr_in {
        sin_family: libc::sa_family_t::try_from(libc::AF_INET).unwrap_or(2),
        sin_port: 0,
        sin_addr: libc::in_addr {
            s_addr: u32::from_be_bytes([127, 0, 0, 1]).to_be(),
        },
        sin_zero: [0; 8],
    };
    // The first byte of `struct tcp_info` is the state. SO_ACCEPTCONN would be trapped, and nobody answers it here.
    let (mut state, mut len): (u8, libc::socklen_t) = (0, 1);
    let address_len = libc::socklen_t::try_from(size_of::<libc::sockaddr_in>()).unwrap_or(16);
    // SAFETY: integers only.
    let fd = unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) };
    // SAFETY: the address is live and the length is its own.
    let bound = unsafe { libc::bind(fd, std::ptr::from_ref(&address).cast(), address_len) };
    let value = std::ptr::from_mut(&mut state).cast();
    // SAFETY: the value is live and the length is its own.
    let read =
        unsafe { libc::getsockopt(fd, libc::IPPROTO_TCP, libc::TCP_INFO, value, &raw mut len) };
    fd >= 0 && bound == 0 && read == 0 && state == TCP_LISTEN
}
