//! What is known of each slot: from the snapshot, from the listeners' queues, and from /proc.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use crate::model::{Pid, QueueSample, SlotId, Snapshot, WorkerState};
use crate::sys::proc::{Proc, ProcessStat, Whose};

use super::family::{Family, flag, number};

/// From the snapshot alone. `zero` is the wall time of the first tick.
pub(super) fn states(snapshot: &Snapshot, zero: SystemTime) -> [Family; 3] {
    let count = |state: WorkerState| {
        let workers = snapshot.slots.iter().chain(&snapshot.rising);
        let workers = workers.chain(&snapshot.retiring);
        let count = workers.filter(|worker| worker.state == state).count();
        number(u64::try_from(count).unwrap_or(u64::MAX))
    };
    let all = Family::gauge(
        "rpm_workers",
        "Slots, and workers told to stop, by what they are doing.",
    )
    .each(
        "state",
        WorkerState::ALL.map(|state| (state.label(), count(state))),
    );
    let mut up = Family::gauge("rpm_worker_up", "Whether the slot's worker serves.");
    let mut start = Family::gauge(
        "rpm_worker_start_time_seconds",
        "When the slot's process was started, in seconds since 1970; absent without one.",
    );
    for worker in &snapshot.slots {
        let label = || [("worker", worker.slot.to_string())];
        up.add(label(), flag(worker.state == WorkerState::Ready));
        let started = worker.pid.and(worker.started);
        let started = started.and_then(|tick| zero.checked_add(tick.0));
        if let Some(since) = started.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok()) {
            start.add(label(), since.as_secs_f64());
        }
    }
    [all, up, start]
}

/// From the listeners. Samples that share an address and a slot, above all the spares of one address, are added up:
/// two series with the same labels would spoil the page, and a sum over all workers stays what it should be.
pub(super) fn queues(samples: &[QueueSample]) -> [Family; 3] {
    let mut sums: BTreeMap<(&str, Option<SlotId>), (u64, u64)> = BTreeMap::new();
    let mut rotation: BTreeMap<SlotId, Option<bool>> = BTreeMap::new();
    for sample in samples {
        let sum = sums.entry((&sample.listener, sample.worker)).or_default();
        sum.0 += u64::from(sample.length);
        sum.1 += u64::from(sample.limit);
        if let Some(slot) = sample.worker {
            // A port that this worker does not serve says nothing of it.
            let seen = rotation.entry(slot).or_default();
            if sample.held {
                *seen = Some(seen.unwrap_or(true) && sample.in_rotation);
            }
        }
    }
    let mut length = Family::gauge(
        "rpm_listen_queue_length",
        "Connections that wait to be accepted; worker=\"spare\" is the sum of the listeners no worker holds.",
    );
    let mut limit = Family::gauge(
        "rpm_listen_queue_limit",
        "Most connections that may wait to be accepted; worker=\"spare\" as for the length.",
    );
    for ((listener, worker), (waiting, most)) in sums {
        let worker = worker.map_or_else(|| "spare".to_owned(), |slot| slot.to_string());
        let labels = [("listener", listener.to_owned()), ("worker", worker)];
        length.add(labels.clone(), number(waiting));
        limit.add(labels, number(most));
    }
    let mut in_rotation = Family::gauge(
        "rpm_worker_in_rotation",
        "Whether new connections are steered to the worker, on every listener it holds.",
    );
    for (slot, is_in) in rotation {
        in_rotation.add([("worker", slot.to_string())], flag(is_in == Some(true)));
    }
    [length, limit, in_rotation]
}

/// From /proc. Memory, descriptors and threads are those of the process in the slot; CPU time counts whoever sat in
/// it. What cannot be read is left out.
pub(super) fn resources(snapshot: &Snapshot, proc: &Proc, cpu: &mut CpuLedger) -> [Family; 4] {
    let mut seconds = Family::counter(
        "rpm_worker_cpu_seconds_total",
        "CPU time of the slot's processes one after the other, each as it was last seen.",
    );
    let mut memory = Family::gauge(
        "rpm_worker_resident_memory_bytes",
        "Resident memory of the slot's process.",
    );
    let mut fds = Family::gauge(
        "rpm_worker_open_fds",
        "Descriptors the slot's process has open.",
    );
    let mut threads = Family::gauge("rpm_worker_threads", "Threads of the slot's process.");
    let mut seats: BTreeMap<SlotId, Vec<(Pid, Option<ProcessStat>)>> = BTreeMap::new();
    for worker in snapshot.slots.iter().chain(&snapshot.retiring) {
        let seat = seats.entry(worker.slot).or_default();
        if let Some(pid) = worker.pid {
            seat.push((pid, proc.stat(Whose::Of(pid)).ok()));
        }
    }
    for worker in &snapshot.slots {
        let label = || [("worker", worker.slot.to_string())];
        let seat = seats.get(&worker.slot).into_iter().flatten();
        let own = seat
            .filter(|(pid, _)| Some(*pid) == worker.pid)
            .find_map(|(_, stat)| *stat);
        if let Some(stat) = own {
            memory.add(label(), number(stat.resident_bytes));
            threads.add(label(), number(stat.threads));
        }
        if let Some(count) = worker
            .pid
            .and_then(|pid| proc.open_fds(Whose::Of(pid)).ok())
        {
            fds.add(label(), number(count));
        }
    }
    for (slot, total) in cpu.update(&seats) {
        for (mode, time) in [("system", total.system), ("user", total.user)] {
            let labels = [("mode", mode.to_owned()), ("worker", slot.to_string())];
            seconds.add(labels, time.as_secs_f64());
        }
    }
    [seconds, memory, fds, threads]
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cpu {
    user: Duration,
    system: Duration,
}

impl Cpu {
    fn plus(self, other: Self) -> Self {
        Self {
            user: self.user.saturating_add(other.user),
            system: self.system.saturating_add(other.system),
        }
    }
}

/// CPU time per slot that never falls: what the lives before this one used up, and what the living have used so far.
#[derive(Debug, Default)]
pub(super) struct CpuLedger {
    slots: BTreeMap<SlotId, SlotCpu>,
}

#[derive(Debug, Default)]
struct SlotCpu {
    gone: Cpu,
    /// By pid and start, which together name one life.
    living: BTreeMap<(Pid, Duration), Cpu>,
}

impl CpuLedger {
    /// Takes in what the processes of each slot have used, `None` for one that could not be read this time, and gives
    /// the totals of the slots in `seats` that were ever seen to use any.
    fn update(
        &mut self,
        seats: &BTreeMap<SlotId, Vec<(Pid, Option<ProcessStat>)>>,
    ) -> Vec<(SlotId, Cpu)> {
        for (slot, ledger) in &mut self.slots {
            let seat = seats.get(slot).map_or(&[][..], Vec::as_slice);
            ledger.bury(seat);
        }
        let mut totals = Vec::new();
        for (slot, seat) in seats {
            for (pid, stat) in seat {
                let Some(stat) = stat else { continue };
                let living = &mut self.slots.entry(*slot).or_default().living;
                let life = living.entry((*pid, stat.started)).or_default();
                life.user = life.user.max(stat.user);
                life.system = life.system.max(stat.system);
            }
            if let Some(ledger) = self.slots.get(slot) {
                let total = ledger
                    .living
                    .values()
                    .fold(ledger.gone, |sum, life| sum.plus(*life));
                totals.push((*slot, total));
            }
        }
        totals
    }
}

impl SlotCpu {
    /// Moves the lives that ended to the dead. One that is still there and could not be read stays.
    fn bury(&mut self, seat: &[(Pid, Option<ProcessStat>)]) {
        let gone = &mut self.gone;
        self.living.retain(|(pid, started), cpu| {
            let lives = seat.iter().any(|(other, stat)| {
                other == pid && stat.is_none_or(|stat| stat.started == *started)
            });
            if !lives {
                *gone = gone.plus(*cpu);
            }
            lives
        });
    }
}
