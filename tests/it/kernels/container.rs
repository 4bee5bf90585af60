//! A container without an engine: the runtime is PID 1 in namespaces of its own, without any privilege, in a cgroup of
//! version 2 that is the root of what it sees.

use std::fs;
use std::path::PathBuf;

use crate::harness::{Builder, Runtime, example, until};

/// The cgroup of a container, in that of a pod. Both are removed on drop.
pub struct Container {
    pod: PathBuf,
    own: PathBuf,
}

impl Container {
    /// With these files of the container's cgroup, such as `("cpu.max", "150000 100000")`.
    #[track_caller]
    pub fn new(name: &str, limits: &[(&str, &str)]) -> Self {
        let root = PathBuf::from("/sys/fs/cgroup");
        let pod = root.join(format!("pod-{name}"));
        let own = pod.join("app");
        fs::create_dir(&pod).unwrap_or_else(|error| panic!("{error}: only for `make kernels`"));
        fs::write(pod.join("cgroup.subtree_control"), "+cpu +memory +pids").unwrap();
        fs::create_dir(&own).unwrap();
        let container = Self { pod, own };
        for (file, value) in limits {
            container.set(file, value);
        }
        container
    }

    /// Writes a file of the cgroup, as the kubelet does for a resize.
    #[track_caller]
    pub fn set(&self, file: &str, value: &str) {
        let done = fs::write(self.own.join(file), value);
        done.unwrap_or_else(|error| panic!("{file}={value}: {error}"));
    }

    /// A number of a file of the cgroup: the whole file, or the one behind `key`.
    #[track_caller]
    pub fn count(&self, file: &str, key: &str) -> u64 {
        let text = fs::read_to_string(self.own.join(file)).unwrap();
        let mut found = text.lines().filter_map(|line| line.strip_prefix(key));
        found.next().unwrap().trim().parse().unwrap()
    }

    /// Whether the file has that key.
    pub fn has(&self, file: &str, key: &str) -> bool {
        let text = fs::read_to_string(self.own.join(file)).unwrap();
        text.lines().any(|line| line.starts_with(key))
    }

    /// A runtime in it, whose program is `examples/echo_server` on that port.
    pub fn echo(&self, port: u16) -> Builder {
        let service = Runtime::builder()
            .env("PORT", port.to_string())
            .env("RPM_READY", "listen")
            .arg(example("echo_server"));
        self.around(service)
    }

    /// A runtime in it.
    pub fn around(&self, service: Builder) -> Builder {
        // The mount shows the cgroup namespace, so this cgroup is its root.
        let inner = "umount /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec setpriv --reuid=65532 --regid=65532 --clear-groups \
                     --inh-caps=-all --bounding-set=-all --no-new-privs -- \"$@\"";
        let outer = format!(
            "echo 0 > {}/cgroup.procs && exec unshare --cgroup --mount -- sh -c '{inner}' sh \"$@\"",
            self.own.display()
        );
        service.pid1().under(["sh", "-c", &outer, "sh"])
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        for dir in [&self.own, &self.pod] {
            until("the cgroup is empty", || fs::remove_dir(dir).is_ok());
        }
    }
}
