//! The balancing thread (RPM_BALANCE=adaptive and least): it reads the accept queues and gives no new connections to
//! listeners whose queue is long or does not move. It also follows arriving connections and gives new ones to the workers with
//! the fewest, with `least` and on kernels that bear it. [`crate::policy::balance`] decides.
//!
//! The thread sleeps until a connection arrives on any listener. Then it looks at intervals until the queues are at rest, and
//! after each arrival if arrivals are followed and that costs little. If a held-back listener recovers while there is no
//! traffic, the thread notices it at the next arrival.

mod choice;
mod ears;

use std::collections::BTreeMap;
use std::mem::replace;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::model::{Pid, Tick};
use crate::policy::balance::{Arrivals, Hearing, Pace, Plan};
use crate::sys::clock::{Clock, thread_cpu};
use crate::sys::epoll::Waker;
use crate::sys::thread;

use super::registry::SharedPorts;
use super::{PortEvent, Steering};

use choice::Look;
pub(super) use choice::Standing;
use ears::{Ears, Heard};

/// Most bells. Each needs a descriptor.
const MOST_BELLS: usize = 1_024;

/// Counts the open connections of workers: `None` for a worker that cannot be read, or for all if nothing can be counted. It is
/// called on the balancing thread.
pub type Census = Box<dyn FnMut() -> Option<BTreeMap<Pid, Option<u64>>> + Send>;

/// The balancing thread.
pub struct Balancer<F> {
    ports: SharedPorts,
    events: F,
    census: Census,
    ears: Ears,
    /// Number of listeners.
    listeners: usize,
    /// The last steering program could not be attached, and this was reported.
    failing: bool,
    clock: Clock,
    /// The cost is written down until here: time, CPU time of the thread.
    noted: (Tick, Duration),
    pace: Pace,
}

impl<F> std::fmt::Debug for Balancer<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Balancer");
        shown
            .field("listeners", &self.listeners)
            .finish_non_exhaustive()
    }
}

/// Why a wait of the thread ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Woken {
    /// It is time for a look.
    Look,
    /// The plan may be another one now.
    Early,
    /// [`SharedPorts::let_go`].
    Over,
}

impl<F: Fn(PortEvent) + Send + 'static> Balancer<F> {
    /// Starts the thread. Does nothing if it runs already, if RPM_BALANCE is neither adaptive nor least, or after
    /// [`SharedPorts::let_go`], which also ends the thread. `events` and `census` are called on the thread; `events` must not
    /// block.
    pub fn start(ports: &SharedPorts, events: F, census: Census) -> std::io::Result<()> {
        Self::spawn(ports, events, census).map(drop)
    }

    fn spawn(
        ports: &SharedPorts,
        events: F,
        census: Census,
    ) -> std::io::Result<Option<JoinHandle<()>>> {
        let waker = Waker::new()?;
        let ears = Ears::new(waker.clone())?;
        let clock = {
            let mut state = ports.lock();
            if state.over || state.balancer.is_some() || !watches(state.settings.steering) {
                return Ok(None);
            }
            state.balancer = Some(waker);
            state.clock.clone()
        };
        let balancer = Self {
            ports: ports.clone(),
            events,
            census,
            ears,
            listeners: 0,
            failing: false,
            noted: (clock.now(), Duration::ZERO),
            pace: Pace::new(clock.now()),
            clock,
        };
        let started = thread::start("balance", thread::STACK, move || balancer.run());
        if started.is_err() {
            ports.lock().balancer = None;
        }
        Ok(Some(started?))
    }

    fn run(mut self) {
        if !self.watch() {
            return;
        }
        loop {
            let plan = self.plan();
            match self.wait(plan) {
                Woken::Over => return,
                Woken::Early => {}
                Woken::Look => {
                    self.look();
                    self.count();
                }
            }
        }
    }

    /// Adds new listeners to the poller. False after [`SharedPorts::let_go`].
    fn watch(&mut self) -> bool {
        // Clear first, so that a later wake-up is not lost.
        self.ears.clear();
        let Some((listeners, bells)) = self.ports.watchable() else {
            return false;
        };
        self.listeners = listeners;
        self.ears.make_room(bells);
        self.ports.watch(|listeners| self.ears.turn_to(listeners));
        self.ports.lock().arrivals.hear(self.ears.are_sharp());
        true
    }

    /// Writes down what the thread has cost, and returns what to wait for.
    fn plan(&mut self) -> Plan {
        let (at, used) = replace(&mut self.noted, (self.clock.now(), thread_cpu()));
        let (now, cpu) = self.noted;
        if let Some(chosen) = self.ports.passed(now.since(at), cpu.saturating_sub(used)) {
            self.tell(&chosen);
        }
        self.pace
            .plan(now, self.listeners, &self.ports.lock().arrivals)
    }

    /// Waits as planned.
    fn wait(&mut self, plan: Plan) -> Woken {
        let now = self.clock.now();
        let left = plan.until.map(|until| until.since(now));
        let heard = match plan.hearing {
            Hearing::Nothing => self.ears.rest(left.unwrap_or(Duration::MAX)),
            Hearing::Counts | Hearing::Ends => self.ears.listen(left),
        };
        let due = plan.until.filter(|_| plan.looks);
        let over = || due.is_some_and(|until| until <= self.clock.now());
        match heard {
            Err(_) => Woken::Over,
            Ok(Heard::Call) => {
                if self.watch() {
                    Woken::Look
                } else {
                    Woken::Over
                }
            }
            Ok(Heard::Arrival) if plan.hearing == Hearing::Ends => Woken::Look,
            Ok(Heard::Arrival | Heard::Silence) if over() => Woken::Look,
            Ok(Heard::Arrival | Heard::Silence) => Woken::Early,
        }
    }

    fn look(&mut self) -> Look {
        self.ports
            .mend_sometimes()
            .into_iter()
            .for_each(&self.events);
        let pause = self.pace.since_look(self.clock.now(), self.listeners);
        let look = self.ports.look(pause, &mut self.ears);
        self.pace
            .looked(self.clock.now(), look.is_news(), look.waiting);
        self.tell(&look);
        look
    }

    /// Tells of a steering program that could not be replaced, once.
    fn tell(&mut self, look: &Look) {
        if let Some((key, errno)) = look.failed.filter(|_| !self.failing) {
            (self.events)(PortEvent::steering_failed(key, errno));
        }
        self.failing = look.failed.is_some();
    }

    /// Counts the open connections if it is time for it, and chooses anew.
    fn count(&mut self) {
        let quiet = self.pace.is_quiet();
        let due = self.ports.lock().arrivals.count_at(quiet);
        if due.is_none_or(|due| due > self.clock.now()) {
            return;
        }
        let before = thread_cpu();
        let open = (self.census)();
        let cost = thread_cpu().saturating_sub(before);
        // Counts have a share of their own.
        self.noted.1 = self.noted.1.saturating_add(cost);
        // Of those who come meanwhile nobody knows whether the count includes them.
        let look = self.look();
        let at = (self.clock.now(), cost);
        let chosen = self.ports.counted(at, open.as_ref(), &look.busy);
        self.tell(&chosen);
    }
}

/// Whether the queues are looked at.
fn watches(steering: Option<Steering>) -> bool {
    steering.is_some_and(|steering| steering.balance.watches_queues())
}

/// Arrivals are followed only for the workers with the fewest connections.
pub(super) fn follow(steering: Option<Steering>) -> Arrivals {
    Arrivals::new(steering.is_some_and(|steering| steering.follows))
}

#[cfg(test)]
mod tests;
