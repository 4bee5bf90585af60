//! Answers and states for the tests.

use rpm_runtime::control::protocol::{Counts, Health, List, Place, Reload, Version, Worker};

use super::keys::Key;
use super::model::{Log, LogLine, State};

/// States whose screens are stored.
pub const NAMES: [&str; 7] = [
    "healthy", "ill", "reload", "failed", "slots64", "slots512", "lost",
];

/// One of them.
pub fn state(name: &str) -> State {
    let mut state = State::new();
    let mut list = match name {
        "slots64" => list(64),
        "slots512" => list(512),
        _ => list(4),
    };
    match name {
        "ill" => ill(&mut list),
        "reload" => reloading(&mut list),
        "failed" => failed(&mut list),
        "slots64" => {
            crash(&mut list.workers[17]);
            list.workers[40].in_rotation = Some(false);
            count(&mut list);
        }
        "slots512" => {
            for slot in [3, 77, 300, 301, 302, 303, 511] {
                crash(&mut list.workers[slot]);
            }
            count(&mut list);
        }
        _ => {}
    }
    state.listed(list);
    match name {
        "slots512" => {
            for key in "/backoff".chars() {
                state.key(Key::Char(key));
            }
        }
        "lost" => state.lost("no runtime can be reached in /run/rpm-runtime"),
        _ => {}
    }
    state
}

/// A bad night, for the picture: some minutes of which a worker crashes again and again.
pub fn incident() -> State {
    let mut state = State::new();
    let mut list = list(6);
    for second in 0..90_u64 {
        list.uptime_seconds += 1.0;
        for (at, worker) in (0_u64..).zip(&mut list.workers) {
            let wave = (second * (at + 3)) % 17 + (second / 9) * 2;
            worker.connections = Some(6 + wave);
            worker.memory_bytes = worker.memory_bytes.map(|bytes| bytes + (at << 17));
            let used = u32::try_from((second * 7 + at * 13) % 60 + 10).unwrap();
            worker.cpu_seconds = worker.cpu_seconds.map(|cpu| cpu + f64::from(used) / 100.0);
        }
        if second == 60 {
            ill(&mut list);
        }
        if second > 60 {
            list.workers[2].queue = Some(2);
            list.workers[2].connections = Some(0);
        }
        state.listed(list.clone());
    }
    state.log = at_work();
    state
}

/// One waits after a crash, one came back.
fn ill(list: &mut List) {
    crash(&mut list.workers[2]);
    let back = &mut list.workers[1];
    back.uptime_seconds = Some(42.0);
    back.restarts = 1;
    back.last_exit = Some("SIGKILL".to_owned());
    back.last_cause = Some("oom".to_owned());
    list.workers[3].status = Some("rebuilding the index".to_owned());
    count(list);
}

fn reloading(list: &mut List) {
    list.health.state = "reloading".to_owned();
    list.health.generation = 3;
    let mut running = reload(3, None);
    running.replaced = 1;
    list.health.reloads.push(running);
    for slot in [0, 1] {
        list.workers[slot].generation = 3;
        list.workers[slot].uptime_seconds = Some(9.0);
    }
    list.workers[1].generation = 2;
    let mut next = worker(1);
    next.place = Place::Rising;
    next.pid = Some(131);
    next.generation = 3;
    next.state = "starting".to_owned();
    next.ready = false;
    next.uptime_seconds = Some(1.5);
    next.connections = None;
    next.queue = None;
    next.in_rotation = None;
    next.due_seconds = Some(28.5);
    let mut leaving = worker(0);
    leaving.place = Place::Leaving;
    leaving.state = "draining".to_owned();
    leaving.ready = false;
    leaving.connections = None;
    leaving.queue = None;
    leaving.due_seconds = Some(24.0);
    list.workers.extend([next, leaving]);
    count(list);
}

fn failed(list: &mut List) {
    let mut failed = reload(3, Some("failure"));
    failed.replaced = 0;
    failed.why = Some("the new worker of slot 0: it exited with code 3: no such module".to_owned());
    list.health.reloads.push(failed);
    list.health.failures = 1;
}

/// Counts the workers anew.
fn count(list: &mut List) {
    let of = |state: &str| {
        list.workers
            .iter()
            .filter(|worker| worker.state == state)
            .count()
    };
    list.health.workers = Counts {
        ready: of("ready"),
        current: of("ready"),
        starting: of("starting"),
        backoff: of("backoff"),
        draining: of("draining"),
        ..Counts::default()
    };
}

/// A log of a worker.
pub fn at_work() -> Log {
    let line = |time: f64, loud: bool, text: &str| LogLine::new(time, loud, text);
    let trace = "    at Module._resolveFilename (node:internal/modules/cjs/loader:1225:15) in the program that \
                 was just deployed, a line that is longer than the screen is wide, so that it is cut or broken";
    let lines = vec![
        line(1_700_000_000.1, false, "GET /cart/17 200 12ms"),
        line(1_700_000_000.7, false, "GET /cart/18 200 9ms"),
        line(
            1_700_000_001.2,
            true,
            "Error: Cannot find module 'left-pad'",
        ),
        line(1_700_000_001.2, true, trace),
        line(1_700_000_001.3, false, "listening on 3000"),
    ];
    Log::Lines { lines, lost: 3 }
}

/// A worker that serves.
pub fn worker(slot: u16) -> Worker {
    let number = u64::from(slot);
    Worker {
        slot,
        place: Place::Slot,
        pid: Some(100 + i32::from(slot)),
        generation: 2,
        state: "ready".to_owned(),
        ready: true,
        uptime_seconds: Some(3920.0),
        restarts: 0,
        last_exit: Some("SIGTERM".to_owned()),
        last_cause: Some("reload".to_owned()),
        cpu_seconds: Some(80.0),
        cpu_percent: Some(f64::from(slot * 37 % 101) + 0.4),
        memory_bytes: Some((50 + number * 7 % 40) << 20),
        connections: Some(9 + number * 5 % 7),
        queue: Some(0),
        in_rotation: Some(true),
        due_seconds: None,
        status: None,
    }
}

/// A runtime with so many workers that serve.
pub fn list(workers: u16) -> List {
    List {
        runtime: Version {
            version: "0.1.0".to_owned(),
            revision: None,
            pid: 1,
            app: "web".to_owned(),
        },
        uptime_seconds: 11_520.0,
        health: Health {
            state: "running".to_owned(),
            ready: true,
            started: true,
            desired: workers,
            generation: 2,
            workers: Counts {
                ready: usize::from(workers),
                current: usize::from(workers),
                ..Counts::default()
            },
            reloads: vec![reload(2, Some("success"))],
            failures: 0,
            last_failure: None,
            failed: Vec::new(),
        },
        workers: (0..workers).map(worker).collect(),
    }
}

pub fn reload(number: u64, result: Option<&str>) -> Reload {
    Reload {
        number,
        generation: u32::try_from(number).unwrap(),
        workers: 4,
        replaced: 4,
        result: result.map(str::to_owned),
        why: None,
        seconds: 12.0,
    }
}

/// It crashed, and waits.
pub fn crash(worker: &mut Worker) {
    worker.pid = None;
    worker.state = "backoff".to_owned();
    worker.ready = false;
    worker.uptime_seconds = None;
    worker.restarts = 5;
    worker.last_exit = Some("exit code 1".to_owned());
    worker.last_cause = Some("exit".to_owned());
    worker.cpu_seconds = None;
    worker.cpu_percent = None;
    worker.memory_bytes = None;
    worker.connections = Some(0);
    worker.queue = Some(2);
    worker.due_seconds = Some(4.0);
}
