//! What the out-of-memory (OOM) killer did in our cgroup, and what it would kill (the kernel's cgroup-v2 and memcg
//! texts).

use std::path::{Path, PathBuf};

use super::{Places, lines, number};

/// Number of OOM kills since the cgroup was created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kills {
    /// Processes killed, in this cgroup and below it.
    pub processes: u64,
    /// Times that a whole cgroup was killed (version 2).
    pub groups: u64,
}

/// The files in which the kernel counts OOM kills of our cgroup. Found once, read often.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Oom {
    /// `memory.events` (version 2) or `memory.oom_control` (version 1).
    counters: Option<PathBuf>,
    /// Our cgroup and its visible parents (version 2).
    groups: Vec<PathBuf>,
}

impl Oom {
    /// Looks for the files. A missing file is not an error.
    pub fn find(places: &Places) -> Self {
        let file = |dir: Option<&Path>, name: &str| {
            let file = dir?.join(name);
            file.exists().then_some(file)
        };
        // Where both versions are mounted, only one of them has the memory controller.
        let legacy = file(places.own_legacy(b"memory"), "memory.oom_control");
        Self {
            counters: legacy.or_else(|| file(places.own_unified(), "memory.events")),
            groups: places.unified().to_vec(),
        }
    }

    /// The number of kills; `None` if the kernel does not report it (version 1 before Linux 4.13, or no memory
    /// controller).
    pub fn kills(&self) -> Option<Kills> {
        let bytes = std::fs::read(self.counters.as_ref()?).ok()?;
        let count = |key: &str| {
            let mut found = lines(&bytes).filter_map(|line| {
                let (name, value) = std::str::from_utf8(line).ok()?.split_once(' ')?;
                (name == key).then(|| value.trim().parse::<u64>().ok())?
            });
            found.next()
        };
        Some(Kills {
            processes: count("oom_kill")?,
            groups: count("oom_group_kill").unwrap_or(0),
        })
    }

    /// Whether the OOM kill of one worker kills the whole container: `memory.oom.group` is set for our cgroup
    /// (Kubernetes does so) or for a visible parent.
    pub fn takes_all(&self) -> bool {
        self.groups
            .iter()
            .any(|dir| number(dir, "memory.oom.group") == Some(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::cgroup::testing::Tree;

    fn find(case: &str) -> Oom {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/cgroup");
        Oom::find(&Places::find(&Path::new(root).join(case)))
    }

    fn kills(processes: u64, groups: u64) -> Kills {
        Kills { processes, groups }
    }

    #[test]
    fn version_2_counts_processes_and_groups() {
        assert_eq!(find("v2").kills(), Some(kills(3, 1)));
        assert_eq!(
            find("v2_namespaced").kills(),
            Some(kills(7, 0)),
            "before 5.17"
        );
    }

    #[test]
    fn version_1_counts_processes() {
        assert_eq!(find("v1").kills(), Some(kills(2, 0)));
        assert_eq!(
            find("hybrid").kills(),
            Some(kills(5, 0)),
            "not the other version's"
        );
        assert_eq!(find("v1_container").kills(), None, "before 4.13");
    }

    #[test]
    fn a_group_is_taken_where_it_or_one_above_says_so() {
        assert!(find("v2_namespaced").takes_all());
        assert!(find("v2_tighter_parent").takes_all(), "the pod says so");
        for case in ["v2", "v1", "hybrid", "garbage", "no_files"] {
            assert!(!find(case).takes_all(), "{case}");
        }
    }

    #[test]
    fn what_is_missing_or_odd_is_not_known() {
        for case in ["garbage", "no_files", "there is no such directory"] {
            assert_eq!(find(case).kills(), None, "{case}");
        }
    }

    #[test]
    fn what_is_found_is_read_anew_each_time() {
        let tree = Tree::namespaced("oom");
        let say = |text: &str| tree.write("memory.events", text);
        say("low 0\noom 1\noom_kill 0\noom_group_kill 0\n");
        let oom = Oom::find(&tree.places());
        assert_eq!(oom.kills(), Some(kills(0, 0)));
        say("low 0\noom 2\noom_kill 1\noom_group_kill 0\n");
        assert_eq!(oom.kills(), Some(kills(1, 0)));
        drop(tree);
        assert_eq!(oom.kills(), None);
    }
}
