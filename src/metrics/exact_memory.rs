//! Exact resident memory (RSS) and proportional memory (PSS). Each scrape reads as many workers as its budget allows.
//!
//! The kernel walks all memory of a process for it: about 10 us for the smallest program, and 3 us more for each MiB of
//! resident memory. So the workers take turns, the longest unread first. In between, the last PSS is shown, and of the
//! resident memory the last exact value with what the kernel's counter has changed by since then: that counter is loose,
//! but it costs nothing, and its error changes little.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::{Pid, SlotId};
use crate::sys::proc::{ProcessMemory, ProcessStat};

/// Most workers to read in one scrape.
const WORKERS: usize = 64;

/// Memory to walk in one scrape, bytes; beyond it, no further worker is read. About 1.5 ms.
const BYTES: u64 = 512 << 20;

/// One process: PID and start time, because a PID may be reused.
type ProcessStart = (Pid, Duration);

#[derive(Clone, Copy, Debug)]
struct Reading {
    process: ProcessStart,
    /// The number of the scrape.
    turn: u64,
    /// `None`: it could not be read.
    memory: Option<ProcessMemory>,
    /// What the kernel's counter of resident memory said then, bytes.
    counter: u64,
}

impl Reading {
    /// The values at the time when the counter says `counter`.
    fn now(&self, counter: u64) -> Option<ProcessMemory> {
        let memory = self.memory?;
        let grown = memory.resident.saturating_add(counter);
        Some(ProcessMemory {
            resident: grown.saturating_sub(self.counter),
            ..memory
        })
    }
}

/// The readings so far.
#[derive(Debug, Default)]
pub(super) struct ExactMemory {
    turn: u64,
    slots: BTreeMap<SlotId, Reading>,
}

impl ExactMemory {
    /// One scrape: reads some of `workers` with `read` and returns the known values of all.
    pub(super) fn update(
        &mut self,
        workers: &[(SlotId, Pid, ProcessStat)],
        read: impl Fn(Pid) -> Option<ProcessMemory>,
    ) -> BTreeMap<SlotId, ProcessMemory> {
        self.turn += 1;
        let processes: BTreeMap<SlotId, ProcessStart> = workers
            .iter()
            .map(|(slot, pid, stat)| (*slot, (*pid, stat.started)))
            .collect();
        self.slots
            .retain(|slot, reading| processes.get(slot) == Some(&reading.process));
        let mut queue: Vec<_> = workers.iter().collect();
        // The sort is stable: workers that were never read come first, in the order of their slots.
        queue.sort_by_key(|(slot, ..)| self.slots.get(slot).map(|reading| reading.turn));
        let mut walked = 0_u64;
        for (slot, pid, stat) in queue.into_iter().take(WORKERS) {
            if walked >= BYTES {
                break;
            }
            walked = walked.saturating_add(stat.resident_bytes);
            let reading = Reading {
                process: (*pid, stat.started),
                turn: self.turn,
                memory: read(*pid),
                counter: stat.resident_bytes,
            };
            self.slots.insert(*slot, reading);
        }
        let known = workers.iter().filter_map(|(slot, _, stat)| {
            let reading = self.slots.get(slot)?;
            Some((*slot, reading.now(stat.resident_bytes)?))
        });
        known.collect()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn worker(slot: u16, raw: i32, resident_bytes: u64) -> (SlotId, Pid, ProcessStat) {
        let stat = ProcessStat {
            group: None,
            user: Duration::ZERO,
            system: Duration::ZERO,
            threads: 1,
            started: Duration::from_secs(u64::from(slot)),
            virtual_bytes: 0,
            resident_bytes,
        };
        (SlotId(slot), Pid::new(raw).unwrap(), stat)
    }

    /// The PIDs that one scrape read, and the values that it then knew, by slot.
    fn scrape(
        memory: &mut ExactMemory,
        workers: &[(SlotId, Pid, ProcessStat)],
        value: u64,
    ) -> (Vec<i32>, Vec<(u16, u64)>) {
        let asked = RefCell::new(Vec::new());
        let known = memory.update(workers, |pid| {
            asked.borrow_mut().push(pid.get());
            (pid.get() != 99).then_some(ProcessMemory {
                resident: 1000 * value,
                proportional: value,
            })
        });
        let known = known.into_iter();
        let known = known.map(|(slot, memory)| (slot.0, memory.proportional));
        (asked.into_inner(), known.collect())
    }

    #[test]
    fn a_few_small_ones_are_read_each_time() {
        let mut memory = ExactMemory::default();
        let workers: Vec<_> = (0..4)
            .map(|n| worker(n, 10 + i32::from(n), 60 * MIB))
            .collect();
        for value in [5, 6, 7] {
            let (asked, known) = scrape(&mut memory, &workers, value);
            assert_eq!(asked.len(), 4);
            assert_eq!(known, [(0, value), (1, value), (2, value), (3, value)]);
        }
    }

    #[test]
    fn large_ones_take_turns_and_each_gets_its_own() {
        let mut memory = ExactMemory::default();
        let workers: Vec<_> = (0..3)
            .map(|n| worker(n, 10 + i32::from(n), 600 * MIB))
            .collect();
        assert_eq!(scrape(&mut memory, &workers, 1), (vec![10], vec![(0, 1)]));
        assert_eq!(scrape(&mut memory, &workers, 2).0, [11]);
        let (asked, known) = scrape(&mut memory, &workers, 3);
        assert_eq!((asked, known), (vec![12], vec![(0, 1), (1, 2), (2, 3)]));
        let (asked, known) = scrape(&mut memory, &workers, 4);
        assert_eq!((asked, known), (vec![10], vec![(0, 4), (1, 2), (2, 3)]));
    }

    #[test]
    fn of_many_small_ones_some_are_read_each_time_and_all_in_the_end() {
        let mut memory = ExactMemory::default();
        let workers: Vec<_> = (0..512)
            .map(|n| worker(n, 100 + i32::from(n), MIB))
            .collect();
        for round in 1..=8 {
            let (asked, known) = scrape(&mut memory, &workers, 1);
            assert_eq!((asked.len(), known.len()), (WORKERS, round * WORKERS));
        }
        assert_eq!(scrape(&mut memory, &workers, 2).0[0], 100);
    }

    #[test]
    fn resident_memory_is_exact_when_read_and_follows_the_counter_in_between() {
        let mut memory = ExactMemory::default();
        let exact = ProcessMemory {
            resident: 900 * MIB,
            proportional: MIB,
        };
        // The counter misses a third. The two take turns.
        let mut workers = [worker(0, 10, 600 * MIB), worker(1, 11, 600 * MIB)];
        let resident = |memory: &mut ExactMemory, workers: &[_; 2]| {
            let known = memory.update(workers, |_| Some(exact));
            known.get(&SlotId(0)).map(|memory| memory.resident / MIB)
        };
        assert_eq!(resident(&mut memory, &workers), Some(900));
        for (counter, expected) in [(650, 950), (550, 900), (750, 1100)] {
            workers[0].2.resident_bytes = counter * MIB;
            assert_eq!(resident(&mut memory, &workers), Some(expected), "{counter}");
        }
    }

    #[test]
    fn another_life_in_the_slot_has_no_value_of_the_one_before() {
        let mut memory = ExactMemory::default();
        scrape(&mut memory, &[worker(0, 10, MIB), worker(1, 11, MIB)], 1);
        let (asked, known) = scrape(&mut memory, &[worker(0, 99, MIB)], 2);
        assert_eq!((asked, known), (vec![99], vec![]), "it cannot be read");
        // The same PID, started at another time.
        let mut again = worker(0, 99, 600 * MIB);
        again.2.started = Duration::from_secs(9);
        let workers = [again, worker(1, 11, 600 * MIB)];
        assert_eq!(scrape(&mut memory, &workers, 3).0, [99]);
        // An unreadable worker does not delay the others.
        assert_eq!(scrape(&mut memory, &workers, 4), (vec![11], vec![(1, 4)]));
    }
}
