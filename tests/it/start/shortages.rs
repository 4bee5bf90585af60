//! Starts where something is missing that is normally present.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{
    Builder, Runtime, Signal, Stream, example, free_port, http_get, scratch, until,
};

fn hostile(wish: &str) -> [OsString; 2] {
    [example("hostile").into(), wish.into()]
}

/// Prepares a mount namespace by `script`, which executes the runtime at its end.
fn mounts(script: &str) -> [OsString; 6] {
    let script = format!("{script} && exec \"$@\"");
    ["unshare", "--mount", "sh", "-c", &script, "sh"].map(Into::into)
}

fn service(workers: u16) -> Builder {
    Runtime::builder()
        .env("RPM_PORTS", "off")
        .env("RPM_INSTANCES", workers.to_string())
}

/// Switches to another user, to whom RLIMIT_NPROC applies.
const NOBODY: [&str; 6] = [
    "setpriv",
    "--reuid=61234",
    "--regid=61234",
    "--clear-groups",
    "--",
    "prlimit",
];

/// Changes a soft limit of a running process by a command that executes `prlimit`.
fn limit(by: &[&str], pid: i32, limit: &str) {
    let mut command = Command::new(by[0]);
    command
        .args(&by[1..])
        .args(["--pid", &pid.to_string(), limit]);
    assert!(command.status().unwrap().success());
}

/// The profiles of old engines refuse calls that they do not know with EPERM, and the C library then starts no thread.
#[test]
fn under_an_engine_that_refuses_clone3_threads_start_in_the_runtime_and_in_workers() {
    let deny = |what: &str| [example("deny").into(), OsString::from(what)];
    let script = "import threading\nthread = threading.Thread(target=print, args=('from a thread',))\nthread.start()\nthread.join()";
    for role in ["never", "on-failure"] {
        let mut runtime = service(1)
            .env("RPM_RESTART", role)
            .under(deny("clone3"))
            .program(["/usr/bin/python3", "-c", script])
            .start();
        assert_eq!(runtime.wait_exit().code(), Some(0), "{}", runtime.shown());
        runtime.wait_for_line(|line| line.contains("from a thread"));
        runtime.wait_for_line(|line| {
            line.contains("answers EPERM to clone3") && line.contains("Update the engine")
        });
    }
    let mut runtime = service(1)
        .under(deny("clone3,filter"))
        .program(["true"])
        .start();
    assert_eq!(runtime.wait_exit().code(), Some(71));
    runtime.wait_for_line(|line| {
        line.contains("answers EPERM to clone3")
            && line.contains("run the container with another profile")
    });
}

#[test]
fn closed_standard_streams_are_no_hindrance() {
    let directory = scratch("closed");
    for closed in ["0", "1", "2", "01", "02", "12", "012"] {
        for (workers, restart) in [(1, "never"), (1, "on-failure"), (3, "never")] {
            let proof = directory.join(format!("{closed}-{workers}-{restart}"));
            // Output to 1 or 2 must not end up in an unrelated file.
            let script = format!(
                "echo out; echo err >&2; read line; echo \"$?\" >> {}",
                proof.display()
            );
            let mut runtime = service(workers)
                .env("RPM_RESTART", restart)
                .under(hostile(&format!("closed={closed}")))
                .program(["sh", "-c", &script])
                .start();
            assert_eq!(
                runtime.wait_exit().code(),
                Some(0),
                "closed={closed} {workers} {restart}\n{}",
                runtime.shown()
            );
            let text = fs::read_to_string(&proof).unwrap();
            assert_eq!(
                text,
                "1\n".repeat(usize::from(workers)),
                "closed={closed} {workers} {restart}"
            );
        }
    }
}

#[test]
fn few_descriptors_are_enough_for_one_worker() {
    // The role of tini needs no pipes. A service needs two pipes, their write ends, and a socket to the child while it
    // starts. A shared port needs the hand-over thread.
    for (ports, restart, most) in [
        ("off", "never", 16),
        ("off", "always", 20),
        ("auto", "always", 24),
    ] {
        let mut runtime = service(1)
            .env("RPM_PORTS", ports)
            .env("RPM_RESTART", restart)
            .under(hostile(&format!("nofile={most}")))
            .program(["sh", "-c", "echo up with $(ulimit -n); exec sleep 1000"])
            .start();
        runtime.wait_for_line(|line| line == format!("up with {most}"));
        runtime.wait_for_status("/livez", 200);
        assert!(!runtime.shown().contains("error"), "{}", runtime.shown());
        runtime.signal(Signal::SIGTERM);
        let code = if restart == "never" { 143 } else { 0 };
        assert_eq!(
            runtime.wait_exit().code(),
            Some(code),
            "{}",
            runtime.shown()
        );
    }
}

/// How many are needed is not promised, so the test raises the limit until the start succeeds.
#[test]
fn a_start_with_too_few_descriptors_is_refused_and_says_why() {
    let mut refused = 0;
    for most in 8..64 {
        let mut runtime = service(1)
            .under(hostile(&format!("nofile={most}")))
            .env("RPM_RESTART", "on-failure")
            .program(["true"])
            .start();
        let code = runtime.wait_exit().code();
        if code == Some(0) {
            break;
        }
        assert_eq!(code, Some(71), "{most}\n{}", runtime.shown());
        runtime.wait_for_line(|line| line.contains("Too many open files"));
        refused += 1;
    }
    assert!((1..56).contains(&refused), "refused {refused} times");
}

#[test]
fn without_proc_one_worker_runs_and_several_are_refused_in_plain_words() {
    let no_proc = "mount -t tmpfs -o ro none /proc";
    let mut runtime = Runtime::builder()
        .under(mounts(no_proc))
        .program(["sh", "-c", "echo up; exec sleep 1000"])
        .start();
    runtime.wait_for_line(|line| line == "up");
    assert_eq!(runtime.wait_for_status("/metrics", 200).status, 200);
    runtime.signal(Signal::SIGTERM);
    assert_eq!(runtime.wait_exit().code(), Some(0));

    let mut runtime = Runtime::builder()
        .env("RPM_INSTANCES", "4")
        .under(mounts(no_proc))
        .program(["sh", "-c", "echo up; exec sleep 1000"])
        .start();
    assert_eq!(runtime.wait_exit().code(), Some(71));
    runtime.wait_for_line(|line| {
        line.contains("cannot share a port among 4 workers")
            && line.contains("/proc is not mounted")
            && line.contains("Mount a proc filesystem")
            && !line.contains("Allow seccomp")
    });
}

#[test]
fn a_loopback_interface_that_is_down_is_named_and_not_seccomp() {
    // Down as in every new network namespace; and up, without its address.
    let without_address = "ip link set lo up && ip addr del 127.0.0.1/8 dev lo";
    for loopback in ["true", without_address] {
        let script = format!("{loopback} && exec \"$@\"");
        let mut runtime = Runtime::builder()
            .env("RPM_INSTANCES", "4")
            .under(["unshare", "--net", "sh", "-c", &script, "sh"])
            .env("RPM_RESTART", "never")
            .program(["true"])
            .start();
        runtime.wait_exit();
        runtime.wait_for_line(|line| {
            line.contains("the loopback interface is down or does not have the address 127.0.0.1")
                && line.contains("ip link set lo up")
                && !line.contains("Allow seccomp")
        });
    }
}

/// The test at the start uses the program that the service will need, so a limit that is too low for it is found there.
#[test]
fn a_limit_that_is_too_low_for_the_steering_program_is_found_at_the_start() {
    // Since Linux 6.8 each network namespace has its own.
    let script = "ip link set lo up && { echo 400 > /proc/sys/net/core/optmem_max || echo not here; } && exec \"$@\"";
    let runtime = Runtime::builder()
        .env("RPM_INSTANCES", "4")
        .under(["unshare", "--net", "sh", "-c", script, "sh"])
        .arg(example("echo_server"))
        .start();
    let told = runtime.wait_for_line(|line| line.contains("ports handover=intercept"));
    let texts = runtime.texts();
    if texts.iter().any(|line| line == "not here") {
        println!("this kernel has one limit for all namespaces");
        return;
    }
    assert!(
        told.contains("steering=none") && told.contains("net.core.optmem_max is too small"),
        "{told}"
    );
    runtime.wait_for_lines(4, |line| line.contains("worker ready"));
}

#[test]
fn with_everything_read_only_it_serves() {
    let read_only = "for at in $(awk '{print $2}' /proc/self/mounts); do mount -o remount,bind,ro $at 2>/dev/null; done; ! touch /tmp/x 2>/dev/null";
    let port = free_port();
    let mut runtime = Runtime::builder()
        .env("RPM_INSTANCES", "2")
        .env("RPM_PORTS", port.to_string())
        .under(mounts(read_only))
        .arg(example("echo_server"))
        .arg(format!("0.0.0.0:{port}"))
        .start();
    runtime.wait_for_status("/startupz", 200);
    assert_eq!(http_get(("127.0.0.1", port), "/").unwrap().status, 200);
    runtime.signal(Signal::SIGTERM);
    assert_eq!(runtime.wait_exit().code(), Some(0));
}

#[test]
fn a_deleted_working_directory_is_no_hindrance() {
    for workers in [1, 2] {
        let runtime = service(workers)
            .env("RPM_PORTS", "auto")
            .under(hostile("gone"))
            .program(["sh", "-c", "echo up; exec sleep 1000"])
            .start();
        runtime.wait_for_lines(usize::from(workers), |line| line == "up");
    }
}

#[test]
fn without_dev_null_one_worker_runs_and_several_are_told() {
    let no_dev = "mount -t tmpfs none /dev";
    let runtime = service(1)
        .under(mounts(no_dev))
        .program(["sh", "-c", "echo up; exec sleep 1000"])
        .start();
    runtime.wait_for_line(|line| line == "up");
    let mut runtime = service(2)
        .under(mounts(no_dev))
        .program(["sh", "-c", "echo up; exec sleep 1000"])
        .start();
    assert_eq!(runtime.wait_exit().code(), Some(71));
    runtime.wait_for_line(|line| {
        line.contains("cannot start a worker") && line.contains("/dev/null is missing")
    });
}

/// A cgroup that limits the number of processes; removed on drop.
struct Pids(PathBuf);

impl Pids {
    fn new(name: &str) -> Self {
        let name = format!("rpm-test-{name}-{}", std::process::id());
        let base = Path::new("/sys/fs/cgroup");
        let v1 = base.join("pids");
        let path = if v1.is_dir() { v1 } else { base.to_owned() }.join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn set(&self, file: &str, value: &str) {
        fs::write(self.0.join(file), value).unwrap();
    }

    fn current(&self) -> String {
        fs::read_to_string(self.0.join("pids.current"))
            .unwrap()
            .trim()
            .to_owned()
    }
}

impl Drop for Pids {
    fn drop(&mut self) {
        until("the cgroup is empty", || fs::remove_dir(&self.0).is_ok());
    }
}

#[test]
fn a_limit_of_processes_after_the_start_is_waited_out_and_named() {
    let group = Pids::new("eagain");
    let mut runtime = service(2)
        .env("RPM_BACKOFF_MIN", "10ms")
        .env("RPM_BACKOFF_MAX", "50ms")
        .env("RPM_MAX_RESTARTS", "3")
        .program(["sleep", "1000"])
        .start();
    runtime.wait_for_lines(2, |line| line.contains("worker ready"));
    group.set("cgroup.procs", &runtime.pid().to_string());
    // The cgroup contains the runtime's threads but not the workers.
    group.set("pids.max", &group.current());
    let victim = runtime.wait_workers(2)[0].pid;
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(victim), Signal::SIGKILL).unwrap();
    let named =
        |line: &str| line.contains("cannot start a worker") && line.contains("limit of processes");
    // More often than RPM_MAX_RESTARTS: a shortage is no crash loop.
    runtime.wait_for_lines(6, named);
    assert_eq!(runtime.get("/readyz").status, 200);
    group.set("pids.max", "max");
    runtime.wait_workers(2);
    runtime.signal(Signal::SIGTERM);
    assert_eq!(runtime.wait_exit().code(), Some(0));
}

#[test]
fn a_limit_of_processes_at_the_start_ends_it_with_a_reason() {
    let group = Pids::new("eagain-start");
    let join = format!(
        "echo $$ > {0}/cgroup.procs && echo 1 > {0}/pids.max && exec \"$@\"",
        group.0.display()
    );
    let mut runtime = service(1)
        .under(["sh", "-c", &join, "sh"])
        .program(["sleep", "1000"])
        .start();
    assert_eq!(runtime.wait_exit().code(), Some(71));
    assert!(!runtime.bytes(Stream::Err).is_empty() || !runtime.bytes(Stream::Out).is_empty());
}

#[test]
fn a_limit_of_processes_of_the_user_is_waited_out_as_well() {
    let mut runtime = service(1)
        .env("RPM_BACKOFF_MIN", "10ms")
        .env("RPM_BACKOFF_MAX", "50ms")
        .under(&NOBODY[..5])
        .program(["sleep", "1000"])
        .start();
    runtime.wait_for_line(|line| line.contains("worker ready"));
    limit(&NOBODY, runtime.pid(), "--nproc=1:");
    let victim = runtime.wait_workers(1)[0].pid;
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(victim), Signal::SIGKILL).unwrap();
    runtime.wait_for_lines(3, |line| {
        line.contains("cannot start a worker") && line.contains("RLIMIT_NPROC")
    });
    limit(&NOBODY, runtime.pid(), "--nproc=1000:");
    runtime.wait_workers(1);
    runtime.signal(Signal::SIGTERM);
    assert_eq!(runtime.wait_exit().code(), Some(0));
}

#[test]
fn a_limit_of_descriptors_is_called_low_only_where_it_is() {
    for (limit, low) in [("30", false), ("29", true)] {
        let port = free_port();
        let runtime = Runtime::builder()
            .env("RPM_PORTS", port.to_string())
            .under(["prlimit", &format!("--nofile={limit}:{limit}"), "--"])
            .arg(example("echo_server"))
            .arg(format!("0.0.0.0:{port}"))
            .start();
        runtime.wait_for_line(|line| line.contains("worker ready"));
        runtime.wait_for_status("/livez", 200);
        let shown = runtime.shown();
        assert_eq!(shown.contains("RLIMIT_NOFILE is too low"), low, "{shown}");
    }
}

#[test]
fn a_want_of_descriptors_after_the_start_is_waited_out_and_named() {
    let mut runtime = service(1)
        .env("RPM_BACKOFF_MIN", "10ms")
        .env("RPM_BACKOFF_MAX", "50ms")
        .env("RPM_MAX_RESTARTS", "3")
        .program(["sleep", "1000"])
        .start();
    runtime.wait_for_line(|line| line.contains("worker ready"));
    limit(&["prlimit"], runtime.pid(), "--nofile=5:");
    let victim = runtime.wait_workers(1)[0].pid;
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(victim), Signal::SIGKILL).unwrap();
    runtime.wait_for_lines(6, |line| {
        line.contains("cannot start a worker") && line.contains("RLIMIT_NOFILE 5")
    });
    limit(&["prlimit"], runtime.pid(), "--nofile=1000:");
    runtime.wait_workers(1);
    runtime.wait_for_status("/readyz", 200);
    runtime.signal(Signal::SIGTERM);
    assert_eq!(runtime.wait_exit().code(), Some(0));
}
