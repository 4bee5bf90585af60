//! The published state in the words of the protocol.

use crate::control::protocol::{Counts, Failed, Health, Place, Reload, Worker};
use crate::model::shown::seconds;
use crate::model::{
    Look, Pid, ReloadView, SlotId, Snapshot, Tick, WorkerFigures, WorkerState, WorkerView,
};

use crate::supervisor::report::current;

/// The state in short, with the last reloads, and with how many new workers did not come up and the last of these.
pub(super) fn health(
    snapshot: &Snapshot,
    reloads: Vec<ReloadView>,
    (failures, failed): (u64, Vec<(u64, SlotId, String)>),
) -> Health {
    let failed: Vec<Failed> = failed
        .into_iter()
        .map(|(number, slot, why)| Failed {
            number,
            slot: slot.0,
            why,
        })
        .collect();
    let reload = |view: ReloadView| Reload {
        number: view.number,
        generation: view.generation.0,
        workers: view.workers,
        replaced: view.replaced,
        result: view.result.map(|result| result.label().to_owned()),
        why: view.why_and_lines,
        seconds: seconds(view.took),
    };
    Health {
        state: snapshot.state.label().to_owned(),
        ready: snapshot.ready,
        started: snapshot.started,
        desired: snapshot.desired,
        generation: snapshot.generation.0,
        workers: counts(snapshot),
        reloads: reloads.into_iter().map(reload).collect(),
        failures,
        last_failure: failed.last().map(|failed| failed.why.clone()),
        failed,
    }
}

fn counts(snapshot: &Snapshot) -> Counts {
    let mut counts = Counts::default();
    for view in snapshot.workers() {
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
    counts.current = current(snapshot);
    counts
}

/// Every slot, then new workers, then workers that leave.
pub(super) fn workers(look: &Look) -> Vec<Worker> {
    let seen = &look.snapshot;
    let placed = |place| move |view| (place, view);
    let slots = seen.slots.iter().map(placed(Place::Slot));
    let rising = seen.rising.iter().map(placed(Place::Rising));
    let leaving = seen.retiring.iter().map(placed(Place::Leaving));
    let all = slots.chain(rising).chain(leaving).zip(&look.figures);
    all.map(|((place, view), figures)| worker(view, place, look.now, figures))
        .collect()
}

fn worker(view: &WorkerView, place: Place, now: Tick, figures: &WorkerFigures) -> Worker {
    let uptime = view.pid.and(view.started).map(|at| now.since(at));
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
        cpu_seconds: figures.cpu.map(seconds),
        cpu_percent: figures.cpu_percent,
        memory_bytes: figures.memory,
        connections: figures.connections,
        queue: figures.queue,
        in_rotation: figures.in_rotation,
        due_seconds: view.due.map(|due| seconds(due.since(now))),
        status: view.status.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::{Cause, Exit, Generation};

    fn view(slot: u16, state: WorkerState, generation: u32) -> WorkerView {
        WorkerView {
            generation: Generation(generation),
            started: Some(Tick(Duration::from_secs(1))),
            restarts: 3,
            last_exit: Some(Exit::Code(1)),
            last_cause: Some(Cause::Exit),
            ..WorkerView::blank(slot, state)
        }
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
        let look = Look {
            figures: vec![WorkerFigures::default(); 5],
            snapshot,
            ..Look::default()
        };
        let shown = workers(&look);
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
}
