//! The fleet's own steps: a successor is requested, takes over, or is given up; a worker is retired. Each is checked
//! when it is taken: whether there is a reason, and whether one worker more, or one less, is allowed.
#![forbid(unsafe_code)]

use rpm_runtime::model::{Cause, Generation, ListenerId, Pid, Tick};
use rpm_runtime::policy::{NotUp, Note, allowance};

use super::{Asked, Books, Chair, PAUSE, Renewal, Rise, id};

impl Books {
    /// The workers in slots.
    pub(super) fn seated(&self) -> impl Iterator<Item = Pid> + '_ {
        self.slots.iter().filter_map(|slot| match slot.chair {
            Chair::Seated(pid) => Some(pid),
            _ => None,
        })
    }

    /// The slots that must have a worker: all except those that stay down.
    pub(super) fn wanted(&self) -> usize {
        let up = self.slots.iter().filter(|slot| slot.chair != Chair::Down);
        up.count()
    }

    /// How many workers may exist above and below the wanted number.
    pub(super) fn allowed(&self) -> (usize, usize) {
        let n = u16::try_from(self.wanted()).unwrap();
        let (surge, unavailable) = allowance(self.params.surge, self.params.unavailable, n);
        (usize::from(surge), usize::from(unavailable))
    }

    /// The most workers that can exist without a further step: each wanted slot has one, may get one at any moment, or
    /// waits for a worker that still has its listener; successors; and workers that must end and still live.
    pub(super) fn crowd(&self) -> usize {
        let rising = self.slots.iter().filter(|slot| slot.next.is_some());
        let holds = |pid: &Pid| {
            let mut slots = self.slots.iter();
            slots.any(|slot| slot.chair == Chair::Held(*pid))
        };
        let ending = self.lives.iter();
        let ending = ending.filter(|(_, life)| life.leaves.is_some() && !life.undead);
        let ending = ending.filter(|(pid, _)| !holds(pid));
        let unclaimed = self.asked.iter().filter(|asked| !self.is_claimed(asked));
        self.wanted() + rising.count() + ending.count() + unclaimed.count()
    }

    /// Whether a slot still waits for the answer.
    fn is_claimed(&self, asked: &Asked) -> bool {
        self.slots.get(asked.slot).is_some_and(|slot| {
            let chair = slot.chair == Chair::Asked && slot.listener == Some(asked.listener);
            let next = slot.next;
            chair || next.is_some_and(|n| n.pid.is_none() && n.listener == asked.listener)
        })
    }

    /// A worker is requested.
    pub(super) fn asks(&mut self, now: Tick, at: usize, listener: ListenerId, of: Generation) {
        assert_eq!(of, self.generation, "of which reload?");
        assert!(self.began.is_none(), "a worker for {at} in the stop");
        let holder = |(pid, life): &(&Pid, &super::Life)| {
            let _ = pid;
            life.listener == listener && !life.undead
        };
        let held = self.lives.iter().find(holder);
        assert!(held.is_none(), "{listener} is {held:?}'s");
        assert!(
            self.asked.iter().all(|asked| asked.listener != listener),
            "{listener} is asked for"
        );
        self.listeners = self.listeners.max(listener.0 + 1);
        let slot = &mut self.slots[at];
        match slot.chair {
            Chair::Due(due) => {
                assert!(due <= now, "a worker for {slot:?} at {now:?}");
                assert_eq!(slot.listener.unwrap_or(listener), listener);
                slot.listener = Some(listener);
                slot.chair = Chair::Asked;
            }
            Chair::Seated(pid) => self.asks_for_successor(now, at, pid, listener),
            chair => panic!("a worker for slot {at}, which is {chair:?}"),
        }
        self.asked.push(Asked {
            slot: at,
            listener,
            generation: of,
        });
    }

    fn asks_for_successor(&mut self, now: Tick, at: usize, pid: Pid, listener: ListenerId) {
        self.take_out();
        assert!(self.stop.is_none(), "a successor in the stop");
        assert!(self.slots[at].next.is_none(), "two successors");
        let life = self.lives[&pid];
        assert!(life.ready.is_some(), "nobody is replaced");
        assert!(!life.excludes, "a successor cannot start beside {life:?}");
        self.reason(now, at, pid);
        self.slots[at].next = Some(Rise {
            listener,
            pid: None,
        });
        let (surge, _) = self.allowed();
        let (crowd, most) = (self.crowd(), self.wanted() + surge);
        assert!(crowd <= most, "{crowd} workers, {most} may be");
        self.tally.hit("successor");
    }

    /// Why the worker of a slot must be replaced now. A reload tests its new version in no more slots at a time than it
    /// may add and take away.
    fn reason(&self, now: Tick, at: usize, pid: Pid) -> Cause {
        let is_due = |renewal: &Renewal| {
            renewal.due <= now && (renewal.out || renewal.cause != Cause::Unhealthy)
        };
        let old = self.reload.is_some() && self.lives[&pid].generation < self.generation;
        match self.slots[at].renewal.filter(is_due) {
            Some(renewal) => renewal.cause,
            None if old => {
                let (surge, unavailable) = self.allowed();
                assert!(self.tried(now) < surge + unavailable, "too fast: {self:?}");
                Cause::Reload
            }
            None => panic!("{pid} is replaced for nothing: {:?}", self.slots[at]),
        }
    }

    /// Slots whose new worker does not serve yet or is not accepted yet.
    fn tried(&self, now: Tick) -> usize {
        let tried = self.slots.iter().filter(|slot| match slot.chair {
            Chair::Down => false,
            Chair::Due(_) | Chair::Held(_) | Chair::Asked => true,
            Chair::Seated(pid) => {
                let life = self.lives[&pid];
                slot.next.is_some() || life.ready.is_none() || self.on_trial(now, life)
            }
        });
        tried.count()
    }

    /// A successor takes over.
    pub(super) fn takes_over(&mut self, now: Tick, at: usize, pid: Pid, old: Pid) {
        assert!(self.stop.is_none());
        let slot = self.slots[at];
        let next = slot.next.unwrap();
        assert_eq!(slot.chair, Chair::Seated(old));
        assert_eq!(next.pid, Some(pid));
        let life = self.lives[&pid];
        assert!(self.proved(now, life), "too early: {life:?}");
        assert_eq!(life.generation, self.generation, "a new one is of today");
        let cause = slot.renewal.map_or(Cause::Reload, |renewal| renewal.cause);
        let slot = &mut self.slots[at];
        slot.chair = Chair::Seated(pid);
        slot.listener = Some(next.listener);
        slot.next = None;
        slot.renewal = None;
        slot.calm();
        self.leaves(now, old, cause, true);
        let returns = matches!(cause, Cause::Reload | Cause::MemoryLimit);
        self.lives.get_mut(&old).unwrap().returns = returns;
        if let Some(reload) = &mut self.reload {
            reload.keeps.insert(pid);
        }
        if let Some(limit) = self.drain_limit() {
            let slot = id(at);
            let pid = old;
            self.owed.push(Note::Drains { slot, pid, limit });
        }
        self.tally.hit("taken over");
    }

    /// A worker retires before its successor exists.
    pub(super) fn taken_away(&mut self, now: Tick, pid: Pid) {
        self.take_out();
        assert!(self.stop.is_none(), "no reason to stop {pid}");
        let at = self.lives[&pid].slot;
        assert_eq!(self.slots[at].chair, Chair::Seated(pid), "why {pid}?");
        let life = self.lives[&pid];
        if life.ready.is_none() {
            // One that starts is replaced only by the new version in a reload, and drains nothing.
            let old = self.reload.is_some() && life.generation < self.generation;
            assert!(old, "nobody is replaced");
            let slot = &mut self.slots[at];
            assert!(slot.next.is_none(), "its successor starts");
            slot.chair = Chair::Held(pid);
            slot.calm();
            self.leaves(now, pid, Cause::Reload, false);
            self.tally.hit("replaced in its start");
            return;
        }
        let cause = self.reason(now, at, pid);
        let (surge, mut unavailable) = self.allowed();
        if self.lives[&pid].excludes {
            unavailable = unavailable.max(1);
            if surge > 0 {
                self.tally.hit("left first");
            }
        }
        if !self.slots[at].is_out() {
            let missing = self.wanted() - self.serving().count();
            assert!(missing < unavailable, "{missing} are missing already");
        }
        let life = self.lives[&pid];
        self.keep_ports(now, &life);
        let slot = &mut self.slots[at];
        assert!(slot.next.is_none(), "its successor starts");
        slot.chair = Chair::Held(pid);
        let renewal = slot.renewal.take();
        let was_sick = renewal.is_some_and(|it| it.out && it.cause == Cause::Unhealthy);
        slot.ails = was_sick || cause == Cause::Unhealthy;
        slot.calm();
        self.leaves(now, pid, cause, true);
        self.tally.hit("taken away");
    }

    /// The successor of this slot is given up.
    pub(super) fn cull(&mut self, now: Tick, at: usize, cause: Cause) {
        // If it is only requested, it is told to stop when it starts.
        if let Some(pid) = self.slots[at].next.take().and_then(|next| next.pid) {
            self.leaves(now, pid, cause, false);
            self.tally.hit("successor given up");
        }
    }

    pub(super) fn cull_all(&mut self, now: Tick, cause: Cause) {
        for at in 0..self.slots.len() {
            self.cull(now, at, cause);
        }
    }

    /// A successor did not become ready. That ends a reload.
    pub(super) fn not_up(
        &mut self,
        now: Tick,
        at: usize,
        pid: Option<Pid>,
        why: NotUp,
        owed: bool,
    ) {
        let (cause, least) = match why {
            NotUp::NotReady { .. } => (Cause::StartTimeout, None),
            NotUp::Unfit => (Cause::Unhealthy, None),
            NotUp::Ended(_) => (Cause::Reload, None),
            NotUp::NotStarted => (Cause::Reload, Some(PAUSE)),
        };
        self.cull(now, at, cause);
        let renewal = &mut self.slots[at].renewal;
        if let Some(wish) = renewal.filter(|renewal| renewal.cause == Cause::Restart) {
            // The operator is told, and it is not tried again.
            let cause = Cause::MemoryLimit;
            *renewal = wish.grown.then_some(Renewal { cause, ..wish });
        }
        if let Some(renewal) = &mut self.slots[at].renewal {
            renewal.tries += 1;
            let wait = self.params.backoff.delay(renewal.tries, self.jitter);
            renewal.due = now.after(wait.max(least.unwrap_or_default()));
            self.tally.hit("replacement tried again");
        }
        if owed {
            let slot = id(at);
            self.owed.push(Note::NotUp { slot, pid, why });
        }
        self.fail_reload(now);
    }
}
