//! How many connections each worker has.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::ops::ControlFlow;

use crate::model::{Pid, SlotId};
use crate::sys::peek::Seen;

use super::sight::{Sight, holds_leader};
use super::survey::{Survey, Want};

/// The count that goes on.
struct Count<'a> {
    survey: &'a mut Survey,
    /// Connections that nobody was found to hold yet.
    left: usize,
    open: BTreeMap<SlotId, u64>,
}

impl Count<'_> {
    /// One socket of the worker at that place.
    fn socket(&mut self, (place, slot): (usize, SlotId), inode: u64) -> ControlFlow<()> {
        if self.survey.take(place, inode) {
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

impl Sight {
    /// How many connections on `ports` these workers have accepted and not closed, by slot; a slot may have several. A
    /// slot with a worker that cannot be seen is missing; `None`: the kernel does not tell the connections.
    ///
    /// It walks once for each family of addresses through the kernel's connections, then, if there is one that the last
    /// count did not find, through the workers' descriptors until it knows who holds each; other processes are looked at
    /// only if the workers themselves do not hold all.
    pub fn connections(
        &mut self,
        workers: &[(SlotId, Pid)],
        ports: &[SocketAddr],
    ) -> Option<BTreeMap<SlotId, u64>> {
        let mut survey = self.survey(ports, Want::Number).filter(|it| it.whole)?;
        let mut count = Count {
            left: survey.held(),
            survey: &mut survey,
            open: workers.iter().map(|(slot, _)| (*slot, 0)).collect(),
        };
        let known: BTreeMap<Pid, (usize, SlotId)> = workers
            .iter()
            .enumerate()
            .map(|(place, (slot, pid))| (*pid, (place, *slot)))
            .collect();
        for (inode, pid) in &self.holders {
            if let Some(holder) = known.get(pid) {
                // The walk below looks itself whether that was all.
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
        // All that there is was found, so that who is hidden has nothing.
        if count.left > 0 {
            count.open.retain(|slot, _| !hidden.contains(slot));
        }
        let open = count.open;
        // A socket keeps its number until it is closed everywhere, and it takes billions of others until one has it again.
        let taken = survey.taken();
        self.holders = taken
            .filter_map(|(inode, place)| Some((inode, workers.get(place)?.1)))
            .collect();
        Some(open)
    }

    /// Goes on with what belongs to the workers beside themselves.
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
