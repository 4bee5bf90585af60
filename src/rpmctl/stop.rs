//! `rpmctl stop` and `rpmctl start`.

use rpm_runtime::control::protocol::{Command, Slots};

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
    (slot, [begins, done, before]): (Option<u16>, [&str; 3]),
) -> Result<(), Failure> {
    let progress = Progress::new(waiting.timeout);
    let mut connection = progress.open(globals)?;
    let answer = progress.ask::<Slots>(&mut connection, command)?;
    if waiting.wait {
        goal.wait(&mut connection, progress)?;
    }
    if globals.json {
        return print(&format!("{}\n", answer.raw));
    }
    let what = match (answer.value.slots, waiting.wait) {
        (0, _) => before,
        (_, true) => done,
        (_, false) => begins,
    };
    print(&match (slot, answer.value.slots) {
        (Some(slot), _) => format!("slot {slot} {what}\n"),
        (None, 0) => format!("every slot {what}\n"),
        (None, count) => format!("slots: {count}; each {what}\n"),
    })
}
