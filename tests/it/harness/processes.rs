//! Processes from /proc.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// One row of the process table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    pub pid: i32,
    pub name: String,
    pub state: char,
    pub parent: i32,
    pub group: i32,
    pub session: i32,
}

impl Process {
    pub fn is_zombie(&self) -> bool {
        self.state == 'Z'
    }
}

/// `None` if the process does not exist.
pub fn process(pid: i32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may contain blanks and parentheses.
    let (head, tail) = stat.rsplit_once(") ")?;
    let mut fields = tail.split(' ');
    Some(Process {
        pid,
        name: head.split_once('(')?.1.to_owned(),
        state: fields.next()?.chars().next()?,
        parent: fields.next()?.parse().ok()?,
        group: fields.next()?.parse().ok()?,
        session: fields.next()?.parse().ok()?,
    })
}

/// The threads of a process by name, in order, each with its folder in /proc.
pub fn threads(pid: i32) -> Vec<(String, PathBuf)> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"));
    let named = tasks.into_iter().flatten().filter_map(|task| {
        let path = task.ok()?.path();
        let name = fs::read_to_string(path.join("comm")).ok()?;
        Some((name.trim_end().to_owned(), path))
    });
    let mut threads: Vec<_> = named.collect();
    threads.sort();
    threads
}

/// How long the threads of that process have waited for a CPU so far, in all (sched(7)). Zero if it has ended.
pub fn waited_for_cpu(pid: i32) -> Duration {
    let waited = threads(pid).into_iter().filter_map(|(_, path)| {
        let text = fs::read_to_string(path.join("schedstat")).ok()?;
        text.split_whitespace().nth(1)?.parse::<u64>().ok()
    });
    Duration::from_nanos(waited.sum())
}

pub fn all() -> Vec<Process> {
    let entries = fs::read_dir("/proc").unwrap();
    entries
        .filter_map(|entry| process(entry.ok()?.file_name().to_str()?.parse().ok()?))
        .collect()
}

/// Children of `pid`, including zombies, sorted by PID.
pub fn children(pid: i32) -> Vec<Process> {
    let mut found: Vec<_> = all()
        .into_iter()
        .filter(|process| process.parent == pid)
        .collect();
    found.sort_by_key(|process| process.pid);
    found
}

/// All descendants of `pid`, including zombies.
pub fn descendants(pid: i32) -> Vec<Process> {
    let all = all();
    let mut found: Vec<Process> = Vec::new();
    let mut parents = vec![pid];
    while let Some(parent) = parents.pop() {
        for process in all.iter().filter(|process| process.parent == parent) {
            parents.push(process.pid);
            found.push(process.clone());
        }
    }
    found
}

/// Living processes whose environment contains `entry`, wherever they are in the process tree.
pub fn marked(entry: &str) -> Vec<Process> {
    let bears = |process: &Process| {
        let environment = fs::read(format!("/proc/{}/environ", process.pid)).unwrap_or_default();
        environment
            .split(|byte| *byte == 0)
            .any(|word| word == entry.as_bytes())
    };
    all()
        .into_iter()
        .filter(|process| !process.is_zombie())
        .filter(bears)
        .collect()
}
