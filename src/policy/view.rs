//! The state of the fleet for other parts.

use crate::model::{Generation, Pid, RunState, Snapshot, Tick, WorkerState, WorkerView};

use super::fleet::{Fleet, Mode};
use super::slot::{Retiring, Seat, Slot, Step};

impl Fleet {
    /// The data for metrics, probes and status.
    pub fn snapshot(&self) -> Snapshot {
        let ready = self
            .slots
            .iter()
            .any(|slot| matches!(slot.seat, Seat::Ready { .. }));
        let state = match self.mode {
            Mode::Serving if self.started && self.reload.is_some() => RunState::Reloading,
            Mode::Serving if self.started => RunState::Running,
            Mode::Serving => RunState::Starting,
            Mode::Delaying { .. } | Mode::Draining { .. } => RunState::Draining,
            Mode::Stopping { .. } | Mode::Finished => RunState::Stopping,
        };
        Snapshot {
            state,
            ready: ready && matches!(self.mode, Mode::Serving),
            started: self.started,
            desired: self.desired(),
            generation: self.generation,
            slots: self
                .slots
                .iter()
                .map(|slot| seat_view(slot, &slot.seat, self.generation))
                .collect(),
            rising: self
                .slots
                .iter()
                .filter_map(|slot| {
                    let next = slot.successor?;
                    Some(seat_view(slot, &next.seat, self.generation))
                })
                .collect(),
            retiring: self
                .retiring
                .iter()
                .map(|retiring| self.retiring_view(retiring))
                .collect(),
        }
    }

    fn retiring_view(&self, retiring: &Retiring) -> WorkerView {
        let slot = self.slots.get(usize::from(retiring.slot.0));
        WorkerView {
            slot: retiring.slot,
            state: if retiring.drains() || matches!(retiring.step, Step::Scraping { .. }) {
                WorkerState::Draining
            } else {
                WorkerState::Retiring
            },
            pid: (!retiring.sweeping).then_some(retiring.worker.pid),
            generation: retiring.worker.generation,
            started: Some(retiring.worker.started),
            restarts: slot.map_or(0, |slot| slot.restarts),
            streak: slot.map_or(0, |slot| slot.streak),
            last_exit: slot.and_then(|slot| slot.last_exit),
            last_cause: slot.and_then(|slot| slot.last_cause),
            status: None,
            due: match retiring.step {
                Step::Grace { kill_at, .. } => Some(kill_at),
                Step::Draining { until, .. }
                | Step::Choosing { until, .. }
                | Step::Scraping { until } => Some(until),
                Step::Leaving | Step::Killed { .. } => None,
            },
        }
    }
}

fn seat_view(slot: &Slot, seat: &Seat, current: Generation) -> WorkerView {
    let (state, due): (WorkerState, Option<Tick>) = match *seat {
        Seat::Stopped if slot.halted => (WorkerState::Halted, None),
        Seat::Stopped => (WorkerState::Stopped, None),
        Seat::Waiting { until } => (WorkerState::Backoff, Some(until)),
        Seat::Held | Seat::Launching => (WorkerState::Backoff, None),
        Seat::Starting {
            alive_at, ready_by, ..
        } => (
            WorkerState::Starting,
            alive_at.into_iter().chain(ready_by).min(),
        ),
        Seat::Ready { .. } => (WorkerState::Ready, None),
    };
    let worker = seat.worker();
    let pid: Option<Pid> = worker.map(|worker| worker.pid);
    WorkerView {
        slot: slot.id,
        state,
        pid,
        generation: worker.map_or(current, |worker| worker.generation),
        started: worker.map(|worker| worker.started),
        restarts: slot.restarts,
        streak: slot.streak,
        last_exit: slot.last_exit,
        last_cause: slot.last_cause,
        status: None,
        due,
    }
}
