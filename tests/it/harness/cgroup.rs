//! Cgroups with limits, below our own (cgroups(7)).

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Instant;
use std::{fs, io, thread};

use super::{example, patience};

/// A limit of a cgroup.
#[derive(Clone, Copy, Debug)]
pub enum Limit {
    /// So much CPU time in each period, us.
    Cpu { quota: u32, period: u32 },
    /// Memory with swap, bytes.
    Memory(u64),
    /// Processes and threads.
    Pids(u32),
}

/// A file, and what is written into it. It may be missing if it is optional (true).
type Setting = (&'static str, String, bool);

impl Limit {
    fn controller(self) -> &'static str {
        match self {
            Self::Cpu { .. } => "cpu",
            Self::Memory(_) => "memory",
            Self::Pids(_) => "pids",
        }
    }

    fn version_1(self) -> Vec<Setting> {
        match self {
            Self::Cpu { quota, period } => vec![
                ("cpu.cfs_period_us", period.to_string(), false),
                ("cpu.cfs_quota_us", quota.to_string(), false),
            ],
            Self::Memory(bytes) => vec![
                ("memory.limit_in_bytes", bytes.to_string(), false),
                ("memory.memsw.limit_in_bytes", bytes.to_string(), true),
            ],
            Self::Pids(count) => vec![("pids.max", count.to_string(), false)],
        }
    }

    fn version_2(self) -> Vec<Setting> {
        match self {
            Self::Cpu { quota, period } => vec![("cpu.max", format!("{quota} {period}"), false)],
            Self::Memory(bytes) => vec![
                ("memory.max", bytes.to_string(), false),
                ("memory.swap.max", "0".into(), true),
            ],
            Self::Pids(count) => vec![("pids.max", count.to_string(), false)],
        }
    }
}

/// Separate cgroups with limits, one for each controller of version 1. Removed on drop, when they are empty.
#[derive(Debug)]
pub struct Cgroup {
    dirs: Vec<PathBuf>,
}

impl Cgroup {
    /// Fails where none can be made: no permission, a file system that is read-only, no controller.
    pub fn new(name: &str, limits: &[Limit]) -> io::Result<Self> {
        let name = format!("rpm-runtime-{name}-{}", std::process::id());
        let own = fs::read_to_string("/proc/self/cgroup")?;
        let mut made = Self { dirs: Vec::new() };
        for limit in limits {
            let controller = limit.controller();
            let missing = || io::Error::other(format!("no cgroup with {controller}"));
            // Version 1; or version 2 if version 1 does not have the controller.
            let (parent, files) = if let Some(path) = member(&own, controller) {
                (Path::new(controller).join(path), limit.version_1())
            } else {
                let path = member(&own, "").ok_or_else(missing)?;
                (PathBuf::from(path), limit.version_2())
            };
            let parent = Path::new("/sys/fs/cgroup").join(parent);
            let dir = parent.join(&name);
            if !made.dirs.contains(&dir) {
                fs::create_dir(&dir)?;
                made.dirs.push(dir.clone());
            }
            for (file, value, optional) in files {
                let file = dir.join(file);
                if file.exists() || !optional {
                    fs::write(file, value)?;
                }
            }
        }
        Ok(made)
    }

    /// Changes a limit while processes are inside, as an in-place resize does.
    #[track_caller]
    pub fn set(&self, limit: Limit) {
        let has = |dir: &PathBuf, files: &[Setting]| dir.join(files[0].0).exists();
        let (old, new) = (limit.version_1(), limit.version_2());
        let mut dirs = self.dirs.iter();
        let found = dirs.find_map(|dir| {
            let files = [&old, &new].into_iter().find(|files| has(dir, files));
            files.map(|files| (dir, files))
        });
        let (dir, files) = found.expect("a cgroup with that controller");
        // In both orders: memory must stay below memory with swap.
        for last in [false, true] {
            for (file, value, optional) in files.iter().rev().chain(files) {
                let written = fs::write(dir.join(file), value);
                if last && (!optional || dir.join(file).exists()) {
                    written.unwrap();
                }
            }
        }
    }

    /// A command that enters and executes another one.
    pub fn enter(&self) -> [OsString; 4] {
        let lists = self.dirs.iter().map(|dir| dir.join("cgroup.procs"));
        let enter = lists.map(|list| format!("echo $$ > {} && ", list.display()));
        let script = format!("{}exec \"$@\"", enter.collect::<String>());
        ["sh", "-c", &script, "sh"].map(Into::into)
    }

    /// A command that enters and executes another one, which learns nothing of cpusets and affinity: what counts is the quota,
    /// and not the CPUs of this machine. `denied` is more that examples/deny refuses. Needs root.
    pub fn enter_with_any_cpus(&self, denied: &[&str]) -> Vec<OsString> {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap();
        let root = Path::new("/sys/fs/cgroup");
        let old = member(&own, "cpuset").map(|path| root.join("cpuset").join(path));
        let dirs = self.dirs.iter().map(PathBuf::as_path).chain(old.as_deref());
        let files = dirs.flat_map(Path::ancestors).flat_map(|dir| {
            let names = [
                "cpuset.cpus.effective",
                "cpuset.effective_cpus",
                "cpuset.cpus",
            ];
            names.map(|name| dir.join(name))
        });
        let hide = files.filter(|file| file.exists());
        let hide = hide.map(|file| format!("mount --bind /dev/null {} && ", file.display()));
        let script = format!("{}exec \"$@\"", hide.collect::<String>());
        let mut words: Vec<OsString> = self.enter().into();
        words.extend(["unshare", "--mount", "sh", "-c", &script, "sh"].map(Into::into));
        words.push(example("deny").into());
        words.push([&["affinity"], denied].concat().join(",").into());
        words
    }

    /// Moves a process in.
    #[track_caller]
    pub fn take(&self, pid: i32) {
        for dir in &self.dirs {
            fs::write(dir.join("cgroup.procs"), pid.to_string()).unwrap();
        }
    }

    /// Moves a process out, to where this test is.
    #[track_caller]
    pub fn release(&self, pid: i32) {
        for dir in &self.dirs {
            fs::write(dir.join("../cgroup.procs"), pid.to_string()).unwrap();
        }
    }

    /// Whether the process is inside.
    pub fn holds(&self, pid: i32) -> bool {
        self.dirs.iter().all(|dir| {
            let members = fs::read_to_string(dir.join("cgroup.procs")).unwrap();
            members.lines().any(|line| line == pid.to_string())
        })
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let end = Instant::now() + patience();
        for dir in &self.dirs {
            while fs::remove_dir(dir).is_err() && Instant::now() < end {
                thread::yield_now();
            }
        }
    }
}

/// The path of our cgroup of that controller; of version 2 if it has no name.
fn member<'a>(own: &'a str, controller: &str) -> Option<&'a str> {
    own.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let fits = parts.next()?.split(',').any(|name| name == controller);
        Some(parts.next()?.trim_start_matches('/')).filter(|_| fits)
    })
}
