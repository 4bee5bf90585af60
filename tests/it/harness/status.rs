//! Observes a reload while it runs: polls `/status` and reads the log, which has a line for every start and every end
//! of a worker.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use serde_json::Value;

use crate::harness::shared_port::{connect_from, field, steered_port};
use crate::harness::{Builder, Connection, Reply, Runtime, example, http_get, until};

/// One worker, or an empty slot.
#[derive(Clone, Debug)]
pub struct Worker {
    pub slot: u16,
    pub state: String,
    pub pid: Option<i32>,
    pub generation: u32,
    /// The worker's own status text.
    pub status: Option<String>,
    pub uptime: Option<f64>,
}

/// One listener of a shared port, in the order of their numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Its slot; none for a spare.
    pub worker: Option<u16>,
    pub in_rotation: bool,
}

/// `/status` at one moment.
#[derive(Clone, Debug)]
pub struct Status {
    pub state: String,
    pub desired: u16,
    pub generation: u32,
    pub slots: Vec<Worker>,
    pub rising: Vec<Worker>,
    pub retiring: Vec<Worker>,
    pub queues: Vec<Queue>,
}

fn number<T: TryFrom<u64, Error: std::fmt::Debug>>(value: &Value) -> T {
    let number = value.as_u64().unwrap_or_else(|| panic!("{value}"));
    number.try_into().unwrap()
}

impl Worker {
    fn read(value: &Value) -> Self {
        Self {
            slot: number(&value["slot"]),
            state: value["state"].as_str().unwrap().to_owned(),
            pid: value["pid"].as_i64().map(|pid| pid.try_into().unwrap()),
            generation: number(&value["generation"]),
            status: value["status"].as_str().map(str::to_owned),
            uptime: value["uptime_seconds"].as_f64(),
        }
    }
}

impl Status {
    pub fn read(value: &Value) -> Self {
        let runtime = &value["runtime"];
        let workers = |name: &str| {
            let list = value[name].as_array().unwrap();
            list.iter().map(Worker::read).collect()
        };
        let queues = value["queues"].as_array().unwrap().iter();
        Self {
            state: runtime["state"].as_str().unwrap().to_owned(),
            desired: number(&runtime["desired"]),
            generation: number(&runtime["generation"]),
            slots: workers("slots"),
            rising: workers("rising"),
            retiring: workers("retiring"),
            queues: queues
                .map(|queue| Queue {
                    worker: queue["worker"]
                        .as_u64()
                        .map(|slot| slot.try_into().unwrap()),
                    in_rotation: queue["in_rotation"].as_bool().unwrap(),
                })
                .collect(),
        }
    }

    /// Number of living workers, including retiring ones.
    pub fn processes(&self) -> usize {
        let all = self.slots.iter().chain(&self.rising).chain(&self.retiring);
        all.filter(|worker| worker.pid.is_some()).count()
    }

    /// Number of slots that are served.
    pub fn ready(&self) -> usize {
        let slots = self.slots.iter();
        slots.filter(|worker| worker.state == "ready").count()
    }

    /// Slots of the listeners, in order; none for a spare.
    pub fn order(&self) -> Vec<Option<u16>> {
        self.queues.iter().map(|queue| queue.worker).collect()
    }

    /// The PID of the worker of a slot.
    #[track_caller]
    pub fn pid(&self, slot: usize) -> i32 {
        let mut slots = self.slots.iter();
        let worker = slots.find(|worker| usize::from(worker.slot) == slot);
        let pid = worker.and_then(|worker| worker.pid);
        pid.unwrap_or_else(|| panic!("nobody in slot {slot}: {self:?}"))
    }
}

#[track_caller]
pub fn status(runtime: &Runtime) -> Status {
    Status::read(&runtime.get("/status").json())
}

/// Waits until `/status` fits, and returns it.
#[track_caller]
pub fn wait_status(runtime: &Runtime, what: &str, fits: impl Fn(&Status) -> bool) -> Status {
    let mut last = status(runtime);
    until(what, || {
        last = status(runtime);
        fits(&last)
    });
    last
}

/// Polls something repeatedly until it is told to end.
pub struct Sampler<T> {
    over: Arc<AtomicBool>,
    taken: Arc<AtomicUsize>,
    thread: JoinHandle<Vec<T>>,
}

impl Sampler<Status> {
    pub fn of_status(runtime: &Runtime) -> Self {
        Self::start(runtime.admin(), "/status", |reply| {
            Status::read(&reply.json())
        })
    }
}

impl Sampler<BTreeSet<u16>> {
    /// The slots that get new connections.
    pub fn of_rotation(runtime: &Runtime) -> Self {
        Self::start(runtime.admin(), "/metrics", |reply| rotation(&reply.text()))
    }
}

impl<T: Send + 'static> Sampler<T> {
    fn start(
        admin: SocketAddr,
        path: &'static str,
        read: impl Fn(&Reply) -> T + Send + 'static,
    ) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let taken = Arc::new(AtomicUsize::new(0));
        let (ended, count) = (Arc::clone(&over), Arc::clone(&taken));
        let thread = thread::spawn(move || {
            let mut samples = Vec::new();
            while !ended.load(Ordering::Relaxed) {
                // The runtime may have ended; then there is nothing more to see.
                let Ok(reply) = http_get(admin, path) else {
                    break;
                };
                samples.push(read(&reply));
                count.fetch_add(1, Ordering::Relaxed);
            }
            samples
        });
        Self {
            over,
            taken,
            thread,
        }
    }

    /// Waits until `more` further samples are taken.
    #[track_caller]
    pub fn wait(&self, more: usize) {
        let goal = self.taken.load(Ordering::Relaxed) + more;
        until("the runtime is asked", || {
            self.taken.load(Ordering::Relaxed) >= goal
        });
    }

    pub fn end(self) -> Vec<T> {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// The slots that get new connections, from the metrics.
fn rotation(metrics: &str) -> BTreeSet<u16> {
    let lines = metrics.lines();
    let live = lines.filter_map(|line| {
        let rest = line.strip_prefix("rpm_worker_in_rotation{worker=\"")?;
        let (slot, value) = rest.split_once("\"} ")?;
        (value == "1").then(|| slot.parse().unwrap())
    });
    live.collect()
}

/// The most workers that lived at the same time, from the lines about starts and ends in the log.
pub fn most_alive(runtime: &Runtime) -> usize {
    let (mut alive, mut most) = (0_usize, 0);
    for line in runtime.texts() {
        if line.contains("] info: worker started ") {
            alive += 1;
        } else if line.contains(": worker ended ") {
            alive -= 1;
        }
        most = most.max(alive);
    }
    most
}

/// The log lines about a worker that took over a slot: slot, new PID, old PID.
pub fn took_over(runtime: &Runtime) -> Vec<(u16, i32, i32)> {
    let texts = runtime.texts();
    let lines = texts.iter().filter(|line| line.contains("took over"));
    let numbers = |line: &String| {
        let number = |name| field(line, name).parse::<i32>().unwrap();
        (
            number("slot").try_into().unwrap(),
            number("pid"),
            number("old"),
        )
    };
    lines.map(numbers).collect()
}

/// `workers` workers of `examples/echo_server` on that port.
pub fn echo(port: u16, workers: u16) -> Builder {
    Runtime::builder()
        .env("RPM_INSTANCES", workers.to_string())
        .env("PORT", port.to_string())
        .arg(example("echo_server"))
}

/// Requests a path from the worker of one slot. The worker must have the listener of the same number, as at the start.
#[track_caller]
pub fn ask_slot(target: SocketAddr, slot: u16, path: &str) -> Reply {
    let mut connection = to_slot(target, slot);
    connection.request(path, &["Connection: close"]).unwrap()
}

/// A connection to the worker of one slot, under the same condition.
#[track_caller]
pub fn to_slot(target: SocketAddr, slot: u16) -> Connection {
    // Each connection has an address of its own, because the port is always the same.
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    let nr = NEXT.fetch_add(1, Ordering::Relaxed);
    let (high, low) = (nr / 250, nr % 250 + 1);
    let octets = [
        127,
        0,
        3 + u8::try_from(high).unwrap(),
        u8::try_from(low).unwrap(),
    ];
    let source = SocketAddr::from((octets, steered_port(slot)));
    connect_from(source, target).unwrap().into()
}

/// The counter of ended workers by cause.
#[track_caller]
pub fn exits(runtime: &Runtime, cause: &str) -> u32 {
    counter(
        runtime,
        &format!("rpm_worker_exits_total{{cause=\"{cause}\"}}"),
    )
}

#[track_caller]
pub fn drains(runtime: &Runtime, result: &str) -> u32 {
    counter(runtime, &format!("rpm_drains_total{{result=\"{result}\"}}"))
}

#[track_caller]
pub fn counter(runtime: &Runtime, series: &str) -> u32 {
    let value = runtime.metric(series);
    let value = value.unwrap_or_else(|| panic!("no {series}; {}", runtime.shown()));
    format!("{value}").parse().unwrap()
}

/// Waits until one more reload after `mark` was reported as ended, with any result.
#[track_caller]
pub fn wait_reload_ends(runtime: &Runtime, mark: usize) -> String {
    runtime.wait_for_line_after(mark, |line| line.contains("reload finished"))
}
