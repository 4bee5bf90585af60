//! What the balancing thread knows of listeners, and the choice who gets the next connections.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::take;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;

use super::{BELLS, watches};
use crate::model::{BalanceSample, ListenerId, SlotId, Tick};
use crate::policy::Rotation;
use crate::policy::balance::{Arrivals, Queue, held_back};
use crate::policy::handover::PortKey;
use crate::ports::SharedPorts;
use crate::ports::group::Group;
use crate::ports::registry::State;
use crate::sys::listener;

/// State of a listener's queue under its present worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ports) struct Standing {
    queue: Queue,
    /// Arrivals since the last look that were told already.
    told: u32,
    /// The listener gets no new connections for now, even if its worker is live.
    pub(super) held_back: bool,
    /// Its chance to get the next connection, as a share of the sum of all.
    pub(super) chance: u32,
}

impl Default for Standing {
    fn default() -> Self {
        Self {
            queue: Queue::default(),
            told: 0,
            held_back: false,
            chance: 1,
        }
    }
}

/// Result of one look at the queues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::ports) struct Look {
    /// The length of a queue changed, or a steering program was replaced.
    pub changed: bool,
    /// At least one connection waits in a queue.
    pub waiting: bool,
    /// How many steering programs were replaced.
    pub replaced: u64,
    /// A steering program could not be replaced.
    pub failed: Option<(PortKey, Errno)>,
}

impl SharedPorts {
    /// Counters and state of the balancing thread. `None` unless RPM_BALANCE is adaptive or least, and connections can be
    /// steered.
    pub fn balance(&self) -> Option<BalanceSample> {
        let state = self.lock();
        if !watches(state.settings.steering) {
            return None;
        }
        let seats = state.rotation.seats.iter();
        let mut passed_over: BTreeMap<SlotId, bool> =
            seats.map(|(_, slot)| (*slot, false)).collect();
        for group in &state.groups {
            let numbers = group.held_back_now(&state.rotation);
            for (listener, slot) in &state.rotation.seats {
                if numbers.contains(&usize::from(listener.0)) {
                    passed_over.insert(*slot, true);
                }
            }
        }
        Some(BalanceSample {
            changes: state.balanced,
            follows: state.arrivals.follows(),
            arrivals: state.arrivals.told().arrivals,
            counts: state.arrivals.told().counts,
            passed_over,
        })
    }

    /// Calls `show` with all listeners, and whether arrivals are followed. Returns the number of listeners; `None` after
    /// [`Self::let_go`].
    pub(super) fn watch(&self, show: impl FnOnce(&[Watched<'_>], bool)) -> Option<usize> {
        let mut state = self.lock();
        let state = &mut *state;
        if state.over {
            return None;
        }
        let mut all = Vec::new();
        for group in &mut state.groups {
            let listening: BTreeSet<usize> = group.order.numbers().collect();
            for (number, listener) in group.listeners.iter_mut().enumerate() {
                let new = listener.watched.is_none();
                let token = *listener.watched.get_or_insert_with(|| {
                    state.watched += 1;
                    BELLS + state.watched
                });
                all.push(Watched {
                    fd: listener.fd.as_fd(),
                    token,
                    new,
                    listens: listening.contains(&number),
                });
            }
        }
        show(&all, state.arrivals.follows());
        Some(all.len())
    }

    /// Records an arrival at each of these listeners, by their tokens. False if there is none of them.
    pub(super) fn arrived(&self, mut tokens: Vec<u64>) -> bool {
        if tokens.is_empty() {
            return false;
        }
        tokens.sort_unstable();
        let mut any = false;
        let mut state = self.lock();
        let state = &mut *state;
        let now = state.clock.now();
        for group in &mut state.groups {
            for (number, listener) in group.listeners.iter_mut().enumerate() {
                let told = |token| tokens.binary_search(&token).is_ok();
                if listener.watched.is_some_and(told) {
                    any = true;
                    listener.standing.told += 1;
                    state.arrivals.arrived(number, 1, now);
                }
            }
        }
        any
    }

    /// Reads every queue, `pause` after the last look, and chooses who gets the next connections, as the policy says.
    pub(in crate::ports) fn look(&self, pause: Duration) -> Look {
        let mut state = self.lock();
        let state = &mut *state;
        let mut all = Look::default();
        let now = state.clock.now();
        for group in &mut state.groups {
            group.read_queues(&state.rotation, pause, (&mut state.arrivals, now), &mut all);
        }
        for group in &mut state.groups {
            group.choose(&state.rotation, &state.arrivals, &mut all);
        }
        state.balanced += all.replaced;
        state.arrivals.chosen();
        all
    }

    /// Takes over a count of the open connections, which ended just now and cost so much CPU time. `exact`: nobody came
    /// meanwhile.
    pub(super) fn counted(
        &self,
        at: (Tick, Duration),
        open: Option<&BTreeMap<SlotId, u64>>,
        exact: bool,
    ) {
        let mut state = self.lock();
        let state = &mut *state;
        let of = |(listener, slot): &(ListenerId, SlotId)| {
            let number = usize::from(listener.0);
            // The last look has read the queues.
            let listeners = state
                .groups
                .iter()
                .filter_map(|group| group.listeners.get(number));
            let waiting = listeners.map(|one| one.standing.queue.length());
            let open = open.and_then(|open| open.get(slot));
            let open = open.map(|open| u32::try_from(*open).unwrap_or(u32::MAX));
            (
                number,
                open.map(|open| waiting.fold(open, u32::saturating_add)),
            )
        };
        let open = state.rotation.seats.iter().map(of).collect();
        state.arrivals.counted(at, &open, exact);
    }
}

impl State {
    /// Wakes the balancing thread if it follows arrivals: a listener may listen only now.
    pub(in crate::ports) fn wake_balancer(&self) {
        if self.arrivals.follows()
            && let Some(balancer) = &self.balancer
        {
            balancer.wake();
        }
    }
}

/// A listener, for the balancing thread.
pub(super) struct Watched<'a> {
    pub fd: BorrowedFd<'a>,
    pub token: u64,
    /// It was not shown before.
    pub new: bool,
    /// It is in its group.
    pub listens: bool,
}

impl Group {
    /// Other listeners get connections now: until the next choice all have the same chance.
    pub(in crate::ports) fn choose_anew(&mut self) {
        for listener in &mut self.listeners {
            listener.standing.chance = 1;
        }
    }

    /// Removes the held-back listeners from `targets`, unless none would remain.
    pub(in crate::ports) fn leave_out_held_back(&self, targets: &mut Vec<usize>) {
        if !targets.iter().all(|number| self.is_held_back(*number)) {
            targets.retain(|number| !self.is_held_back(*number));
        }
    }

    /// The chances of these listeners, unless they are all the same.
    pub(in crate::ports) fn uneven_chances(&self, targets: &[usize]) -> Option<Vec<u32>> {
        let chance = |number: &usize| {
            self.listeners
                .get(*number)
                .map_or(0, |one| one.standing.chance)
        };
        let chances: Vec<u32> = targets.iter().map(chance).collect();
        let differ = chances.iter().any(|chance| Some(chance) != chances.first());
        differ.then_some(chances)
    }

    /// The listeners that are held back now.
    fn held_back_now(&self, rotation: &Rotation) -> Vec<usize> {
        let mut targets = self.targets(rotation);
        if targets.iter().all(|number| self.is_held_back(*number)) {
            return Vec::new();
        }
        targets.retain(|number| self.is_held_back(*number));
        targets
    }

    fn is_held_back(&self, number: usize) -> bool {
        let listener = self.listeners.get(number);
        listener.is_some_and(|listener| listener.standing.held_back)
    }

    /// Reads the queues of the listeners that get connections.
    fn read_queues(
        &mut self,
        rotation: &Rotation,
        pause: Duration,
        (arrivals, now): (&mut Arrivals, Tick),
        look: &mut Look,
    ) {
        if !watches(self.steering) {
            return;
        }
        let mut targets = self.targets(rotation);
        targets.sort_unstable();
        for (number, one) in self.listeners.iter_mut().enumerate() {
            if targets.binary_search(&number).is_err() {
                one.standing = Standing::default();
                continue;
            }
            // A listener that a worker shut down has no queue; [`Group::repair`] mends it.
            let length = listener::queue(&one.fd).map_or(0, |queue| queue.length);
            let standing = &mut one.standing;
            // The poller tells of several arrivals at once as of one.
            let more = standing
                .queue
                .growth(length)
                .saturating_sub(take(&mut standing.told));
            arrivals.arrived(number, more, now);
            look.changed |= !standing.queue.seen(length, pause);
            look.waiting |= length > 0;
        }
    }

    /// Chooses who gets the next connections.
    fn choose(&mut self, rotation: &Rotation, arrivals: &Arrivals, look: &mut Look) {
        if !watches(self.steering) {
            return;
        }
        let mut targets = self.targets(rotation);
        targets.sort_unstable();
        let standing = |number: &usize| self.listeners.get(*number).map(|one| one.standing);
        let before: Vec<Standing> = targets.iter().filter_map(standing).collect();
        let queues: Vec<Queue> = before.iter().map(|standing| standing.queue).collect();
        let held = held_back(&queues);
        let chances = arrivals.chances(&targets, &held);
        let now = before.iter().zip(held).zip(chances);
        let now: Vec<Standing> = now
            .map(|((standing, held_back), chance)| Standing {
                held_back,
                chance,
                ..*standing
            })
            .collect();
        if now == before {
            return;
        }
        self.stand(&targets, &now);
        match self.steer(rotation) {
            Ok(replaced) => {
                look.replaced += u64::from(replaced);
                look.changed |= replaced;
            }
            Err(errno) => {
                // Restore the old marks, so that the next look tries again.
                self.stand(&targets, &before);
                look.failed = look.failed.or(Some((self.key, errno)));
            }
        }
    }

    fn stand(&mut self, targets: &[usize], standings: &[Standing]) {
        for (number, standing) in targets.iter().zip(standings) {
            if let Some(one) = self.listeners.get_mut(*number) {
                one.standing = *standing;
            }
        }
    }
}
