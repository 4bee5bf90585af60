//! `rpmctl list`.

use rpm_runtime::control::protocol::{Command, List, Place, Worker};

use super::args::Globals;
use super::connection::Connection;
use super::exit::Failure;
use super::print;
use super::table::{Side, draw};
use super::words::{human, plain, size, state};

pub fn run(globals: &Globals) -> Result<(), Failure> {
    let answer = Connection::open(globals)?.ask::<List>(Command::List)?;
    if globals.json {
        return print(&format!("{}\n", answer.raw));
    }
    print(&shown(&answer.value))
}

const COLUMNS: [(&str, Side); 13] = [
    ("SLOT", Side::Right),
    ("PID", Side::Right),
    ("GEN", Side::Right),
    ("STATE", Side::Left),
    ("READY", Side::Left),
    ("UPTIME", Side::Right),
    ("RESTARTS", Side::Right),
    ("LAST EXIT", Side::Left),
    ("CPU%", Side::Right),
    ("MEMORY", Side::Right),
    ("CONN", Side::Right),
    ("QUEUE", Side::Right),
    ("ROTATION", Side::Left),
];

fn shown(list: &List) -> String {
    format!(
        "{}: {}, up {} (rpm-runtime {}, pid {})\n{}",
        plain(&list.runtime.app),
        state(&list.health),
        human(list.uptime_seconds),
        list.runtime.version,
        list.runtime.pid,
        table(&list.workers)
    )
}

/// The workers as a table.
pub fn table(workers: &[Worker]) -> String {
    let mut workers: Vec<&Worker> = workers.iter().collect();
    // The lines of a slot stand together.
    workers.sort_by_key(|worker| worker.slot);
    let rows: Vec<Vec<String>> = workers.into_iter().map(row).collect();
    draw(&COLUMNS, &rows)
}

fn row(worker: &Worker) -> Vec<String> {
    const NONE: &str = "-";
    let or = |text: Option<String>| text.unwrap_or_else(|| NONE.to_owned());
    let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
    let state = match (worker.place, worker.due_seconds) {
        (Place::Rising, _) => format!("{} (next)", worker.state),
        (_, Some(due)) if worker.state == "backoff" => {
            format!("{} {}", worker.state, human(due))
        }
        _ => worker.state.clone(),
    };
    vec![
        worker.slot.to_string(),
        or(worker.pid.map(|pid| pid.to_string())),
        worker.generation.to_string(),
        plain(&state),
        yes(worker.ready),
        or(worker.uptime_seconds.map(human)),
        worker.restarts.to_string(),
        or(worker.last_exit.as_deref().map(plain)),
        or(worker.cpu_percent.map(|percent| format!("{percent:.1}"))),
        or(worker.memory_bytes.map(size)),
        or(worker.connections.map(|count| count.to_string())),
        or(worker.queue.map(|count| count.to_string())),
        or(worker.in_rotation.map(yes)),
    ]
}

#[cfg(test)]
mod tests {
    use rpm_runtime::control::protocol::{Counts, Health, Version};

    use super::*;

    fn worker(slot: u16, place: Place, state: &str) -> Worker {
        Worker {
            generation: 2,
            uptime_seconds: Some(61.0),
            restarts: 1,
            last_exit: Some("exit code 1".to_owned()),
            last_cause: Some("exit".to_owned()),
            cpu_seconds: Some(3.0),
            cpu_percent: Some(4.95),
            memory_bytes: Some(50 << 20),
            connections: Some(7),
            queue: Some(0),
            in_rotation: Some(true),
            ..crate::testing::worker(slot, place, state, Some(20 + i32::from(slot)))
        }
    }

    #[test]
    fn the_lines_of_a_slot_stand_together_and_unknown_values_are_a_dash() {
        let mut empty = worker(1, Place::Slot, "backoff");
        empty.pid = None;
        empty.uptime_seconds = None;
        empty.cpu_percent = None;
        empty.memory_bytes = None;
        empty.connections = None;
        empty.due_seconds = Some(1.5);
        let list = List {
            runtime: Version {
                version: "0.1.0".to_owned(),
                revision: None,
                pid: 1,
                app: "w\x1b[1meb".to_owned(),
            },
            uptime_seconds: 3700.0,
            health: Health {
                state: "running".to_owned(),
                ready: true,
                started: true,
                desired: 2,
                generation: 2,
                workers: Counts {
                    ready: 1,
                    backoff: 1,
                    ..Counts::default()
                },
                reloads: Vec::new(),
                failures: 0,
                last_failure: None,
                failed: Vec::new(),
            },
            workers: vec![
                worker(0, Place::Slot, "ready"),
                empty,
                worker(0, Place::Rising, "starting"),
            ],
        };
        let expected = "\
w?[1meb: running, 1 of 2 ready (1 waiting for a restart), generation 2, up 1h1m (rpm-runtime 0.1.0, pid 1)
SLOT  PID  GEN  STATE            READY  UPTIME  RESTARTS  LAST EXIT    CPU%  MEMORY  CONN  QUEUE  ROTATION
   0   20    2  ready            yes      1m1s         1  exit code 1   5.0   50.0M     7      0  yes
   0   20    2  starting (next)  no       1m1s         1  exit code 1   5.0   50.0M     7      0  yes
   1    -    2  backoff 1s       no          -         1  exit code 1     -       -     -      0  yes
";
        assert_eq!(shown(&list), expected);
    }
}
