//! Source ports that reach one listener each (see [`ProbePorts`]). Nothing keeps another process from listening on one of
//! them; then no connection can come from there, and other ports are taken.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Range;
use std::time::Duration;

use nix::errno::Errno;

use crate::model::Tick;
use crate::policy::handover::{PortKey, PortRule};
use crate::policy::steering::ProbePorts;
use crate::sys::listener;

use super::registry::State;
use super::{PortEvent, SharedPorts};

/// An address of IPv4 from which the runtime never connects. Only a process that listens on all addresses can be in the
/// way there, and only such a one is in the way of all the others.
const NEVER_USED: Ipv4Addr = Ipv4Addr::new(127, 0, 255, 254);

/// Shortest time between two moves: a process that takes every port must not keep the runtime busy.
const BETWEEN_MOVES: Duration = Duration::from_secs(1);
/// Shortest time between two reports.
const BETWEEN_REPORTS: Duration = Duration::from_mins(1);

/// What is known of moves of the source ports.
#[derive(Default)]
pub(super) struct Moves {
    last: Option<Tick>,
    reported: Option<Tick>,
    report: Option<Box<dyn Fn(PortEvent) + Send>>,
}

impl fmt::Debug for Moves {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Moves")
            .field("last", &self.last)
            .finish_non_exhaustive()
    }
}

impl SharedPorts {
    /// Calls `report` with a [`PortEvent::SourcePortTaken`] whenever a process is in the way, once a minute at most.
    pub fn report_moves(&self, report: impl Fn(PortEvent) + Send + 'static) {
        self.lock().moves.report = Some(Box::new(report));
    }
}

impl State {
    /// Returns whether a connection to `key` can come from this source port. If not, all source ports are moved, so ask
    /// for the port again.
    pub(super) fn is_free_or_moves(&mut self, key: PortKey, port: u16) -> bool {
        let at = key.reached_at().ip();
        if is_free(at.is_ipv4() || (at.is_unspecified() && !key.v6only), port) {
            return true;
        }
        let now = self.clock.now();
        let lately = |then: Option<Tick>, time| then.is_some_and(|then| now.since(then) < time);
        if lately(self.moves.last, BETWEEN_MOVES) {
            return false;
        }
        self.moves.last = Some(now);
        let moved = self.move_probes();
        if !lately(self.moves.reported, BETWEEN_REPORTS) {
            self.moves.reported = Some(now);
            if let Some(report) = &self.moves.report {
                report(PortEvent::SourcePortTaken { port, moved });
            }
        }
        false
    }

    /// Takes other source ports, which nobody has now, and steers by them.
    fn move_probes(&mut self) -> Option<ProbePorts> {
        let steering = self.settings.steering.as_mut()?;
        let count = steering.probe?.count;
        let listed = match &self.settings.rule {
            PortRule::Listed(list) => list.iter().map(|spec| spec.port.get()).collect(),
            PortRule::Any | PortRule::Nothing => Vec::new(),
        };
        let free = |port| is_free(true, port) && is_free(false, port);
        let moved = choose(client_ports(), count, listed, free)?;
        steering.probe = Some(moved);
        for group in &mut self.groups {
            if let Some(steering) = &mut group.steering {
                steering.probe = Some(moved);
            }
            if let Err(errno) = group.steer(&self.rotation)
                && let Some(report) = &self.moves.report
            {
                report(PortEvent::steering_failed(group.key, errno));
            }
        }
        Some(moved)
    }
}

/// Whether a socket can be bound to this port of the loopback address. A lack of descriptors says nothing about it.
fn is_free(v4: bool, port: u16) -> bool {
    let ip: IpAddr = if v4 {
        NEVER_USED.into()
    } else {
        Ipv6Addr::LOCALHOST.into()
    };
    let bound = listener::bound(SocketAddr::new(ip, port), true, false);
    !matches!(bound, Err(Errno::EADDRINUSE))
}

/// Source ports that address one listener each. They lie above or below the kernel's range of client ports, and none is
/// a served port. `None` if there is no room.
pub fn probe_ports(members: u16, served: &[u16]) -> Option<ProbePorts> {
    // Twice as many, for workers that are added later, if there is room.
    let roomy = members.saturating_mul(2).saturating_add(14);
    // Whether somebody has one of them is seen when they are used.
    let find = |count| choose(client_ports(), count, served.to_vec(), |_| true);
    find(roomy).or_else(|| find(members))
}

/// The range from which the kernel takes the ports of clients.
pub(super) fn client_ports() -> (u16, u16) {
    /// The default of Linux, if the file cannot be read.
    const DEFAULT: (u16, u16) = (32_768, 60_999);
    let text =
        std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut numbers = text
        .split_whitespace()
        .map_while(|word| word.parse::<u16>().ok());
    numbers.next().zip(numbers.next()).unwrap_or(DEFAULT)
}

/// Ports outside of `clients`, all of them free and none of `avoid`.
fn choose(
    clients: (u16, u16),
    count: u16,
    mut avoid: Vec<u16>,
    free: impl Fn(u16) -> bool,
) -> Option<ProbePorts> {
    /// More ports than other processes of a pod have there.
    const TRIES: u32 = 256;
    for _ in 0..TRIES {
        let range = outside(clients, count, &avoid)?;
        let base = range.start;
        match range.clone().find(|port| !free(*port)) {
            Some(taken) => avoid.push(taken),
            None => return Some(ProbePorts { base, count }),
        }
    }
    None
}

fn outside((low, high): (u16, u16), count: u16, avoid: &[u16]) -> Option<Range<u16>> {
    let at = |base: u16| Some(base..base.checked_add(count)?);
    let fits = |range: &Range<u16>| !avoid.iter().any(|port| range.contains(port));
    let above = || (high.checked_add(1)?..=u16::MAX).filter_map(at).find(fits);
    let below = || {
        let bases = 1024..=low.checked_sub(count)?;
        bases.rev().filter_map(at).find(fits)
    };
    above().or_else(below)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ListenerId;
    use crate::policy::Rotation;
    use crate::policy::steering::Balance;
    use crate::ports::{PortSettings, Steering};
    use std::net::TcpListener;
    use std::sync::mpsc;

    fn base(clients: (u16, u16), count: u16, avoid: &[u16]) -> Option<u16> {
        outside(clients, count, avoid).map(|range| range.start)
    }

    #[test]
    fn probe_ports_lie_outside_the_clients_range_and_serve_nobody() {
        let outside = |range, count| base(range, count, &[]);
        assert_eq!(outside((32_768, 60_999), 513), Some(61_000));
        assert_eq!(outside((32_768, 65_535), 513), Some(32_255));
        assert_eq!(outside((1024, 65_535), 513), None);
        assert_eq!(outside((1024, 65_030), 513), None);
        assert_eq!(outside((1024, 65_000), 513), Some(65_001));
        let served = |served: &[u16]| base((32_768, 60_999), 5, served);
        assert_eq!(served(&[61_001]), Some(61_002));
        assert_eq!(served(&[61_005]), Some(61_000));
    }

    #[test]
    fn ports_that_somebody_has_are_passed_over() {
        let choose = |taken: fn(u16) -> bool| {
            let chosen = choose((32_768, 60_999), 5, Vec::new(), |port| !taken(port));
            chosen.map(|ports| (ports.base, ports.count))
        };
        assert_eq!(choose(|_| false), Some((61_000, 5)));
        assert_eq!(choose(|port| port == 61_003), Some((61_004, 5)));
        assert_eq!(choose(|port| port < 61_100), Some((61_100, 5)));
        assert_eq!(choose(|port| port % 5 == 0), None);
        assert_eq!(choose(|_| true), None);
    }

    #[test]
    fn somebody_who_listens_on_a_source_port_makes_all_of_them_move_once() {
        let free = TcpListener::bind("127.73.0.40:0").unwrap();
        let key = PortKey::new(free.local_addr().unwrap(), false);
        drop(free);
        // Below the range of clients, where no other test is.
        let first = ProbePorts {
            base: 20_040,
            count: 3,
        };
        let ports = SharedPorts::new(PortSettings {
            descriptors: 1024,
            slots: 2,
            listeners: 3,
            backlog: 16,
            rule: PortRule::Any,
            steering: Some(Steering {
                balance: Balance::Random,
                follows: false,
                probe: Some(first),
            }),
        });
        let (report, reported) = mpsc::channel();
        ports.report_moves(move |event| report.send(event).unwrap());
        ports.open(key).unwrap();
        let listener = ListenerId(1);
        ports.activation(listener).unwrap();
        let rotation = Rotation {
            live: vec![listener],
            ..ports.lock().rotation.clone()
        };
        assert_eq!(ports.steer(rotation, None), []);
        assert_eq!(ports.probe_target(listener, None), Some((key, 20_041)));
        // On an address from which the runtime does not connect, it is in nobody's way.
        let beside = TcpListener::bind("127.0.0.1:20041").unwrap();
        assert_eq!(ports.probe_target(listener, None), Some((key, 20_041)));
        assert!(reported.try_recv().is_err());
        drop(beside);
        let before = ports.lock().groups[0].program.clone();
        let _stranger = TcpListener::bind("0.0.0.0:20041").unwrap();
        let (_, port) = ports.probe_target(listener, None).unwrap();
        let PortEvent::SourcePortTaken { port: taken, moved } = reported.try_recv().unwrap() else {
            panic!("another event");
        };
        let moved = moved.unwrap();
        assert_eq!((taken, moved.count), (20_041, 3));
        assert_eq!(port, moved.base + 1);
        assert_ne!(moved.base, first.base);
        assert_ne!(ports.lock().groups[0].program, before);
        // A connection from there is steered to that listener.
        let from = SocketAddr::new(Ipv4Addr::new(127, 0, 9, 9).into(), port);
        let client = listener::bound(from, false, false).unwrap();
        let to = nix::sys::socket::SockaddrStorage::from(key.addr);
        nix::sys::socket::connect(std::os::fd::AsRawFd::as_raw_fd(&client), &to).unwrap();
        let mut looks = 0;
        while ports.queue_length(key, listener) != Some(1) && looks < 100_000 {
            looks += 1;
        }
        assert_eq!(ports.queue_length(key, listener), Some(1));
        drop(client);
        // Who takes the next ones too is followed, though not at once, and is not told again.
        let _again = TcpListener::bind(("0.0.0.0", port)).unwrap();
        ports.lock().moves.last = Some(Tick(Duration::MAX));
        assert_eq!(ports.probe_target(listener, None), Some((key, port)));
        ports.lock().moves.last = None;
        let (_, next) = ports.probe_target(listener, None).unwrap();
        assert_ne!(next, port);
        assert!(reported.try_recv().is_err());
    }
}
