//! Which processes a worker consists of: its program may be a shell, and may have forked.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{self, Read};
use std::path::Path;

use crate::model::Pid;

use super::proc::Proc;

/// As much of /proc/PID/stat as is read: the fields up to the number of threads come early.
const STAT_HEAD: usize = 512;

/// One process of /proc.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number; not a [`Pid`], since init is one too.
    pub pid: i32,
    /// Its parent's.
    pub parent: i32,
    /// Its process group.
    pub group: i32,
    /// The letter of its main thread's state (proc(5)).
    pub state: u8,
    /// Its threads.
    pub threads: u32,
}

impl Process {
    /// It has ended, whether or not it is reaped. One whose main thread alone has ended has not.
    pub fn is_over(&self) -> bool {
        self.is_headless() && self.threads <= 1
    }

    /// Its main thread has ended, so that its own files in /proc are those of nobody.
    pub fn is_headless(&self) -> bool {
        matches!(self.state, b'Z' | b'X' | b'x')
    }
}

/// All processes at one moment, or as near to one as reading them one by one gets.
#[derive(Debug, Default)]
pub struct Processes {
    rows: Vec<Process>,
    /// Places in `rows`.
    children: HashMap<i32, Vec<usize>>,
    members: HashMap<i32, Vec<usize>>,
}

impl Processes {
    /// Orders them by parent and group.
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

    /// Those in the group that `leader` leads or led, itself among them whatever its group.
    pub fn group(&self, leader: Pid) -> Vec<Process> {
        let raw = leader.get();
        let own = self.rows.iter().filter(|row| row.pid == raw);
        let others = places(&self.members, raw).filter_map(|place| self.rows.get(place));
        own.chain(others.filter(|row| row.pid != raw))
            .copied()
            .collect()
    }

    /// The same and all descendants of theirs, wherever these have gone: all that belongs to a worker, but for what has
    /// left the group and was then left by its parent.
    pub fn family(&self, leader: Pid) -> Vec<Process> {
        let mut found = self.group(leader);
        // The rows are not of one moment, so that a number that was used twice may even close a circle.
        let mut known: HashSet<i32> = found.iter().map(|row| row.pid).collect();
        let mut next = 0;
        while let Some(parent) = found.get(next).map(|row| row.pid) {
            next += 1;
            let children = places(&self.children, parent);
            for child in children.filter_map(|place| self.rows.get(place)) {
                // Nobody is a child of a worker and parent of all.
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
    /// Reads every process that can be read: one that ends meanwhile, or that is hidden from us (`hidepid`), is
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

/// Reads a `stat` file; `None` if it has an unknown form.
pub(super) fn stat_head(path: &Path) -> io::Result<Option<Process>> {
    let mut head = [0; STAT_HEAD];
    // One read: the kernel gives as much of the line as there is room for.
    let len = fs::File::open(path)?.read(&mut head)?;
    Ok(parse(head.get(..len).unwrap_or_default()))
}

/// The name is in parentheses and may hold parentheses, but no field behind it does.
fn parse(text: &[u8]) -> Option<Process> {
    let end = text.iter().rposition(|byte| *byte == b')')?;
    let pid = text.split(|byte| *byte == b' ').next()?;
    let pid = std::str::from_utf8(pid).ok()?.parse().ok()?;
    let rest = std::str::from_utf8(text.get(end + 1..)?).ok()?;
    // Field 3 is the first.
    let mut fields = rest.split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    let parent = fields.next()?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    let threads = fields.nth(14)?.parse().ok()?;
    Some(Process {
        pid,
        parent,
        group,
        state,
        threads,
    })
}

#[cfg(test)]
#[path = "family_tests.rs"]
mod tests;
