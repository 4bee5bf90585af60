//! Waits until a slot, or all, are as they should be.

use std::collections::BTreeMap;

use rpm_runtime::control::protocol::{Command, Failed, Health, List, Place, Worker};

use super::connection::Connection;
use super::exit::Failure;
use super::progress::Progress;
use super::words::{and_others, human, plain};

/// What is waited for.
#[derive(Debug)]
pub struct Goal {
    /// Only this slot. `None`: all.
    slot: Option<u16>,
    /// Who must not be there any more, by slot.
    before: BTreeMap<u16, i32>,
    /// How many new workers had not come up before, if one more is a failure.
    failures: Option<u64>,
    /// No worker shall be there.
    empty: bool,
    /// A worker that ends again is a failure.
    first: bool,
}

impl Goal {
    /// Every slot has a worker that is ready, and nobody leaves.
    pub fn all() -> Self {
        Self {
            slot: None,
            before: BTreeMap::new(),
            failures: None,
            empty: false,
            first: false,
        }
    }

    /// Other workers than in `seen`. That of one slot must come up at the first try.
    pub fn others(seen: &List, slot: Option<u16>) -> Self {
        let slots = seen.workers.iter();
        let slots = slots.filter(|worker| worker.place == Place::Slot);
        let slots = slots.filter(|worker| slot.is_none_or(|slot| slot == worker.slot));
        Self {
            slot,
            before: slots
                .filter_map(|worker| Some((worker.slot, worker.pid?)))
                .collect(),
            failures: slot.map(|_| seen.health.failures),
            first: slot.is_some(),
            ..Self::all()
        }
    }

    /// The slot, or all, have a worker.
    pub fn started(slot: Option<u16>) -> Self {
        Self {
            slot,
            first: true,
            ..Self::all()
        }
    }

    /// The slot, or all, have none.
    pub fn halted(slot: Option<u16>) -> Self {
        Self {
            slot,
            empty: true,
            ..Self::all()
        }
    }

    /// Asks until it is so.
    pub fn wait(&self, connection: &mut Connection, mut progress: Progress) -> Result<(), Failure> {
        let outcome = self.settle(connection, &mut progress);
        progress.end();
        outcome
    }

    fn settle(&self, connection: &mut Connection, progress: &mut Progress) -> Result<(), Failure> {
        loop {
            let list = progress.ask::<List>(connection, Command::List)?.value;
            match self.missing(&list)? {
                None => return Ok(()),
                Some(what) => progress.step(&what)?,
            }
        }
    }

    /// What is not done yet; `None` if all is. Fails if it will never be.
    fn missing(&self, list: &List) -> Result<Option<String>, Failure> {
        let health = &list.health;
        if matches!(health.state.as_str(), "draining" | "stopping") {
            return Err(Failure::failed("the runtime is stopping"));
        }
        self.failed(health)?;
        let mine = |worker: &&Worker| self.slot.is_none_or(|slot| slot == worker.slot);
        let mine: Vec<&Worker> = list.workers.iter().filter(mine).collect();
        self.gone(&mine)?;
        for worker in &mine {
            self.ended_again(worker, &mine)?;
        }
        if mine.iter().all(|worker| self.is_done(worker)) {
            return Ok(None);
        }
        Ok(Some(match (self.slot, self.empty) {
            (Some(slot), _) => of_one(slot, &mine),
            (None, true) => of_all("halted", health.workers.halted, health),
            (None, false) => {
                let new = mine.iter().filter(|worker| self.is_new(worker));
                of_all("ready", new.count(), health)
            }
        }))
    }

    /// The successor of a worker did not come up.
    fn failed(&self, health: &Health) -> Result<(), Failure> {
        let Some(before) = self.failures else {
            return Ok(());
        };
        // Others may fail meanwhile.
        let mine = |failed: &&Failed| failed.number > before && Some(failed.slot) == self.slot;
        match health.failed.iter().find(mine) {
            Some(failed) => {
                let why = plain(&failed.why);
                Err(Failure::failed(format!("{why}; the old worker stays")))
            }
            None => Ok(()),
        }
    }

    /// The slot is not there any more: the number of workers was changed meanwhile.
    fn gone(&self, mine: &[&Worker]) -> Result<(), Failure> {
        let has = mine.iter().any(|worker| worker.place == Place::Slot);
        match self.slot {
            Some(slot) if !self.empty && !has => {
                let text = format!("slot {slot} is gone: the number of workers was changed");
                Err(Failure::failed(text))
            }
            _ => Ok(()),
        }
    }

    /// The first worker of a slot has ended already, and no other one starts now.
    fn ended_again(&self, worker: &Worker, mine: &[&Worker]) -> Result<(), Failure> {
        let slot = worker.slot;
        let rises = |other: &&Worker| other.place == Place::Rising && other.slot == slot;
        if !self.first || worker.place != Place::Slot || mine.iter().any(rises) {
            return Ok(());
        }
        let next = match (worker.state.as_str(), worker.due_seconds) {
            ("backoff", Some(due)) => format!("the next one starts in {}", human(due)),
            ("stopped", _) => "the slot stays empty".to_owned(),
            ("halted", _) => {
                let text = format!("slot {slot} was stopped by an operator meanwhile");
                return Err(Failure::failed(text));
            }
            _ => return Ok(()),
        };
        let how = worker.last_exit.as_deref();
        let how = how.map_or_else(String::new, |how| format!(" ({})", plain(how)));
        let text = format!("the new worker of slot {slot} did not stay{how}; {next}");
        Err(Failure::failed(text))
    }

    fn is_done(&self, worker: &Worker) -> bool {
        if worker.place != Place::Slot {
            return false;
        }
        if self.empty {
            return worker.state == "halted";
        }
        let settled = worker.ready || matches!(worker.state.as_str(), "stopped" | "halted");
        settled && (worker.pid.is_none() || self.is_another(worker))
    }

    fn is_another(&self, worker: &Worker) -> bool {
        let before = self.before.get(&worker.slot);
        worker.pid.is_some_and(|pid| before != Some(&pid))
    }

    fn is_new(&self, worker: &Worker) -> bool {
        worker.place == Place::Slot && worker.ready && self.is_another(worker)
    }
}

fn of_one(slot: u16, workers: &[&Worker]) -> String {
    let states: Vec<String> = workers
        .iter()
        .map(|worker| match (worker.place, worker.pid) {
            (Place::Leaving, Some(pid)) => format!("{} (process {pid})", plain(&worker.state)),
            _ => plain(&worker.state),
        })
        .collect();
    format!("slot {slot}: {}", states.join(", "))
}

fn of_all(what: &str, count: usize, health: &Health) -> String {
    let waits = and_others(&health.workers);
    let desired = health.desired;
    format!("{count} of {desired} workers {what}{waits}")
}

#[cfg(test)]
mod tests {
    use rpm_runtime::control::protocol::{Counts, Version};

    use super::*;
    use crate::testing::worker;

    fn list(state: &str, workers: Vec<Worker>) -> List {
        List {
            runtime: Version {
                version: String::new(),
                revision: None,
                pid: 1,
                app: String::new(),
            },
            uptime_seconds: 1.0,
            health: Health {
                state: state.to_owned(),
                ready: true,
                started: true,
                desired: 2,
                generation: 0,
                workers: Counts {
                    draining: 1,
                    ..Counts::default()
                },
                reloads: Vec::new(),
                failures: 0,
                last_failure: None,
                failed: Vec::new(),
            },
            workers,
        }
    }

    fn slot(slot: u16, state: &str, pid: i32) -> Worker {
        worker(slot, Place::Slot, state, Some(pid))
    }

    fn empty(slot: u16, state: &str) -> Worker {
        worker(slot, Place::Slot, state, None)
    }

    fn running(workers: &[Worker]) -> List {
        list("running", workers.to_vec())
    }

    #[test]
    fn a_restart_is_done_when_every_slot_has_another_worker_and_nobody_leaves() {
        let goal = Goal::others(
            &running(&[slot(0, "ready", 11), slot(1, "ready", 12)]),
            None,
        );
        let judge = |workers: &[Worker]| goal.missing(&running(workers)).unwrap();
        let half = judge(&[slot(0, "ready", 21), slot(1, "ready", 12)]);
        assert_eq!(half.unwrap(), "1 of 2 workers ready, 1 draining");
        assert!(judge(&[slot(0, "ready", 21), slot(1, "starting", 22)]).is_some());
        let leaving = worker(1, Place::Leaving, "retiring", Some(12));
        let new = [slot(0, "ready", 21), slot(1, "ready", 22)];
        assert!(judge(&[&new[..], &[leaving]].concat()).is_some());
        assert_eq!(judge(&new), None);
        for down in ["stopped", "halted"] {
            assert_eq!(judge(&[slot(0, "ready", 21), empty(1, down)]), None);
        }
        assert!(goal.missing(&list("stopping", Vec::new())).is_err());
    }

    #[test]
    fn a_restart_of_one_slot_looks_at_that_slot_alone() {
        let goal = Goal::others(
            &running(&[slot(0, "ready", 11), empty(1, "backoff")]),
            Some(0),
        );
        let judge = |workers: &[Worker]| goal.missing(&running(workers)).unwrap();
        let leaving = worker(0, Place::Leaving, "draining", Some(11));
        let other = empty(1, "backoff");
        assert_eq!(
            judge(&[slot(0, "ready", 21), other.clone(), leaving]).unwrap(),
            "slot 0: ready, draining (process 11)"
        );
        assert_eq!(judge(&[slot(0, "ready", 21), other]), None);
    }

    #[test]
    fn a_restart_fails_only_with_the_fault_of_its_own_slot() {
        let mut list = running(&[slot(0, "ready", 11), slot(1, "ready", 12)]);
        let failed = |number, slot, why: &str| Failed {
            number,
            slot,
            why: why.to_owned(),
        };
        list.health.failures = 1;
        list.health.failed = vec![failed(1, 0, "before")];
        let goal = Goal::others(&list, Some(0));
        list.health.failures = 2;
        list.health.failed.push(failed(2, 1, "another one"));
        assert!(goal.missing(&list).unwrap().is_some());
        list.health.failures = 4;
        list.health.failed.push(failed(3, 0, "mine"));
        list.health.failed.push(failed(4, 1, "another one"));
        let failure = goal.missing(&list).unwrap_err();
        assert_eq!(failure, Failure::failed("mine; the old worker stays"));
    }

    #[test]
    fn a_stop_is_done_when_the_slot_is_halted_and_nobody_leaves_it() {
        let one = Goal::halted(Some(0));
        let leaving = worker(0, Place::Leaving, "draining", Some(11));
        let other = slot(1, "ready", 12);
        let half = running(&[empty(0, "halted"), other.clone(), leaving]);
        assert!(one.missing(&half).unwrap().is_some());
        let done = running(&[empty(0, "halted"), other]);
        assert_eq!(one.missing(&done), Ok(None));
        assert!(Goal::halted(None).missing(&done).unwrap().is_some());
    }

    #[test]
    fn a_start_fails_with_the_end_of_its_first_worker() {
        let goal = Goal::started(Some(0));
        let held = running(&[empty(0, "backoff")]);
        assert_eq!(goal.missing(&held).unwrap().unwrap(), "slot 0: backoff");
        let ended = Worker {
            due_seconds: Some(2.0),
            last_exit: Some("exit code 3".to_owned()),
            ..empty(0, "backoff")
        };
        let why = goal.missing(&running(&[ended])).unwrap_err();
        assert_eq!(
            why,
            Failure::failed(
                "the new worker of slot 0 did not stay (exit code 3); the next one starts in 2s"
            )
        );
        assert_eq!(goal.missing(&running(&[slot(0, "ready", 11)])), Ok(None));
    }
    #[test]
    fn a_start_or_restart_fails_when_the_slot_stays_empty_or_is_gone() {
        let other = slot(0, "ready", 11);
        let before = running(&[other.clone(), slot(1, "ready", 12)]);
        for goal in [Goal::started(Some(1)), Goal::others(&before, Some(1))] {
            let judge = |workers: &[Worker]| goal.missing(&running(workers));
            let failed = |workers: &[Worker]| judge(workers).unwrap_err().why().to_owned();
            let down = Worker {
                last_exit: Some("exit code 3".to_owned()),
                ..empty(1, "stopped")
            };
            assert_eq!(
                failed(&[other.clone(), down.clone()]),
                "the new worker of slot 1 did not stay (exit code 3); the slot stays empty"
            );
            let halted = failed(&[other.clone(), empty(1, "halted")]);
            assert_eq!(halted, "slot 1 was stopped by an operator meanwhile");
            let leaving = worker(1, Place::Leaving, "draining", Some(12));
            for gone in [vec![other.clone()], vec![other.clone(), leaving]] {
                let why = failed(&gone);
                assert_eq!(why, "slot 1 is gone: the number of workers was changed");
            }
            // The old one has ended by itself, and the new one starts already.
            let rising = worker(1, Place::Rising, "starting", Some(22));
            assert!(judge(&[other.clone(), down, rising]).unwrap().is_some());
        }
        // Who stops a slot has what he wants.
        assert_eq!(Goal::halted(Some(1)).missing(&running(&[other])), Ok(None));
    }
}
