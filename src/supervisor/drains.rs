//! Workers that finish what they have are looked at until nothing is left.

use std::time::Duration;

use tracing::{info, warn};

use crate::drain::{Disposition, Handshakes, Moment, Sight, Subject};
use crate::model::{ListenerId, Pid, Sig, Tick};
use crate::policy::drain::{Aim, Drain, Look};
use crate::policy::{Action, Drains, Event};
use crate::sys::signals;

use super::Supervisor;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(10);
/// Between two looks for a quiet moment.
const PAUSE_CHOOSING: Duration = Duration::from_millis(2);
/// Looks may take this part of the time, where there are so many connections that one look takes long.
const SHARE: u32 = 5;
/// How long a moment is awaited in which no connection has moved for a while. Where clients ask again at once there is
/// none, and a shorter one must do.
const LULL: Duration = Duration::from_millis(500);
/// How long one is awaited for a program that catches the stop signal: it may know how to finish what it
/// has, but the handlers that Node, Go and Java install by themselves only end the process.
const CATCHING: Duration = Duration::from_secs(2);

/// The looks at workers that drain. No descriptor is open while there is no drain.
#[derive(Debug, Default)]
pub(super) struct DrainWatch {
    sight: Option<Sight>,
    /// The drain of all before the stop.
    stop: Option<Drain>,
    next: Option<Tick>,
    told: bool,
}

/// One worker's drain, as far as looks have seen it.
#[derive(Debug)]
pub(super) struct WorkerDrain {
    drain: Drain,
    /// Those that may still become connections of its.
    handshakes: Handshakes,
    /// Until when a moment is awaited, once its time is over: one of rest, or at least one that costs nothing.
    patience: Option<(Tick, Tick)>,
}

impl DrainWatch {
    /// When the next look is due.
    pub(super) fn deadline(&self) -> Option<Tick> {
        self.next
    }
}

impl Supervisor {
    /// Begins and ends the looks as drains do. Comes right after the steering: what is under way now is all that can
    /// still reach a worker that has left it.
    pub(super) fn follow_drains(&mut self) {
        let Some(sharing) = &self.sharing else { return };
        let draining: Vec<Drains> = self.fleet.draining().collect();
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
        let sight = watch.sight.get_or_insert_with(Sight::new);
        if !watch.told && sight.means() != "sock_diag" {
            watch.told = true;
            let means = sight.means();
            info!(
                means,
                "netlink is refused here; a drain looks at more than it must and cannot tell who is idle"
            );
        }
        let mut new: Vec<Pid> = draining.iter().map(|one| one.pid).collect();
        let known = |pid| self.workers.get(pid).is_some_and(|one| one.drain.is_some());
        new.retain(|pid| !known(*pid));
        if !new.is_empty() {
            let ports = sharing.ports.addresses();
            for pid in new {
                if let Some(worker) = self.workers.get_mut(pid) {
                    worker.drain = Some(WorkerDrain {
                        drain: Drain::new(Aim::Empty),
                        handshakes: sight.handshakes(&ports),
                        patience: None,
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

    /// Looks, if it is time to, and tells the fleet what was seen.
    pub(super) fn look_at_drains(&mut self, actions: &mut Vec<Action>) {
        if self.drains.next.is_none_or(|at| at > self.now) {
            return;
        }
        let began = self.clock.now();
        let events = self.looks();
        for event in events {
            self.take(event, actions);
            if let Event::Moment { pid, quiet: true } = event
                && !actions.contains(&Action::Stop { pid })
            {
                // It stands still for nothing.
                let _ = signals::send_group(pid, Sig::CONT);
            }
        }
        let cost = self.clock.now().since(began);
        let chooses = self.fleet.draining().any(|one| one.choosing);
        let pause = if chooses { PAUSE_CHOOSING } else { PAUSE };
        self.drains.next = Some(self.now.after(pause.max(cost * SHARE)));
    }

    fn looks(&mut self) -> Vec<Event> {
        let draining: Vec<Drains> = self.fleet.draining().collect();
        let (mut choosing, draining): (Vec<Drains>, Vec<Drains>) =
            draining.into_iter().partition(|one| one.choosing);
        // A worker is stopped while its connections are looked at: its metrics are asked for before.
        choosing.retain(|one| self.final_scrape_is_recent(one.pid));
        let (Some(sharing), Some(sight)) = (&self.sharing, &mut self.drains.sight) else {
            return Vec::new();
        };
        let ports = sharing.ports.addresses();
        let queued = |listener: ListenerId| sharing.ports.queued(listener);
        let mut events = Vec::new();
        if let (Some(all), Some(drain)) = (self.fleet.stop_drain(), &mut self.drains.stop) {
            let nothing = Handshakes::default();
            let subjects: Vec<Subject<'_>> = all
                .iter()
                .map(|(pid, listener)| Subject {
                    leader: *pid,
                    handshakes: &nothing,
                    aim: Some(Aim::Quiet),
                    queued: queued(*listener),
                })
                .collect();
            if drain.look(self.now, &together(&sight.look(&subjects, &ports))) {
                events.push(Event::Quiet);
            }
            return events;
        }
        let mut subjects = Vec::new();
        for one in &draining {
            if let Some(known) = self
                .workers
                .get(one.pid)
                .and_then(|worker| worker.drain.as_ref())
            {
                subjects.push(Subject {
                    leader: one.pid,
                    handshakes: &known.handshakes,
                    aim: Some(Aim::Empty),
                    queued: queued(one.listener),
                });
            }
        }
        let pids: Vec<Pid> = subjects.iter().map(|one| one.leader).collect();
        let looks = sight.look(&subjects, &ports);
        for (pid, look) in pids.into_iter().zip(looks) {
            let worker = self.workers.get_mut(pid);
            if let Some(known) = worker.and_then(|worker| worker.drain.as_mut())
                && known.drain.look(self.now, &look)
            {
                events.push(Event::Drained { pid });
            }
        }
        for one in choosing {
            let worker = self.workers.get_mut(one.pid);
            let Some(known) = worker.and_then(|worker| worker.drain.as_mut()) else {
                continue;
            };
            let (pid, signal) = (one.pid, self.config.stop_signal);
            let (least, most) = *known.patience.get_or_insert_with(|| {
                let (least, most) = match sight.disposition(pid, &ports, signal) {
                    Disposition::Default => (LULL, self.config.stop_timeout),
                    Disposition::Caught => (LULL, CATCHING),
                    // The signal ends nothing, or nobody knows.
                    Disposition::Ignored | Disposition::Unknown => (Duration::ZERO, Duration::ZERO),
                };
                (self.now.after(least), self.now.after(most))
            });
            if most <= self.now {
                // Not right after a freeze, while requests wait that came in the meantime.
                events.push(Event::Moment { pid, quiet: false });
                continue;
            }
            let aim = if least > self.now {
                Aim::Quiet
            } else {
                Aim::Painless
            };
            match sight.moment(pid, &ports, aim, || queued(one.listener)) {
                Moment::Quiet => events.push(Event::Moment { pid, quiet: true }),
                Moment::Busy => {}
                Moment::Blind => {
                    warn!(slot = %one.slot, %pid, "the worker's connections cannot be seen (another uid, or not dumpable)");
                    events.push(Event::Moment { pid, quiet: false });
                }
            }
        }
        events
    }
}

/// All workers as one.
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
    })
}
