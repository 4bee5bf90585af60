//! `rpmctl stop` and `rpmctl start`.

use rpm_runtime::control::protocol::{Command, List, Place, Slots, Worker};

use super::args::{Globals, Target, Waiting};
use super::exit::Failure;
use super::print;
use super::progress::Progress;
use super::settle::Goal;

pub fn stop(globals: &Globals, target: Target, waiting: &Waiting) -> Result<(), Failure> {
    let slot = target.slot();
    let words = ["stops", "is stopped", "is stopped already"];
    let (command, goal) = (Command::Stop { slot }, Goal::halted(slot));
    run(globals, command, &goal, waiting, (slot, words))
}

pub fn start(globals: &Globals, target: Target, waiting: &Waiting) -> Result<(), Failure> {
    let slot = target.slot();
    let words = ["starts", "is started", "has a worker already"];
    let (command, goal) = (Command::Start { slot }, Goal::started(slot));
    run(globals, command, &goal, waiting, (slot, words))
}

fn run(
    globals: &Globals,
    command: Command,
    goal: &Goal,
    waiting: &Waiting,
    (slot, words): (Option<u16>, [&str; 3]),
) -> Result<(), Failure> {
    let starts = matches!(command, Command::Start { .. });
    let progress = Progress::new(waiting.timeout);
    let mut connection = progress.open(globals)?;
    let answer = progress.ask::<Slots>(&mut connection, command)?;
    let slots = answer.value.slots;
    if waiting.wait {
        goal.wait(&mut connection, progress)?;
    } else if starts && slots == 0 && !globals.json {
        let list = progress.ask::<List>(&mut connection, Command::List)?;
        if let Some(waits) = waits_for_old(&list.value.workers, slot) {
            return print(&waits);
        }
    }
    if globals.json {
        return print(&format!("{}\n", answer.raw));
    }
    print(&told(slot, slots, waiting.wait, words))
}

/// What is said of the slots that are meant. `changed`: how many of them changed. `words`: of one that begins, of one that is
/// done, and of one that was so before.
fn told(
    slot: Option<u16>,
    changed: usize,
    waited: bool,
    [begins, done, before]: [&str; 3],
) -> String {
    let what = match (changed, waited) {
        (0, _) => before,
        (_, true) => done,
        (_, false) => begins,
    };
    match (slot, changed) {
        (Some(slot), _) => format!("slot {slot} {what}\n"),
        (None, 0) => format!("every slot {what}\n"),
        (None, count) => format!("slots: {count}; each {what}\n"),
    }
}

/// Says which slots among those that are meant were started, and have no worker yet because the old one still leaves.
fn waits_for_old(workers: &[Worker], only: Option<u16>) -> Option<String> {
    let meant = |worker: &&Worker| only.is_none_or(|slot| slot == worker.slot);
    let empty = workers.iter().filter(meant).filter(|worker| {
        worker.place == Place::Slot
            && worker.state == "backoff"
            // Else it waits for its time.
            && worker.due_seconds.is_none()
    });
    let says = empty.filter_map(|empty| {
        let leaving = workers.iter();
        let leaving =
            leaving.filter(|worker| worker.place == Place::Leaving && worker.slot == empty.slot);
        let pids: Vec<String> = leaving
            .filter_map(|worker| Some(worker.pid?.to_string()))
            .collect();
        let (slot, pids) = (empty.slot, pids.join(", "));
        (!pids.is_empty())
            .then(|| format!("slot {slot} gets its worker when process {pids} has left\n"))
    });
    Some(says.collect::<String>()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::worker;

    #[test]
    fn a_slot_that_waits_for_its_old_worker_is_not_said_to_have_one() {
        let list = [
            worker(0, Place::Slot, "backoff", None),
            worker(1, Place::Slot, "ready", Some(12)),
            worker(0, Place::Leaving, "draining", Some(11)),
            worker(1, Place::Leaving, "draining", Some(10)),
        ];
        let text = "slot 0 gets its worker when process 11 has left\n";
        assert_eq!(waits_for_old(&list, Some(0)).as_deref(), Some(text));
        assert_eq!(waits_for_old(&list, None).as_deref(), Some(text));
        assert_eq!(waits_for_old(&list, Some(1)), None);
        let due = Worker {
            due_seconds: Some(1.0),
            ..list[0].clone()
        };
        assert_eq!(waits_for_old(&[due, list[2].clone()], None), None);
    }

    #[test]
    fn what_is_said_follows_from_what_changed() {
        let words = ["starts", "is started", "has a worker already"];
        let said = |slot, changed, waited| told(slot, changed, waited, words);
        assert_eq!(said(Some(2), 1, false), "slot 2 starts\n");
        assert_eq!(said(Some(2), 1, true), "slot 2 is started\n");
        assert_eq!(said(Some(2), 0, false), "slot 2 has a worker already\n");
        assert_eq!(said(None, 0, true), "every slot has a worker already\n");
        assert_eq!(said(None, 3, false), "slots: 3; each starts\n");
    }
}
