//! Connections to unix sockets (unix(7)).

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};

use super::unix::Address;

/// Connects to a stream socket without waiting: fails with `WouldBlock` if the queue of the listener is full, with
/// `ConnectionRefused` if nobody listens. Reads and writes of the stream do not wait either.
pub fn connect_at_once(address: &Address) -> io::Result<UnixStream> {
    let address = match address {
        Address::Path(path) => UnixAddr::new(path)?,
        Address::Abstract(name) => UnixAddr::new_abstract(name)?,
    };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let client = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    connect(client.as_raw_fd(), &address)?;
    Ok(UnixStream::from(client))
}
