//! Looking at workers.

use std::net::SocketAddr;
use std::ops::ControlFlow;

use crate::model::{Pid, Sig};
use crate::policy::drain::{Aim, Look};
use crate::sys::family::{Process, Processes};
use crate::sys::peek::{Dispositions, Seen};
use crate::sys::proc::Proc;
use crate::sys::sockdiag::SockDiag;

use super::survey::{Handshakes, Survey, Want};

/// A worker to look at.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The worker, which is a child of ours that is not reaped.
    pub leader: Pid,
    /// Those that might still become connections of its; empty if that does not matter.
    pub handshakes: &'a Handshakes,
    /// What is waited for: the count ends at the first connection that stands in its way. `None`: all are counted, which
    /// for a worker with thousands of them takes as long as everything else.
    pub aim: Option<Aim>,
    /// Connections in its listeners' queues, read before the look: what leaves a queue in between shows as open.
    pub queued: u32,
}

/// What a worker does with a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// A handler runs, or the program fetches it (sigwait(3), signalfd(2)).
    Caught,
    /// Nothing happens.
    Ignored,
    /// What signal(7) says; for most signals the process ends at once.
    Default,
    /// That cannot be seen.
    Unknown,
}

/// How the runtime sees its workers' connections, and the only one that looks. The ports that it is asked about are the
/// addresses of shared ports, of which the family and the number matter.
#[derive(Debug)]
pub struct Sight {
    pub(super) proc: Proc,
    /// `None` where netlink is refused.
    diag: Option<SockDiag>,
    /// Who was last found to hold a socket, for [`Sight::connections`].
    pub(super) holders: Vec<(u64, Pid)>,
}

impl Default for Sight {
    fn default() -> Self {
        Self::new()
    }
}

impl Sight {
    /// Finds out which means there are.
    pub fn new() -> Self {
        Self {
            proc: Proc::new("/proc"),
            diag: SockDiag::open().ok(),
            holders: Vec::new(),
        }
    }

    /// The means, for the log: `sock_diag`, or `/proc/net`, which costs more and cannot tell a request in work from an
    /// idle connection.
    pub fn means(&self) -> &'static str {
        if self.diag.is_some() {
            "sock_diag"
        } else {
            "/proc/net"
        }
    }

    /// The handshakes that are under way on `ports`. Taken right after a worker has left the steering, they are all
    /// that may still become connections of its; those that begin later go elsewhere.
    pub fn handshakes(&mut self, ports: &[SocketAddr]) -> Handshakes {
        self.survey(ports, Want::Handshakes)
            .map(|survey| survey.handshakes)
            .unwrap_or_default()
    }

    /// Looks at all `subjects` at once, and gives one answer for each, in their order. It walks once for each family
    /// of addresses through the kernel's connections, reads every process once, and the descriptors of the subjects; where no
    /// process holds a connection, it only does the first.
    pub fn look(&mut self, subjects: &[Subject<'_>], ports: &[SocketAddr]) -> Vec<Look> {
        let survey = self.survey(ports, Want::All);
        let processes = match &survey {
            Some(survey) if survey.any_held() => self.proc.processes().ok(),
            _ => None,
        };
        // What could not be asked for is not visible.
        let (mut survey, asked) =
            survey.map_or_else(|| (Survey::default(), false), |survey| (survey, true));
        let whole = asked && survey.whole;
        let looks = subjects.iter().enumerate().map(|(place, one)| {
            let mut look = Look {
                queued: one.queued,
                handshakes: one.handshakes.any_in(&survey.handshakes),
                visible: whole,
                ..Look::default()
            };
            if survey.any_held() {
                let family = processes
                    .as_ref()
                    .map(|all| all.family(one.leader))
                    .unwrap_or_default();
                look.visible &= holds_leader(&family, one.leader);
                self.count(&family, one.aim, (place, &mut survey), &mut look);
            }
            look
        });
        looks.collect()
    }

    /// Counts the connections that a family holds, as far as the aim asks for it.
    fn count(
        &self,
        family: &[Process],
        aim: Option<Aim>,
        (holder, survey): (usize, &mut Survey),
        look: &mut Look,
    ) {
        for process in family {
            let mut decided = false;
            let seen = self.proc.sockets(process, &mut |inode| {
                if let Some((busy, costs)) = survey.claim(holder, inode) {
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
            look.visible &= seen != Seen::Hidden;
            if decided {
                break;
            }
        }
    }

    /// What `leader`'s worker does with `sig`: the processes of it that hold a connection on `ports` are asked, or, if
    /// none is seen to, the leader. One that catches it answers for all, and one that dies of it for those that ignore
    /// it. Some language runtimes catch signals that their program knows nothing of.
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
        let survey = self.survey(ports, Want::All);
        let Some(mut survey) = survey.filter(Survey::any_held) else {
            return Vec::new();
        };
        let Ok(processes) = self.proc.processes() else {
            return Vec::new();
        };
        let holds = |(place, process): (usize, Process)| {
            let mut any = false;
            self.proc.sockets(&process, &mut |inode| {
                any = survey.claim(place, inode).is_some();
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

    /// The processes of `leader`'s group that may run.
    pub(super) fn group(&self, leader: Pid) -> Option<Vec<Process>> {
        let processes: Processes = self.proc.processes().ok()?;
        let mut group = processes.group(leader);
        let known = holds_leader(&group, leader);
        group.retain(|process| !process.is_over());
        known.then_some(group)
    }

    /// One dump, by whichever way there is: a netlink socket that fails is replaced once, and if the new one fails too
    /// this dump is made from the files. `None` if these cannot be read either.
    pub(super) fn survey(&mut self, ports: &[SocketAddr], want: Want) -> Option<Survey> {
        if let Some(diag) = &mut self.diag {
            let survey = Survey::by_netlink(diag, ports, want);
            if survey.is_some() {
                return survey;
            }
            // What is left of the answer is lost with the socket. One that cannot be had now may be to be had at the
            // next look (descriptors, memory), so the broken one stays as the sign that there once was one.
            if let Ok(mut fresh) = SockDiag::open() {
                let survey = Survey::by_netlink(&mut fresh, ports, want);
                *diag = fresh;
                if survey.is_some() {
                    return survey;
                }
            }
        }
        Survey::by_files(&self.proc, ports, want)
    }
}

/// A leader that is not among the processes is hidden from us (`hidepid`): it is a child of ours and not reaped.
pub(super) fn holds_leader(family: &[Process], leader: Pid) -> bool {
    family.iter().any(|process| process.pid == leader.get())
}
