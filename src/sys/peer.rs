//! Who is at the other end of a unix socket (unix(7), SO_PEERCRED).

use std::fs;
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

/// Whether a peer with this number may be another user: the kernel gives one number to all users that our user namespace
/// does not map (/proc/sys/kernel/overflowuid, user_namespaces(7)).
pub fn may_stand_for_others(uid: u32) -> bool {
    let overflow = fs::read_to_string("/proc/sys/kernel/overflowuid").ok();
    let overflow = overflow.and_then(|text| text.trim().parse().ok());
    // Without /proc, nothing is known about the map.
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    uid == overflow.unwrap_or(65534) && !maps_all(&map)
}

/// Whether the map has every user: then none is shown by another number.
fn maps_all(map: &str) -> bool {
    let counts = map.lines().filter_map(|line| {
        let count = line.split_whitespace().nth(2)?;
        count.parse::<u64>().ok()
    });
    counts.sum::<u64>() >= u64::from(u32::MAX)
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

    #[test]
    fn only_a_map_of_all_users_leaves_no_doubt() {
        assert!(maps_all("         0          0 4294967295\n"));
        assert!(maps_all(
            "0 1000 1\n1 100000 65536\n65537 200000 4294901758\n"
        ));
        for map in ["", "0 1000 1\n", "0 100000 65536\n", "nonsense\n"] {
            assert!(!maps_all(map), "{map}");
        }
        assert!(!may_stand_for_others(0));
    }
}
