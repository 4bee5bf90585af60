//! What the balancing thread knows of listeners, and the choice who gets the next connections.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;

use super::ears::{BELLS, Ears};
use super::{MOST_BELLS, watches};
use crate::model::{BalanceSample, ListenerId, Pid, SlotId, Tick};
use crate::policy::Rotation;
use crate::policy::balance::{Arrivals, Queue, held_back};
use crate::policy::handover::PortKey;
use crate::ports::SharedPorts;
use crate::ports::group::Group;
use crate::ports::registry::State;
use crate::sys::listener;

/// So often the kernel is asked again for what it is about to tell; some ten microseconds.
const AT_ONCE: usize = 32;

/// State of a listener's queue under its present worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ports) struct Standing {
    queue: Queue,
    /// The listener gets no new connections for now, even if its worker is live.
    pub(super) held_back: bool,
    /// Its chance to get the next connection, as a share of the sum of all.
    pub(super) chance: u32,
}

impl Default for Standing {
    fn default() -> Self {
        Self {
            queue: Queue::default(),
            held_back: false,
            chance: 1,
        }
    }
}

/// Result of one look at the queues.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::ports) struct Look {
    /// The numbers of the listeners where connections arrived or were accepted since the look before.
    pub busy: BTreeSet<usize>,
    /// At least one connection waits in a queue.
    pub waiting: bool,
    /// How many steering programs were replaced.
    pub replaced: u64,
    /// A steering program could not be replaced.
    pub failed: Option<(PortKey, Errno)>,
}

impl Look {
    /// Whether there is a reason to look again soon.
    pub fn is_news(&self) -> bool {
        !self.busy.is_empty() || self.replaced > 0
    }
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
            arrivals: state.arrivals.seen().arrivals,
            counts: state.arrivals.seen().counts,
            passed_over,
        })
    }

    /// How many listeners there are, and for how many of them bells are wanted: none where arrivals are not followed, or where
    /// descriptors are needed for more important things. `None` after [`Self::let_go`].
    pub(super) fn watchable(&self) -> Option<(usize, usize)> {
        let state = self.lock();
        let count: usize = state.groups.iter().map(|group| group.listeners.len()).sum();
        let left = state.free_descriptors().saturating_sub(count);
        let wanted = state.arrivals.follows() && count <= MOST_BELLS.min(left / 2);
        (!state.over).then_some((count, if wanted { count } else { 0 }))
    }

    /// Calls `show` with all listeners.
    pub(super) fn watch(&self, show: impl FnOnce(&[Watched<'_>])) {
        let mut state = self.lock();
        let state = &mut *state;
        let mut all = Vec::new();
        for group in &mut state.groups {
            let listening: BTreeSet<usize> = group.order.numbers().collect();
            for (number, listener) in group.listeners.iter_mut().enumerate() {
                let token = *listener.watched.get_or_insert_with(|| {
                    state.watched += 1;
                    BELLS + state.watched
                });
                all.push(Watched {
                    fd: listener.fd.as_fd(),
                    token,
                    listens: listening.contains(&number),
                });
            }
        }
        show(&all);
    }

    /// Reads every queue, `pause` after the last look, and chooses who gets the next connections, as the policy says. Who sees
    /// that the number of arrivals has grown knows that the choice in force includes them, and that the next one will be
    /// heard.
    pub(in crate::ports) fn look(&self, pause: Duration, ears: &mut Ears) -> Look {
        let mut state = self.lock();
        let state = &mut *state;
        let mut look = Look::default();
        let lengths: Vec<Vec<Option<u32>>> = state
            .groups
            .iter()
            .map(|group| group.queue_lengths(&state.rotation))
            .collect();
        // After the queues; see [`Queue::arrived`].
        ears.take();
        for _ in 0..AT_ONCE {
            let mut all = state.groups.iter().zip(&lengths);
            if !all.any(|(group, lengths)| group.is_ahead(lengths, ears)) {
                break;
            }
            ears.take();
        }
        let now = state.clock.now();
        for (group, lengths) in state.groups.iter_mut().zip(lengths) {
            group.note(&lengths, pause, (ears, now), &mut state.arrivals, &mut look);
        }
        ears.forget();
        ears.arm();
        state.choose(&mut look);
        look
    }

    /// So much time has passed, and the thread has used so much CPU time in it. Chooses anew if arrivals are missed from now on.
    /// Returns what came of that choice.
    pub(super) fn passed(&self, time: Duration, used: Duration) -> Option<Look> {
        let mut state = self.lock();
        state.arrivals.passed(time, used).then(|| {
            let mut look = Look::default();
            state.choose(&mut look);
            look
        })
    }

    /// Takes over a count of the open connections, which ended just now and cost so much CPU time, and chooses anew. At the
    /// listeners with the numbers `busy` connections arrived or were accepted meanwhile, as the last look shows.
    pub(super) fn counted(
        &self,
        at: (Tick, Duration),
        open: Option<&BTreeMap<Pid, Option<u64>>>,
        busy: &BTreeSet<usize>,
    ) -> Look {
        let mut state = self.lock();
        let state = &mut *state;
        let of = |(listener, worker): (&ListenerId, &Pid)| {
            let number = usize::from(listener.0);
            let groups = state.groups.iter();
            let listeners = groups.filter_map(|group| group.listeners.get(number));
            let waiting = listeners.map(|one| one.standing.queue.length());
            // A worker that got the listener meanwhile was not counted.
            let open = open.map_or(Some(None), |open| open.get(worker).copied())?;
            let open = open.map(|open| u32::try_from(open).unwrap_or(u32::MAX));
            let all = open.map(|open| waiting.fold(open, u32::saturating_add));
            Some((number, all))
        };
        let open = state.present.iter().filter_map(of).collect();
        state.arrivals.counted(at, open, busy);
        let mut look = Look::default();
        state.choose(&mut look);
        look
    }
}

impl State {
    /// Chooses who gets the next connections of each port.
    fn choose(&mut self, look: &mut Look) {
        let now = self.clock.now();
        for group in &mut self.groups {
            group.choose(&self.rotation, (&self.arrivals, now), look);
        }
        self.balanced += look.replaced;
        self.arrivals.chosen(now);
    }

    /// These listeners get new connections from now on.
    pub(in crate::ports) fn admit(&mut self, live: &[ListenerId]) {
        self.groups.iter_mut().for_each(Group::choose_anew);
        for listener in live {
            if !self.rotation.live.contains(listener) {
                self.arrivals.admit(usize::from(listener.0));
            }
        }
        for listener in &self.rotation.live {
            if !live.contains(listener) {
                self.arrivals.leave(usize::from(listener.0));
            }
        }
        self.wake_balancer();
    }

    /// Wakes the balancing thread if it follows arrivals: a listener may listen only now, or others get connections.
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

    /// The lengths of the queues of the listeners that get connections; `None` for the others.
    fn queue_lengths(&self, rotation: &Rotation) -> Vec<Option<u32>> {
        if !watches(self.steering) {
            return Vec::new();
        }
        let mut lengths = vec![None; self.listeners.len()];
        for number in self.targets(rotation) {
            if let (Some(length), Some(one)) = (lengths.get_mut(number), self.listeners.get(number))
            {
                // A listener that a worker shut down has no queue; [`Group::repair`] mends it.
                *length = Some(listener::queue(&one.fd).map_or(0, |queue| queue.length));
            }
        }
        lengths
    }

    /// Whether a queue shows a connection that the kernel is about to tell of: it does both within microseconds.
    fn is_ahead(&self, lengths: &[Option<u32>], ears: &Ears) -> bool {
        let mut all = self.listeners.iter().zip(lengths);
        all.any(|(one, length)| {
            let grown = length.map_or(0, |length| one.standing.queue.grown(length));
            grown > 0
                && one
                    .watched
                    .is_some_and(|token| ears.is_armed(token) && ears.told(token) == 0)
        })
    }

    /// Records these lengths of the queues, and the arrivals that they show or that were told of.
    fn note(
        &mut self,
        lengths: &[Option<u32>],
        pause: Duration,
        (ears, now): (&Ears, Tick),
        arrivals: &mut Arrivals,
        look: &mut Look,
    ) {
        for (number, (one, length)) in self.listeners.iter_mut().zip(lengths).enumerate() {
            let Some(length) = *length else {
                one.standing = Standing::default();
                continue;
            };
            let told = one.watched.map_or(0, |token| ears.told(token));
            let queue = &mut one.standing.queue;
            let count = queue.arrived(length, told);
            arrivals.arrived(number, count, now);
            if !queue.seen(length, pause) || count > 0 {
                look.busy.insert(number);
            }
            look.waiting |= length > 0;
        }
    }

    /// Chooses who gets the next connections.
    fn choose(&mut self, rotation: &Rotation, (arrivals, now): (&Arrivals, Tick), look: &mut Look) {
        if !watches(self.steering) {
            return;
        }
        let mut targets = self.targets(rotation);
        targets.sort_unstable();
        let standing = |number: &usize| self.listeners.get(*number).map(|one| one.standing);
        let before: Vec<Standing> = targets.iter().filter_map(standing).collect();
        let queues: Vec<Queue> = before.iter().map(|standing| standing.queue).collect();
        let held = held_back(&queues);
        let chances = arrivals.chances(now, &targets, &held);
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
            Ok(replaced) => look.replaced += u64::from(replaced),
            Err(errno) => {
                // Restore the old marks, so that the next look tries again. Until then all have the same chance: a choice
                // that was meant for one connection must not stay.
                self.stand(&targets, &before);
                self.choose_anew();
                let _ = self.steer(rotation);
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
