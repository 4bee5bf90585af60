//! Commands that change the number of workers, restart them, signal them, or open log files anew.

use std::collections::BTreeMap;

use rpm_runtime::control::protocol::{Command, Done, Health, List, Place, Scaled, Signalled};

use super::args::{Globals, Number, Target, Waiting};
use super::connection::Connection;
use super::exit::Failure;
use super::print;
use super::progress::Progress;
use super::words::{others, plain};

pub fn scale(globals: &Globals, number: Number, waiting: &Waiting) -> Result<(), Failure> {
    let mut connection = Connection::open(globals)?;
    let (to, by) = match number {
        Number::To(to) => (Some(to), None),
        Number::By(by) => (None, Some(by)),
    };
    let answer = connection.ask::<Scaled>(Command::Scale { to, by })?;
    let Scaled { from, to } = answer.value;
    if waiting.wait {
        let mut progress = Progress::new(waiting.timeout);
        let outcome = settle(&mut connection, &BTreeMap::new(), None, &mut progress);
        progress.end();
        outcome?;
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
    let mut connection = Connection::open(globals)?;
    let seen = connection.ask::<List>(Command::List)?.value;
    let slot = target.slot();
    let mut before = pids(&seen);
    before.retain(|at, _| slot.is_none_or(|slot| slot == *at));
    let answer = connection.ask::<Done>(Command::Restart { slot })?;
    if waiting.wait {
        let mut progress = Progress::new(waiting.timeout);
        let failures = slot.map(|_| seen.health.failures);
        let outcome = settle(&mut connection, &before, failures, &mut progress);
        progress.end();
        outcome?;
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
    let answer = Connection::open(globals)?.ask::<Signalled>(command)?;
    if globals.json {
        return print(&format!("{}\n", answer.raw));
    }
    let workers = answer.value.workers;
    let plural = if workers == 1 { "" } else { "s" };
    print(&format!("sent to {workers} worker{plural}\n"))
}

pub fn reopen(globals: &Globals) -> Result<(), Failure> {
    let answer = Connection::open(globals)?.ask::<Done>(Command::Reopen)?;
    if globals.json {
        return print(&format!("{}\n", answer.raw));
    }
    print("log files are opened anew\n")
}

fn pids(list: &List) -> BTreeMap<u16, i32> {
    let slots = list.workers.iter();
    let slots = slots.filter(|worker| worker.place == Place::Slot);
    slots
        .filter_map(|worker| Some((worker.slot, worker.pid?)))
        .collect()
}

/// Asks until every slot has a worker that is ready and is another one than `before`, and nobody leaves any more. With
/// `failures`, it fails as soon as one more new worker did not come up.
fn settle(
    connection: &mut Connection,
    before: &BTreeMap<u16, i32>,
    failures: Option<u64>,
    progress: &mut Progress,
) -> Result<(), Failure> {
    loop {
        let list = progress.ask::<List>(connection, Command::List)?;
        let Health {
            failures: now,
            last_failure,
            ..
        } = &list.health;
        if failures.is_some_and(|before| before < *now) {
            let why = last_failure.as_deref().map_or_else(String::new, plain);
            return Err(Failure::failed(format!("{why}; the old worker stays")));
        }
        match missing(&list, before)? {
            None => return Ok(()),
            Some(what) => progress.step(&what)?,
        }
    }
}

/// What is not done yet; `None` if all is. Fails if it will never be.
fn missing(list: &List, before: &BTreeMap<u16, i32>) -> Result<Option<String>, Failure> {
    if matches!(list.health.state.as_str(), "draining" | "stopping") {
        return Err(Failure::failed("the runtime is stopping"));
    }
    let done = list.workers.iter().all(|worker| match worker.place {
        Place::Slot => {
            let settled = worker.ready || worker.state == "stopped";
            settled
                && worker
                    .pid
                    .is_none_or(|pid| before.get(&worker.slot) != Some(&pid))
        }
        Place::Rising | Place::Leaving => false,
    });
    if done {
        return Ok(None);
    }
    let new = list.workers.iter().filter(|worker| {
        let other = worker
            .pid
            .is_some_and(|pid| before.get(&worker.slot) != Some(&pid));
        worker.place == Place::Slot && worker.ready && other
    });
    let waits = others(&list.health.workers);
    let waits = waits.map_or_else(String::new, |waits| format!(", {waits}"));
    Ok(Some(format!(
        "{} of {} workers ready{waits}",
        new.count(),
        list.health.desired
    )))
}

#[cfg(test)]
mod tests {
    use rpm_runtime::control::protocol::{Counts, Version, Worker};

    use super::*;

    fn worker(slot: u16, place: Place, state: &str, pid: Option<i32>) -> Worker {
        Worker {
            slot,
            place,
            pid,
            generation: 0,
            state: state.to_owned(),
            ready: state == "ready",
            uptime_seconds: None,
            restarts: 0,
            last_exit: None,
            last_cause: None,
            cpu_seconds: None,
            cpu_percent: None,
            memory_bytes: None,
            connections: None,
            queue: None,
            in_rotation: None,
            due_seconds: None,
            status: None,
        }
    }

    fn list(state: &str, workers: Vec<Worker>) -> List {
        List {
            runtime: Version {
                version: String::new(),
                revision: None,
                pid: 1,
                app: String::new(),
            },
            uptime_seconds: 1.0,
            health: Health {
                state: state.to_owned(),
                ready: true,
                started: true,
                desired: 2,
                generation: 0,
                workers: Counts {
                    draining: 1,
                    ..Counts::default()
                },
                reloads: Vec::new(),
                failures: 0,
                last_failure: None,
            },
            workers,
        }
    }

    #[test]
    fn a_restart_is_done_when_every_slot_has_another_worker_and_nobody_leaves() {
        let before = BTreeMap::from([(0, 11), (1, 12)]);
        let slot = |slot, state: &str, pid| worker(slot, Place::Slot, state, Some(pid));
        let judge = |workers| missing(&list("running", workers), &before).unwrap();
        let half = judge(vec![slot(0, "ready", 21), slot(1, "ready", 12)]);
        assert_eq!(half.unwrap(), "1 of 2 workers ready, 1 draining");
        assert!(judge(vec![slot(0, "ready", 21), slot(1, "starting", 22)]).is_some());
        let leaving = worker(1, Place::Leaving, "retiring", Some(12));
        let new = [slot(0, "ready", 21), slot(1, "ready", 22)];
        assert!(judge([&new[..], &[leaving]].concat()).is_some());
        assert_eq!(judge(new.to_vec()), None);
        let down = worker(1, Place::Slot, "stopped", None);
        assert_eq!(judge(vec![slot(0, "ready", 21), down]), None);
        assert!(missing(&list("stopping", Vec::new()), &before).is_err());
    }
}
