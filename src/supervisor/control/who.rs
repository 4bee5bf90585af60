//! Which slots and processes a command means, and whether there are any.

use crate::control::protocol::Refusal;
use crate::model::{Pid, SlotId, Snapshot, WorkerState};

pub(super) fn existing(seen: &Snapshot, slot: u16) -> Result<SlotId, Refusal> {
    if slot < seen.desired {
        return Ok(SlotId(slot));
    }
    let slots = match seen.desired {
        1 => "the only slot is 0".to_owned(),
        count => format!("slots are 0 to {}", count - 1),
    };
    refuse(&format!("there is no slot {slot}; {slots}"))
}

/// The worker that has the slot. Without a slot every worker: also those that will take over, and those that leave.
pub(super) fn processes(seen: &Snapshot, slot: Option<u16>) -> Result<Vec<Pid>, Refusal> {
    let Some(slot) = slot else {
        return Ok(seen.workers().filter_map(|view| view.pid).collect());
    };
    let slot = existing(seen, slot)?;
    let views = seen.slots.iter().filter(|view| view.slot == slot);
    Ok(views.filter_map(|view| view.pid).collect())
}

/// Where every slot is halted, a restart of all would do nothing.
pub(super) fn to_restart(seen: &Snapshot) -> Result<(), Refusal> {
    if any_but(seen, &[WorkerState::Halted]) {
        return Ok(());
    }
    refuse("every slot is halted; `rpmctl start all` starts them")
}

/// Where no slot should have a worker, a reload would do nothing: unlike a restart, it starts none that stays down.
pub(super) fn to_reload(seen: &Snapshot) -> Result<(), Refusal> {
    to_restart(seen)?;
    if any_but(seen, &[WorkerState::Halted, WorkerState::Stopped]) {
        return Ok(());
    }
    refuse("every slot is halted or stopped; `rpmctl start all` starts them")
}

fn any_but(seen: &Snapshot, down: &[WorkerState]) -> bool {
    seen.slots.iter().any(|view| !down.contains(&view.state))
}

fn refuse<T>(text: &str) -> Result<T, Refusal> {
    Err(Refusal::refused(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::WorkerView;

    fn view(slot: u16, state: WorkerState, pid: i32) -> WorkerView {
        WorkerView {
            pid: Pid::new(pid),
            ..WorkerView::blank(slot, state)
        }
    }

    fn empty(states: &[WorkerState]) -> Snapshot {
        let slots = (0..).zip(states);
        Snapshot {
            desired: u16::try_from(states.len()).unwrap(),
            slots: slots.map(|(slot, state)| view(slot, *state, 0)).collect(),
            ..Snapshot::default()
        }
    }

    #[test]
    fn a_slot_that_is_not_there_is_refused_with_those_that_are() {
        let seen = |desired| Snapshot {
            desired,
            ..Snapshot::default()
        };
        assert_eq!(existing(&seen(2), 1), Ok(SlotId(1)));
        let text = |desired| existing(&seen(desired), 2).unwrap_err().text;
        assert_eq!(text(2), "there is no slot 2; slots are 0 to 1");
        assert_eq!(text(1), "there is no slot 2; the only slot is 0");
    }

    #[test]
    fn all_processes_are_also_those_that_take_over_and_those_that_leave() {
        let seen = Snapshot {
            desired: 2,
            slots: vec![
                view(0, WorkerState::Ready, 11),
                view(1, WorkerState::Halted, 0),
            ],
            rising: vec![view(0, WorkerState::Starting, 21)],
            retiring: vec![
                view(1, WorkerState::Draining, 12),
                // Only the rest of its group is left.
                view(1, WorkerState::Retiring, 0),
            ],
            ..Snapshot::default()
        };
        let pids = |slot| -> Vec<i32> {
            let pids = processes(&seen, slot).unwrap().into_iter();
            pids.map(Pid::get).collect()
        };
        assert_eq!(pids(None), [11, 21, 12]);
        assert_eq!(pids(Some(0)), [11]);
        assert!(pids(Some(1)).is_empty(), "its worker has left the slot");
        assert!(processes(&seen, Some(2)).is_err());
    }

    #[test]
    fn what_would_do_nothing_is_refused() {
        use WorkerState::{Backoff, Halted, Ready, Stopped};
        let table: [(&[WorkerState], bool, bool); 5] = [
            (&[Halted, Halted], false, false),
            (&[Halted, Stopped], false, true),
            (&[Stopped, Stopped], false, true),
            (&[Halted, Backoff], true, true),
            (&[Stopped, Ready], true, true),
        ];
        for (states, reloads, restarts) in table {
            let seen = empty(states);
            assert_eq!(to_reload(&seen).is_ok(), reloads, "{states:?}");
            assert_eq!(to_restart(&seen).is_ok(), restarts, "{states:?}");
        }
    }
}
