//! The container engine and one container.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::{env, thread};

use nix::sched::{CloneFlags, setns};

/// podman with runc and cgroupfs, which works for root with either cgroup version and without configuration. Limits are
/// low, because a root user without real privileges may not raise them.
const CONTAINERS_CONF: &str = r#"[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[network]
network_backend = "netavark"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"#;

pub struct Engine {
    directory: PathBuf,
    /// For sockets: podman needs a short path there.
    run: PathBuf,
}

impl Engine {
    pub fn new() -> Self {
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("containers");
        // One run directory for each location of this package.
        let place = directory
            .to_string_lossy()
            .bytes()
            .fold(5381_u32, |sum, byte| sum.wrapping_mul(33) ^ u32::from(byte));
        let run = PathBuf::from(format!("/tmp/rpm-containers-{place:08x}"));
        fs::create_dir_all(&directory).unwrap();
        let engine = Self { directory, run };
        // For scripts/clean. It exists already from the second time on.
        let _ = symlink(&engine.run, engine.directory.join("run"));
        let lock = engine.lock();
        fs::write(engine.directory.join("containers.conf"), CONTAINERS_CONF).unwrap();
        // Without skip_mount_home the store would be a mount point, and `target` could not be removed.
        let storage = |driver: &str| {
            format!(
                "[storage]\ndriver = \"{driver}\"\ngraphroot = \"{}/{driver}\"\nrunroot = \"{}/{driver}\"\n[storage.options.overlay]\nskip_mount_home = \"true\"\n",
                engine.directory.display(),
                engine.run.display()
            )
        };
        let conf = engine.directory.join("storage.conf");
        if !conf.exists() {
            fs::write(&conf, storage("overlay")).unwrap();
            // An overlay on an overlay is refused; copying works.
            if !engine.podman(["info"]).status.success() {
                fs::write(&conf, storage("vfs")).unwrap();
            }
        }
        drop(lock);
        engine
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// A lock for building; released on drop.
    pub fn lock(&self) -> File {
        let lock = File::create(self.directory.join("lock")).unwrap();
        lock.lock().unwrap();
        lock
    }

    /// Environment and options with which podman uses this store.
    pub fn configure(&self, command: &mut Command) {
        command
            .env("CONTAINERS_CONF", self.directory.join("containers.conf"))
            .env(
                "CONTAINERS_STORAGE_CONF",
                self.directory.join("storage.conf"),
            )
            .env("ENGINE", "podman")
            .env(
                "ENGINE_OPTIONS",
                format!("--tmpdir {}/tmp", self.run.display()),
            )
            .stdin(Stdio::null());
    }

    pub fn podman<I: IntoIterator<Item: Into<OsString>>>(&self, words: I) -> Output {
        let mut command = Command::new("podman");
        command.arg("--tmpdir").arg(self.run.join("tmp"));
        command.args(words.into_iter().map(Into::into));
        // conmon leaves a file named `oom` in its working directory when the kernel has killed for memory.
        command.current_dir(&self.directory);
        self.configure(&mut command);
        command
            .output()
            .unwrap_or_else(|error| panic!("podman: {error}; run scripts/test-deps"))
    }

    /// The output of a command that must succeed.
    #[track_caller]
    pub fn expect<I: IntoIterator<Item: Into<OsString>>>(&self, words: I) -> String {
        text(&self.podman(words))
    }

    /// Builds the image `tag` from a folder with a Dockerfile, without a network.
    #[track_caller]
    pub fn build(&self, tag: &str, context: &Path) {
        let words = ["build", "--quiet", "--network", "none", "--tag", tag];
        let words = words.map(OsString::from).into_iter();
        self.expect(words.chain([context.into()]));
    }
}

/// Standard output of a command that must have succeeded.
#[track_caller]
pub fn text(output: &Output) -> String {
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{}:\n{out}{err}", output.status);
    out.trim().to_owned()
}

/// A running container. Removed on drop; if the test fails, its log is printed.
pub struct Container<'a> {
    engine: &'a Engine,
    pub name: String,
    /// Its PID 1, as seen from here.
    pub pid: i32,
}

impl<'a> Container<'a> {
    /// `podman run` without capabilities, new privileges, a writable root and a network.
    #[track_caller]
    pub fn start(engine: &'a Engine, name: &str, words: &[String]) -> Self {
        let name = format!("{name}-{}", std::process::id());
        let fixed = "run --detach --network none --cap-drop all --security-opt no-new-privileges --read-only --name";
        let fixed = fixed.split(' ').map(str::to_owned).chain([name.clone()]);
        let mut container = Self {
            engine,
            name,
            pid: 0,
        };
        engine.expect(fixed.chain(words.iter().cloned()));
        container.pid = container.inspect("{{.State.Pid}}").parse().unwrap();
        container
    }

    /// The container `app` of a pod that runs already.
    #[track_caller]
    pub fn of_pod(engine: &'a Engine, pod: &str) -> Self {
        let mut container = Self {
            engine,
            name: format!("{pod}-app"),
            pid: 0,
        };
        container.pid = container.inspect("{{.State.Pid}}").parse().unwrap();
        container
    }

    /// The last word behind a name in /proc/PID/status of its PID 1.
    #[track_caller]
    pub fn status(&self, name: &str) -> String {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap().split_whitespace().last().unwrap().to_owned()
    }

    #[track_caller]
    pub fn inspect(&self, format: &str) -> String {
        self.engine.expect([
            "inspect",
            "--type",
            "container",
            "--format",
            format,
            &self.name,
        ])
    }

    /// Runs `work` in a thread in the container's network namespace.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let network = File::open(format!("/proc/{}/ns/net", self.pid)).unwrap();
        thread::scope(|scope| {
            let thread = scope.spawn(move || {
                setns(network, CloneFlags::CLONE_NEWNET).unwrap();
                work()
            });
            thread.join().unwrap()
        })
    }

    /// `podman exec`.
    pub fn exec(&self, words: &[&str]) -> Output {
        self.engine.podman(
            ["exec", &self.name]
                .into_iter()
                .chain(words.iter().copied()),
        )
    }

    /// A line for sh that runs `podman exec` with these options, on the terminal of that shell.
    pub fn exec_line(&self, options: &str, words: &str) -> String {
        let mut command = Command::new("podman");
        self.engine.configure(&mut command);
        let variables = command
            .get_envs()
            .filter_map(|(name, value)| Some(format!("{}='{}'", name.to_str()?, value?.to_str()?)));
        let variables: Vec<String> = variables.collect();
        format!(
            "env {} podman --tmpdir {} exec {options} {} {words}",
            variables.join(" "),
            self.engine.run.join("tmp").display(),
            self.name
        )
    }

    /// Sends SIGTERM, then SIGKILL after `seconds`; returns the exit code.
    #[track_caller]
    pub fn stop(&self, seconds: u32) -> i32 {
        self.engine
            .expect(["stop", "--time", &seconds.to_string(), &self.name]);
        self.inspect("{{.State.ExitCode}}").parse().unwrap()
    }

    pub fn logs(&self) -> String {
        let output = self.engine.podman(["logs", &self.name]);
        String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr)
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("the log of {} was:\n{}", self.name, self.logs());
        }
        // The container may be gone, or may never have been created.
        let _ = self
            .engine
            .podman(["rm", "--force", "--time", "0", &self.name]);
    }
}
