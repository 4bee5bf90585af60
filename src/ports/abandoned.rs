//! Closes ports that no worker binds any more, for example after a reload to a version that binds another address.

use std::os::fd::OwnedFd;

use crate::policy::handover::{PortKey, PortRule};
use crate::sys::{io, listener, steering};

use super::group::Group;
use super::registry::SharedPorts;
use super::stranded::StrandedRelay;
use super::udp::DatagramGroup;

/// A port that was closed.
#[derive(Debug)]
pub struct Closed {
    /// The port.
    pub key: PortKey,
    /// The port that workers bind instead, at an address that clients of the closed port reach too.
    pub heir: Option<PortKey>,
    /// Clients that waited in its queues and are passed on to that port.
    pub passed_on: u32,
}

/// Whether every client that reaches `old` would reach `heir` if `old` were closed.
fn covers(heir: &PortKey, old: &PortKey) -> bool {
    let (to, from) = (heir.reached_at(), old.reached_at());
    let same_family = to.is_ipv4() == from.is_ipv4();
    let wild = to.ip().is_unspecified() && (same_family || to.is_ipv6() && !heir.v6only);
    // `[::]` may have IPv4 clients too.
    let all = same_family && (to.is_ipv4() || heir.v6only <= old.v6only);
    to.port() == from.port() && (wild && (from.is_ipv4() || all) || to.ip() == from.ip() && all)
}

impl StrandedRelay {
    /// Closes ports that no worker has any more: those that RPM_PORTS does not list, so that clients are refused instead of
    /// waiting for nothing, and others whose clients reach another port that workers serve. What waits in their queues is
    /// passed on to that port. Call it inside the async runtime.
    pub fn close_abandoned(&self) -> Vec<Closed> {
        let gone = self.ports.take_abandoned();
        let closed = gone.into_iter().map(|(group, heir)| {
            let waiting = heir.map(|_| group.empty(self.most)).unwrap_or_default();
            let key = group.key;
            group.close();
            // From now on the kernel takes a connection to that address to the heir.
            let pass_on = |heir| {
                waiting
                    .into_iter()
                    .map(|client| self.pass(heir, client))
                    .sum()
            };
            Closed {
                key,
                heir,
                passed_on: heir.map_or(0, pass_on),
            }
        });
        closed.collect()
    }
}

impl SharedPorts {
    /// Under `auto`, closes the UDP ports that no worker has any more.
    pub fn close_abandoned_datagrams(&self) -> Vec<PortKey> {
        let mut state = self.lock();
        if state.settings.rule != PortRule::Any {
            return Vec::new();
        }
        let abandoned = |group: &DatagramGroup| group.used && !group.is_held();
        let (over, kept) = state.datagrams.drain(..).partition(abandoned);
        let over: Vec<DatagramGroup> = over;
        state.datagrams = kept;
        over.iter().for_each(DatagramGroup::let_go);
        over.iter().map(|group| group.key).collect()
    }

    /// Removes the ports that are to be closed, each with the port that takes its clients.
    fn take_abandoned(&self) -> Vec<(Group, Option<PortKey>)> {
        let mut state = self.lock();
        let state = &mut *state;
        let served: Vec<PortKey> = state
            .groups
            .iter()
            .filter(|group| group.is_served(&state.rotation))
            .map(|group| group.key)
            .collect();
        let heir = |group: &Group| {
            let mut heirs = served.iter().filter(|key| covers(key, &group.key));
            heirs.find(|key| **key != group.key).copied()
        };
        let rule = &state.settings.rule;
        let (gone, kept): (Vec<Group>, Vec<Group>) = state.groups.drain(..).partition(|group| {
            let abandoned = group.used() && !group.is_held();
            abandoned && (!rule.is_listed(&group.key) || heir(group).is_some())
        });
        state.groups = kept;
        let with_heir = |group: Group| {
            let heir = heir(&group);
            (group, heir)
        };
        gone.into_iter().map(with_heir).collect()
    }
}

impl Group {
    /// Number of connections that wait in the queues of all listeners.
    pub fn waiting(&self) -> u32 {
        self.listeners
            .iter()
            .filter_map(|listener| listener::queue(&listener.fd).ok())
            .map(|queue| queue.length)
            .sum()
    }

    /// Accepts what waits in all queues, at most `most`. New clients are not answered from now on; they try again after a
    /// second, and reach another port.
    fn empty(&self, most: usize) -> Vec<OwnedFd> {
        for fd in self.descriptors() {
            // If it fails, a client that comes before the port is closed may be reset.
            let _ = steering::drop_new(fd);
        }
        let mut clients = Vec::new();
        for fd in self.descriptors() {
            if !listener::queue(fd).is_ok_and(|queue| queue.length > 0)
                || io::set_nonblocking(fd, true).is_err()
            {
                continue;
            }
            clients.extend(listener::accept_waiting(fd, most - clients.len()));
        }
        clients
    }

    /// Detaches the steering program before our descriptors are closed, because indexes move when members leave.
    pub fn let_go(&self) {
        if self.steering.is_some()
            && let Some(member) = self.member()
        {
            // The error is ignored: the descriptors are closed next. Without the program, the kernel's hash chooses.
            let _ = steering::detach(&member.fd);
        }
    }

    /// Closes the port. A task that accepts there may still have copies of the listeners, so they stop to listen first:
    /// the kernel would prefer them to those of the heir.
    pub(super) fn close(self) {
        self.let_go();
        for fd in self.descriptors() {
            // It fails for a listener that never listened.
            let _ = listener::stop_listening(fd);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_heir_takes_all_clients_of_the_closed_port() {
        let key = |addr: &str, v6only| PortKey::new(addr.parse().unwrap(), v6only);
        let both = || key("[::]:80", false);
        for (heir, old, expected) in [
            (both(), key("0.0.0.0:80", false), true),
            (both(), key("127.0.0.1:80", false), true),
            (both(), key("[::1]:80", false), true),
            (both(), key("[::]:80", true), true),
            (key("0.0.0.0:80", false), key("127.0.0.1:80", false), true),
            (key("[::]:80", true), key("0.0.0.0:80", false), false),
            (key("[::]:80", true), both(), false),
            (key("0.0.0.0:80", false), both(), false),
            (key("127.0.0.1:80", false), key("0.0.0.0:80", false), false),
            (both(), key("0.0.0.0:81", false), false),
        ] {
            assert_eq!(covers(&heir, &old), expected, "{heir} for {old}");
        }
    }
}
