//! TCP sockets as the kernel describes them, through [`super::sockdiag`] or [`super::procnet`].

use std::net::SocketAddr;
use std::time::Duration;

/// States of a connection (net/tcp_states.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// Both sides may send.
    Established = 1,
    /// We sent the SYN.
    SynSent,
    /// A handshake that waits for its last step. Since Linux 4.4 it has no socket yet, so it has no inode.
    SynReceived,
    /// We closed our side.
    FinWait1,
    /// We closed our side, and the peer acknowledged it.
    FinWait2,
    /// Closed, and kept for late segments.
    TimeWait,
    /// Not connected.
    Close,
    /// The peer closed its side.
    CloseWait,
    /// Both sides closed, the peer first; the peer has not acknowledged our close.
    LastAck,
    /// A listener.
    Listen,
    /// Both sides closed at the same time.
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

    /// The state with that number of the kernel; `None` for an unknown number.
    pub fn new(number: u8) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|state| *state as u8 == number)
            // TCP_NEW_SYN_RECV, the kernel's state of a request socket.
            .or((number == 12).then_some(Self::SynReceived))
    }
}

/// A set of states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct States(u32);

impl States {
    /// The set of these states.
    pub const fn of(states: &[State]) -> Self {
        let mut bits = 0;
        let mut rest = states;
        while let [state, others @ ..] = rest {
            bits |= 1 << (*state as u8);
            rest = others;
        }
        Self(bits)
    }

    /// Whether the set contains `state`.
    pub fn has(self, state: State) -> bool {
        self.0 & (1 << (state as u8)) != 0
    }

    /// The mask that the kernel takes: bit n is state n.
    pub fn bits(self) -> u32 {
        self.0
    }
}

/// Most ports in one query: the filter that tells them apart must fit into one netlink attribute.
pub const MOST_PORTS: usize = 3000;

/// Which sockets to report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query<'a> {
    /// Whether to report IPv6 sockets (which may have IPv4 peers) or IPv4 sockets. A connection has the family of the
    /// listener that accepted it.
    pub ipv6: bool,
    /// Local ports of the sockets, at most [`MOST_PORTS`].
    pub ports: &'a [u16],
    /// States of the sockets.
    pub states: States,
    /// Whether to fill [`Row::past`].
    pub past: bool,
}

/// One socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// State of the connection.
    pub state: State,
    /// The local address. An IPv4-mapped IPv6 address is reported as IPv4, here and below, so that both ways of asking
    /// agree, and so that a request has the same addresses as the connection that it becomes.
    pub local: SocketAddr,
    /// The address of the peer.
    pub remote: SocketAddr,
    /// The number in `socket:[...]` of the descriptors that refer to the socket. 0 if no descriptor does: a handshake,
    /// a connection in the accept queue, or a connection whose last descriptor is closed.
    pub inode: u64,
    /// Bytes that arrived and were not read.
    pub unread: u32,
    /// Bytes that were written and not acknowledged by the peer.
    pub unsent: u32,
    /// How often the last segment, or the answer to a handshake, was retransmitted.
    pub again: u8,
    /// Activity of the connection; `None` if it was not requested or is not available.
    pub past: Option<Past>,
}

/// Activity of a connection, from `struct tcp_info` (tcp(7)). The durations are ages, in steps of the kernel's clock (1
/// to 10 ms), all taken at the same time: two equal ages lie within one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Past {
    /// Since data was last sent; the age of the connection if none was sent.
    pub last_sent: Duration,
    /// Since data last arrived; the age of the connection if none arrived.
    pub last_received: Duration,
    /// Since the peer last acknowledged something.
    pub last_acknowledged: Duration,
    /// Total bytes received, and total bytes that the peer acknowledged. Since Linux 4.1.
    pub bytes: Option<(u64, u64)>,
    /// Bytes that were written and not yet sent even once. Since Linux 4.6.
    pub waiting: Option<u32>,
}

/// Converts an IPv4-mapped IPv6 address to IPv4. Drops scope and flow label.
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
