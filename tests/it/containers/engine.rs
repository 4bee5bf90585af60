//! The container engine and one container of it.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::{env, thread};

use nix::sched::{CloneFlags, setns};

/// podman with runc and cgroupfs: works as root where the cgroup tree is of either version and nothing is configured.
/// Limits are set low, for raising them is refused to a root that is one in name only.
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
    /// For sockets: podman wants short names there.
    run: PathBuf,
}

impl Engine {
    pub fn new() -> Self {
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("containers");
        // One run directory for each place where this package lies.
        let place = directory
            .to_string_lossy()
            .bytes()
            .fold(5381_u32, |sum, byte| sum.wrapping_mul(33) ^ u32::from(byte));
        let run = PathBuf::from(format!("/tmp/rpm-containers-{place:08x}"));
        fs::create_dir_all(&directory).unwrap();
        let engine = Self { directory, run };
        // For scripts/clean; it is there from the second time on.
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
            // An overlay on an overlay is refused; copies are not.
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

    /// Held by whoever builds; released when dropped.
    pub fn lock(&self) -> File {
        let lock = File::create(self.directory.join("lock")).unwrap();
        lock.lock().unwrap();
        lock
    }

    /// Environment and options that make podman use this store.
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

/// A running container; removed when dropped, its log shown if the test fails.
pub struct Container<'a> {
    engine: &'a Engine,
    pub name: String,
    /// Its PID 1, as seen from here.
    pub pid: i32,
}

impl<'a> Container<'a> {
    /// `podman run` with everything taken away that can be: capabilities, new privileges, a writable root, the network.
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

    /// Runs `work` in a thread that sees the network of the container.
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

    /// SIGTERM, then SIGKILL after `seconds`; the exit code.
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
        // It may be gone, or never have come to be.
        let _ = self
            .engine
            .podman(["rm", "--force", "--time", "0", &self.name]);
    }
}
