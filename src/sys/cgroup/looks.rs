//! Reads the limits again while the process runs. Unlike [`Places::limits`], which serves the start, this tells a limit
//! that cannot be read from one that is not set.

use std::fmt;
use std::path::{Path, PathBuf};

use super::parse::{self, Odd};
use super::{CgroupLimits, Places, contents};

/// The files of the limits. Found once, read often.
#[derive(Debug)]
pub struct LimitFiles {
    files: Vec<LimitFile>,
}

/// One limit of one cgroup.
#[derive(Debug)]
struct LimitFile {
    path: PathBuf,
    kind: Kind,
    /// It was there once, so it must stay.
    was_there: bool,
}

#[derive(Debug)]
enum Kind {
    /// `cpu.max`.
    Quota,
    /// `cpu.cfs_quota_us`, with the path of `cpu.cfs_period_us`.
    QuotaOf(PathBuf),
    Cpuset,
    Memory,
}

/// A limit that cannot be read, or that is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    path: PathBuf,
    /// What the file holds; `None`: it cannot be read.
    holds: Option<String>,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.holds {
            None => write!(f, "{path} cannot be read any more"),
            Some(text) => write!(f, "{path} holds {text:?}, which is no limit"),
        }
    }
}

impl std::error::Error for Unreadable {}

impl LimitFiles {
    /// Looks for the files of the limits of CPUs, of memory, or of both, for our cgroups and their visible parents.
    pub fn find(places: &Places, cpus: bool, memory: bool) -> Self {
        let mut files = Vec::new();
        let mut add = |wanted: bool, path: PathBuf, kind: Kind| {
            if wanted {
                let was_there = path.exists();
                files.push(LimitFile {
                    path,
                    kind,
                    was_there,
                });
            }
        };
        for dir in places.unified() {
            add(cpus, dir.join("cpu.max"), Kind::Quota);
            add(cpus, dir.join("cpuset.cpus.effective"), Kind::Cpuset);
            add(memory, dir.join("memory.max"), Kind::Memory);
        }
        for (controller, dirs) in places.legacy() {
            for dir in dirs {
                match controller {
                    b"cpu" => {
                        let period = dir.join("cpu.cfs_period_us");
                        add(cpus, dir.join("cpu.cfs_quota_us"), Kind::QuotaOf(period));
                    }
                    b"cpuset" => add(cpus, version_1_cpuset(dir), Kind::Cpuset),
                    b"memory" => add(memory, dir.join("memory.limit_in_bytes"), Kind::Memory),
                    _ => {}
                }
            }
        }
        Self { files }
    }

    /// The tightest limits now. Fails if a file is gone that was there before, or if it holds something else than a limit.
    pub fn read(&mut self) -> Result<CgroupLimits, Unreadable> {
        let mut limits = CgroupLimits::default();
        for file in &mut self.files {
            limits.tighten(&file.read()?);
        }
        Ok(limits)
    }
}

/// The kernel has the first since Linux 3.17.
fn version_1_cpuset(dir: &Path) -> PathBuf {
    let effective = dir.join("cpuset.effective_cpus");
    if effective.exists() {
        effective
    } else {
        dir.join("cpuset.cpus")
    }
}

impl LimitFile {
    fn read(&mut self) -> Result<CgroupLimits, Unreadable> {
        let mut limits = CgroupLimits::default();
        let Some(bytes) = contents(&self.path) else {
            return if self.was_there {
                Err(self.unreadable(None))
            } else {
                Ok(limits)
            };
        };
        self.was_there = true;
        let text = String::from_utf8_lossy(&bytes);
        let parsed = match &self.kind {
            Kind::Quota => parse::quota(&text).map(|milli| limits.cpu_milli = milli),
            Kind::QuotaOf(period) => {
                let period = contents(period).unwrap_or_default();
                parse::quota_of_version_1(&text, &String::from_utf8_lossy(&period))
                    .map(|milli| limits.cpu_milli = milli)
            }
            Kind::Cpuset => parse::cpus(&text).map(|cpus| limits.cpuset = cpus),
            Kind::Memory => parse::memory(&text).map(|bytes| limits.memory = bytes),
        };
        parsed
            .map(|()| limits)
            .map_err(|Odd| self.unreadable(Some(shortened(&text))))
    }

    fn unreadable(&self, holds: Option<String>) -> Unreadable {
        let path = self.path.clone();
        Unreadable { path, holds }
    }
}

/// What a line of the log has room for.
fn shortened(text: &str) -> String {
    text.trim().chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::cgroup::testing::Tree;
    use std::fs;

    const V1: &str = "30 23 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                      31 23 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                      32 23 0:28 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n";

    fn files(tree: &Tree) -> LimitFiles {
        LimitFiles::find(&tree.places(), true, true)
    }

    fn told(limits: CgroupLimits) -> (Option<u64>, Option<u32>, Option<u64>) {
        (limits.cpu_milli, limits.cpuset, limits.memory)
    }

    #[test]
    fn what_changes_is_read_and_the_tightest_of_own_and_parents_holds() {
        let tree = Tree::new("looks-v2", "0::/pod/app\n", Tree::V2);
        tree.write("pod/app/cpu.max", "200000 100000\n");
        tree.write("pod/app/memory.max", "max\n");
        tree.write("pod/app/cpuset.cpus.effective", "0-7\n");
        tree.write("pod/cpu.max", "max 100000\n");
        let mut files = files(&tree);
        assert_eq!(told(files.read().unwrap()), (Some(2000), Some(8), None));
        tree.write("pod/app/cpu.max", "400000 100000\n");
        tree.write("pod/app/memory.max", "1048576\n");
        assert_eq!(
            told(files.read().unwrap()),
            (Some(4000), Some(8), Some(1 << 20))
        );
        tree.write("pod/cpu.max", "100000 100000\n");
        tree.write("pod/app/cpuset.cpus.effective", "0-1\n");
        assert_eq!(
            told(files.read().unwrap()),
            (Some(1000), Some(2), Some(1 << 20))
        );
        // A controller that a parent gets only later.
        tree.write("pod/memory.max", "4096\n");
        assert_eq!(files.read().unwrap().memory, Some(4096));
    }

    #[test]
    fn version_1_is_read_in_its_own_files() {
        let tree = Tree::new("looks-v1", "3:cpu:/app\n2:memory:/app\n1:cpuset:/app\n", V1);
        tree.write("cpu/app/cpu.cfs_quota_us", "-1\n");
        tree.write("cpu/app/cpu.cfs_period_us", "100000\n");
        tree.write("memory/app/memory.limit_in_bytes", "9223372036854771712\n");
        tree.write("cpuset/app/cpuset.cpus", "0-1\n");
        let mut files = files(&tree);
        assert_eq!(told(files.read().unwrap()), (None, Some(2), None));
        tree.write("cpu/app/cpu.cfs_quota_us", "150000\n");
        tree.write("memory/app/memory.limit_in_bytes", "8192\n");
        assert_eq!(
            told(files.read().unwrap()),
            (Some(1500), Some(2), Some(8192))
        );
    }

    #[test]
    fn a_limit_that_is_gone_or_holds_nonsense_is_told_from_none() {
        let tree = Tree::new("looks-odd", "0::/app\n", Tree::V2);
        tree.write("app/cpu.max", "200000 100000\n");
        let mut files = files(&tree);
        let path = tree.path("app/cpu.max");
        tree.write("app/cpu.max", "\u{1}lots of CPUs");
        let error = files.read().unwrap_err().to_string();
        let expected = format!(
            "{} holds \"\\u{{1}}lots of CPUs\", which is no limit",
            path.display()
        );
        assert_eq!(error, expected);
        fs::remove_dir_all(tree.path("app")).unwrap();
        let error = files.read().unwrap_err().to_string();
        assert_eq!(error, format!("{} cannot be read any more", path.display()));
        tree.write("app/cpu.max", "max 100000");
        assert_eq!(files.read(), Ok(CgroupLimits::default()));
    }

    #[test]
    fn only_what_is_asked_for_is_read() {
        let tree = Tree::new("looks-asked", "0::/app\n", Tree::V2);
        tree.write("app/cpu.max", "nonsense");
        tree.write("app/memory.max", "4096");
        let mut files = LimitFiles::find(&tree.places(), false, true);
        assert_eq!(told(files.read().unwrap()), (None, None, Some(4096)));
        let mut files = LimitFiles::find(&tree.places(), true, false);
        assert!(files.read().is_err());
    }
}
