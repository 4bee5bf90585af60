//! Counts connections per worker, for scrapes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::ops::ControlFlow;

use crate::model::{Pid, SlotId};
use crate::sys::inspect::Seen;

use super::inspector::{Inspector, holds_leader};
use super::sockets::{SocketSnapshot, Want};

/// State of one count.
struct Count<'a> {
    snapshot: &'a mut SocketSnapshot,
    /// Connections whose owner is not found yet.
    left: usize,
    open: BTreeMap<SlotId, u64>,
}

impl Count<'_> {
    /// Counts one socket of the worker at this index.
    fn socket(&mut self, (place, slot): (usize, SlotId), inode: u64) -> ControlFlow<()> {
        if self.snapshot.take(place, inode) {
            *self.open.entry(slot).or_default() += 1;
            self.left = self.left.saturating_sub(1);
        }
        if self.left == 0 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

impl Inspector {
    /// Counts the connections on `ports` that these workers have accepted and not closed, by slot. A slot may have
    /// several workers. A slot is missing if one of its workers cannot be read. `None` if the kernel does not report
    /// connections.
    ///
    /// Reads the kernel's connections once for each address family. For connections that the last count did not know,
    /// it then reads the workers' descriptors until every owner is found. Other processes are read only if the workers
    /// themselves do not hold all connections.
    pub fn connections(
        &mut self,
        workers: &[(SlotId, Pid)],
        ports: &[SocketAddr],
    ) -> Option<BTreeMap<SlotId, u64>> {
        let mut snapshot = self.snapshot(ports, Want::Number).filter(|it| it.whole)?;
        let mut count = Count {
            left: snapshot.held(),
            snapshot: &mut snapshot,
            open: workers.iter().map(|(slot, _)| (*slot, 0)).collect(),
        };
        let known: BTreeMap<Pid, (usize, SlotId)> = workers
            .iter()
            .enumerate()
            .map(|(place, (slot, pid))| (*pid, (place, *slot)))
            .collect();
        for (inode, pid) in &self.holders {
            if let Some(holder) = known.get(pid) {
                // The result is ignored: the loops below check whether connections are left.
                let _ = count.socket(*holder, *inode);
            }
        }
        let mut hidden = BTreeSet::new();
        for (place, (slot, pid)) in workers.iter().enumerate() {
            if count.left == 0 {
                break;
            }
            let holder = (place, *slot);
            let proc = &self.proc;
            let seen = proc.sockets_of(*pid, &mut |inode| count.socket(holder, inode));
            if seen == Seen::Hidden {
                hidden.insert(*slot);
            }
        }
        if count.left > 0 {
            self.of_families(workers, &mut count, &mut hidden);
        }
        // If every connection has an owner, hidden processes hold none.
        if count.left > 0 {
            count.open.retain(|slot, _| !hidden.contains(slot));
        }
        let open = count.open;
        // A socket keeps its inode number until it is closed everywhere, and the number is reused only after billions
        // of other sockets. So this can be kept for the next count.
        let taken = snapshot.taken();
        self.holders = taken
            .filter_map(|(inode, place)| Some((inode, workers.get(place)?.1)))
            .collect();
        Some(open)
    }

    /// Continues with the other processes of each worker.
    fn of_families(
        &self,
        workers: &[(SlotId, Pid)],
        count: &mut Count<'_>,
        hidden: &mut BTreeSet<SlotId>,
    ) {
        let Ok(processes) = self.proc.processes() else {
            hidden.extend(workers.iter().map(|(slot, _)| *slot));
            return;
        };
        for (place, (slot, leader)) in workers.iter().enumerate() {
            let family = processes.family(*leader);
            if !holds_leader(&family, *leader) {
                hidden.insert(*slot);
            }
            let others = family.iter().filter(|one| one.pid != leader.get());
            for process in others {
                if count.left == 0 {
                    return;
                }
                let holder = (place, *slot);
                let seen = self
                    .proc
                    .sockets(process, &mut |inode| count.socket(holder, inode));
                if seen == Seen::Hidden {
                    hidden.insert(*slot);
                }
            }
        }
    }
}
