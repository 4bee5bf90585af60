//! `rpmctl monit` in a real terminal.

mod fake;
mod fixed;
mod live;
mod restored;

use std::path::{Path, PathBuf};

use crate::harness::{Builder, Runtime, Tmux, example, free_port, scratch};

/// A directory for sockets, RPM_HOME. Its path is short enough for one. Removed at the end.
struct Home(PathBuf);

impl Home {
    fn new(test: &str) -> Self {
        Self(scratch(&format!("m-{test}")))
    }

    fn path(&self) -> &Path {
        &self.0
    }

    /// A runtime with its control socket here.
    fn serving(&self, workers: usize) -> Builder {
        Runtime::builder()
            .env("RPM_CONTROL", "on")
            .env("RPM_HOME", self.path())
            .env("RPM_MIN_READY", "0s")
            .env("RPM_APP_NAME", "shop")
            .env("PORT", free_port().to_string())
            .env("RPM_INSTANCES", workers.to_string())
            .arg(example("echo_server"))
    }

    /// The command line of monit. The environment is that of an empty image, and `variables`.
    fn monit(&self, variables: &str) -> String {
        let program = env!("CARGO_BIN_EXE_rpmctl");
        let home = self.path().display();
        format!("env -i TERM=xterm-256color {variables} {program} --home {home} monit")
    }

    /// A terminal in which monit runs, and then its exit code is told.
    #[track_caller]
    fn screen(&self, test: &str, size: (u16, u16)) -> Tmux {
        let script = format!("{}; echo ended with $?; cat", self.monit(""));
        Tmux::start(test, size, &script)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}
