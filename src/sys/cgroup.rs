//! Limits of this process: CPU time, CPUs, memory, processes (cgroups(7)). Reads version 1, version 2 and a mix of
//! both, for our own cgroup and every visible parent, because the tightest limit applies. A missing or unknown value
//! counts as no limit and is never an error.

mod oom;
mod pressure;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;

pub use oom::{Kills, Oom};
pub use pressure::{Pressure, Stall};

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

/// Reads the limits of this process. `root` is the root directory: `/`, or a fixture in tests.
pub fn read(root: &Path) -> CgroupLimits {
    let mounts = mounts(root);
    let mut limits = CgroupLimits::default();
    for (controllers, path) in memberships(root) {
        if controllers.is_empty() {
            for dir in levels(root, &mounts, None, &path) {
                limits.tighten(&version_2(&dir));
            }
        }
        for controller in controllers {
            for dir in levels(root, &mounts, Some(&controller), &path) {
                limits.tighten(&version_1(&dir, &controller));
            }
        }
    }
    limits
}

/// The cgroups of this process: their controllers (empty for version 2) and path.
fn memberships(root: &Path) -> Vec<(Vec<Vec<u8>>, PathBuf)> {
    let own = fs::read(root.join("proc/self/cgroup")).unwrap_or_default();
    let of = |line: &[u8]| {
        let mut parts = line.splitn(3, |byte| *byte == b':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        let controllers = controllers.split(|byte| *byte == b',');
        let controllers = controllers.filter(|name| !name.is_empty());
        Some((
            controllers.map(<[u8]>::to_vec).collect(),
            PathBuf::from(OsStr::from_bytes(path)),
        ))
    };
    lines(&own).filter_map(of).collect()
}

fn mounts(root: &Path) -> Vec<Mount> {
    let mounts = fs::read(root.join("proc/self/mountinfo")).unwrap_or_default();
    lines(&mounts).filter_map(mount).collect()
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

/// A mounted cgroup hierarchy, or a part of one.
struct Mount {
    /// The cgroup that the mount shows.
    root: PathBuf,
    point: PathBuf,
    /// The controllers and options of a version 1 mount; `None` is version 2.
    options: Option<Vec<Vec<u8>>>,
}

/// One line of mountinfo (proc_pid_mountinfo(5)): id, parent, device, root, mount point, options, tags, `-`, type,
/// source, super block's options.
fn mount(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let root = unescape(fields.nth(3)?);
    let point = unescape(fields.next()?);
    let mut fields = fields.skip_while(|field| *field != b"-").skip(1);
    let kind = fields.next()?;
    let options = match kind {
        b"cgroup2" => None,
        b"cgroup" => Some(
            fields
                .nth(1)?
                .split(|byte| *byte == b',')
                .map(<[u8]>::to_vec)
                .collect(),
        ),
        _ => return None,
    };
    Some(Mount {
        root: root.into(),
        point: point.into(),
        options,
    })
}

/// Decodes blanks, tabs, line ends and backslashes, which mountinfo writes as `\ooo`.
fn unescape(field: &[u8]) -> OsString {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let code = (*first == b'\\')
            .then(|| after.get(..3))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        out.push(code.unwrap_or(*first));
        rest = match code {
            Some(_) => after.get(3..).unwrap_or_default(),
            None => after,
        };
    }
    OsString::from_vec(out)
}

/// The directories of the cgroup `path` and of its parents, as far as they are mounted. If the root of our cgroup
/// namespace is not the root of the mount, our place below the mount is unknown; then the mount point itself is used.
fn levels(root: &Path, mounts: &[Mount], controller: Option<&[u8]>, path: &Path) -> Vec<PathBuf> {
    let ours: Vec<&Mount> = mounts
        .iter()
        .filter(|mount| match (&mount.options, controller) {
            (None, None) => true,
            (Some(options), Some(controller)) => options.iter().any(|option| option == controller),
            _ => false,
        })
        .collect();
    let plain = |path: &Path| !path.components().any(|part| part == Component::ParentDir);
    let below = |mount: &&Mount| {
        let rest = path.strip_prefix(&mount.root).ok()?;
        plain(path).then(|| (mount.point.clone(), rest.to_owned()))
    };
    let mut found: Vec<(PathBuf, PathBuf)> = ours.iter().filter_map(below).collect();
    if found.is_empty() {
        let first = ours
            .first()
            .map(|mount| (mount.point.clone(), PathBuf::new()));
        found.extend(first);
    }
    let mut dirs = Vec::new();
    for (point, rest) in found {
        let point = root.join(point.strip_prefix("/").unwrap_or(&point));
        dirs.extend(rest.ancestors().map(|part| point.join(part)));
    }
    dirs
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
}

fn text(dir: &Path, file: &str) -> Option<String> {
    fs::read_to_string(dir.join(file)).ok()
}

/// Parses a file that holds one number; `None` for `max` and `-1`.
fn number(dir: &Path, file: &str) -> Option<u64> {
    text(dir, file)?.trim().parse().ok()
}

#[cfg(test)]
mod tests;
