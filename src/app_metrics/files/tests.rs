//! Assignment of files to processes, with a /proc that the tests write.

use std::fs;
use std::path::PathBuf;

use super::super::results::FAMILY;
use super::*;
use crate::app_metrics::merge::ProcessKey;
use crate::app_metrics::merge::Rules;
use crate::exposition::Format;
use crate::exposition::render::render;
use crate::model::{ListenerId, SlotId};

const COUNTER: &str = r#"["hits", "hits_total", {}, "H."]"#;
const GAUGE: &str = r#"["heat", "heat", {}, "H."]"#;

/// A fake /proc and a directory of files.
struct World {
    root: PathBuf,
    files: Files,
    results: ScrapeResults,
}

impl World {
    fn new(name: &str) -> Self {
        let name = format!("rpm-files-{name}-{}", std::process::id());
        let root = std::env::temp_dir().join(name);
        // Left by an earlier process with our PID.
        let _ = fs::remove_dir_all(&root);
        for directory in ["proc", "files"] {
            fs::create_dir_all(root.join(directory)).unwrap();
        }
        let mut files = Files::open(&root.join("files")).unwrap();
        files.proc = Proc::new(root.join("proc"));
        Self {
            root,
            files,
            results: ScrapeResults::new(Rules::default()),
        }
    }

    /// Adds a worker of a slot, with this PID, to /proc.
    fn worker(&mut self, slot: u16, pid: i32, process: u64) -> ScrapeTarget {
        let worker = ScrapeTarget {
            process: ProcessKey(process * FAMILY),
            slot: SlotId(slot),
            pid: Pid::new(pid).unwrap(),
            listener: ListenerId(slot),
        };
        self.process(pid, 1, pid, 'S');
        let mut workers: Vec<ScrapeTarget> = self.results.workers().collect();
        workers.push(worker);
        self.results.set_workers(&workers);
        worker
    }

    fn process(&self, pid: i32, parent: i32, group: i32, state: char) {
        let directory = self.root.join("proc").join(pid.to_string());
        fs::create_dir_all(&directory).unwrap();
        let line = format!(
            "{pid} (python) {state} {parent} {group} {group} 0 -1 0 1 2 3 4 5 6 9 9 20 0 1 0 12345 1000000 50 1 1 1\n"
        );
        fs::write(directory.join("stat"), line).unwrap();
    }

    fn ends(&self, pid: i32) {
        fs::remove_dir_all(self.root.join("proc").join(pid.to_string())).unwrap();
    }

    /// Sets its counter and its gauge.
    fn counts(&self, pid: i32, count: f64, gauge: f64) {
        for (name, key, value) in [("counter", COUNTER, count), ("gauge_all", GAUGE, gauge)] {
            let pad = 8 - (4 + key.len()) % 8;
            let mut entry = i32::try_from(key.len()).unwrap().to_ne_bytes().to_vec();
            entry.extend(key.bytes());
            entry.extend(b" ".repeat(pad));
            entry.extend(value.to_ne_bytes());
            entry.extend(0_f64.to_ne_bytes());
            let mut bytes = i32::try_from(entry.len() + 8)
                .unwrap()
                .to_ne_bytes()
                .to_vec();
            bytes.extend([0; 4]);
            bytes.extend(entry);
            fs::write(self.file(&format!("{name}_{pid}.db")), bytes).unwrap();
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.root.join("files").join(name)
    }

    fn has_files(&self, pid: i32) -> bool {
        self.file(&format!("counter_{pid}.db")).exists()
    }

    /// All series after reading the files.
    fn read(&mut self) -> Vec<String> {
        self.files.read(&mut self.results);
        let mut out = Vec::new();
        render(&self.results.merged(), Format::Text, &mut out);
        let text = String::from_utf8(out).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(str::to_owned).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // A left-over directory does no harm.
        let _ = fs::remove_dir_all(&self.root);
    }
}

#[test]
fn what_a_worker_started_is_in_its_slot_wherever_it_has_gone() {
    let mut world = World::new("family");
    world.worker(0, 100, 1);
    world.worker(1, 200, 2);
    world.counts(100, 1.0, 1.0);
    world.counts(200, 2.0, 2.0);
    // In the group of the worker; in a group of its own; a child of that one.
    world.process(201, 200, 200, 'S');
    world.process(202, 200, 202, 'S');
    world.process(203, 202, 203, 'S');
    for pid in [201, 202, 203] {
        world.counts(pid, 10.0, 5.0);
    }
    let all = [
        "heat{worker=\"0\"} 1",
        "heat{worker=\"1\"} 17",
        "hits_total 33",
    ];
    assert_eq!(world.read(), all);
    for pid in [201, 202, 203] {
        world.ends(pid);
    }
    let left = [
        "heat{worker=\"0\"} 1",
        "heat{worker=\"1\"} 2",
        "hits_total 33",
    ];
    assert_eq!(world.read(), left);
    assert!([201, 202, 203].iter().all(|pid| !world.has_files(*pid)));
    assert_eq!(world.read(), left);
}

#[test]
fn what_belongs_to_no_worker_counts_and_has_no_gauges() {
    let mut world = World::new("nobody");
    world.worker(0, 100, 1);
    world.counts(100, 1.0, 1.0);
    for pid in [301, 302] {
        world.process(pid, 1, pid, 'S');
        world.counts(pid, 10.0, 5.0);
    }
    let all = ["heat{worker=\"0\"} 1", "hits_total 21"];
    assert_eq!(world.read(), ["heat{worker=\"0\"} 1", "hits_total 1"]);
    assert_eq!(world.read(), all);
    assert_eq!(world.read(), all);
    world.counts(301, 14.0, 5.0);
    let more = ["heat{worker=\"0\"} 1", "hits_total 25"];
    assert_eq!(world.read(), more);
    world.ends(301);
    assert_eq!(world.read(), more);
    assert!(!world.has_files(301) && world.has_files(302));
}

/// The PID of a zombie is not reused, but the zombie writes nothing more.
#[test]
fn one_that_is_dead_but_not_reaped_is_over() {
    let mut world = World::new("zombie");
    world.worker(0, 100, 1);
    world.process(101, 100, 100, 'S');
    world.counts(101, 10.0, 5.0);
    assert_eq!(world.read(), ["heat{worker=\"0\"} 5", "hits_total 10"]);
    world.process(101, 100, 100, 'Z');
    assert_eq!(world.read(), ["hits_total 10"]);
    assert!(!world.has_files(101));
    assert_eq!(world.read(), ["hits_total 10"]);
}

/// As if no descriptor were left to look with.
#[test]
fn one_that_cannot_be_looked_at_keeps_its_files() {
    let mut world = World::new("unseen");
    world.worker(0, 100, 1);
    world.counts(101, 10.0, 5.0);
    // A directory can be opened but not read.
    let stat = world.root.join("proc/101/stat");
    fs::create_dir_all(stat).unwrap();
    assert_eq!(world.read(), Vec::<String>::new());
    assert_eq!(world.read(), ["hits_total 10"]);
    world.counts(101, 12.0, 5.0);
    assert_eq!(world.read(), ["hits_total 12"]);
    assert!(world.has_files(101));
    world.ends(101);
    assert_eq!(world.read(), ["hits_total 12"]);
    assert!(!world.has_files(101));
}

/// As `mark_process_dead` and clean-up scripts do.
#[test]
fn one_whose_files_somebody_removed_is_forgotten() {
    let mut world = World::new("removed");
    world.worker(0, 100, 1);
    world.counts(100, 1.0, 1.0);
    world.process(101, 100, 100, 'S');
    world.counts(101, 10.0, 5.0);
    assert_eq!(world.read(), ["heat{worker=\"0\"} 6", "hits_total 11"]);
    for name in ["counter_101.db", "gauge_all_101.db"] {
        fs::remove_file(world.file(name)).unwrap();
    }
    assert_eq!(world.read(), ["heat{worker=\"0\"} 1", "hits_total 11"]);
    // It continues with new files, or another process has its PID.
    world.counts(101, 3.0, 2.0);
    assert_eq!(world.read(), ["heat{worker=\"0\"} 3", "hits_total 14"]);
}

/// The life numbers of children are reused; that of a long-lived child is never given to another.
#[test]
fn two_children_never_share_a_life() {
    let mut world = World::new("processes");
    world.worker(0, 100, 1);
    world.process(101, 100, 100, 'S');
    world.counts(101, 10.0, 0.0);
    world.read();
    world.files.children.given = FAMILY - 1;
    for pid in [102, 103] {
        world.process(pid, 100, 100, 'S');
        world.counts(pid, 1.0, 0.0);
    }
    for _ in 0..3 {
        assert_eq!(world.read(), ["heat{worker=\"0\"} 0", "hits_total 12"]);
    }
    let processes = world
        .files
        .children
        .by_pid
        .values()
        .map(|child| child.process);
    let processes: std::collections::BTreeSet<ProcessKey> = processes.collect();
    assert_eq!(processes.len(), 3);
}

/// The thread learns of a worker a moment after its start.
#[test]
fn a_worker_that_is_not_known_yet_is_not_counted_twice() {
    let mut world = World::new("early");
    world.process(100, 1, 100, 'S');
    world.counts(100, 10.0, 1.0);
    assert_eq!(world.read(), Vec::<String>::new());
    world.worker(0, 100, 1);
    let all = ["heat{worker=\"0\"} 1", "hits_total 10"];
    assert_eq!(world.read(), all);
    assert_eq!(world.read(), all);
}

/// A process may have 13 files. Each that an ended one has is opened once and removed once, and no other is looked for.
#[test]
fn of_ended_processes_only_the_files_that_they_have_are_touched_and_each_twice() {
    const ENDED: i32 = 300;
    let mut world = World::new("many");
    world.worker(0, 100, 1);
    world.counts(100, 1.0, 1.0);
    for pid in 1000..1000 + ENDED {
        world.counts(pid, 2.0, 1.0);
    }
    assert_eq!(world.read(), ["heat{worker=\"0\"} 1", "hits_total 601"]);
    let files = 2 * usize::try_from(ENDED).unwrap();
    assert_eq!(world.files.store.looks(), 2 + 2 * files);
    assert!((1000..1000 + ENDED).all(|pid| !world.has_files(pid)));
    // The next time only the worker's own.
    assert_eq!(world.read(), ["heat{worker=\"0\"} 1", "hits_total 601"]);
    assert_eq!(world.files.store.looks(), 4 + 2 * files);
}

/// What is left out for want of room is not lost with the files of an ended process.
#[test]
fn an_ended_process_that_was_cut_is_read_once_more_alone() {
    let mut world = World::new("cut");
    world.worker(0, 100, 1);
    world.counts(100, 1.0, 1.0);
    for pid in [1000, 1001] {
        world.counts(pid, 2.0, 1.0);
    }
    world.files.store.limits.entries = 2;
    assert_eq!(world.read(), ["heat{worker=\"0\"} 1", "hits_total 5"]);
    assert!(!world.has_files(1000) && !world.has_files(1001));
}
