//! The limits of real pods: a tenth of a CPU, 32 MiB, eight processes and threads, 64 descriptors, all at once.
//!
//! Where no cgroup can be made, the service runs at the lowest priority beside loops that want every CPU.

use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::lost_nothing;
use crate::harness::cgroup::{Cgroup, Limit};
use crate::harness::load::{Load, Pace, Plan, Style};
use crate::harness::reloads::reload;
use crate::harness::shared_port::{send, stop, v4, wait_ready};
use crate::harness::status::drains;
use crate::harness::{Builder, Runtime, SetOnDrop, Signal, free_port, http_get, patience};

/// One thread, which answers one client at a time.
const PROGRAM: &str = r"
import os
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = self.path.encode()
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass

HTTPServer(('0.0.0.0', int(os.environ['PORT'])), Handler).serve_forever()
";

const MEMORY: u64 = 32 << 20;

/// What makes the machine tight. Ends with the test.
struct Tight {
    cgroup: Option<Cgroup>,
    busy: Vec<Child>,
}

impl Tight {
    fn new(name: &str, percent: u32) -> Self {
        let limits = [
            Limit::Cpu {
                quota: percent * 1000,
                period: 100_000,
            },
            Limit::Memory(MEMORY),
            Limit::Pids(8),
        ];
        match Cgroup::new(name, &limits) {
            Ok(cgroup) => Self {
                cgroup: Some(cgroup),
                busy: Vec::new(),
            },
            Err(error) => {
                println!("no cgroup can be made here ({error}): the lowest priority must do");
                let cpus = thread::available_parallelism().unwrap().get();
                let busy = (0..cpus).map(|_| {
                    let mut busy = Command::new("nice");
                    busy.args(["-n", "19", "sh", "-c", "while :; do :; done"]);
                    busy.spawn().unwrap()
                });
                Self {
                    cgroup: None,
                    busy: busy.collect(),
                }
            }
        }
    }

    fn around(&self, service: Builder) -> Builder {
        let service = match &self.cgroup {
            Some(cgroup) => service.under(cgroup.enter()),
            None => service.under(["chrt", "--idle", "0"]),
        };
        service.under(["prlimit", "--nofile=64", "--"])
    }
}

impl Drop for Tight {
    fn drop(&mut self) {
        for busy in &mut self.busy {
            send(i32::try_from(busy.id()).unwrap(), Signal::SIGKILL);
            let _ = busy.wait();
        }
    }
}

/// Asks the probes until `end`; every answer is a success. Returns how many there were.
fn probe(runtime: &Runtime, end: &AtomicBool) -> u32 {
    let mut asked = 0;
    while !end.load(Ordering::Relaxed) {
        for path in ["/livez", "/readyz"] {
            assert_eq!(
                http_get(runtime.admin(), path).unwrap().status,
                200,
                "{path}"
            );
            asked += 1;
        }
        thread::sleep(Duration::from_millis(50));
    }
    asked
}

/// Reloads under load, with probes: nothing is lost, drains end by themselves, and the stop kills nobody.
fn serves(name: &str, percent: u32) {
    let tight = Tight::new(name, percent);
    let port = free_port();
    let service = Runtime::builder()
        .env("PORT", port.to_string())
        .env("RPM_DRAIN_TIMEOUT", "1h")
        .program(["/usr/bin/python3", "-c", PROGRAM]);
    let runtime = tight.around(service).start();
    wait_ready(&runtime, 1);
    runtime.wait_for_status("/readyz", 200);
    let mut plan =
        Plan::new(v4(port), 2, Style::Short).pace(Pace::Think(Duration::from_millis(50)));
    plan.patience = patience();
    let load = Load::run(plan.strict());
    let end = AtomicBool::new(false);
    thread::scope(|scope| {
        let ending = SetOnDrop(&end);
        let probes = scope.spawn(|| probe(&runtime, &end));
        for _ in 0..3 {
            load.wait_answers(20);
            reload(&runtime);
        }
        load.wait_answers(20);
        drop(ending);
        assert!(probes.join().unwrap() > 0);
    });
    lost_nothing(name, &load.stop(), &runtime);
    assert_eq!(drains(&runtime, "empty"), 3, "{}", runtime.shown());
    if tight.cgroup.is_some() {
        let metric = |name: &str| runtime.metric(name).unwrap();
        println!(
            "throttled for {} s",
            metric("rpm_cgroup_cpu_throttled_seconds_total")
        );
        let used = metric("rpm_cgroup_memory_bytes");
        assert!(
            (1.0..=f64::from(u32::try_from(MEMORY).unwrap())).contains(&used),
            "{used}"
        );
    }
    // Its exit code says that nobody was killed.
    stop(runtime);
}

#[test]
fn at_a_tenth_of_a_cpu_reloads_lose_nothing_and_a_stop_keeps_its_time() {
    serves("a-tenth", 10);
}

#[test]
fn at_three_tenths_of_a_cpu_reloads_lose_nothing_and_a_stop_keeps_its_time() {
    serves("three-tenths", 30);
}
