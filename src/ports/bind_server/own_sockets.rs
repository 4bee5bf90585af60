//! Listeners of a ready worker that are not ours although its port is to be shared: the runtime did not see it bind. Such
//! a worker is ready and gets none of the clients that the others share, or a successor cannot bind the port.
//!
//! Nobody reports such a socket, so it is looked for once when a worker is ready: the kernel lists all listeners
//! (sock_diag), and /proc the sockets of the worker.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::time::Duration;

use crate::model::{Pid, Tick};
use crate::policy::handover::{PortKey, PortRule};
use crate::ports::probes::client_ports;
use crate::sys::proc::Proc;
use crate::sys::sockdiag::SockDiag;
use crate::sys::tcp::{Query, State, States};
use crate::sys::unseen::{Unseen, why_unseen};

use super::{PortEvent, Thread};

/// Shortest time between two looks. Workers run the same program, so one of those that start together is enough.
const BETWEEN: Duration = Duration::from_secs(1);

/// Most ports that are told of.
const MOST: usize = 64;

/// What was told, and when the last look was.
#[derive(Debug, Default)]
pub(super) struct OwnSockets {
    looked: Option<Tick>,
    told: HashSet<u16>,
}

/// Whether RPM_PORTS asks to share this address. Under `auto` every fixed port is shared; one of the range from which the
/// kernel takes free ports (`free`) may be no fixed one.
fn is_to_be_shared(rule: &PortRule, free: (u16, u16), at: SocketAddr) -> bool {
    match rule {
        PortRule::Any => !(free.0..=free.1).contains(&at.port()),
        // An address of IPv6 is that whatever IPV6_V6ONLY is.
        PortRule::Listed(_) => rule.is_listed(&PortKey::new(at, false)),
        PortRule::Nothing => false,
    }
}

impl<F: Fn(PortEvent)> Thread<F> {
    /// This worker has become ready: tells of a listener of its own, once for each port.
    pub(super) fn look_at_sockets(&mut self, worker: Pid) {
        let now = self.clock.now();
        let lately = |at: Tick| now.since(at) < BETWEEN;
        if self.own_sockets.looked.is_some_and(lately) {
            return;
        }
        let Some(served) = self.served(worker) else {
            return;
        };
        // It was told already that something of it is not shared.
        if served.once.unseen || served.once.refused {
            return;
        }
        let slot = served.trapped.slot;
        self.own_sockets.looked = Some(now);
        let (rule, free) = (self.ports.rule(), client_ports());
        let mut listeners = HashMap::new();
        let Ok(mut diag) = SockDiag::open() else {
            return;
        };
        for ipv6 in [false, true] {
            let query = Query {
                ipv6,
                ports: &[],
                states: States::of(&[State::Listen]),
                past: false,
            };
            // What is missed is told of at the next start.
            let _ = diag.dump(query, &mut |row| {
                if is_to_be_shared(&rule, free, row.local) {
                    listeners.insert(row.inode, row.local);
                }
            });
        }
        listeners.retain(|inode, _| self.ports.owns(*inode).is_none());
        let proc = Proc::new("/proc");
        let Ok(processes) = proc.processes() else {
            return;
        };
        for process in processes.family(worker) {
            let mut own = Vec::new();
            // A process that cannot be read is told of by its `bind`.
            let _ = proc.sockets(&process, &mut |inode| {
                own.extend(listeners.get(&inode).copied());
                ControlFlow::Continue(())
            });
            for addr in own {
                let told = &mut self.own_sockets.told;
                if told.len() < MOST && told.insert(addr.port()) {
                    let why =
                        Pid::new(process.pid).map_or(Unseen::Unknown, |pid| why_unseen(&proc, pid));
                    (self.events)(PortEvent::NotShared {
                        worker,
                        slot,
                        addr,
                        why,
                    });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::handover::{PortSpec, Transport};

    #[test]
    fn a_port_is_to_be_shared_if_it_is_listed_or_fixed() {
        let at = |addr: &str| addr.parse::<SocketAddr>().unwrap();
        let spec = |ip: Option<&str>| PortSpec {
            transport: Transport::Tcp,
            ip: ip.map(|ip| ip.parse().unwrap()),
            port: 80.try_into().unwrap(),
        };
        let bare = PortRule::Listed(vec![spec(None)].into());
        let one = PortRule::Listed(vec![spec(Some("127.0.0.1"))].into());
        for (rule, addr, expected) in [
            (&bare, "0.0.0.0:80", true),
            (&bare, "[::]:80", true),
            (&bare, "0.0.0.0:81", false),
            (&one, "127.0.0.1:80", true),
            (&one, "127.0.0.2:80", false),
            (&PortRule::Any, "127.0.0.2:80", true),
            (&PortRule::Nothing, "127.0.0.2:80", false),
        ] {
            assert_eq!(
                is_to_be_shared(rule, client_ports(), at(addr)),
                expected,
                "{rule} {addr}"
            );
        }
        // What `bind` of port 0 gives.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let at = free.local_addr().unwrap();
        assert!(!is_to_be_shared(&PortRule::Any, client_ports(), at));
    }
}
