//! Socket options by which one process spoils a listener for all others that have it, and what the kernel tells of them
//! (socket(7), tcp(7)).

use std::os::fd::AsFd;

use nix::errno::Errno;

use super::sockopt::{DEVICE, OptionId, REUSE_PORT, SocketOption, count, read};

// include/uapi/asm-generic/socket.h
/// SO_ATTACH_FILTER: which packets the socket gets. Its connections inherit it.
pub const ATTACH_FILTER: OptionId = (libc::SOL_SOCKET, 26);
/// SO_DETACH_FILTER.
pub const DETACH_FILTER: OptionId = (libc::SOL_SOCKET, 27);
/// SO_LOCK_FILTER: neither the filter nor the steering can be changed through this socket. It cannot be undone.
pub const LOCK_FILTER: OptionId = (libc::SOL_SOCKET, 44);
/// SO_ATTACH_BPF: as SO_ATTACH_FILTER.
pub const ATTACH_BPF: OptionId = (libc::SOL_SOCKET, 50);
/// SO_ATTACH_REUSEPORT_CBPF: which socket of the group gets a connection.
pub const ATTACH_STEERING: OptionId = (libc::SOL_SOCKET, 51);
/// SO_ATTACH_REUSEPORT_EBPF.
pub const ATTACH_STEERING_BPF: OptionId = (libc::SOL_SOCKET, 52);
/// SO_DETACH_REUSEPORT_BPF.
pub const DETACH_STEERING: OptionId = (libc::SOL_SOCKET, 68);

// include/uapi/linux/tcp.h
/// TCP_MD5SIG: connections of an address must be signed.
pub const SIGNATURE: OptionId = (libc::IPPROTO_TCP, 14);
/// TCP_MD5SIG_EXT: as TCP_MD5SIG, for a whole network.
pub const SIGNATURES: OptionId = (libc::IPPROTO_TCP, 32);
/// TCP_AO_ADD_KEY: as TCP_MD5SIG_EXT, for the authentication option of TCP.
pub const KEY: OptionId = (libc::IPPROTO_TCP, 38);
/// TCP_AO_INFO: it may require that every connection is authenticated.
pub const KEYS_REQUIRED: OptionId = (libc::IPPROTO_TCP, 40);

/// Options of a listener that its connections inherit, or that keep clients away, and that can be undone. What a program
/// sets after `bind` is its own; the next worker's program sets it again if it wants it.
const INHERITED: [OptionId; 5] = [
    // A connection may be as slow as a byte in a second.
    (libc::SOL_SOCKET, 47), // SO_MAX_PACING_RATE
    (libc::SOL_SOCKET, libc::SO_LINGER),
    (libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT),
    // Packets that come from afar are dropped.
    (libc::IPPROTO_IP, libc::IP_MINTTL),
    (libc::IPPROTO_IPV6, libc::IPV6_MINHOPCOUNT),
];

/// What a new socket has of the options that its connections inherit.
pub fn inherited(socket: impl AsFd) -> Vec<SocketOption> {
    let own = |(level, name): &OptionId| read(&socket, *level, *name).ok();
    INHERITED.iter().filter_map(own).collect()
}

/// Sets these options again, as far as a process has changed them.
pub fn restore(socket: impl AsFd, options: &[SocketOption]) {
    for option in options {
        let (level, name) = option.id();
        if read(&socket, level, name).as_ref() != Ok(option) {
            // An error leaves it as the last worker had it.
            let _ = option.set(&socket);
        }
    }
}

/// What a process did to a socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub struct Spoilt {
    /// It has a filter, which decides what packets it gets.
    pub filtered: bool,
    /// The filter is locked, or that there is none.
    pub locked: bool,
    /// It left SO_REUSEPORT, so that it gets what was steered to others.
    pub alone: bool,
    /// It is bound to one network device.
    pub device: bool,
}

/// Reads the state of a socket. `grouped`: it should have SO_REUSEPORT. What cannot be read counts as it should be.
pub fn look(socket: impl AsFd, grouped: bool) -> Spoilt {
    let is_set = |id| number(&socket, id).is_some_and(|number| number != 0);
    Spoilt {
        filtered: is_filtered(&socket),
        locked: is_set(LOCK_FILTER),
        alone: grouped && number(&socket, REUSE_PORT) == Some(0),
        // Without a device, the name is empty.
        device: read(&socket, DEVICE.0, DEVICE.1).is_ok_and(|name| !name.value().is_empty()),
    }
}

/// Whether the filter of this socket is locked. Its group cannot be steered through it then.
pub fn is_locked(socket: impl AsFd) -> bool {
    number(socket, LOCK_FILTER).is_some_and(|locked| locked != 0)
}

fn number(socket: impl AsFd, (level, name): OptionId) -> Option<i32> {
    let option = read(socket, level, name).ok()?;
    (option.value().len() >= 4).then(|| option.as_number())
}

/// Whether the socket has a filter. The kernel returns the number of its instructions as the length, and fails for one
/// that is not classic BPF (EACCES).
fn is_filtered(socket: impl AsFd) -> bool {
    matches!(count(socket, ATTACH_FILTER), Ok(1..) | Err(Errno::EACCES))
}

impl Spoilt {
    /// Whether anything is wrong with it.
    pub fn is_any(self) -> bool {
        self != Self::default()
    }

    /// Undoes what can be undone, and returns what is left. To lock the filter is not, and to release the socket from its
    /// device needs CAP_NET_RAW.
    #[must_use]
    pub fn undo(self, socket: impl AsFd) -> Self {
        if self.filtered {
            // It fails if the filter is locked.
            let _ = SocketOption::number(DETACH_FILTER, 0).set(&socket);
        }
        if self.alone {
            let _ = SocketOption::number(REUSE_PORT, 1).set(&socket);
        }
        if self.device {
            let _ = SocketOption::number(DEVICE, 0).set(&socket);
        }
        look(socket, self.alone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::{listener, steering};

    const GROUPED: bool = true;

    fn socket() -> std::os::fd::OwnedFd {
        listener::open("127.0.0.1:0".parse().unwrap(), false, 9, true).unwrap()
    }

    #[test]
    fn a_filter_is_seen_and_taken_away_unless_it_is_locked() {
        let one = socket();
        assert!(!look(&one, GROUPED).is_any());
        steering::drop_new(&one).unwrap();
        let filtered = Spoilt {
            filtered: true,
            ..Spoilt::default()
        };
        assert_eq!(look(&one, GROUPED), filtered);
        assert!(!filtered.undo(&one).is_any());
        steering::drop_new(&one).unwrap();
        SocketOption::number(LOCK_FILTER, 1).set(&one).unwrap();
        assert!(is_locked(&one));
        let locked = Spoilt {
            locked: true,
            ..filtered
        };
        assert_eq!(look(&one, GROUPED).undo(&one), locked);
    }

    #[test]
    fn a_socket_that_left_its_group_returns_to_it() {
        let one = socket();
        SocketOption::number(REUSE_PORT, 0).set(&one).unwrap();
        assert!(look(&one, GROUPED).alone);
        assert!(!look(&one, false).is_any(), "it was never in a group");
        assert!(!look(&one, GROUPED).undo(&one).is_any());
    }

    #[test]
    fn what_connections_inherit_is_set_back() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let one = listener::open(address.parse().unwrap(), true, 9, true).unwrap();
            let fresh = inherited(&one);
            assert!(fresh.len() >= 3, "{fresh:?}");
            for id in INHERITED {
                let linger = (libc::SOL_SOCKET, libc::SO_LINGER);
                let value = [1_i32, 0].map(i32::to_ne_bytes).concat();
                let len = if id == linger { 8 } else { 4 };
                let option = SocketOption::new(id.0, id.1, &value[..len]).unwrap();
                // The ones of the other family are refused.
                let _ = option.set(&one);
            }
            assert_ne!(inherited(&one), fresh);
            restore(&one, &fresh);
            assert_eq!(inherited(&one), fresh);
        }
    }

    #[test]
    fn a_socket_of_one_device_is_seen() {
        let one = socket();
        SocketOption::new(DEVICE.0, DEVICE.1, b"lo\0")
            .unwrap()
            .set(&one)
            .unwrap();
        assert!(look(&one, GROUPED).device);
        let left = look(&one, GROUPED).undo(&one);
        let may = super::super::rights::rights(None).unwrap().effective & 1 << 13 != 0;
        assert_eq!(left.device, !may);
    }
}
