//! Looks at the connections of workers.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::ops::ControlFlow;

use crate::model::{Pid, Sig};
use crate::policy::drain::{Aim, Disposition, Look};
use crate::sys::family::{Process, Processes};
use crate::sys::inspect::{Dispositions, Seen};
use crate::sys::proc::Proc;
use crate::sys::sockdiag::{SockDiag, meaning};

use super::sockets::{Existing, Handshakes, SocketSnapshot, Want};

/// A worker to look at.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The leader of the worker: our child, and not reaped.
    pub leader: Pid,
    /// Handshakes that may still reach this worker; empty if they do not matter.
    pub handshakes: &'a Handshakes,
    /// If some of its processes cannot be read: the connections that may be theirs. `None`: any connection of the ports
    /// that no readable process holds.
    pub existing: Option<&'a Existing>,
    /// The goal of the drain: counting stops at the first connection that prevents it. `None`: counts all connections,
    /// which takes most of the time for a worker with thousands of them.
    pub aim: Option<Aim>,
    /// Connections in the queues of its listeners. Read this before the look; a connection that leaves the queue in
    /// between is then counted as open.
    pub queued: u32,
}

/// Reads the workers' connections; all such reads go through here. `ports` in its methods are the addresses of shared
/// ports, of which only the family and the port number matter.
#[derive(Debug)]
pub struct Inspector {
    pub(super) proc: Proc,
    /// `None` if netlink does not work.
    diag: Option<SockDiag>,
    /// Why netlink does not work.
    fault: Option<&'static str>,
    /// The owner of each socket as found by the last [`Inspector::connections`].
    pub(super) holders: Vec<(u64, Pid)>,
    /// The addresses of shared unix sockets, of which connections are read too.
    unix: Vec<OsString>,
}

impl Default for Inspector {
    fn default() -> Self {
        Self::new()
    }
}

impl Inspector {
    /// Tests which sources are available.
    pub fn new() -> Self {
        let opened = SockDiag::open();
        Self {
            proc: Proc::new("/proc"),
            fault: opened.as_ref().err().map(|errno| meaning(*errno)),
            diag: opened.ok(),
            holders: Vec::new(),
            unix: Vec::new(),
        }
    }

    /// Names the addresses of shared unix sockets. All further reads include their connections.
    pub fn with_unix(&mut self, mut addresses: Vec<OsString>) {
        addresses.sort_unstable();
        self.unix = addresses;
    }

    /// The source, for the log: `sock_diag`, or `/proc/net`, which costs more and cannot tell an idle connection from a
    /// request at work.
    pub fn means(&self) -> &'static str {
        if self.diag.is_some() {
            "sock_diag"
        } else {
            "/proc/net"
        }
    }

    /// Why netlink is not the source.
    pub fn why_not_netlink(&self) -> Option<&'static str> {
        self.fault
    }

    /// The handshakes in progress on `ports`. Taken right after a worker left the steering, these are all that may
    /// still become connections of that worker; later handshakes go to others.
    pub fn handshakes(&mut self, ports: &[SocketAddr]) -> Handshakes {
        self.snapshot(ports, Want::Handshakes)
            .map(|snapshot| snapshot.handshakes)
            .unwrap_or_default()
    }

    /// Looks at all `subjects` at once and returns one result for each, in their order. Reads the kernel's connections
    /// once for each address family, every process once, and the descriptors of the subjects. If no process holds a
    /// connection, it reads only the first.
    ///
    /// If a process of a subject cannot be read (another uid, not dumpable, `hidepid`), it also reads the descriptors of
    /// all other processes: each connection that none of them holds counts as open at this subject.
    pub fn look(&mut self, subjects: &[Subject<'_>], ports: &[SocketAddr]) -> Vec<Look> {
        let snapshot = self.snapshot(ports, Want::All);
        let processes = match &snapshot {
            Some(snapshot) if snapshot.any_held() => self.proc.processes().ok(),
            _ => None,
        };
        // If the dump failed, nothing is visible.
        let (mut snapshot, asked) = snapshot.map_or_else(
            || (SocketSnapshot::default(), false),
            |snapshot| (snapshot, true),
        );
        let whole = asked && snapshot.whole;
        let mut looks: Vec<Look> = Vec::with_capacity(subjects.len());
        for (place, one) in subjects.iter().enumerate() {
            let mut look = Look {
                queued: one.queued,
                handshakes: one.handshakes.any_in(&snapshot.handshakes),
                visible: whole,
                ..Look::default()
            };
            if snapshot.any_held() {
                let family = processes
                    .as_ref()
                    .map(|all| all.family(one.leader))
                    .unwrap_or_default();
                look.hidden = !holds_leader(&family, one.leader);
                self.count(&family, one.aim, (place, &mut snapshot), &mut look);
            }
            looks.push(look);
        }
        if looks.iter().any(|look| look.hidden) {
            self.count_unseen(processes.as_ref(), &mut snapshot, subjects, &mut looks);
        }
        looks
    }

    /// Counts the connections that no readable process holds, for the subjects that have a process which cannot be read.
    fn count_unseen(
        &self,
        processes: Option<&Processes>,
        snapshot: &mut SocketSnapshot,
        subjects: &[Subject<'_>],
        looks: &mut [Look],
    ) {
        let somebody = subjects.len();
        for process in processes.map(Processes::all).unwrap_or_default() {
            if snapshot.all_taken() {
                return;
            }
            // If it cannot be read, its connections stay without a holder.
            let _ = self.proc.sockets(process, &mut |inode| {
                snapshot.take(somebody, inode);
                ControlFlow::Continue(())
            });
        }
        for (one, look) in subjects.iter().zip(looks).filter(|(_, look)| look.hidden) {
            for (busy, costs) in snapshot.untaken(one.existing) {
                look.unseen = look.unseen.saturating_add(1);
                look.open = look.open.saturating_add(1);
                look.busy = look.busy.saturating_add(u32::from(busy));
                look.costs = look.costs.saturating_add(u32::from(costs));
            }
        }
    }

    /// Whether some process of the worker cannot be read, so that its connections are not known.
    fn is_hidden(&self, leader: Pid) -> bool {
        let Ok(processes) = self.proc.processes() else {
            return true;
        };
        let family = processes.family(leader);
        let hidden = |process: &Process| {
            let one = &mut |_| ControlFlow::Break(());
            self.proc.sockets(process, one) == Seen::Hidden
        };
        !holds_leader(&family, leader) || family.iter().any(hidden)
    }

    /// Everything that is or may become a connection of a worker on `ports`, if some of its processes cannot be read;
    /// otherwise `None`, because its own connections are known. Call it right after the worker left the steering.
    pub fn existing(&mut self, leader: Pid, ports: &[SocketAddr]) -> Option<Existing> {
        if !self.is_hidden(leader) {
            return None;
        }
        let snapshot = self.snapshot(ports, Want::Existing)?;
        snapshot.existing.filter(|_| snapshot.whole)
    }

    /// Counts the connections of a worker's processes, as far as the aim requires it.
    fn count(
        &self,
        family: &[Process],
        aim: Option<Aim>,
        (holder, snapshot): (usize, &mut SocketSnapshot),
        look: &mut Look,
    ) {
        for process in family {
            let mut decided = false;
            let seen = self.proc.sockets(process, &mut |inode| {
                if let Some((busy, costs)) = snapshot.claim(holder, inode) {
                    look.open = look.open.saturating_add(1);
                    look.busy = look.busy.saturating_add(u32::from(busy));
                    look.costs = look.costs.saturating_add(u32::from(costs));
                    decided = match aim {
                        Some(Aim::Empty) => true,
                        Some(Aim::Quiet) => busy,
                        Some(Aim::Painless) => costs,
                        None => false,
                    };
                }
                if decided {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            });
            look.hidden |= seen == Seen::Hidden;
            if decided {
                break;
            }
        }
    }

    /// How the worker of `leader` handles `sig`. Asks the worker's processes that hold a connection on `ports`; if none
    /// is found, the leader. If one of them catches the signal, the answer is `Caught`. If some ignore it and others
    /// have the default action, the answer is `Default`. Note that some language runtimes catch signals of which their
    /// program knows nothing.
    pub fn disposition(&mut self, leader: Pid, ports: &[SocketAddr], sig: Sig) -> Disposition {
        let mut holders = self.holders(leader, ports);
        if holders.is_empty() {
            holders.push(leader);
        }
        let asked: Vec<Disposition> = holders
            .into_iter()
            .map(|pid| self.disposition_of(pid, sig))
            .collect();
        [
            Disposition::Caught,
            Disposition::Unknown,
            Disposition::Default,
        ]
        .into_iter()
        .find(|kind| asked.contains(kind))
        .unwrap_or(Disposition::Ignored)
    }

    fn disposition_of(&self, pid: Pid, sig: Sig) -> Disposition {
        let Ok(found) = self.proc.dispositions(pid) else {
            return Disposition::Unknown;
        };
        if !sig.is_catchable() {
            Disposition::Default
        } else if Dispositions::has(found.ignored, sig) {
            Disposition::Ignored
        } else if Dispositions::has(found.caught | found.blocked, sig) {
            Disposition::Caught
        } else {
            Disposition::Default
        }
    }

    fn holders(&mut self, leader: Pid, ports: &[SocketAddr]) -> Vec<Pid> {
        let snapshot = self.snapshot(ports, Want::All);
        let Some(mut snapshot) = snapshot.filter(SocketSnapshot::any_held) else {
            return Vec::new();
        };
        let Ok(processes) = self.proc.processes() else {
            return Vec::new();
        };
        let holds = |(place, process): (usize, Process)| {
            let mut any = false;
            self.proc.sockets(&process, &mut |inode| {
                any = snapshot.claim(place, inode).is_some();
                if any {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            });
            Pid::new(process.pid).filter(|_| any)
        };
        let family = processes.family(leader).into_iter();
        family.enumerate().filter_map(holds).collect()
    }

    /// The processes of the group of `leader` that have not ended.
    pub(super) fn group(&self, leader: Pid) -> Option<Vec<Process>> {
        let processes: Processes = self.proc.processes().ok()?;
        let mut group = processes.group(leader);
        let known = holds_leader(&group, leader);
        group.retain(|process| !process.is_over());
        known.then_some(group)
    }

    /// Makes one dump. If the netlink socket fails, it is replaced once; if the new one fails too, this dump reads the
    /// files in /proc/net. `None` if these cannot be read either.
    pub(super) fn snapshot(&mut self, ports: &[SocketAddr], want: Want) -> Option<SocketSnapshot> {
        let snapshot = self.snapshot_of_ports(ports, want)?;
        if self.unix.is_empty() || matches!(want, Want::Handshakes) {
            return Some(snapshot);
        }
        Some(snapshot.add_unix(&self.proc, &self.unix))
    }

    fn snapshot_of_ports(&mut self, ports: &[SocketAddr], want: Want) -> Option<SocketSnapshot> {
        if let Some(diag) = &mut self.diag {
            let snapshot = SocketSnapshot::by_netlink(diag, ports, want);
            if snapshot.is_some() {
                return snapshot;
            }
            // The rest of the broken answer is lost with its socket. If no new socket can be opened now (descriptors,
            // memory), the broken one is kept, so that the next look tries again.
            if let Ok(mut fresh) = SockDiag::open() {
                let snapshot = SocketSnapshot::by_netlink(&mut fresh, ports, want);
                *diag = fresh;
                if snapshot.is_some() {
                    return snapshot;
                }
            }
        }
        SocketSnapshot::by_files(&self.proc, ports, want)
    }
}

/// Whether the leader is among the processes. It is our child and not reaped, so if it is missing, it is hidden from us
/// (`hidepid`).
pub(super) fn holds_leader(family: &[Process], leader: Pid) -> bool {
    family.iter().any(|process| process.pid == leader.get())
}
