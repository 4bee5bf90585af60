//! What our cgroup uses, and how long its CPU limit held it up (the kernel's texts cgroup-v2 and sched-bwc).

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Places, text};

/// The files in which the kernel counts. Found once, read often.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// `memory.current` (version 2) or `memory.usage_in_bytes` (version 1).
    memory: Option<PathBuf>,
    /// The directory of `cpu.stat`.
    cpu: Option<PathBuf>,
}

impl Usage {
    /// Looks for the files. A missing one is not an error. Where both versions are mounted, only one of them has the
    /// controller.
    pub fn find(places: &Places) -> Self {
        let unified = places.own_unified();
        let [memory, cpu] = [&b"memory"[..], b"cpu"].map(|name| places.own_legacy(name));
        let memory = memory.map(|dir| dir.join("memory.usage_in_bytes"));
        Self {
            memory: memory.or_else(|| Some(unified?.join("memory.current"))),
            cpu: cpu.or(unified).map(Path::to_owned),
        }
    }

    /// Memory that is charged to our cgroup and those below it, bytes, with the page cache. `None` in the root cgroup
    /// and without the controller.
    pub fn memory(&self) -> Option<u64> {
        let used = fs::read_to_string(self.memory.as_deref()?).ok()?;
        used.trim().parse().ok()
    }

    /// How long processes of our cgroup were kept from a CPU because its quota was used up, summed over the CPUs. `None`
    /// without the controller.
    pub fn throttled(&self) -> Option<Duration> {
        let stat = text(self.cpu.as_deref()?, "cpu.stat")?;
        let value = |key: &str| {
            let rest = stat.lines().find_map(|line| line.strip_prefix(key))?;
            rest.strip_prefix(' ')?.trim().parse().ok()
        };
        // Version 2 counts in us, version 1 in ns.
        let micros = value("throttled_usec").map(Duration::from_micros);
        micros.or_else(|| value("throttled_time").map(Duration::from_nanos))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(case: &str) -> (Option<u64>, Option<Duration>) {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/cgroup");
        let usage = Usage::find(&Places::find(&Path::new(root).join(case)));
        (usage.memory(), usage.throttled())
    }

    #[test]
    fn each_version_tells_memory_and_throttling_of_our_own_cgroup() {
        let micros = |count| Some(Duration::from_micros(count));
        assert_eq!(used("v2"), (Some(123_456_789), micros(4_500_000)));
        assert_eq!(
            used("v1"),
            (Some(33_554_432), micros(2_500_000)),
            "ns there"
        );
        assert_eq!(
            used("hybrid"),
            (Some(4096), micros(7)),
            "of the version that has the controller"
        );
    }

    #[test]
    fn what_the_kernel_does_not_count_is_absent() {
        assert_eq!(used("v2_namespaced"), (None, None), "no controllers");
        for case in ["garbage", "no_files", "not there"] {
            assert_eq!(used(case), (None, None), "{case}");
        }
    }
}
