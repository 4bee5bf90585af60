//! What the kernel tells of a TCP socket, whichever way it is asked: [`super::sockdiag`] or [`super::procnet`].

use std::net::SocketAddr;
use std::time::Duration;

/// States of a connection (net/tcp_states.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// Both sides may speak.
    Established = 1,
    /// We have called.
    SynSent,
    /// A handshake that waits for its last step; since Linux 4.4 no socket yet, so it has no inode.
    SynReceived,
    /// We have ended our side.
    FinWait1,
    /// And the other side knows.
    FinWait2,
    /// Kept for late segments.
    TimeWait,
    /// Not connected.
    Close,
    /// The other side has ended its side.
    CloseWait,
    /// Both have, the other side first, and it does not know yet.
    LastAck,
    /// A listener.
    Listen,
    /// Both have at the same time.
    Closing,
}

impl State {
    const ALL: [Self; 11] = [
        Self::Established,
        Self::SynSent,
        Self::SynReceived,
        Self::FinWait1,
        Self::FinWait2,
        Self::TimeWait,
        Self::Close,
        Self::CloseWait,
        Self::LastAck,
        Self::Listen,
        Self::Closing,
    ];

    /// The one of that number; `None` for numbers that this list does not know.
    pub fn new(number: u8) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|state| *state as u8 == number)
            // TCP_NEW_SYN_RECV, by which the kernel knows a request socket.
            .or((number == 12).then_some(Self::SynReceived))
    }
}

/// A set of states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct States(u32);

impl States {
    /// Those.
    pub const fn of(states: &[State]) -> Self {
        let mut bits = 0;
        let mut rest = states;
        while let [state, others @ ..] = rest {
            bits |= 1 << (*state as u8);
            rest = others;
        }
        Self(bits)
    }

    /// Whether `state` is one of them.
    pub fn has(self, state: State) -> bool {
        self.0 & (1 << (state as u8)) != 0
    }

    /// As the kernel takes them: bit n is state n.
    pub fn bits(self) -> u32 {
        self.0
    }
}

/// Ports that can be asked for at once: what tells them apart has to have room in one netlink attribute.
pub const MOST_PORTS: usize = 3000;

/// Which sockets are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query<'a> {
    /// Whether those of IPv6 are meant, which may have IPv4 clients, or those of IPv4. A connection is of the family of
    /// the listener that it came to.
    pub ipv6: bool,
    /// Their local ports, at most [`MOST_PORTS`].
    pub ports: &'a [u16],
    /// Their states.
    pub states: States,
    /// Whether [`Row::past`] is wanted.
    pub past: bool,
}

/// One socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its state.
    pub state: State,
    /// Its own address. An IPv4 address that an IPv6 socket has mapped is told as IPv4, here and below, so that both
    /// ways of asking, and a request and the connection that it becomes, agree.
    pub local: SocketAddr,
    /// The other side's.
    pub remote: SocketAddr,
    /// The number in `socket:[...]` of the descriptors that hold it; 0 if none does: a handshake, a connection that
    /// waits in the accept queue, one whose last descriptor is closed.
    pub inode: u64,
    /// Bytes that have come and were not read.
    pub unread: u32,
    /// Bytes that were written and that the other side has not acknowledged.
    pub unsent: u32,
    /// How often the last segment, or the answer to a handshake, was sent again.
    pub again: u8,
    /// What went over it so far; `None` if that was not asked for or cannot be told.
    pub past: Option<Past>,
}

/// What went over a connection so far, from `struct tcp_info` (tcp(7)). Times are ages, in steps of the kernel's clock
/// (1 to 10 ms), all of one moment: two that are equal lay within one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Past {
    /// Data was last sent; the age of the connection if none was.
    pub last_sent: Duration,
    /// Data last came; the age of the connection if none did.
    pub last_received: Duration,
    /// The other side last acknowledged something.
    pub last_acknowledged: Duration,
    /// All bytes that came, and all bytes of ours that were acknowledged; Linux 4.1.
    pub bytes: Option<(u64, u64)>,
    /// Bytes that were written and not even sent for the first time; Linux 4.6.
    pub waiting: Option<u32>,
}

/// An IPv4 address that is written as an IPv6 one becomes what it is; no scope, no flow.
pub(super) fn canonical(ip: impl Into<std::net::IpAddr>, port: u16) -> SocketAddr {
    SocketAddr::new(ip.into().to_canonical(), port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_the_kernels_numbers() {
        assert_eq!(State::new(1), Some(State::Established));
        assert_eq!(State::new(3), Some(State::SynReceived));
        assert_eq!(State::new(8), Some(State::CloseWait));
        assert_eq!(State::new(11), Some(State::Closing));
        assert_eq!(State::new(12), Some(State::SynReceived));
        assert_eq!((State::new(0), State::new(13)), (None, None));
        for state in State::ALL {
            assert_eq!(State::new(state as u8), Some(state));
        }
    }

    #[test]
    fn a_set_has_its_members_only() {
        let set = States::of(&[State::Established, State::CloseWait]);
        assert_eq!(set.bits(), 0b1_0000_0010);
        for state in State::ALL {
            let member = matches!(state, State::Established | State::CloseWait);
            assert_eq!(set.has(state), member, "{state:?}");
        }
    }
}
