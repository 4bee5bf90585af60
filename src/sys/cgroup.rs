//! Limits of this process: CPU time, CPUs, memory, processes (cgroups(7)). Reads version 1, version 2 and a mix of
//! both, for our own cgroup and every visible parent, because the tightest limit applies. A missing or unknown value
//! counts as no limit and is never an error.

mod looks;
mod oom;
mod parse;
mod places;
mod pressure;
#[cfg(test)]
pub mod testing;
mod usage;

use std::fs;
use std::io::Read;
use std::path::Path;

use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;

pub use looks::LimitFiles;
pub use oom::{Kills, Oom};
pub use places::Places;
pub use pressure::{Pressure, Stall};
pub use usage::Usage;

/// The tightest visible limits; `None` where there is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CgroupLimits {
    /// CPU quota in thousandths of a CPU, rounded up.
    pub cpu_milli: Option<u64>,
    /// CPUs in the cpuset.
    pub cpuset: Option<u32>,
    /// Memory, bytes.
    pub memory: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
}

impl Places {
    /// The tightest limits of our cgroups and their parents.
    pub fn limits(&self) -> CgroupLimits {
        let mut limits = CgroupLimits::default();
        for dir in self.unified() {
            limits.tighten(&version_2(dir));
        }
        for (controller, dirs) in self.legacy() {
            for dir in dirs {
                limits.tighten(&version_1(dir, controller));
            }
        }
        limits
    }
}

/// CPUs that this thread may run on; `None` if the kernel has more CPUs than the mask has bits (1024).
pub fn affinity() -> Option<u32> {
    let mask = sched_getaffinity(Pid::from_raw(0)).ok()?;
    let count = (0..CpuSet::count())
        .filter(|cpu| mask.is_set(*cpu) == Ok(true))
        .count();
    u32::try_from(count).ok().filter(|count| *count > 0)
}

/// CPUs of the machine that are online, whatever this process may use; `None` if /sys does not show them.
pub fn online(root: &Path) -> Option<u32> {
    let list = text(&root.join("sys/devices/system/cpu"), "online")?;
    parse::cpus(&list).ok()?
}

impl CgroupLimits {
    fn tighten(&mut self, other: &Self) {
        fn min<T: Ord>(a: Option<T>, b: Option<T>) -> Option<T> {
            a.into_iter().chain(b).min()
        }
        self.cpu_milli = min(self.cpu_milli, other.cpu_milli);
        self.cpuset = min(self.cpuset, other.cpuset);
        self.memory = min(self.memory, other.memory);
        self.pids = min(self.pids, other.pids);
    }
}

fn version_2(dir: &Path) -> CgroupLimits {
    CgroupLimits {
        cpu_milli: text(dir, "cpu.max").and_then(|text| parse::quota(&text).ok()?),
        cpuset: text(dir, "cpuset.cpus.effective").and_then(|list| parse::cpus(&list).ok()?),
        memory: text(dir, "memory.max").and_then(|text| parse::memory(&text).ok()?),
        pids: number(dir, "pids.max"),
    }
}

fn version_1(dir: &Path, controller: &[u8]) -> CgroupLimits {
    let mut limits = CgroupLimits::default();
    match controller {
        b"cpu" => {
            let quota = text(dir, "cpu.cfs_quota_us").zip(text(dir, "cpu.cfs_period_us"));
            limits.cpu_milli = quota
                .and_then(|(quota, period)| parse::quota_of_version_1(&quota, &period).ok()?);
        }
        b"cpuset" => {
            let list = text(dir, "cpuset.effective_cpus").or_else(|| text(dir, "cpuset.cpus"));
            limits.cpuset = list.and_then(|list| parse::cpus(&list).ok()?);
        }
        b"memory" => {
            let limit = text(dir, "memory.limit_in_bytes");
            limits.memory = limit.and_then(|text| parse::memory(&text).ok()?);
        }
        b"pids" => limits.pids = number(dir, "pids.max"),
        _ => {}
    }
    limits
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
}

fn text(dir: &Path, file: &str) -> Option<String> {
    String::from_utf8(contents(&dir.join(file))?).ok()
}

/// Reads a file of the kernel. Such a file tells no size, and the standard library would begin with 32 bytes at a time.
fn contents(file: &Path) -> Option<Vec<u8>> {
    let (mut file, mut read) = (fs::File::open(file).ok()?, Vec::new());
    loop {
        let length = read.len();
        read.resize(length + 4096, 0);
        let count = file.read(read.get_mut(length..)?).ok()?;
        read.truncate(length + count);
        if count == 0 {
            return Some(read);
        }
    }
}

/// Parses a file that holds one number; `None` for `max` and `-1`.
fn number(dir: &Path, file: &str) -> Option<u64> {
    text(dir, file)?.trim().parse().ok()
}

#[cfg(test)]
mod tests;
