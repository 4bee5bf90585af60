//! A separate Prometheus from Debian's package.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::{free_port, http_get, until};

/// Ends on drop.
pub struct Prometheus {
    child: Child,
    pub addr: SocketAddr,
}

impl Prometheus {
    /// Starts a Prometheus with its configuration, data and `log` in this directory, and waits until it answers.
    #[track_caller]
    pub fn start(directory: &Path, config: &str) -> Self {
        fs::write(directory.join("prometheus.yml"), config).unwrap();
        let addr = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let log = fs::File::create(directory.join("log")).unwrap();
        let child = Command::new("prometheus")
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"])
            .arg(format!("--web.listen-address={addr}"))
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("prometheus: {error}; run scripts/test-deps"));
        let started = Self { child, addr };
        until("prometheus is ready", || {
            http_get(addr, "/-/ready").is_ok_and(|reply| reply.status == 200)
        });
        started
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended by itself; the wait shows it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
