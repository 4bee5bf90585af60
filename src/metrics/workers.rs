//! Metrics of each slot: from the snapshot, from the listeners' queues, and from /proc.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use crate::model::{
    self, BalanceSample, Pid, QueueKind, QueueSample, SlotId, Snapshot, WorkerState,
};
use crate::sys::proc::{Proc, ProcDir, ProcessStat};

use super::exact_memory::ExactMemory;
use super::family::{Family, flag, number};

/// From the snapshot alone. `zero` is the wall time of tick zero.
pub(super) fn states(snapshot: &Snapshot, zero: SystemTime) -> [Family; 3] {
    let count = |state: WorkerState| {
        let workers = snapshot.workers();
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

/// From the listeners. Samples with the same address and slot, mainly the spares of one address, are added up: two
/// series with the same labels would make the page invalid, and a sum over all workers stays correct.
pub(super) fn queues(samples: &[QueueSample]) -> [Family; 6] {
    type Sums<'a> = BTreeMap<(&'a str, Option<SlotId>), (u64, u64)>;
    let (mut connections, mut datagrams) = (Sums::new(), Sums::new());
    let mut drops: BTreeMap<&str, u64> = BTreeMap::new();
    let mut rotation: BTreeMap<SlotId, Option<bool>> = BTreeMap::new();
    for sample in samples {
        let sums = match sample.kind {
            QueueKind::Connections => &mut connections,
            QueueKind::Datagrams { dropped } => {
                *drops.entry(&sample.listener).or_default() += u64::from(dropped);
                &mut datagrams
            }
        };
        let sum = sums.entry((&sample.listener, sample.worker)).or_default();
        sum.0 += u64::from(sample.length);
        sum.1 += u64::from(sample.limit);
        if let Some(slot) = sample.worker {
            // A port that this worker does not serve is ignored.
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
    let mut bytes = Family::gauge(
        "rpm_udp_queue_bytes",
        "Memory of the datagrams that wait to be read; worker=\"spare\" is the sum of the sockets no worker holds.",
    );
    let mut most_bytes = Family::gauge(
        "rpm_udp_queue_limit_bytes",
        "Most memory that waiting datagrams may take (SO_RCVBUF); worker=\"spare\" as for the bytes.",
    );
    let lists = [
        (connections, &mut length, &mut limit),
        (datagrams, &mut bytes, &mut most_bytes),
    ];
    for (sums, lengths, limits) in lists {
        for ((listener, worker), (waiting, most)) in sums {
            let worker = worker.map_or_else(|| "spare".to_owned(), |slot| slot.to_string());
            let labels = [("listener", listener.to_owned()), ("worker", worker)];
            lengths.add(labels.clone(), number(waiting));
            limits.add(labels, number(most));
        }
    }
    let mut dropped = Family::counter(
        "rpm_udp_dropped_datagrams_total",
        "Datagrams that the kernel dropped at the sockets of a shared UDP port, mostly because a queue was full.",
    );
    for (listener, count) in drops {
        dropped.add([("listener", listener.to_owned())], number(count));
    }
    let mut in_rotation = Family::gauge(
        "rpm_worker_in_rotation",
        "Whether new connections are steered to the worker, on every listener it holds.",
    );
    for (slot, is_in) in rotation {
        in_rotation.add([("worker", slot.to_string())], flag(is_in == Some(true)));
    }
    [length, limit, bytes, most_bytes, dropped, in_rotation]
}

/// From the kernel's table of connections.
pub(super) fn connections(counts: &BTreeMap<SlotId, u64>, snapshot: &Snapshot) -> [Family; 2] {
    let mut open = Family::gauge(
        "rpm_worker_connections",
        "Connections on shared ports that the slot's workers, those that drain too, have accepted and not closed.",
    );
    for (slot, count) in counts {
        open.add([("worker", slot.to_string())], number(*count));
    }
    let spread = Family::gauge(
        "rpm_connection_spread",
        "Connections of the ready worker that has the most, over their mean: 1 is even.",
    );
    let slots = snapshot.slots.iter();
    let slots = slots.map(|slot| (slot, counts.get(&slot.slot).copied()));
    [open, spread.only(model::spread(slots))]
}

/// From the balancing thread.
pub(super) fn balance(sample: Option<&BalanceSample>) -> [Family; 4] {
    let changes = Family::counter(
        "rpm_balance_changes_total",
        "How often RPM_BALANCE=adaptive or least has changed which workers get new connections.",
    );
    let arrivals = Family::counter(
        "rpm_balance_arrivals_total",
        "Connections that the balance has seen arriving, each before it chose who gets the next ones; absent if it does not follow them.",
    );
    let counts = Family::counter(
        "rpm_balance_counts_total",
        "How often the balance has counted the open connections; absent if it does not.",
    );
    let mut passed_over = Family::gauge(
        "rpm_worker_passed_over",
        "Whether RPM_BALANCE=adaptive keeps new connections from the worker for the moment.",
    );
    for (slot, is_out) in sample.into_iter().flat_map(|sample| &sample.passed_over) {
        passed_over.add([("worker", slot.to_string())], flag(*is_out));
    }
    let following = sample.filter(|sample| sample.follows);
    [
        changes.only(sample.map(|sample| number(sample.changes))),
        arrivals.only(following.map(|sample| number(sample.arrivals))),
        counts.only(following.map(|sample| number(sample.counts))),
        passed_over,
    ]
}

/// RPM_MAX_MEMORY, for each slot.
pub(super) fn memory_limit(snapshot: &Snapshot, limit: Option<u64>) -> Family {
    let mut family = Family::gauge(
        "rpm_worker_memory_limit_bytes",
        "RPM_MAX_MEMORY: a worker that uses more is replaced; absent without.",
    );
    for worker in snapshot.slots.iter().filter(|_| limit.is_some()) {
        let labels = [("worker", worker.slot.to_string())];
        family.add(labels, number(limit.unwrap_or(0)));
    }
    family
}

/// State that is kept between scrapes.
#[derive(Debug, Default)]
pub(super) struct ResourceHistory {
    cpu: CpuLedger,
    memory: ExactMemory,
}

/// From /proc. Memory, descriptors and threads are those of the process in the slot; CPU time includes earlier
/// processes of the slot. Unreadable values are left out.
pub(super) fn resources(
    snapshot: &Snapshot,
    proc: &Proc,
    history: &mut ResourceHistory,
) -> [Family; 5] {
    let mut seconds = Family::counter(
        "rpm_worker_cpu_seconds_total",
        "CPU time of the slot's processes one after the other, each as it was last seen.",
    );
    let mut memory = Family::gauge(
        "rpm_worker_resident_memory_bytes",
        "Resident memory of the slot's process.",
    );
    let mut shares = Family::gauge(
        "rpm_worker_proportional_memory_bytes",
        "Proportional memory (PSS) of the slot's process, where each shared page is divided by the number of its users, as last read.",
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
            seat.push((pid, proc.stat(ProcDir::Of(pid)).ok()));
        }
    }
    let mut seated = Vec::with_capacity(snapshot.slots.len());
    for worker in &snapshot.slots {
        let Some(pid) = worker.pid else { continue };
        let label = || [("worker", worker.slot.to_string())];
        let seat = seats.get(&worker.slot).into_iter().flatten();
        let own = seat.filter(|(other, _)| *other == pid);
        if let Some(stat) = own.into_iter().find_map(|(_, stat)| *stat) {
            threads.add(label(), number(stat.threads));
            seated.push((worker.slot, pid, stat));
        }
        if let Ok(count) = proc.open_fds(ProcDir::Of(pid)) {
            fds.add(label(), number(count));
        }
    }
    let read = |pid| proc.memory(ProcDir::Of(pid)).ok();
    let known = history.memory.update(&seated, read);
    for (slot, _, stat) in &seated {
        let label = || [("worker", slot.to_string())];
        let exact = known.get(slot);
        let resident = exact.map_or(stat.resident_bytes, |exact| exact.resident);
        memory.add(label(), number(resident));
        if let Some(exact) = exact {
            shares.add(label(), number(exact.proportional));
        }
    }
    for (slot, total) in history.cpu.update(&seats) {
        for (mode, time) in [("system", total.system), ("user", total.user)] {
            let labels = [("mode", mode.to_owned()), ("worker", slot.to_string())];
            seconds.add(labels, time.as_secs_f64());
        }
    }
    [seconds, memory, shares, fds, threads]
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cpu {
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

/// CPU time of each slot, which never decreases: the time of earlier processes plus that of the living ones.
#[derive(Debug, Default)]
struct CpuLedger {
    slots: BTreeMap<SlotId, SlotCpu>,
}

#[derive(Debug, Default)]
struct SlotCpu {
    gone: Cpu,
    /// By PID and start time, which together identify a process.
    living: BTreeMap<(Pid, Duration), Cpu>,
}

impl CpuLedger {
    /// Takes the CPU times of each slot's processes (`None` if one could not be read this time). Returns the totals of
    /// all slots in `seats` that ever used CPU time.
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
    /// Moves the CPU time of ended processes to `gone`. A process that exists but could not be read stays.
    fn bury(&mut self, seat: &[(Pid, Option<ProcessStat>)]) {
        let gone = &mut self.gone;
        self.living.retain(|(pid, started), cpu| {
            let is_alive = seat.iter().any(|(other, stat)| {
                other == pid && stat.is_none_or(|stat| stat.started == *started)
            });
            if !is_alive {
                *gone = gone.plus(*cpu);
            }
            is_alive
        });
    }
}
