//! Watches draining workers until they have no connections left.

use tracing::{info, warn};

use crate::drain::{Existing, FreezeOutcome, Handshakes, Inspector, Subject};
use crate::model::{ListenerId, Pid, Tick};
use crate::policy::drain::{Aim, Drain, Look, pause};
use crate::policy::{Action, Drains, Event, Seek, Stall};
use crate::sys::clock;

use super::Supervisor;
use super::ports::Moment;

/// How to let the runtime inspect processes of another uid.
pub(super) const UNSEEN_HINT: &str = "start rpm-runtime as that user (USER in the Dockerfile, or gosu before rpm-runtime), or give it the capability SYS_PTRACE";

/// Watches draining workers. No descriptor is open while no worker drains.
#[derive(Debug, Default)]
pub(super) struct DrainWatch {
    sight: Option<Inspector>,
    /// The drain of all workers before the stop.
    stop: Option<Drain>,
    next: Option<Tick>,
    told: bool,
    /// Workers that accept nobody of those who wait.
    stalled: Vec<Pid>,
    /// The warning about processes that cannot be inspected was logged.
    told_hidden: bool,
}

/// The drain of one worker, as far as observed.
#[derive(Debug)]
pub(super) struct WorkerDrain {
    drain: Drain,
    stall: Stall,
    /// Handshakes that may still reach this worker.
    handshakes: Handshakes,
    /// Some of its processes cannot be inspected: the connections that may be theirs.
    existing: Option<Existing>,
    /// If some of its processes cannot be inspected: the connections of no visible process in the last look.
    unseen: Option<u32>,
    /// Whether the kernel did not report connections in the last look.
    blind: bool,
}

impl WorkerDrain {
    /// If some processes of the worker cannot be inspected: how many connections counted as theirs in the last look,
    /// because they belong to no visible process.
    pub(super) fn unseen(&self) -> Option<u32> {
        self.unseen
    }

    /// Whether the kernel did not report any connections in the last look, so that only the queue decided.
    pub(super) fn blind(&self) -> bool {
        self.blind
    }

    /// Judges a look: whether the worker accepts nobody of those who wait, and whether it has drained.
    fn judge(&mut self, now: Tick, look: &Look) -> (bool, bool) {
        self.note_unseen(look);
        let stalls = self.stall.look(now, look.queued);
        (stalls, self.drain.look(now, look))
    }

    /// Records what a look could not see.
    fn note_unseen(&mut self, look: &Look) {
        self.blind = !look.visible;
        // A look that finds no connection at all does not read the processes.
        if look.hidden || self.unseen.is_some() {
            self.unseen = Some(look.unseen);
        }
    }
}

impl DrainWatch {
    /// Time of the next look.
    pub(super) fn deadline(&self) -> Option<Tick> {
        self.next
    }
}

impl Supervisor {
    /// Starts and ends the looks when drains begin and end. It is called right after the steering changed, so that the
    /// handshakes in progress now are all that can still reach a removed worker.
    pub(super) fn follow_drains(&mut self) {
        self.tell_drains();
        let Some(sharing) = &self.sharing else { return };
        let draining: Vec<Drains> = self.fleet.draining(self.now).collect();
        for worker in self.workers.iter_mut() {
            if !draining.iter().any(|one| one.pid == worker.id.pid) {
                worker.drain = None;
            }
        }
        let watch = &mut self.drains;
        let stops = self.fleet.stop_drain().is_some();
        if draining.is_empty() && !stops {
            watch.stop = None;
            watch.next = None;
            watch.sight = None;
            return;
        }
        let sight = watch.sight.get_or_insert_with(Inspector::new);
        if !watch.told && sight.means() != "sock_diag" {
            watch.told = true;
            let (means, why) = (sight.means(), sight.why_not_netlink());
            info!(
                means,
                why,
                "connections cannot be read over netlink here; a drain reads more than it needs and cannot distinguish idle connections from busy ones"
            );
        }
        let mut new: Vec<Pid> = draining.iter().map(|one| one.pid).collect();
        let known = |pid| self.workers.get(pid).is_some_and(|one| one.drain.is_some());
        new.retain(|pid| !known(*pid));
        if !new.is_empty() {
            let ports = sharing.ports.addresses();
            sight.with_unix(sharing.ports.unix_addresses());
            for pid in new {
                if let Some(worker) = self.workers.get_mut(pid) {
                    worker.drain = Some(WorkerDrain {
                        drain: Drain::new(Aim::Empty),
                        stall: Stall::default(),
                        handshakes: sight.handshakes(&ports),
                        existing: sight.existing(pid, &ports),
                        unseen: None,
                        blind: false,
                    });
                }
            }
        }
        if stops && watch.stop.is_none() {
            watch.stop = Some(Drain::new(Aim::Quiet));
        }
        if watch.next.is_none() {
            watch.next = Some(self.now);
        }
    }

    /// Looks if it is time to, and tells the fleet the results.
    pub(super) fn look_at_drains(&mut self, actions: &mut Vec<Action>) {
        if self.drains.next.is_none_or(|at| at > self.now) {
            return;
        }
        // Not wall time: under a CPU limit a look may last seconds and cost nothing.
        let before = clock::thread_cpu();
        // Their limit is over and they still have not taken what waits for them; a quiet moment needs an empty queue.
        let late: Vec<Pid> = self
            .fleet
            .draining(self.now)
            .filter(|one| one.seek == Seek::Disposition)
            .map(|one| one.pid)
            .collect();
        for pid in late {
            self.rescue_queue(pid, Moment::End);
        }
        let events = self.looks();
        for pid in std::mem::take(&mut self.drains.stalled) {
            self.rescue_queue(pid, Moment::Stall);
        }
        for event in events {
            self.take(event, actions);
        }
        let cost = clock::thread_cpu().saturating_sub(before);
        let choosing = self.fleet.draining(self.now).any(|one| one.is_choosing());
        self.drains.next = Some(self.clock.now().after(pause(choosing, cost)));
    }

    fn looks(&mut self) -> Vec<Event> {
        let draining: Vec<Drains> = self.fleet.draining(self.now).collect();
        let (choosing, draining): (Vec<Drains>, Vec<Drains>) =
            draining.into_iter().partition(Drains::is_choosing);
        let (Some(sharing), Some(sight)) = (&self.sharing, &mut self.drains.sight) else {
            return Vec::new();
        };
        let ports = sharing.ports.addresses();
        sight.with_unix(sharing.ports.unix_addresses());
        let queued = |listener: ListenerId| sharing.ports.waiting(listener);
        let udp_grace = self.config.life.udp_grace;
        let least = |listener| sharing.ports.hidden_work(listener, udp_grace);
        let mut events = Vec::new();
        if let (Some(all), Some(drain)) = (self.fleet.stop_drain(), &mut self.drains.stop) {
            let nothing = Handshakes::default();
            let subjects: Vec<Subject<'_>> = all
                .iter()
                .map(|(pid, listener)| Subject {
                    leader: *pid,
                    handshakes: &nothing,
                    // All workers leave, so it does not matter whose they are.
                    existing: None,
                    aim: Some(Aim::Quiet),
                    queued: queued(*listener),
                })
                .collect();
            let mut look = together(&sight.look(&subjects, &ports));
            let times = all.iter().map(|(_, listener)| least(*listener));
            look.least = times.max().unwrap_or_default();
            tell_hidden(&mut self.drains.told_hidden, &look);
            if drain.look(self.now, &look) {
                events.push(Event::Quiet);
            }
            return events;
        }
        let mut subjects = Vec::new();
        let mut times = Vec::new();
        for one in &draining {
            if let Some(known) = self
                .workers
                .get(one.pid)
                .and_then(|worker| worker.drain.as_ref())
            {
                subjects.push(Subject {
                    leader: one.pid,
                    handshakes: &known.handshakes,
                    existing: known.existing.as_ref(),
                    aim: Some(Aim::Empty),
                    queued: queued(one.listener),
                });
                times.push(least(one.listener));
            }
        }
        let pids: Vec<Pid> = subjects.iter().map(|one| one.leader).collect();
        let looks = sight.look(&subjects, &ports);
        for ((pid, look), least) in pids.into_iter().zip(looks).zip(times) {
            let look = Look { least, ..look };
            let worker = self.workers.get_mut(pid);
            let Some(known) = worker.and_then(|worker| worker.drain.as_mut()) else {
                continue;
            };
            tell_hidden(&mut self.drains.told_hidden, &look);
            let (stalls, drained) = known.judge(self.now, &look);
            self.drains.stalled.extend(stalls.then_some(pid));
            if drained {
                events.push(Event::Drained { pid });
            }
        }
        for Drains {
            slot,
            pid,
            listener,
            seek,
        } in choosing
        {
            match seek {
                Seek::End | Seek::Nothing => {}
                Seek::Disposition => {
                    let disposition = sight.disposition(pid, &ports, self.config.life.stop_signal);
                    events.push(Event::Disposition { pid, disposition });
                }
                Seek::Moment(aim) => {
                    let known = self.workers.get(pid).and_then(|one| one.drain.as_ref());
                    let existing = known.and_then(|known| known.existing.as_ref());
                    let aim = (aim, existing);
                    match sight.freeze_if_quiet(pid, &ports, aim, || queued(listener)) {
                        FreezeOutcome::Quiet => events.push(Event::Moment { pid, quiet: true }),
                        FreezeOutcome::Busy => {}
                        FreezeOutcome::Blind => {
                            warn!(
                                slot = slot.0,
                                pid = pid.get(),
                                "the worker's connections cannot be seen or it cannot be suspended (netlink and /proc refused, or another uid); stopping it without waiting for a quiet moment"
                            );
                            events.push(Event::Moment { pid, quiet: false });
                        }
                    }
                }
            }
        }
        events
    }
}

/// Combines the looks at all workers.
fn together(looks: &[Look]) -> Look {
    let none = Look {
        visible: true,
        ..Look::default()
    };
    looks.iter().fold(none, |sum, look| Look {
        queued: sum.queued.saturating_add(look.queued),
        handshakes: sum.handshakes || look.handshakes,
        open: sum.open.saturating_add(look.open),
        busy: sum.busy.saturating_add(look.busy),
        costs: sum.costs.saturating_add(look.costs),
        visible: sum.visible && look.visible,
        hidden: sum.hidden || look.hidden,
        // The same connections at each worker.
        unseen: sum.unseen.max(look.unseen),
        least: sum.least,
    })
}

/// Warns once that processes of workers cannot be inspected.
fn tell_hidden(told: &mut bool, look: &Look) {
    if look.hidden && !*told {
        *told = true;
        let hint = UNSEEN_HINT;
        warn!(
            connections = look.unseen,
            hint,
            "cannot inspect a process of a worker (another uid, or not dumpable); in a drain, connections of the port that belong to no visible process count as the worker's"
        );
    }
}
