//! Figures over time: the sums of the last minutes, and what each worker uses now.

use std::collections::{BTreeMap, VecDeque};

use rpm_runtime::control::protocol::{List, Worker};

/// Values that are kept of each sum: one a second.
const KEPT: usize = 240;

/// Least time between two looks at the CPU, seconds. The kernel counts it in steps of 10 ms.
const STEP: f64 = 0.5;

/// Figures over time.
#[derive(Debug, Default)]
pub struct Past {
    /// Open connections of all workers.
    pub connections: VecDeque<u64>,
    /// Connections that wait.
    pub queue: VecDeque<u64>,
    /// Percent of one CPU.
    pub cpu: VecDeque<u64>,
    /// Bytes.
    pub memory: VecDeque<u64>,
    /// When the CPU was looked at, by the uptime of the runtime: its own clock, so that the way here does not count.
    looked: Option<f64>,
    /// CPU seconds of each process then.
    before: BTreeMap<i32, f64>,
    /// Percent of one CPU since then.
    shares: BTreeMap<i32, f64>,
}

impl Past {
    /// Adds an answer.
    pub fn add(&mut self, list: &List) {
        self.look(list);
        let sum = |of: fn(&Worker) -> Option<u64>| list.workers.iter().filter_map(of).sum();
        push(&mut self.connections, sum(|worker| worker.connections));
        push(&mut self.queue, sum(|worker| worker.queue));
        push(&mut self.memory, sum(|worker| worker.memory_bytes));
        let cpu: f64 = list
            .workers
            .iter()
            .filter_map(|worker| self.cpu(worker))
            .sum();
        push(&mut self.cpu, rounded(cpu));
    }

    /// What a worker uses now in percent of one CPU; over its life, as long as it was seen only once.
    pub fn cpu(&self, worker: &Worker) -> Option<f64> {
        let share = worker.pid.and_then(|pid| self.shares.get(&pid)).copied();
        share.or(worker.cpu_percent)
    }

    fn look(&mut self, list: &List) {
        let passed = self.looked.map(|looked| list.uptime_seconds - looked);
        if passed.is_some_and(|passed| passed < STEP) {
            return;
        }
        let now = list.workers.iter();
        let now: BTreeMap<i32, f64> = now
            .filter_map(|worker| Some((worker.pid?, worker.cpu_seconds?)))
            .collect();
        let share = |(pid, cpu): (&i32, &f64)| {
            let used = cpu - self.before.get(pid)?;
            Some((*pid, (used / passed? * 100.0).max(0.0)))
        };
        self.shares = now.iter().filter_map(share).collect();
        self.before = now;
        self.looked = Some(list.uptime_seconds);
    }
}

fn push(values: &mut VecDeque<u64>, value: u64) {
    values.push_back(value);
    while values.len() > KEPT {
        values.pop_front();
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is not below 0, and the cast ends at the greatest number"
)]
fn rounded(value: f64) -> u64 {
    value.max(0.0).round() as u64
}

#[cfg(test)]
mod tests {
    use super::super::super::fixtures::list;
    use super::*;

    #[test]
    fn the_present_cpu_is_what_was_used_since_the_last_answer() {
        let mut past = Past::default();
        let mut two = list(2);
        past.add(&two);
        assert_eq!(past.cpu(&two.workers[0]), two.workers[0].cpu_percent);
        two.uptime_seconds += 2.0;
        for (worker, used) in two.workers.iter_mut().zip([1.0, 0.0]) {
            worker.cpu_seconds = worker.cpu_seconds.map(|cpu| cpu + used);
        }
        past.add(&two);
        assert_eq!(past.cpu(&two.workers[0]), Some(50.0));
        assert_eq!(past.cpu(&two.workers[1]), Some(0.0));
        assert_eq!(past.cpu.back(), Some(&50));
        // The same answer again says nothing new.
        past.add(&two);
        assert_eq!(past.cpu(&two.workers[0]), Some(50.0));
        // A new process in the slot has no past.
        two.workers[0].pid = Some(9999);
        two.uptime_seconds += 1.0;
        past.add(&two);
        assert_eq!(past.cpu(&two.workers[0]), two.workers[0].cpu_percent);
    }

    #[test]
    fn only_the_last_minutes_are_kept() {
        let mut past = Past::default();
        let one = list(3);
        for _ in 0..KEPT + 9 {
            past.add(&one);
        }
        assert_eq!(past.connections.len(), KEPT);
        let each = one.workers[0].connections.unwrap() + one.workers[1].connections.unwrap();
        assert!(past.connections.iter().all(|sum| *sum >= each));
    }
}
