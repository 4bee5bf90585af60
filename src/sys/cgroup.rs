//! Limits of this process: CPU time, CPUs, memory, processes (cgroups(7)). Reads version 1, version 2 and a mix of
//! both, for our own cgroup and every visible parent, because the tightest limit applies. A missing or unknown value
//! counts as no limit and is never an error.

mod oom;
mod places;
mod pressure;
mod usage;

use std::fs;
use std::io::Read;
use std::path::Path;

use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;

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

/// The kernel writes a memory limit above this value to say "no limit" (version 1; the exact value depends on the page
/// size).
const NO_MEMORY_LIMIT: u64 = 1 << 62;

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
    count_cpus(&list)
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
    let cpu = text(dir, "cpu.max").and_then(|text| {
        let mut words = text.split_ascii_whitespace();
        let quota = words.next()?.parse().ok()?;
        let period = words.next().map_or(Ok(100_000), str::parse).ok()?;
        milli(quota, period)
    });
    CgroupLimits {
        cpu_milli: cpu,
        cpuset: text(dir, "cpuset.cpus.effective").and_then(|list| count_cpus(&list)),
        memory: number(dir, "memory.max"),
        pids: number(dir, "pids.max"),
    }
}

fn version_1(dir: &Path, controller: &[u8]) -> CgroupLimits {
    let mut limits = CgroupLimits::default();
    match controller {
        b"cpu" => {
            // A quota of -1 means no quota; it fails to parse as an unsigned number.
            let quota = number(dir, "cpu.cfs_quota_us");
            let period = number(dir, "cpu.cfs_period_us");
            limits.cpu_milli = quota
                .zip(period)
                .and_then(|(quota, period)| milli(quota, period));
        }
        b"cpuset" => {
            let list = text(dir, "cpuset.effective_cpus").or_else(|| text(dir, "cpuset.cpus"));
            limits.cpuset = list.and_then(|list| count_cpus(&list));
        }
        b"memory" => {
            limits.memory =
                number(dir, "memory.limit_in_bytes").filter(|bytes| *bytes < NO_MEMORY_LIMIT);
        }
        b"pids" => limits.pids = number(dir, "pids.max"),
        _ => {}
    }
    limits
}

/// Thousandths of a CPU, rounded up. `None` for a quota or a period of 0, which the kernel never reports.
fn milli(quota: u64, period: u64) -> Option<u64> {
    if quota == 0 || period == 0 {
        return None;
    }
    u64::try_from((u128::from(quota) * 1000).div_ceil(u128::from(period))).ok()
}

/// Number of CPUs in a list such as `0-3,7`; `None` for an empty or malformed list.
fn count_cpus(list: &str) -> Option<u32> {
    let mut ranges = Vec::new();
    for part in list.trim().split(',') {
        let (low, high) = part.split_once('-').unwrap_or((part, part));
        let (low, high) = (low.parse::<u32>().ok()?, high.parse::<u32>().ok()?);
        if low > high {
            return None;
        }
        ranges.push((low, high));
    }
    ranges.sort_unstable();
    let mut count = 0_u64;
    let mut next = 0_u64;
    for (low, high) in ranges {
        let (low, after) = (u64::from(low).max(next), u64::from(high) + 1);
        count += after.saturating_sub(low);
        next = next.max(after);
    }
    u32::try_from(count).ok()
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
