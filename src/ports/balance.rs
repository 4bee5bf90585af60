//! The balancing thread (RPM_BALANCE=adaptive and least): it reads the accept queues and gives no new connections to
//! listeners whose queue is long or does not move; with `least` it also follows arriving connections and gives new ones to
//! the workers with the fewest. [`crate::policy::balance`] decides.
//!
//! The thread sleeps until a connection arrives on any listener. Then it looks at intervals until the queues are at rest; with
//! `least` also after each arrival, as long as that costs little. If a held-back listener recovers while there is no
//! traffic, the thread notices it at the next arrival.

mod choice;

use std::collections::BTreeMap;
use std::mem::replace;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::model::{SlotId, Tick};
use crate::policy::balance::{Arrivals, Attention, pause};
use crate::sys::bells::Bells;
use crate::sys::clock::{Clock, thread_cpu};
use crate::sys::epoll::{Interest, Poller, ReadyFd, Waker};
use crate::sys::io;
use crate::sys::thread;

use super::registry::SharedPorts;
use super::{PortEvent, Steering};

use choice::Look;
pub(super) use choice::Standing;

/// The queues are at rest after this number of consecutive looks without a change and without waiting connections.
const REST: u32 = 4;

/// As [`REST`], while connections wait. After this number of looks it is known which queues do not move.
const REST_WAITING: u32 = 20;

/// The tokens of the waker and of the bells. Those of listeners are above.
const WAKER: u64 = 0;
const BELLS: u64 = 1;

/// A bell needs a descriptor. With more listeners than this there are none.
const MOST_BELLS: usize = 128;

/// Even if everything has cost too much, the queues are looked at as often as this.
const SELDOM: Duration = Duration::from_millis(50);

/// Counts the open connections of the present worker of each slot. A slot is missing if its worker cannot be read; `None` if
/// nothing can be counted. It is called on the balancing thread.
pub type Census = Box<dyn FnMut() -> Option<BTreeMap<SlotId, u64>> + Send>;

/// The balancing thread.
pub struct Balancer<F> {
    ports: SharedPorts,
    events: F,
    census: Census,
    poller: Poller,
    /// They tell of connections that are accepted at once. `None` where the system has no such thing.
    bells: Option<Bells>,
    ready: Vec<ReadyFd>,
    waker: Waker,
    /// Number of listeners.
    listeners: usize,
    /// The last steering program could not be attached, and this was reported.
    failing: bool,
    clock: Clock,
    /// The cost is written down until here: time, CPU time of the thread.
    noted: (Tick, Duration),
    /// The last look at the queues.
    looked: Tick,
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
    /// Connections arrived.
    Arrival,
    /// The time is over, and none arrived.
    Late,
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
        let poller = Poller::new()?;
        poller.add(&waker, WAKER, Interest::Readable)?;
        let clock = {
            let mut state = ports.lock();
            if state.over || state.balancer.is_some() || !watches(state.settings.steering) {
                return Ok(None);
            }
            state.balancer = Some(waker.clone());
            state.clock.clone()
        };
        let balancer = Self {
            ports: ports.clone(),
            events,
            census,
            poller,
            bells: None,
            ready: Vec::new(),
            waker,
            listeners: 0,
            failing: false,
            noted: (clock.now(), Duration::ZERO),
            looked: clock.now(),
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
            self.note_cost();
            let next = self.ports.lock().arrivals.next_count(self.clock.now());
            let goes_on = match self.wait(next) {
                Woken::Arrival => self.balance(),
                Woken::Late => self.count(true),
                Woken::Over => false,
            };
            if !goes_on {
                return;
            }
        }
    }

    /// Adds new listeners to the poller. False after [`SharedPorts::let_go`].
    fn watch(&mut self) -> bool {
        // Clear first, so that a later wake-up is not lost.
        self.waker.clear();
        let (poller, bells) = (&self.poller, &mut self.bells);
        let watched = self.ports.watch(|listeners, bells_wanted| {
            let few = listeners.len() <= MOST_BELLS;
            if bells_wanted
                && few
                && bells
                    .as_ref()
                    .is_none_or(|it| !it.has_room_for(listeners.len()))
            {
                // A quota of the host limits all requests together (fs.aio-max-nr), so few are reserved.
                *bells = Bells::new(listeners.len().next_multiple_of(16)).ok();
                bells.take_if(|bells| poller.add(&*bells, BELLS, Interest::Readable).is_err());
            }
            for listener in listeners {
                if listener.new {
                    // If this fails, the listener wakes nobody, but its queue is still read with the others.
                    let _ = poller.add(listener.fd, listener.token, Interest::Arrival);
                }
            }
            if let Some(bells) = bells {
                let wanted = |token| {
                    few && listeners
                        .iter()
                        .any(|one| one.token == token && one.listens)
                };
                bells.retain(wanted);
                for one in listeners.iter().filter(|one| few && one.listens) {
                    // Without a bell, epoll tells.
                    let _ = bells.hang(one.fd, one.token);
                }
                bells.arm(|_| {});
            }
        });
        self.listeners = watched.unwrap_or(0);
        watched.is_some()
    }

    /// Waits until connections arrive, and tells the ports of them; for this time at most.
    fn wait(&mut self, time: Option<Duration>) -> Woken {
        let until = time.map(|time| self.clock.now().after(time));
        loop {
            let left = until.map(|until| until.since(self.clock.now()));
            let mut arrived = Vec::new();
            self.arm(&mut arrived);
            let left = if arrived.is_empty() {
                left
            } else {
                Some(Duration::ZERO)
            };
            if self.poller.wait(&mut self.ready, left).is_err() {
                return Woken::Over;
            }
            if self.ready.iter().any(|one| one.token == WAKER) && !self.watch() {
                return Woken::Over;
            }
            // A listener that does not listen, or no longer listens, reports a hang-up; that needs no action.
            let told = self
                .ready
                .iter()
                .filter(|one| one.token > BELLS && one.readable);
            arrived.extend(told.map(|one| one.token));
            if let Some(bells) = &mut self.bells {
                // Their bells tell of these.
                arrived.retain(|token| !bells.is_armed(*token));
                bells.take(|token| arrived.push(token));
            }
            // At once, because until then the next arrival may be missed.
            self.arm(&mut arrived);
            if self.ports.arrived(arrived) {
                return Woken::Arrival;
            }
            if until.is_some_and(|until| until <= self.clock.now()) {
                return Woken::Late;
            }
        }
    }

    /// Arms the bells that have rung. Adds the tokens of those that ring meanwhile.
    fn arm(&mut self, arrived: &mut Vec<u64>) {
        if let Some(bells) = &mut self.bells {
            bells.arm(|token| arrived.push(token));
        }
    }

    /// Waits until the next look is due: after an arrival if the budget allows it, else after a pause. Arrivals are
    /// ignored meanwhile if even that would cost too much.
    fn pause(&mut self) -> Woken {
        let pause = pause(self.listeners);
        let (_, owed) = self.note_cost();
        let due = self.clock.now().after(owed.min(SELDOM).max(pause));
        let mut woken = Woken::Late;
        loop {
            let (attention, _) = self.note_cost();
            let left = due.since(self.clock.now());
            if left.is_zero() {
                return woken;
            }
            if attention == Attention::Blind {
                if io::wait_readable(&self.waker, left) == Ok(true) && !self.watch() {
                    return Woken::Over;
                }
                continue;
            }
            match self.wait(Some(left)) {
                Woken::Arrival if attention == Attention::Counting => woken = Woken::Arrival,
                Woken::Late => {}
                end @ (Woken::Arrival | Woken::Over) => return end,
            }
        }
    }

    /// Writes down what the thread has cost. Returns how closely it may follow arrivals, and until when it should not
    /// run.
    fn note_cost(&mut self) -> (Attention, Duration) {
        let (at, used) = replace(&mut self.noted, (self.clock.now(), thread_cpu()));
        let (now, cpu) = self.noted;
        let mut state = self.ports.lock();
        let used = cpu.saturating_sub(used);
        state.arrivals.passed(now.since(at), used);
        (state.arrivals.attention(), state.arrivals.owed())
    }

    /// Looks, chooses and counts until the queues are at rest. False after [`SharedPorts::let_go`].
    fn balance(&mut self) -> bool {
        let mut rest = 0;
        // Who does not follow each arrival waits for what comes with it.
        if self.note_cost().0 == Attention::Blind && self.pause() == Woken::Over {
            return false;
        }
        loop {
            let look = self.look();
            rest = if look.changed { 0 } else { rest + 1 };
            let enough = if look.waiting { REST_WAITING } else { REST };
            if rest >= enough {
                return true;
            }
            if !self.count(rest > 0 && !look.waiting) {
                return false;
            }
            match self.pause() {
                Woken::Arrival => rest = 0,
                Woken::Late => {}
                Woken::Over => return false,
            }
        }
    }

    fn look(&mut self) -> Look {
        self.ports
            .mend_sometimes()
            .into_iter()
            .for_each(&self.events);
        let now = self.clock.now();
        let look = self.ports.look(now.since(self.looked));
        self.looked = now;
        if let Some((key, errno)) = look.failed.filter(|_| !self.failing) {
            (self.events)(PortEvent::steering_failed(key, errno));
        }
        self.failing = look.failed.is_some();
        look
    }

    /// Counts the open connections if it is time for it, and chooses anew. `quiet`: none arrive for the moment. False after
    /// [`SharedPorts::let_go`].
    fn count(&mut self, quiet: bool) -> bool {
        let now = self.clock.now();
        if !self.ports.lock().arrivals.wants_count(now, quiet) {
            return true;
        }
        let cpu = thread_cpu();
        let open = (self.census)();
        // Nobody may have come while it was counted, or nobody knows whether the count includes them.
        let woken = self.wait(Some(Duration::ZERO));
        let cost = thread_cpu().saturating_sub(cpu);
        let exact = woken == Woken::Late;
        self.ports
            .counted((self.clock.now(), cost), open.as_ref(), exact);
        self.look();
        woken != Woken::Over
    }
}

/// Whether the queues are looked at.
fn watches(steering: Option<Steering>) -> bool {
    steering.is_some_and(|steering| steering.balance.watches_queues())
}

/// Arrivals are followed only for the workers with the fewest connections.
pub(super) fn follow(steering: Option<Steering>) -> Arrivals {
    if steering.is_some_and(|steering| steering.follows) {
        Arrivals::follow()
    } else {
        Arrivals::default()
    }
}

#[cfg(test)]
mod tests;
