//! Who is at the other end of a unix socket (unix(7), SO_PEERCRED).

use std::os::fd::AsFd;

use nix::sys::socket::{getsockopt, sockopt};

/// The process that connected, or that listened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its process; 0 if it is not visible from here.
    pub pid: i32,
    /// Its user when it connected or listened.
    pub uid: u32,
}

impl Peer {
    /// The peer of a connected socket.
    pub fn of(socket: impl AsFd) -> nix::Result<Self> {
        let seen = getsockopt(&socket, sockopt::PeerCredentials)?;
        Ok(Self {
            pid: seen.pid(),
            uid: seen.uid(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn the_peer_of_our_own_pair_is_this_process() {
        let (one, _other) = UnixStream::pair().unwrap();
        let peer = Peer::of(&one).unwrap();
        assert_eq!(peer.pid.unsigned_abs(), std::process::id());
        assert_eq!(peer.uid, crate::sys::links::effective_user());
    }
}
