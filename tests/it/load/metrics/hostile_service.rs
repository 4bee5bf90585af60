//! Shared by the tests of hostile workers: the service, its scrapes, and the checks of a page.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::shared_port::v4;
use crate::harness::status::{ask_slot, wait_status};
use crate::harness::{
    Builder, Connection, Runtime, Signal, example, free_port, http_get, source, waited_for_cpu,
};

const OPENMETRICS: &str = "Accept: application/openmetrics-text;version=1.0.0";

/// Limit of the runtime's memory, MiB: the runtime itself (14 in a debug build), pages in progress (8 for each worker,
/// at most 64 in all, in buffers that double), and 200 000 series with the page built from them. 70 was measured.
pub const MOST_MEMORY: u64 = 120;

/// `examples/hostile_metrics` with a fault for each slot.
pub struct Hostile {
    pub runtime: Runtime,
    pub port: u16,
}

/// A service whose metrics only the test requests.
pub fn service(port: u16, manners: &str) -> Builder {
    let workers = manners.split(',').count();
    Runtime::builder()
        .env("RPM_INSTANCES", workers.to_string())
        .env("RPM_READY", "listen")
        .env("RPM_APP_METRICS", "/metrics")
        .env("RPM_APP_METRICS_INTERVAL", "0")
        .env("PORT", port.to_string())
        .env("MISBEHAVE", manners)
        .arg(example("hostile_metrics"))
}

impl Hostile {
    pub fn start(manners: &str) -> Self {
        Self::of(|port| service(port, manners))
    }

    pub fn of(service: impl FnOnce(u16) -> Builder) -> Self {
        let port = free_port();
        let runtime = service(port).start();
        runtime.wait_for_status("/startupz", 200);
        // Requesting metrics would already be hostile.
        wait_status(&runtime, "all serve", |seen| {
            seen.ready() == usize::from(seen.desired)
        });
        Self { runtime, port }
    }

    /// Sends `count` requests to the worker of this slot, if it has the listener with the same number.
    pub fn requests(&self, slot: u16, count: usize) {
        for _ in 0..count {
            assert_eq!(ask_slot(v4(self.port), slot, "/").status, 200);
        }
    }

    /// A scrape of Prometheus with that timeout; the answer must arrive before it. Time in which the kernel ran other
    /// processes instead of the runtime does not count.
    #[track_caller]
    pub fn scrape(&self, timeout: u64) -> Page {
        self.scrape_as(timeout, "Accept: text/plain")
    }

    #[track_caller]
    pub fn open(&self, timeout: u64) -> Page {
        self.scrape_as(timeout, OPENMETRICS)
    }

    #[track_caller]
    fn scrape_as(&self, timeout: u64, accept: &str) -> Page {
        loop {
            let (page, waited) = self.scrape_once(timeout, accept);
            // Without the workers' metrics: its thread had no CPU time for the rest.
            let is_whole = page.0.contains("rpm_metrics_series ");
            if is_whole || waited < Duration::from_millis(100) {
                return page;
            }
            println!("a scrape without the workers; {waited:?} were waited for a CPU");
        }
    }

    #[track_caller]
    fn scrape_once(&self, timeout: u64, accept: &str) -> (Page, Duration) {
        let within = format!("X-Prometheus-Scrape-Timeout-Seconds: {timeout}");
        let mut connection = Connection::open(self.runtime.admin()).unwrap();
        let (begun, waited) = (Instant::now(), self.waited());
        let reply = connection.request("/metrics", &[&within, accept]).unwrap();
        let (took, waited) = (begun.elapsed(), self.waited().saturating_sub(waited));
        assert_eq!(reply.status, 200);
        assert!(
            took < Duration::from_secs(timeout) + waited,
            "{took:?}, {waited:?} of it for a CPU: {}",
            self.runtime.shown()
        );
        (Page(reply.text()), waited)
    }

    /// How long its threads have waited for a CPU, in all.
    fn waited(&self) -> Duration {
        waited_for_cpu(self.runtime.pid())
    }

    /// How long the runtime takes to answer `path`, without the time in which its threads and the test waited for a CPU.
    #[track_caller]
    pub fn answers(&self, path: &str) -> Duration {
        let test = i32::try_from(std::process::id()).unwrap();
        let all = || self.waited() + waited_for_cpu(test);
        let (begun, waited) = (Instant::now(), all());
        let reply = http_get(self.runtime.admin(), path).unwrap();
        let took = begun.elapsed();
        assert_eq!(reply.status, 200);
        took.saturating_sub(all().saturating_sub(waited))
    }

    /// The same in both formats, with strict parsers: every `rpm_` family is the runtime's own, and no series is
    /// duplicated.
    #[track_caller]
    pub fn judged(&self, timeout: u64) -> Page {
        let page = self.scrape(timeout);
        let promtool = Command::new("promtool")
            .args(["check", "metrics"])
            .run(&page.0);
        // Exit code 3 means unusual content, such as a family without a help text.
        assert!([Some(0), Some(3)].contains(&promtool.0), "{}", promtool.1);
        let open = self.open(timeout);
        let samples = strict_reader(&open.0);
        assert_eq!(samples.len(), open.series().len(), "{}", open.0);
        let own = Page(self.runtime.get("/metrics/runtime").text()).ours();
        for ours in [page.ours(), open.ours()] {
            let others: Vec<&String> = own.symmetric_difference(&ours).collect();
            assert_eq!(others, Vec::<&String>::new());
        }
        page
    }

    /// Peak memory of the runtime, MiB.
    pub fn most_memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.runtime.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM"));
        let kib = line.unwrap().split_whitespace().nth(1).unwrap();
        kib.parse::<u64>().unwrap() / 1024
    }

    /// Ends it; returns the log lines about metrics.
    pub fn end(mut self) -> Vec<String> {
        let memory = self.most_memory();
        self.runtime.signal(Signal::SIGTERM);
        assert_eq!(self.runtime.wait_exit().code(), Some(0));
        let texts = self.runtime.texts().into_iter();
        let about = |line: &String| {
            line.starts_with("[rpm-runtime]")
                && line.contains("metric")
                && !line.contains("admin endpoints")
                && !line.contains(" starting ")
        };
        let lines: Vec<String> = texts.filter(about).collect();
        println!("{memory} MiB; {lines:#?}");
        assert!(memory < MOST_MEMORY, "{memory} MiB");
        lines
    }
}

/// A page in either format.
pub struct Page(pub String);

impl Page {
    /// Every series and its value; none is duplicated.
    #[track_caller]
    pub fn series(&self) -> BTreeMap<&str, &str> {
        let lines = self.0.lines().filter(|line| !line.starts_with('#'));
        let mut series = BTreeMap::new();
        for line in lines {
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert_eq!(series.insert(name, value), None, "{line}");
        }
        series
    }

    #[track_caller]
    pub fn value(&self, series: &str) -> Option<f64> {
        let mut lines = self.0.lines();
        let value = lines.find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
        Some(value.parse().unwrap())
    }

    /// Names and labels of series that look like the runtime's own.
    fn ours(&self) -> BTreeSet<String> {
        let all = self.series().into_keys();
        all.filter(|name| name.starts_with("rpm_"))
            .map(str::to_owned)
            .collect()
    }

    /// Which workers' metrics were read, by slot.
    pub fn success(&self) -> Vec<bool> {
        let start = "rpm_metrics_worker_scrape_success{worker=\"";
        let of = |slot: usize| self.value(&format!("{start}{slot}\"}}"));
        (0..).map_while(of).map(|value| value > 0.5).collect()
    }

    /// The value of a series that counts something.
    #[track_caller]
    pub fn count(&self, series: &str) -> u64 {
        let value = self.value(series).unwrap_or_else(|| panic!("no {series}"));
        format!("{value}").parse().unwrap()
    }

    #[track_caller]
    pub fn dropped(&self, reason: &str) -> u64 {
        self.count(&format!(
            "rpm_metrics_dropped_series_total{{reason=\"{reason}\"}}"
        ))
    }

    #[track_caller]
    pub fn conflicts(&self, kind: &str) -> u64 {
        self.count(&format!("rpm_metrics_conflicts_total{{kind=\"{kind}\"}}"))
    }
}

/// A sample as prometheus_client's OpenMetrics parser reads it: name and labels.
pub type Read = (String, BTreeMap<String, String>);

#[track_caller]
pub fn strict_reader(page: &str) -> Vec<Read> {
    let program = "import json, sys\n\
        from prometheus_client.openmetrics.parser import text_string_to_metric_families as read\n\
        page = sys.stdin.buffer.read().decode()\n\
        print(json.dumps([[s.name, s.labels] for f in read(page) for s in f.samples]))";
    let mut python = Command::new("python3");
    python
        .args(["-c", program])
        .env("PYTHONPATH", source("target/python"));
    let (code, said) = python.run(page);
    assert_eq!(code, Some(0), "{said}");
    let samples: Value = serde_json::from_str(&said).unwrap();
    serde_json::from_value(samples).unwrap()
}

trait Judge {
    /// Runs the program with this standard input; returns its exit code and its output.
    fn run(&mut self, input: &str) -> (Option<i32>, String);
}

impl Judge for Command {
    fn run(&mut self, input: &str) -> (Option<i32>, String) {
        let mut child = self
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_owned();
        // It may print much before it has read everything.
        let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap().unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        (output.status.code(), said)
    }
}
