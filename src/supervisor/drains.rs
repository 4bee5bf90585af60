//! Workers that finish what they have are looked at until nothing is left.

use std::collections::HashMap;
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

/// The drains that go on. Empty, and without a descriptor, while there is none.
#[derive(Debug, Default)]
pub(super) struct Watched {
    sight: Option<Sight>,
    workers: HashMap<Pid, One>,
    /// The drain of all before the stop.
    stop: Option<Drain>,
    next: Option<Tick>,
    told: bool,
}

#[derive(Debug)]
struct One {
    drain: Drain,
    /// Those that may still become connections of its.
    handshakes: Handshakes,
    /// Until when a moment is awaited, once its time is over: one of rest, or at least one that costs nothing.
    patience: Option<(Tick, Tick)>,
}

impl Watched {
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
        let watched = &mut self.watched;
        watched
            .workers
            .retain(|pid, _| draining.iter().any(|one| one.pid == *pid));
        let stops = self.fleet.stop_drain().is_some();
        if draining.is_empty() && !stops {
            watched.stop = None;
            watched.next = None;
            watched.sight = None;
            return;
        }
        let sight = watched.sight.get_or_insert_with(Sight::new);
        if !watched.told && sight.means() != "sock_diag" {
            watched.told = true;
            let means = sight.means();
            info!(
                means,
                "netlink is refused here; a drain looks at more than it must and cannot tell who is idle"
            );
        }
        let mut new: Vec<Pid> = draining.iter().map(|one| one.pid).collect();
        new.retain(|pid| !watched.workers.contains_key(pid));
        if !new.is_empty() {
            let ports = sharing.ports.addresses();
            for pid in new {
                let one = One {
                    drain: Drain::new(Aim::Empty),
                    handshakes: sight.handshakes(&ports),
                    patience: None,
                };
                watched.workers.insert(pid, one);
            }
        }
        if stops && watched.stop.is_none() {
            watched.stop = Some(Drain::new(Aim::Quiet));
        }
        if watched.next.is_none() {
            watched.next = Some(self.now);
        }
    }

    /// Looks, if it is time to, and tells the fleet what was seen.
    pub(super) fn look_at_drains(&mut self, actions: &mut Vec<Action>) {
        if self.watched.next.is_none_or(|at| at > self.now) {
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
        self.watched.next = Some(self.now.after(pause.max(cost * SHARE)));
    }

    fn looks(&mut self) -> Vec<Event> {
        let draining: Vec<Drains> = self.fleet.draining().collect();
        let (mut choosing, draining): (Vec<Drains>, Vec<Drains>) =
            draining.into_iter().partition(|one| one.choosing);
        // Who stands still at a moment cannot be asked for its metrics.
        choosing.retain(|one| self.has_looked_lately(one.pid));
        let (Some(sharing), Some(sight)) = (&self.sharing, &mut self.watched.sight) else {
            return Vec::new();
        };
        let ports = sharing.ports.addresses();
        let queued = |listener: ListenerId| sharing.ports.queued(listener);
        let mut events = Vec::new();
        if let (Some(all), Some(drain)) = (self.fleet.stop_drain(), &mut self.watched.stop) {
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
            if let Some(known) = self.watched.workers.get(&one.pid) {
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
            if let Some(one) = self.watched.workers.get_mut(&pid)
                && one.drain.look(self.now, &look)
            {
                events.push(Event::Drained { pid });
            }
        }
        for one in choosing {
            let Some(known) = self.watched.workers.get_mut(&one.pid) else {
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
