//! Commands that change the number of workers, restart them, signal them, or open log files anew.

use rpm_runtime::control::protocol::{Command, Done, Emptied, List, Scaled, Signalled};

use super::args::{Globals, Number, Target, Waiting};
use super::connection::Connection;
use super::exit::Failure;
use super::progress::Progress;
use super::settle::Goal;
use super::words::plain;
use super::{eprint, print};

pub fn scale(globals: &Globals, number: Number, waiting: &Waiting) -> Result<(), Failure> {
    let progress = Progress::new(waiting.timeout);
    let mut connection = progress.open(globals)?;
    let (to, by) = match number {
        Number::To(to) => (Some(to), None),
        Number::By(by) => (None, Some(by)),
    };
    let answer = progress.ask::<Scaled>(&mut connection, Command::Scale { to, by })?;
    let Scaled { from, to } = answer.value;
    if waiting.wait {
        Goal::all().wait(&mut connection, progress)?;
    }
    if globals.json {
        return print(&format!("{}\n", answer.raw));
    }
    if from == to {
        print(&format!("{to} workers, as before\n"))
    } else {
        print(&format!("{to} workers instead of {from}\n"))
    }
}

pub fn restart(globals: &Globals, target: Target, waiting: &Waiting) -> Result<(), Failure> {
    let progress = Progress::new(waiting.timeout);
    let mut connection = progress.open(globals)?;
    let seen = progress.ask::<List>(&mut connection, Command::List)?;
    let seen = seen.value;
    let slot = target.slot();
    let goal = Goal::others(&seen, slot);
    let answer = progress.ask::<Done>(&mut connection, Command::Restart { slot })?;
    if waiting.wait {
        goal.wait(&mut connection, progress)?;
    }
    if globals.json {
        return print(&format!("{}\n", answer.raw));
    }
    let what = match (slot, waiting.wait) {
        (None, true) => "all workers were restarted".to_owned(),
        (None, false) => "all workers restart".to_owned(),
        (Some(slot), true) => format!("the worker of slot {slot} was replaced"),
        (Some(slot), false) => format!("the worker of slot {slot} is replaced"),
    };
    print(&format!("{what}\n"))
}

pub fn signal(globals: &Globals, name: &str, target: Target) -> Result<(), Failure> {
    let command = Command::Signal {
        signal: name.to_owned(),
        slot: target.slot(),
    };
    tell(globals, command)
}

fn tell(globals: &Globals, command: Command) -> Result<(), Failure> {
    let answer = Connection::open(globals)?.ask::<Signalled>(command)?;
    if globals.json {
        return print(&format!("{}\n", answer.raw));
    }
    let workers = answer.value.workers;
    let plural = if workers == 1 { "" } else { "s" };
    print(&format!("sent to {workers} worker{plural}\n"))
}

pub fn send(globals: &Globals, target: Target, message: &serde_json::Value) -> Result<(), Failure> {
    let command = Command::Send {
        message: message.clone(),
        slot: target.slot(),
    };
    tell(globals, command)
}

pub fn reopen(globals: &Globals) -> Result<(), Failure> {
    let answer = Connection::open(globals)?.ask::<Done>(Command::Reopen)?;
    if globals.json {
        return print(&format!("{}\n", answer.raw));
    }
    print("log files are opened anew\n")
}

pub fn flush(globals: &Globals) -> Result<(), Failure> {
    let answer = Connection::open(globals)?.ask::<Emptied>(Command::Flush)?;
    if globals.json {
        return print(&format!("{}\n", answer.raw));
    }
    let Emptied {
        files,
        left,
        memory,
    } = answer.value;
    for one in left {
        eprint(&format!("rpmctl: left as it is: {}\n", plain(&one)));
    }
    print(
        match (files, memory) {
            (0, _) => "the lines in memory are gone; there are no log files\n".to_owned(),
            (_, true) => format!("log files: {files} emptied; the lines in memory are gone\n"),
            (_, false) => format!("log files: {files} emptied\n"),
        }
        .as_str(),
    )
}
