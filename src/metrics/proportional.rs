//! Proportional memory (PSS). Each scrape reads as many workers as its budget allows.
//!
//! The kernel walks all memory of a process for it: about 10 us for the smallest program, and 3 us more for each MiB of
//! resident memory. So the workers take turns, the longest unread first; in between, the last value is shown.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::{Pid, SlotId};
use crate::sys::proc::ProcessStat;

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
    bytes: Option<u64>,
}

/// The readings so far.
#[derive(Debug, Default)]
pub(super) struct Proportional {
    turn: u64,
    slots: BTreeMap<SlotId, Reading>,
}

impl Proportional {
    /// One scrape: reads some of `workers` with `read` and returns the known values of all.
    pub(super) fn update(
        &mut self,
        workers: &[(SlotId, Pid, ProcessStat)],
        read: impl Fn(Pid) -> Option<u64>,
    ) -> Vec<(SlotId, u64)> {
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
                bytes: read(*pid),
            };
            self.slots.insert(*slot, reading);
        }
        let known = self.slots.iter();
        known
            .filter_map(|(slot, reading)| Some((*slot, reading.bytes?)))
            .collect()
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
        memory: &mut Proportional,
        workers: &[(SlotId, Pid, ProcessStat)],
        value: u64,
    ) -> (Vec<i32>, Vec<(u16, u64)>) {
        let asked = RefCell::new(Vec::new());
        let known = memory.update(workers, |pid| {
            asked.borrow_mut().push(pid.get());
            (pid.get() != 99).then_some(value)
        });
        let known = known.into_iter().map(|(slot, bytes)| (slot.0, bytes));
        (asked.into_inner(), known.collect())
    }

    #[test]
    fn a_few_small_ones_are_read_each_time() {
        let mut memory = Proportional::default();
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
        let mut memory = Proportional::default();
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
        let mut memory = Proportional::default();
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
    fn another_life_in_the_slot_has_no_value_of_the_one_before() {
        let mut memory = Proportional::default();
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
