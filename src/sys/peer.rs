//! Who is at the other end of a unix socket (unix(7), SO_PEERCRED).

use std::fs;
use std::os::fd::AsFd;

use nix::sys::socket::{getsockopt, setsockopt, sockopt};

use super::proc::{Proc, ProcDir};

/// The process that connected, or that listened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its process; 0 if it is not visible from here.
    pub pid: i32,
    /// Its user when it connected or listened.
    pub uid: u32,
}

/// Lets the kernel hold only about so many bytes that the peer of `socket` has not read yet (socket(7), SO_SNDBUF).
pub fn hold_at_most(socket: impl AsFd, bytes: usize) -> nix::Result<()> {
    // The kernel doubles it, for what it needs beside the bytes.
    setsockopt(&socket, sockopt::SndBuf, &(bytes / 2))
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

    /// Whether it is the process that has this PID in its own PID namespace, and that started so many milliseconds after the
    /// boot of the system. `false` if it is not visible from here.
    pub fn is_process(&self, proc: &Proc, pid: u32, started: u64) -> bool {
        let Some(seen) = u32::try_from(self.pid).ok().filter(|seen| *seen > 0) else {
            return false;
        };
        let dir = ProcDir::Any(seen);
        let start = proc.stat(dir).map(|stat| stat.started.as_millis());
        let status = fs::read_to_string(proc.path(dir, "status")).unwrap_or_default();
        start.is_ok_and(|start| start == u128::from(started)) && innermost(&status) == Some(pid)
    }
}

/// The PID of a process in the innermost PID namespace, from /proc/PID/status.
fn innermost(status: &str) -> Option<u32> {
    let pids = status
        .lines()
        .find_map(|line| line.strip_prefix("NSpid:"))?;
    pids.split_ascii_whitespace().last()?.parse().ok()
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
    fn a_process_is_known_by_its_own_pid_and_its_start() {
        let proc = Proc::new("/proc");
        let (one, _other) = UnixStream::pair().unwrap();
        let peer = Peer::of(&one).unwrap();
        let started = proc.stat(ProcDir::Own).unwrap().started.as_millis();
        let started = u64::try_from(started).unwrap();
        let pid = innermost("Name:\tx\nNSpid:\t4711\t17\t1\n").unwrap();
        assert_eq!(pid, 1);
        let own = innermost(&fs::read_to_string("/proc/self/status").unwrap()).unwrap();
        assert!(peer.is_process(&proc, own, started));
        assert!(!peer.is_process(&proc, own, started + 10));
        assert!(!peer.is_process(&proc, own + 1, started));
        assert!(!Peer { pid: 0, uid: 0 }.is_process(&proc, own, started));
        assert!(!peer.is_process(&Proc::new("/nonexistent"), own, started));
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
