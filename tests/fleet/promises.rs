//! What the fleet guarantees in any case: how many workers serve, how many exist, which has which listener, that
//! everything ends in time, and that nothing is forgotten.
#![forbid(unsafe_code)]

use rpm_runtime::model::{Cause, Pid, Tick};
use rpm_runtime::policy::Rotation;

use super::scrapes::Scrape;
use super::{Books, Chair, Life, SlotBook};

impl Books {
    /// Called after each decision; answers to requests may be missing.
    pub fn decided(&mut self, now: Tick) {
        self.take_out();
        self.drains_go_on(now);
        self.scrapes_go_on(now);
        self.late_ones_are_judged(now);
        self.successors_are_needed(now);
        self.nobody_is_forgotten(now);
        self.nobody_is_kept_waiting(now);
        self.enough_serve();
        self.not_too_many_live();
        self.not_too_many_are_sick();
        assert!(
            self.stop.is_some() || !self.reload_is_done(now),
            "the reload does not end: {self:?}"
        );
    }

    /// A worker that did not drain in time waits for a quiet moment, or is told to stop.
    fn drains_go_on(&mut self, now: Tick) {
        let (grace, scrape) = (self.params.stop_timeout, self.scrape_now());
        for life in self.lives.values_mut() {
            let unhealthy = life.leaves == Some(Cause::Unhealthy);
            if let Some(drain) = &mut life.drain
                && drain.until <= now
            {
                let goes_on = !drain.choosing && !unhealthy && !grace.is_zero();
                assert!(goes_on, "a drain without end: {life:?}");
                assert!(scrape.is_none(), "not scraped: {life:?}");
                drain.choosing = true;
                drain.until = now.after(grace);
                self.tally.hit("drain: chooses");
            }
        }
        assert!(self.began.is_none() || self.lives.values().all(|l| l.drain.is_none()));
    }

    /// A new worker that is late ends the reload that started it.
    fn late_ones_are_judged(&mut self, now: Tick) {
        for pid in std::mem::take(&mut self.late) {
            let life = self.lives[&pid];
            assert!(life.leaves.is_some(), "{pid} is late and stays");
            assert!(!self.on_trial(now, life), "the reload goes on");
        }
    }

    /// A successor takes over as soon as it may, and exists only for a worker that serves or served.
    fn successors_are_needed(&self, now: Tick) {
        for slot in &self.slots {
            let Some(next) = slot.next else { continue };
            assert!(self.stop.is_none(), "a successor in the stop: {slot:?}");
            assert!(matches!(slot.chair, Chair::Seated(_)), "{slot:?}");
            let Some(life) = next.pid.map(|pid| self.lives[&pid]) else {
                continue;
            };
            assert!(!self.proved(now, life), "it may take over: {life:?}");
        }
    }

    /// A worker that must end drains, has its stop signal, or is given up; never later than it must.
    fn nobody_is_forgotten(&self, now: Tick) {
        for (pid, life) in &self.lives {
            if life.leaves.is_none() {
                assert!(life.drain.is_none() && life.kill_due.is_none(), "{life:?}");
                assert_eq!(life.scraping, None, "{life:?}");
                continue;
            }
            let states = [
                life.drain.is_some(),
                life.scraping.is_some(),
                life.kill_due.is_some(),
            ];
            let in_one = states.iter().filter(|state| **state).count() == 1;
            assert!(in_one, "{pid}: {life:?}");
            let late = self.overslept.saturating_sub(life.overslept);
            assert!(
                life.undead || now < life.gone_by.after(late),
                "{pid} should be gone: {life:?}"
            );
        }
    }

    /// By the fleet's own steps there are never fewer workers than wanted minus those allowed to be missing. Workers
    /// that ended by themselves, were late, failed their checks, or are stopped by an order do not count.
    fn enough_serve(&mut self) {
        let serving: Vec<Pid> = self.serving().collect();
        let own = |pid: &&Pid| {
            let cause = self.lives.get(pid).and_then(|life| life.leaves);
            matches!(cause, Some(Cause::Reload | Cause::MemoryLimit))
        };
        // One that failed its checks left the steering in the same decision, and only then its slot.
        let ailed = |pid: &&Pid| {
            let slot = self.slots.get(self.lives[*pid].slot);
            slot.is_some_and(|slot| slot.ails)
        };
        let left = self.served.iter().filter(|pid| !serving.contains(pid));
        let replaced = |pid: &&Pid| {
            let slot = self.slots.get(self.lives[*pid].slot);
            slot.is_some_and(|slot| self.serves(slot))
        };
        let gone: Vec<&Pid> = left
            .filter(own)
            .filter(|pid| !ailed(pid) && !replaced(pid))
            .collect();
        if !gone.is_empty() {
            // One that excludes its successor may be missing in any case. It may have taken over in the same decision in which
            // it leaves for a reload.
            let excludes = |pid: &Pid| self.lives.get(pid).is_some_and(|life| life.excludes);
            let first = gone.iter().any(|pid| {
                let slot = self.slots.get(self.lives[*pid].slot);
                let next = slot.and_then(|slot| match slot.chair {
                    Chair::Held(next) => Some(next),
                    _ => None,
                });
                excludes(pid) || next.is_some_and(|next| excludes(&next))
            });
            let unavailable = self.allowed().1.max(usize::from(first));
            let (wanted, least) = (self.wanted(), serving.len() + unavailable);
            assert!(wanted <= least, "too few serve: {serving:?} of {self:?}");
        }
        self.served = serving;
    }

    /// There are never more workers than wanted plus the surge, including drains and graces. Only an order, or a slot
    /// that stays down, may leave more by lowering the wanted number; then there are no more than before.
    fn not_too_many_live(&mut self) {
        let (wanted, crowd) = (self.wanted(), self.crowd());
        let (before, wanted_before) = self.crowd;
        let most = wanted + self.allowed().0;
        let grown = wanted.saturating_sub(wanted_before);
        assert!(
            crowd <= most.max(before + grown),
            "{crowd} workers, {most} may be: {self:?}"
        );
        self.crowd = (crowd, wanted);
        let there = self.lives.values().filter(|life| !life.undead).count();
        assert!(there + self.asked.len() <= crowd, "counted wrong: {self:?}");
    }

    /// At most as many as may be missing, but at least one, are out of steering because of their checks. Only an order
    /// may leave more, by lowering the wanted number.
    fn not_too_many_are_sick(&mut self) {
        let sick = self.sick();
        let most = self.allowed().1.max(1).max(self.sick);
        assert!(sick <= most || self.stop.is_some(), "{sick}: {self:?}");
        self.sick = sick;
    }

    /// No two workers share a listener, except one that cannot be killed. A retiring worker gets no new connection.
    pub(super) fn listeners_are_apart(&self, listeners: u16, rotation: &Rotation) {
        let lives = self.lives.values().filter(|life| !life.undead);
        let mut used: Vec<_> = lives.map(|life| life.listener).collect();
        let all = used.len();
        used.sort_unstable();
        used.dedup();
        assert_eq!(used.len(), all, "two share a listener: {self:?}");
        let ends = |life: &&Life| life.leaves.is_some() && !life.undead;
        for life in self.lives.values().filter(ends) {
            assert!(!rotation.live.contains(&life.listener), "{life:?}");
        }
        let seats = rotation.seats.iter().map(|(listener, _)| listener);
        let shown = seats.chain(&rotation.expected);
        let highest = shown.map(|listener| listener.0 + 1).max();
        assert!(
            highest.max(Some(self.listeners)) <= Some(listeners),
            "there are {listeners} listeners: {self:?}"
        );
    }

    /// Whether everything is settled: each slot has its worker or stays down, and there are no other workers.
    pub fn at_rest(&self) -> bool {
        let rests = |slot: &SlotBook| {
            let well = match slot.chair {
                Chair::Down => true,
                Chair::Seated(pid) => self.lives[&pid].ready.is_some(),
                Chair::Due(_) | Chair::Held(_) | Chair::Asked => false,
            };
            well && slot.next.is_none() && slot.renewal.is_none()
        };
        let ends = |life: &Life| life.leaves.is_some() && !life.undead;
        self.slots.iter().all(rests)
            && !self.lives.values().any(ends)
            && self.groups.is_empty()
            && self.asked.is_empty()
            && self.reload.is_none()
    }

    /// Whether a stop is decided.
    pub fn stops(&self) -> bool {
        self.stop.is_some()
    }

    pub fn chairs(&self) -> usize {
        self.slots.len()
    }

    /// Workers that stay.
    pub fn stay(&self) -> Vec<Pid> {
        let stay = self.lives.iter().filter(|(_, life)| life.leaves.is_none());
        stay.map(|(pid, _)| *pid).collect()
    }

    /// Workers that stay and have not served yet.
    pub fn start_up(&self) -> Vec<Pid> {
        let serves = |life: &Life| life.ready.is_some() || !life.start.listens.is_empty();
        let starting = self.lives.iter();
        let starting = starting.filter(|(_, life)| life.leaves.is_none() && !serves(life));
        starting.map(|(pid, _)| *pid).collect()
    }

    /// Workers that must end.
    pub fn leave(&self) -> Vec<Pid> {
        let leave = self.lives.iter().filter(|(_, life)| life.leaves.is_some());
        leave.map(|(pid, _)| *pid).collect()
    }

    /// Workers that drain.
    pub fn drain(&self) -> Vec<Pid> {
        let drain = self.lives.iter().filter(|(_, life)| life.drain.is_some());
        drain.map(|(pid, _)| *pid).collect()
    }

    /// Workers whose metrics are being read.
    pub fn scraping(&self) -> Vec<Pid> {
        let asked = |drain: &super::Drain| matches!(drain.scrape, Scrape::Asked { .. });
        let scraping =
            |life: &&Life| life.scraping.is_some() || life.drain.as_ref().is_some_and(asked);
        let scraping = self.lives.iter().filter(|(_, life)| scraping(life));
        scraping.map(|(pid, _)| *pid).collect()
    }

    pub fn knows(&self, pid: Pid) -> bool {
        self.lives.contains_key(&pid)
    }
}
