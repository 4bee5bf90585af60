//! A tree that stands for the root directory of a container, for tests that change its cgroups.

use std::fs;
use std::path::{Path, PathBuf};

use super::Places;

/// Removed when it is dropped.
pub struct Tree(PathBuf);

impl Tree {
    /// The only mount of version 2.
    pub const V2: &str = "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";

    /// With /proc/self/cgroup (`member`) and mountinfo (`mounts`), and no cgroup yet. `name` is of the test.
    pub fn new(name: &str, member: &str, mounts: &str) -> Self {
        let root = std::env::temp_dir().join(format!("rpm-cgroup-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root); // left by an earlier process with our PID
        fs::create_dir_all(root.join("proc/self")).unwrap();
        fs::create_dir_all(root.join("sys/fs/cgroup")).unwrap();
        fs::write(root.join("proc/self/cgroup"), member).unwrap();
        fs::write(root.join("proc/self/mountinfo"), mounts).unwrap();
        Self(root)
    }

    /// A container with a namespace of its own: its cgroup of version 2 is the root.
    pub fn namespaced(name: &str) -> Self {
        Self::new(name, "0::/\n", Self::V2)
    }

    /// The root directory.
    pub fn root(&self) -> &Path {
        &self.0
    }

    /// A file or directory below the mount point.
    pub fn path(&self, file: &str) -> PathBuf {
        self.0.join("sys/fs/cgroup").join(file)
    }

    /// Writes a file of a cgroup, and makes the cgroup if it is not there.
    pub fn write(&self, file: &str, text: &str) {
        let path = self.path(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// What is found in it.
    pub fn places(&self) -> Places {
        Places::find(&self.0)
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
