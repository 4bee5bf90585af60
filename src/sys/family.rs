//! Finds the processes of a worker: the program may be a shell, and it may have forked.

use std::cell::OnceCell;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs;
use std::io::{self, Read};
use std::path::Path;

use crate::model::{Kinship, Pid};

use super::place;
use super::proc::Proc;

/// Bytes read of /proc/PID/stat. The fields up to the time of its start come early.
const STAT_HEAD: usize = 512;

/// One process of /proc.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// The PID. Not a [`Pid`], because init is among them.
    pub pid: i32,
    /// The PID of the parent.
    pub parent: i32,
    /// The process group.
    pub group: i32,
    /// The state letter of the main thread (proc(5)).
    pub state: u8,
    /// The number of threads.
    pub threads: u32,
    /// When it started, in clock ticks since the system's start.
    pub started: u64,
}

impl Process {
    /// A made-up one.
    #[cfg(test)]
    pub(crate) fn asleep(pid: i32, parent: i32, group: i32) -> Self {
        Self {
            pid,
            parent,
            group,
            state: b'S',
            threads: 1,
            started: 0,
        }
    }

    /// Whether both are the same process: the kernel reuses PIDs.
    pub fn is(&self, other: &Self) -> bool {
        (self.pid, self.started) == (other.pid, other.started)
    }

    /// The process has ended, reaped or not. A process of which only the main thread has ended still lives.
    pub fn is_over(&self) -> bool {
        self.is_headless() && self.threads <= 1
    }

    /// The main thread has ended. The process's own files in /proc then show nothing.
    pub fn is_headless(&self) -> bool {
        matches!(self.state, b'Z' | b'X' | b'x')
    }
}

/// A snapshot of all processes. The rows are read one by one, so it is not exact.
#[derive(Debug, Default)]
pub struct Processes {
    rows: Vec<Process>,
    /// Indexes into `rows`.
    children: HashMap<i32, Vec<usize>>,
    members: HashMap<i32, Vec<usize>>,
    gone: OnceCell<BTreeSet<i32>>,
}

impl Processes {
    /// Indexes the rows by parent and group.
    pub fn new(rows: Vec<Process>) -> Self {
        let mut this = Self {
            rows,
            ..Self::default()
        };
        for (place, row) in this.rows.iter().enumerate() {
            this.children.entry(row.parent).or_default().push(place);
            this.members.entry(row.group).or_default().push(place);
        }
        this
    }

    /// All processes.
    pub fn all(&self) -> &[Process] {
        &self.rows
    }

    /// The parents that are not among the processes: they have ended since their children were read.
    pub fn gone_parents(&self) -> &BTreeSet<i32> {
        self.gone.get_or_init(|| {
            let there: HashSet<i32> = self.rows.iter().map(|row| row.pid).collect();
            let parents = self.children.keys().copied();
            // That of a process from outside of our PID namespace is 0.
            parents
                .filter(|pid| *pid > 1 && !there.contains(pid))
                .collect()
        })
    }

    /// The children of a process.
    pub fn children(&self, parent: i32) -> impl Iterator<Item = Process> {
        places(&self.children, parent).filter_map(|place| self.rows.get(place).copied())
    }

    /// The processes in the group that `leader` leads or led. Includes the leader itself, whatever its group is.
    pub fn group(&self, leader: Pid) -> Vec<Process> {
        let raw = leader.get();
        let own = self.rows.iter().filter(|row| row.pid == raw);
        let others = places(&self.members, raw).filter_map(|place| self.rows.get(place));
        own.chain(others.filter(|row| row.pid != raw))
            .copied()
            .collect()
    }

    /// The group and all its descendants, in whatever group these are. That is all of a worker, except processes that
    /// left the group and then lost their parent.
    pub fn family(&self, leader: Pid) -> Vec<Process> {
        let mut found = self.group(leader);
        // The rows were not read at the same moment, so a reused PID may even close a cycle.
        let mut known: HashSet<i32> = found.iter().map(|row| row.pid).collect();
        let mut next = 0;
        while let Some(parent) = found.get(next).map(|row| row.pid) {
            next += 1;
            let children = places(&self.children, parent);
            for child in children.filter_map(|place| self.rows.get(place)) {
                // Init is never a child of a worker, and it is the parent of all orphans.
                if child.pid > 1 && known.insert(child.pid) {
                    found.push(*child);
                }
            }
        }
        found
    }
}

fn places(of: &HashMap<i32, Vec<usize>>, number: i32) -> impl Iterator<Item = usize> {
    of.get(&number).into_iter().flatten().copied()
}

impl Proc {
    /// Reads one process; `None` if it has ended, or if it is hidden from us.
    pub fn process(&self, pid: Pid) -> Option<Process> {
        stat_head(&self.root().join(pid.to_string()).join("stat")).ok()?
    }

    /// What the process `sender` is to the worker of `leader`. `adopted` says whether a process without parents belongs
    /// to it. Reads one file for each generation between the two, and not all of /proc.
    pub fn kinship(&self, sender: i32, leader: Pid, adopted: impl FnOnce(Pid) -> bool) -> Kinship {
        /// Looks, if parents end meanwhile.
        const LOOKS: u32 = 4;
        /// More generations than anybody has.
        const MOST: u32 = 1024;
        let Some(sender) = Pid::new(sender) else {
            return Kinship::Foreign;
        };
        'look: for _ in 0..LOOKS {
            let mut at = sender;
            for _ in 0..MOST {
                if at == leader {
                    return Kinship::Own;
                }
                let Some(process) = self.process(at) else {
                    if at == sender {
                        return Kinship::Gone;
                    }
                    continue 'look;
                };
                if process.group == leader.get() {
                    return Kinship::Own;
                }
                match Pid::new(process.parent) {
                    Some(parent) if parent.get() != own_pid() => at = parent,
                    // The parent is init or ourselves: all orphans come there.
                    _ if adopted(sender) => return Kinship::Adopted,
                    _ => return Kinship::Foreign,
                }
            }
        }
        Kinship::Foreign
    }

    /// Whether a process was started with this variable (proc(5), `environ`). False if that cannot be read.
    pub fn has_variable(&self, pid: Pid, variable: &[u8]) -> bool {
        /// Most bytes of an environment that are looked through.
        const MOST: usize = 1 << 20;
        let path = self.root().join(pid.to_string()).join("environ");
        place::read_head(&path, MOST)
            .is_ok_and(|text| text.split(|byte| *byte == 0).any(|one| one == variable))
    }

    /// Reads every process that is readable. Processes that end meanwhile, or that are hidden from us (`hidepid`), are
    /// missing.
    pub fn processes(&self) -> io::Result<Processes> {
        let mut rows = Vec::new();
        for entry in fs::read_dir(self.root())? {
            let name = entry?.file_name();
            if name
                .as_encoded_bytes()
                .first()
                .is_some_and(u8::is_ascii_digit)
                && let Ok(head) = stat_head(&self.root().join(name).join("stat"))
            {
                rows.extend(head);
            }
        }
        Ok(Processes::new(rows))
    }
}

fn own_pid() -> i32 {
    i32::try_from(std::process::id()).unwrap_or(0)
}

/// Reads a `stat` file; `None` if its format is unknown.
pub(super) fn stat_head(path: &Path) -> io::Result<Option<Process>> {
    let mut head = [0; STAT_HEAD];
    // One read: the kernel returns as much of the line as fits.
    let len = fs::File::open(path)?.read(&mut head)?;
    Ok(parse(head.get(..len).unwrap_or_default()))
}

/// The name is in parentheses and may contain parentheses; the fields after it do not.
fn parse(text: &[u8]) -> Option<Process> {
    let end = text.iter().rposition(|byte| *byte == b')')?;
    let pid = text.split(|byte| *byte == b' ').next()?;
    let pid = std::str::from_utf8(pid).ok()?.parse().ok()?;
    let rest = std::str::from_utf8(text.get(end + 1..)?).ok()?;
    // The first item is field 3.
    let mut fields = rest.split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    let parent = fields.next()?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    let threads = fields.nth(14)?.parse().ok()?;
    let started = fields.nth(1)?.parse().ok()?;
    Some(Process {
        pid,
        parent,
        group,
        state,
        threads,
        started,
    })
}

#[cfg(test)]
mod tests;
