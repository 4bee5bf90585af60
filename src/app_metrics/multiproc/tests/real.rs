//! Real files of prometheus_client, compared with its own result.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::super::Store;
use super::{Scratch, lines};
use crate::app_metrics::merge::{Merger, ProcessKey, Rules};
use crate::exposition::{Dropped, Family, Format, Labels, MetricType, PageLimits, Parsed, parse};
use crate::model::SlotId;

/// A Python program that counts into `scratch`. It ends on drop or earlier.
struct Program {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Program {
    #[expect(clippy::disallowed_methods, reason = "the writer is a program")]
    fn start(scratch: &Scratch, text: &str) -> Self {
        let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/python");
        let mut child = Command::new("python3")
            .args(["-c", text])
            .env("PYTHONPATH", packages)
            .env("PROMETHEUS_MULTIPROC_DIR", &scratch.0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("scripts/test-deps installs it");
        Self {
            input: child.stdin.take(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn processes(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Lets it run to its end.
    fn end(&mut self) -> String {
        drop(self.input.take());
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        self.wait();
        rest
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a test waits for what it started"
    )]
    fn wait(&mut self) {
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Program {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test waits for what it started"
    )]
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Counts something of each kind, prints a line, and lives until its input ends.
const WORKER: &str = r#"
import sys, os, math
from prometheus_client import Counter, Gauge, Histogram, Summary
part = int(sys.stdin.readline())
requests = Counter("requests", "Requests \\ of\nall \"kinds\".", ["code", "path"])
requests.labels("200", "/").inc(10 * part)
requests.labels("200", "/é\n\"x\"\\").inc(0.1 * part)
if part == 2:
    requests.labels("500", "").inc()
Counter("idle_total", "Never raised.")
for mode in sorted(Gauge._MULTIPROC_MODES):
    gauge = Gauge("gauge_" + mode, "As " + mode, ["of"], multiprocess_mode=mode)
    gauge.labels("both").set(part * 1.5)
    gauge.labels("zero").set(0)
    gauge.labels("below").set(-part)
    gauge.labels("part" + str(part)).set(math.inf)
    gauge.labels("never")
    Gauge("plain_" + mode, "As " + mode, multiprocess_mode=mode).set(1 / part)
wait = Histogram("wait_seconds", "Time.", ["queue"], buckets=(0.1, 0.25, 2.5, 1e9))
for value in range(40 * part):
    wait.labels("a").observe(value / 10)
wait.labels("b" + str(part))
Histogram("default", "Usual buckets.").observe(0.3)
size = Summary("size_bytes", "Sizes.", ["of"])
for value in range(7):
    size.labels("x").observe(value * part / 3)
Summary("none", "Nothing.")
print("done", flush=True)
sys.stdin.read()
"#;

/// The result of prometheus_client for the directory.
const COLLECTOR: &str = r"
import sys
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
registry = CollectorRegistry()
MultiProcessCollector(registry)
sys.stdout.write(generate_latest(registry).decode())
";

fn worker(scratch: &Scratch, part: u32) -> Program {
    let mut worker = Program::start(scratch, WORKER);
    writeln!(worker.input.as_mut().unwrap(), "{part}").unwrap();
    assert_eq!(worker.line(), "done");
    worker
}

fn collected(scratch: &Scratch) -> Parsed {
    let page = Program::start(scratch, COLLECTOR).end();
    parse(page.as_bytes(), Format::Text, &PageLimits::default()).unwrap()
}

/// Replaces PIDs by slots.
fn by_slot(families: Vec<Family>, slots: &BTreeMap<u32, SlotId>) -> Vec<Family> {
    let slot = |labels: &Labels| match labels.get("pid") {
        Some(pid) => {
            let slot = slots[&pid.parse().unwrap()];
            labels.without("pid").with("worker", &slot.to_string())
        }
        None => labels.clone(),
    };
    let mut families = families;
    for family in &mut families {
        for sample in &mut family.samples {
            sample.labels = slot(&sample.labels);
        }
    }
    Parsed::of(families).page.families
}

/// The merged result of everything in the store.
fn merged(merger: &mut Merger, store: &Store, slots: &BTreeMap<u32, SlotId>) -> Vec<Family> {
    let reading = store.read().unwrap();
    assert_eq!(reading.unreadable, 0);
    merger.suggest(reading.modes);
    for (pid, parsed) in reading.processes {
        assert_eq!(parsed.dropped, Dropped::default());
        // It is a valid page.
        assert_eq!(Parsed::of(parsed.page.families.clone()), parsed);
        let conflicts = merger.take(slots[&pid], ProcessKey(u64::from(pid)), parsed.page);
        assert_eq!(conflicts, []);
    }
    merger.merged()
}

fn counting(families: Vec<Family>) -> Vec<String> {
    let mut families = families;
    families.retain(|family| family.kind != MetricType::Gauge);
    lines(&families)
}

#[test]
fn the_merger_says_what_prometheus_client_says() {
    let scratch = Scratch::new("real");
    let store = Store::open(&scratch.0).unwrap();
    let mut workers = [worker(&scratch, 1), worker(&scratch, 2)];
    let slots = BTreeMap::from([(workers[0].pid(), SlotId(0)), (workers[1].pid(), SlotId(1))]);
    let mut merger = Merger::new(Rules::default());
    let ours = merged(&mut merger, &store, &slots);
    let theirs = collected(&scratch);
    assert_eq!(theirs.dropped, Dropped::default());
    let theirs = by_slot(theirs.page.families, &slots);
    assert_eq!(lines(&ours), lines(&theirs));
    let about = |families: &[Family]| -> Vec<_> {
        let about = families.iter();
        about
            .map(|family| (family.name.clone(), family.kind, family.help.clone()))
            .collect()
    };
    assert_eq!(about(&ours), about(&theirs));
    // The numbers are those of the program, not only equal on both sides.
    let said = lines(&ours);
    for line in [
        "requests_total{code=\"200\",path=\"/\"} 30",
        "gauge_sum{of=\"both\"} 4.5",
        "gauge_livemax{of=\"both\"} 3",
        "gauge_min{of=\"below\"} -2",
        "gauge_mostrecent{of=\"both\"} 3",
        "gauge_all{of=\"both\",worker=\"0\"} 1.5",
        "plain_liveall{worker=\"1\"} 0.5",
        "wait_seconds_bucket{le=\"0.1\",queue=\"a\"} 4",
        "wait_seconds_count{queue=\"a\"} 120",
        "size_bytes_count{of=\"x\"} 14",
    ] {
        assert!(said.iter().any(|one| one == line), "{line}\n{said:#?}");
    }
    assert!(
        !said
            .iter()
            .any(|line| line.contains("never") && line.contains("recent"))
    );

    // A worker ends: its counts stay, its gauges do not, and its files are removed.
    let dead = workers[0].pid();
    let before = counting(ours);
    workers[0].end();
    merger.take(
        SlotId(0),
        ProcessKey(u64::from(dead)),
        store.last(dead).unwrap().page,
    );
    merger.process_ended(ProcessKey(u64::from(dead)));
    assert_eq!(store.remove(dead).unwrap(), 13);
    let after = merged(&mut merger, &store, &slots);
    assert_eq!(counting(after.clone()), before);
    let left = lines(&after);
    assert!(
        left.iter().any(|line| line == "gauge_sum{of=\"both\"} 3"),
        "{left:#?}"
    );
    assert!(
        !left.iter().any(|line| line.contains("worker=\"0\"")),
        "{left:#?}"
    );
    assert_eq!(scratch.names().len(), 13);
    // Its successor continues the counts.
    let next = worker(&scratch, 1);
    let mut slots = slots;
    slots.insert(next.pid(), SlotId(0));
    let last = lines(&merged(&mut merger, &store, &slots));
    let line = "requests_total{code=\"200\",path=\"/\"} 40";
    assert!(last.iter().any(|one| one == line), "{last:#?}");
}

/// A forked child starts with zeros in files of its own.
const FORKING: &str = r#"
import sys, os
from prometheus_client import Counter, Gauge
counter = Counter("requests", "Requests.")
busy = Gauge("busy", "How many are in work.")
level = Gauge("level", "A sum.", multiprocess_mode="sum")
counter.inc(5); busy.set(3); level.set(2)
down, up = os.pipe()
child = os.fork()
if child == 0:
    counter.inc(2); level.set(4)
    os.write(up, b"x")
    sys.stdin.read()
    os._exit(0)
os.read(down, 1)
print(child, flush=True)
sys.stdin.read()
os.waitpid(child, 0)
"#;

#[test]
fn a_forked_child_belongs_to_its_worker() {
    let scratch = Scratch::new("forked");
    let store = Store::open(&scratch.0).unwrap();
    let mut program = Program::start(&scratch, FORKING);
    let child: u32 = program.line().parse().unwrap();
    let reading = store.read().unwrap();
    let pids: BTreeSet<u32> = reading.processes.keys().copied().collect();
    assert_eq!(pids, BTreeSet::from([program.pid(), child]));
    let mut merger = Merger::new(Rules::default());
    merger.suggest(reading.modes);
    let processes = BTreeMap::from([(program.pid(), ProcessKey(1)), (child, ProcessKey(2))]);
    for (pid, parsed) in reading.processes {
        merger.take_child(SlotId(3), ProcessKey(1), processes[&pid], parsed.page);
    }
    let want = ["busy{worker=\"3\"} 3", "level{} 6", "requests_total{} 7"];
    assert_eq!(lines(&merger.merged()), want);
    program.end();
}

/// Changes values and adds series as fast as it can until it is told to end; then prints how often it counted.
const BUSY: &str = r#"
import sys, threading
from prometheus_client import Counter, Gauge
flips = Gauge("flips", "One of two.", ["of"], multiprocess_mode="sum")
flip = flips.labels("")
counter = Counter("counted", "Never falls.")
over = threading.Event()
def wait():
    sys.stdin.read()
    over.set()
threading.Thread(target=wait).start()
turn = 0
while not over.is_set():
    if turn < 600:
        flips.labels("é" * (turn % 7) + str(turn)).set(turn)
    flip.set(1.9999999999999998)
    counter.inc(1e9 / 3)
    flip.set(-2.0000000000000004e300)
    turn += 1
print(turn)
"#;

/// The possible values of a series there. A new series has the value 0 for a moment.
fn may_be(of: &str, value: f64) -> bool {
    let known = match of.trim_start_matches('é').parse::<f64>() {
        Ok(turn) => vec![turn],
        Err(_) => vec![1.999_999_999_999_999_8, -2.000_000_000_000_000_4e300],
    };
    let mut bits = known.iter().map(|known| known.to_bits());
    value.to_bits() == 0 || bits.any(|bits| bits == value.to_bits())
}

#[test]
fn what_is_being_written_is_read_as_it_was_or_as_it_is() {
    let scratch = Scratch::new("busy");
    let store = Store::open(&scratch.0).unwrap();
    let mut program = Program::start(&scratch, BUSY);
    let (mut counted, mut series, mut changes) = (0.0, 0, 0);
    let mut look = |parsed: Parsed| {
        assert_eq!(parsed.dropped, Dropped::default());
        for family in &parsed.page.families {
            let samples = &family.samples;
            if family.kind == MetricType::Counter {
                let value = samples[0].value;
                assert!(value >= counted, "{value} after {counted}");
                changes += usize::from(value > counted);
                counted = value;
                continue;
            }
            assert!(samples.len() >= series, "{} after {series}", samples.len());
            series = samples.len();
            for sample in samples {
                let of = sample.labels.get("of").unwrap_or_default();
                assert!(may_be(&of, sample.value), "{of:?} {}", sample.value);
            }
        }
        (counted, changes > 60 && series > 600)
    };
    // Its last file exists when all series exist.
    loop {
        let page = store.last(program.pid()).unwrap_or_default();
        if look(page).1 {
            break;
        }
        assert!(program.processes(), "it has ended");
    }
    let turns: f64 = program.end().trim().parse().unwrap();
    let (counted, _) = look(store.last(program.pid()).unwrap());
    let want = turns * 1e9 / 3.0;
    assert!((counted / want - 1.0).abs() < 1e-9, "{counted} {want}");
}
