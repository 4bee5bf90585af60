//! The published state in the words of the protocol.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::control::protocol::{Counts, Health, Place, Reload, Worker};
use crate::model::{Pid, QueueKind, QueueSample, SlotId, Snapshot, Tick, WorkerState, WorkerView};
use crate::sys::proc::{Proc, ProcDir, ProcessStat};

use crate::supervisor::report::{ReloadRecord, Reloads};

/// The state in short. `wall` is the present time in seconds since 1970.
pub(super) fn health(snapshot: &Snapshot, reloads: &Reloads, wall: u64) -> Health {
    let workers = counts(snapshot);
    let (failures, last_failure) = reloads.failures();
    let reload = |record: &ReloadRecord| {
        let ended = record.ended;
        let running = Duration::from_secs(wall.saturating_sub(record.began));
        Reload {
            number: record.number,
            generation: record.generation.0,
            workers: record.workers,
            replaced: ended.map_or(workers.current, |ended| ended.replaced),
            result: ended.map(|ended| ended.result.label().to_owned()),
            why: record.why.clone(),
            seconds: seconds(ended.map_or(running, |ended| ended.took)),
        }
    };
    Health {
        state: snapshot.state.label().to_owned(),
        ready: snapshot.ready,
        started: snapshot.started,
        desired: snapshot.desired,
        generation: snapshot.generation.0,
        workers,
        reloads: reloads.all().iter().map(reload).collect(),
        failures,
        last_failure,
    }
}

fn counts(snapshot: &Snapshot) -> Counts {
    let mut counts = Counts::default();
    let all = snapshot.slots.iter().chain(&snapshot.rising);
    for view in all.chain(&snapshot.retiring) {
        let count = match view.state {
            WorkerState::Ready => &mut counts.ready,
            WorkerState::Starting => &mut counts.starting,
            WorkerState::Backoff => &mut counts.backoff,
            WorkerState::Stopped => &mut counts.stopped,
            WorkerState::Halted => &mut counts.halted,
            WorkerState::Draining => &mut counts.draining,
            WorkerState::Retiring => &mut counts.retiring,
        };
        *count += 1;
    }
    let current = snapshot.slots.iter();
    let current = current.filter(|view| view.state == WorkerState::Ready);
    counts.current = current
        .filter(|view| view.generation == snapshot.generation)
        .count();
    counts
}

/// Every slot, then new workers, then workers that leave.
pub(super) fn workers(
    snapshot: &Snapshot,
    now: Tick,
    proc: &Proc,
    connections: Option<&BTreeMap<SlotId, u64>>,
    queues: &[QueueSample],
) -> Vec<Worker> {
    let stat = |view: &WorkerView| proc.stat(ProcDir::Of(view.pid?)).ok();
    let plain = |place| move |view: &WorkerView| worker(view, place, now, stat(view));
    let slots = snapshot.slots.iter().map(|view| {
        let mut worker = worker(view, Place::Slot, now, stat(view));
        worker.connections = connections.and_then(|counts| counts.get(&view.slot).copied());
        (worker.queue, worker.in_rotation) = queue(view.slot, queues);
        worker
    });
    let rising = snapshot.rising.iter().map(plain(Place::Rising));
    let leaving = snapshot.retiring.iter().map(plain(Place::Leaving));
    slots.chain(rising).chain(leaving).collect()
}

/// What waits in the queues of a slot, and whether any of them gets new connections.
fn queue(slot: SlotId, queues: &[QueueSample]) -> (Option<u64>, Option<bool>) {
    let own = || queues.iter().filter(|queue| queue.worker == Some(slot));
    let waiting = own().filter(|queue| queue.kind == QueueKind::Connections);
    let waiting: Vec<u64> = waiting.map(|queue| u64::from(queue.length)).collect();
    let length = (!waiting.is_empty()).then(|| waiting.iter().sum());
    let any = own().next().is_some();
    (length, any.then(|| own().any(|queue| queue.in_rotation)))
}

fn worker(view: &WorkerView, place: Place, now: Tick, stat: Option<ProcessStat>) -> Worker {
    let uptime = view.pid.and(view.started).map(|at| now.since(at));
    let cpu = stat.as_ref().map(|stat| stat.user + stat.system);
    let percent = uptime.zip(cpu).map(|(uptime, cpu)| {
        let share = cpu.as_secs_f64() / uptime.as_secs_f64().max(0.01);
        (share * 1000.0).round() / 10.0
    });
    Worker {
        slot: view.slot.0,
        place,
        pid: view.pid.map(Pid::get),
        generation: view.generation.0,
        state: view.state.label().to_owned(),
        ready: view.state == WorkerState::Ready,
        uptime_seconds: uptime.map(seconds),
        restarts: view.restarts,
        last_exit: view.last_exit.map(|exit| exit.to_string()),
        last_cause: view.last_cause.map(|cause| cause.label().to_owned()),
        cpu_seconds: cpu.map(seconds),
        cpu_percent: percent,
        memory_bytes: stat.map(|stat| stat.resident_bytes),
        connections: None,
        queue: None,
        in_rotation: None,
        due_seconds: view.due.map(|due| seconds(due.since(now))),
        status: view.status.clone(),
    }
}

/// Whole milliseconds, for readability.
pub(super) fn seconds(time: Duration) -> f64 {
    let milliseconds = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(milliseconds).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Cause, Exit, Generation};

    fn view(slot: u16, state: WorkerState, generation: u32) -> WorkerView {
        WorkerView {
            slot: SlotId(slot),
            state,
            pid: None,
            generation: Generation(generation),
            started: Some(Tick(Duration::from_secs(1))),
            restarts: 3,
            streak: 0,
            last_exit: Some(Exit::Code(1)),
            last_cause: Some(Cause::Exit),
            status: None,
            due: None,
        }
    }

    fn sample(slot: u16, kind: QueueKind, length: u32, in_rotation: bool) -> QueueSample {
        QueueSample {
            listener: "[::]:3000".to_owned(),
            worker: Some(SlotId(slot)),
            kind,
            length,
            limit: 100,
            in_rotation,
            held: true,
        }
    }

    #[test]
    fn the_queues_of_a_slot_are_added_up_and_datagrams_are_no_connections() {
        let datagrams = QueueKind::Datagrams { dropped: 0 };
        let queues = [
            sample(0, QueueKind::Connections, 3, true),
            sample(0, QueueKind::Connections, 4, false),
            sample(0, datagrams, 900, false),
            sample(1, datagrams, 900, false),
        ];
        assert_eq!(queue(SlotId(0), &queues), (Some(7), Some(true)));
        assert_eq!(queue(SlotId(1), &queues), (None, Some(false)));
        assert_eq!(queue(SlotId(2), &queues), (None, None));
    }

    #[test]
    fn every_worker_is_counted_once_and_the_new_ones_among_the_ready() {
        let snapshot = Snapshot {
            generation: Generation(2),
            slots: vec![
                view(0, WorkerState::Ready, 2),
                view(1, WorkerState::Ready, 1),
                view(2, WorkerState::Backoff, 2),
            ],
            rising: vec![view(1, WorkerState::Starting, 2)],
            retiring: vec![view(0, WorkerState::Draining, 1)],
            ..Snapshot::default()
        };
        let counts = counts(&snapshot);
        assert_eq!((counts.ready, counts.current), (2, 1));
        assert_eq!(
            (counts.starting, counts.backoff, counts.draining),
            (1, 1, 1)
        );
        let proc = Proc::new("/nonexistent");
        let shown = workers(&snapshot, Tick::default(), &proc, None, &[]);
        let places: Vec<Place> = shown.iter().map(|worker| worker.place).collect();
        assert_eq!(
            places,
            [
                Place::Slot,
                Place::Slot,
                Place::Slot,
                Place::Rising,
                Place::Leaving
            ]
        );
        assert_eq!(shown[0].last_exit.as_deref(), Some("exit code 1"));
        assert_eq!(shown[0].uptime_seconds, None, "no process, no uptime");
    }

    #[test]
    fn cpu_is_a_share_of_the_life_and_a_worker_that_just_began_divides_by_no_zero() {
        let stat = |cpu| ProcessStat {
            group: None,
            user: Duration::from_millis(cpu),
            system: Duration::ZERO,
            threads: 1,
            started: Duration::ZERO,
            virtual_bytes: 0,
            resident_bytes: 4096,
        };
        let mut one = view(0, WorkerState::Ready, 0);
        one.pid = Pid::new(77);
        let at = |seconds| Tick(Duration::from_secs(seconds));
        let shown = worker(&one, Place::Slot, at(11), Some(stat(2500)));
        assert_eq!(shown.cpu_percent, Some(25.0));
        assert_eq!(shown.memory_bytes, Some(4096));
        let shown = worker(&one, Place::Slot, at(1), Some(stat(0)));
        assert_eq!(shown.cpu_percent, Some(0.0));
    }
}
