//! The result of one dump of the shared ports, reduced to what is needed.

use std::collections::HashSet;
use std::ffi::OsString;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;

use crate::policy::drain::{Connection, Past, at_work, may_complete, would_cost};
use crate::sys::proc::Proc;
use crate::sys::sockdiag::{Dump, SockDiag};
use crate::sys::tcp::{MOST_PORTS, Query, Row, State, States};
use crate::sys::{procnet, procunix};

/// The states in which a worker may lose something. In other states everything was sent, or there never was anything. A
/// socket whose handshake is not complete may already be accepted (TCP Fast Open).
const ALL: States = States::of(&[
    State::Established,
    State::CloseWait,
    State::FinWait1,
    State::FinWait2,
    State::SynReceived,
]);

const OPENING: States = States::of(&[State::SynReceived]);

/// Most connections and most handshakes to keep, about 8 MB each. The limit of descriptors ends the former long before,
/// while a SYN flood may exceed the latter; handshakes beyond the limit are not waited for.
const MOST: (usize, usize) = (1 << 18, 1 << 16);

/// Most attempts at a dump that is interrupted. Then the result is used as it is, because the next look is as good as
/// another attempt.
const TRIES: u32 = 3;

/// Local and remote address of a connection.
type Pair = (SocketAddr, SocketAddr);

/// Handshakes in progress at one moment. With SYN cookies (tcp_syncookies) none can be seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handshakes(HashSet<Pair>);

impl Handshakes {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The number of handshakes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether any of them is still in progress in `now`.
    pub(super) fn any_in(&self, now: &Self) -> bool {
        self.0.iter().any(|pair| now.0.contains(pair))
    }
}

/// A connection that a process holds open.
#[derive(Clone, Copy, Debug)]
struct Held {
    inode: u64,
    busy: bool,
    costs: bool,
    /// Its addresses, see [`pair_number`].
    pair: u64,
    /// The process that was last found to hold it, so that a connection held twice counts once.
    by: Option<usize>,
}

/// The connections that existed at one moment, accepted or not, handshakes among them. A worker that got its last new
/// connection before this moment holds no other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Existing {
    /// Sorted; see [`pair_number`].
    pairs: Vec<u64>,
}

impl Existing {
    fn has(&self, pair: u64) -> bool {
        self.pairs.binary_search(&pair).is_ok()
    }
}

/// A number for the two addresses of a connection, because the addresses themselves take eight times the memory. If two
/// connections have the same number, a drain waits for one connection too many.
fn pair_number(row: &Row) -> u64 {
    let mut hasher = DefaultHasher::new();
    (row.local, row.remote).hash(&mut hasher);
    hasher.finish()
}

/// What a dump asks for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Want {
    /// Handshakes only.
    Handshakes,
    /// Handshakes, and connections that processes hold open.
    All,
    /// As `All`, but without the activity of the connections, so all of them look as if they were at work.
    Number,
    /// The addresses of everything that is or may become a connection.
    Existing,
}

impl Want {
    fn states(self) -> States {
        match self {
            Self::Handshakes => OPENING,
            Self::All | Self::Number | Self::Existing => ALL,
        }
    }
}

/// The result of a dump.
#[derive(Debug, Default)]
pub(super) struct SocketSnapshot {
    /// Sorted by inode.
    held: Vec<Held>,
    pub(super) handshakes: Handshakes,
    /// Only for [`Want::Existing`].
    pub(super) existing: Option<Existing>,
    /// All of them fitted into the limit.
    pub(super) whole: bool,
}

impl SocketSnapshot {
    /// Makes a dump over netlink; `None` if that fails.
    pub(super) fn by_netlink(
        diag: &mut SockDiag,
        ports: &[SocketAddr],
        want: Want,
    ) -> Option<Self> {
        let queries = Queries::new(ports, want);
        for attempt in 1..=TRIES {
            let mut found = Self::empty(want);
            let mut complete = true;
            for query in queries.queries() {
                let end = diag.dump(query, &mut |row| found.add(row)).ok()?;
                complete &= end == Dump::Complete;
            }
            if complete || attempt == TRIES {
                return Some(found.ordered());
            }
        }
        None
    }

    /// Makes a dump from /proc/net; `None` if that fails.
    pub(super) fn by_files(proc: &Proc, ports: &[SocketAddr], want: Want) -> Option<Self> {
        let queries = Queries::new(ports, want);
        let mut found = Self::empty(want);
        for query in queries.queries() {
            procnet::dump(proc, query, &mut |row| found.add(row)).ok()?;
        }
        Some(found.ordered())
    }

    fn empty(want: Want) -> Self {
        Self {
            whole: true,
            existing: matches!(want, Want::Existing).then(Existing::default),
            ..Self::default()
        }
    }

    fn add(&mut self, row: &Row) {
        if let Some(existing) = &mut self.existing {
            if existing.pairs.len() < MOST.0 {
                existing.pairs.push(pair_number(row));
            } else {
                self.whole = false;
            }
        } else if row.inode == 0 && row.state == State::SynReceived {
            if may_complete(row.again) && self.handshakes.0.len() < MOST.1 {
                self.handshakes.0.insert((row.local, row.remote));
            }
        } else if row.inode != 0 {
            let connection = connection(row);
            self.add_held(Held {
                inode: row.inode,
                busy: at_work(&connection),
                costs: would_cost(&connection),
                pair: pair_number(row),
                by: None,
            });
        }
    }

    /// Adds the connections of unix sockets with these addresses, which are sorted. The kernel tells nothing about their
    /// traffic, so each may carry a request.
    pub(super) fn add_unix(mut self, proc: &Proc, addresses: &[OsString]) -> Self {
        let read = procunix::dump(proc, |row| {
            let at = addresses.binary_search_by(|one| one.as_os_str().cmp(row.address));
            if row.inode == 0 || !row.connected || at.is_err() {
                return;
            }
            // An inode is never used again (while the runtime lives), so it may stand for the two addresses.
            if let Some(existing) = &mut self.existing {
                existing.pairs.push(row.inode);
            } else {
                self.add_held(Held {
                    inode: row.inode,
                    busy: true,
                    costs: true,
                    pair: row.inode,
                    by: None,
                });
            }
        });
        self.whole &= read.is_ok();
        self.ordered()
    }

    fn add_held(&mut self, held: Held) {
        if self.held.len() < MOST.0 {
            self.held.push(held);
        } else {
            self.whole = false;
        }
    }

    /// Sorts, and removes duplicates: the kernel may report a socket twice if its tables change meanwhile.
    fn ordered(mut self) -> Self {
        self.held.sort_unstable_by_key(|held| held.inode);
        self.held.dedup_by_key(|held| held.inode);
        if let Some(existing) = &mut self.existing {
            existing.pairs.sort_unstable();
            existing.pairs.dedup();
        }
        self
    }

    /// Whether any process holds a connection open.
    pub(super) fn any_held(&self) -> bool {
        !self.held.is_empty()
    }

    /// Number of connections that processes hold open.
    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    /// Records that `holder` has this socket. Returns whether the connection is at work and whether its loss would cost
    /// a request. `None` if it is no connection, or if `holder` named it before. The caller names all sockets of one
    /// holder before those of the next.
    pub(super) fn claim(&mut self, holder: usize, inode: u64) -> Option<(bool, bool)> {
        let held = self.find(inode)?;
        let first = held.by != Some(holder);
        held.by = Some(holder);
        first.then_some((held.busy, held.costs))
    }

    /// As [`Self::claim`], but only the first holder gets the socket. True if that is `holder`, now.
    pub(super) fn take(&mut self, holder: usize, inode: u64) -> bool {
        let free = self.find(inode).filter(|held| held.by.is_none());
        free.map(|held| held.by = Some(holder)).is_some()
    }

    /// Whether every connection was named by a holder.
    pub(super) fn all_taken(&self) -> bool {
        self.held.iter().all(|held| held.by.is_some())
    }

    /// The connections that no holder has named, of those in `existing`: for each whether it is at work, and whether
    /// its loss would cost a request. `None`: of all connections.
    pub(super) fn untaken(
        &self,
        existing: Option<&Existing>,
    ) -> impl Iterator<Item = (bool, bool)> {
        let free = self.held.iter().filter(|held| held.by.is_none());
        let matters = move |held: &&Held| existing.is_none_or(|existing| existing.has(held.pair));
        free.filter(matters).map(|held| (held.busy, held.costs))
    }

    /// The sockets that were named, each with its last holder.
    pub(super) fn taken(&self) -> impl Iterator<Item = (u64, usize)> {
        let held = self.held.iter();
        held.filter_map(|held| Some((held.inode, held.by?)))
    }

    fn find(&mut self, inode: u64) -> Option<&mut Held> {
        let place = self.held.binary_search_by_key(&inode, |held| held.inode);
        self.held.get_mut(place.ok()?)
    }
}

/// The queries of a dump: one or more for each address family.
#[derive(Debug)]
struct Queries {
    want: Want,
    /// Ports for IPv4 and for IPv6. Each port is listed once, although several listeners with different addresses may
    /// have it.
    ports: [Vec<u16>; 2],
}

impl Queries {
    fn new(ports: &[SocketAddr], want: Want) -> Self {
        let of = |ipv6: bool| {
            let family = ports.iter().filter(|port| port.is_ipv6() == ipv6);
            let mut numbers: Vec<u16> = family.map(SocketAddr::port).collect();
            numbers.sort_unstable();
            numbers.dedup();
            numbers
        };
        Self {
            want,
            ports: [of(false), of(true)],
        }
    }

    fn queries(&self) -> impl Iterator<Item = Query<'_>> {
        let families = self.ports.iter().zip([false, true]);
        let parts = families.flat_map(|(ports, ipv6)| {
            let parts = ports.chunks(MOST_PORTS);
            parts.map(move |ports| (ports, ipv6))
        });
        parts.map(|(ports, ipv6)| Query {
            ipv6,
            ports,
            states: self.want.states(),
            past: matches!(self.want, Want::All),
        })
    }
}

fn connection(row: &Row) -> Connection {
    Connection {
        established: row.state == State::Established,
        unread: row.unread,
        unsent: row.unsent,
        past: row.past.map(|past| Past {
            sent: past.last_sent,
            received: past.last_received,
            acknowledged: past.last_acknowledged,
            bytes: past.bytes,
            waiting: past.waiting.map(|bytes| bytes > 0),
        }),
    }
}
