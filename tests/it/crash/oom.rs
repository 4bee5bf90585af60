//! A worker that the OOM killer kills is distinguished from one that another process kills, and is killed before the
//! runtime.
//!
//! This needs a cgroup with a limit below our own. If none can be created, the counter is read from a fixture instead,
//! and the test prints that.

use std::fs;

use crate::harness::cgroup::{Cgroup, Limit};
use crate::harness::shared_port::{send, stop, v4, wait_ready, wait_rotation, worker};
use crate::harness::status::{Status, counter, exits, status, to_slot, wait_status};
use crate::harness::{Runtime, Signal, example, free_port, http_get, scratch, until};
use rpm_runtime::sys::cgroup::{Kills, Oom, Places};

const LIMIT: u64 = 96 << 20;
const KILLS: &str = "rpm_oom_kills_total";

/// The runtime with two workers of `examples/echo_server` in this cgroup.
fn start(cgroup: &Cgroup, port: u16) -> Runtime {
    let runtime = Runtime::builder()
        .under(cgroup.enter())
        .env("RPM_INSTANCES", "2")
        .env("RPM_READY", "listen")
        .env("PORT", port.to_string())
        .arg(example("echo_server"))
        .start();
    wait_ready(&runtime, 2);
    wait_rotation(&runtime, &[0, 1]);
    assert!(cgroup.holds(runtime.pid()) && cgroup.holds(worker(&runtime, 1)));
    runtime
}

/// The cgroup, or a test of what is possible without one.
fn cgroup(name: &str) -> Option<Cgroup> {
    match Cgroup::new(name, &[Limit::Memory(LIMIT)]) {
        Ok(cgroup) => Some(cgroup),
        Err(error) => {
            println!("no cgroup with a memory limit can be made here ({error}): a fixture must do");
            the_counter_of_a_fixture_is_read(name);
            None
        }
    }
}

/// The counter of version 2, in a tree that stands for the root directory.
fn the_counter_of_a_fixture_is_read(name: &str) {
    let root = scratch(&format!("oom-{name}"));
    let cgroup = root.join("sys/fs/cgroup");
    fs::create_dir_all(root.join("proc/self")).unwrap();
    fs::create_dir_all(&cgroup).unwrap();
    fs::write(root.join("proc/self/cgroup"), "0::/\n").unwrap();
    let mount = "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
    fs::write(root.join("proc/self/mountinfo"), mount).unwrap();
    fs::write(cgroup.join("memory.events"), "oom 0\noom_kill 0\n").unwrap();
    let oom = Oom::find(&Places::find(&root));
    let kills = |processes| {
        Some(Kills {
            processes,
            groups: 0,
        })
    };
    assert_eq!(oom.kills(), kills(0));
    fs::write(cgroup.join("memory.events"), "oom 3\noom_kill 2\n").unwrap();
    assert_eq!(oom.kills(), kills(2));
}

fn score(pid: i32) -> i32 {
    let text = fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap();
    text.trim().parse().unwrap()
}

/// Number of ended workers so far, and how many were attributed to the OOM killer.
fn ended(runtime: &Runtime) -> (usize, usize) {
    let texts = runtime.texts();
    let ended = texts.iter().filter(|line| line.contains("worker ended"));
    let struck = ended
        .clone()
        .filter(|line| line.contains("exit=SIGKILL cause=oom"));
    (ended.count(), struck.count())
}

/// Allocates more than all of them may use. The kernel may kill a second worker before the memory of the first is free.
fn outgrow(runtime: &Runtime, port: u16) {
    let greedy = worker(runtime, 1);
    assert!(to_slot(v4(port), 1).get("/alloc/300").is_err());
    runtime.wait_for_line(|line| {
        line.contains("worker ended")
            && line.contains(&format!("pid={greedy} exit=SIGKILL cause=oom"))
    });
    let both =
        |seen: &Status| seen.ready() == 2 && seen.slots.iter().all(|one| one.pid != Some(greedy));
    wait_status(runtime, "both serve again", both);
}

#[test]
fn a_worker_that_the_kernel_kills_for_memory_is_counted_as_that() {
    let Some(cgroup) = cgroup("killed") else {
        return;
    };
    let port = free_port();
    let runtime = start(&cgroup, port);
    for slot in 0..2 {
        assert!(score(worker(&runtime, slot)) > score(runtime.pid()));
    }
    assert_eq!(counter(&runtime, KILLS), 0);
    outgrow(&runtime, port);
    let (all, struck) = ended(&runtime);
    assert_eq!(all, struck, "{}", runtime.shown());
    assert_eq!(counter(&runtime, KILLS) as usize, struck);
    assert_eq!(exits(&runtime, "oom") as usize, struck);
    assert_eq!(http_get(v4(port), "/").unwrap().status, 200);
    stop(runtime);
}

#[test]
fn a_worker_that_somebody_kills_is_not_taken_for_one_that_the_kernel_killed() {
    let Some(cgroup) = cgroup("not-killed") else {
        return;
    };
    let port = free_port();
    let runtime = start(&cgroup, port);
    // The kernel killed a worker before, and this is known by now.
    outgrow(&runtime, port);
    let (_, struck) = ended(&runtime);
    let alive = status(&runtime).pid(0);
    send(alive, Signal::SIGKILL);
    until("it is counted", || exits(&runtime, "signal") == 1);
    assert_eq!(exits(&runtime, "oom") as usize, struck);
    assert_eq!(counter(&runtime, KILLS) as usize, struck);
    wait_status(&runtime, "both serve", |seen| seen.ready() == 2);
    stop(runtime);
}

/// A child of the worker, which the worker reaps: no worker ends.
#[test]
fn a_process_that_the_runtime_does_not_reap_is_counted_too() {
    const GREEDY: &str = "import os, signal\n\
        if os.fork() == 0:\n    kept = b'x' * (300 << 20)\n    os._exit(0)\n\
        print('child ended by', os.wait()[1], flush=True)\n\
        signal.pause()\n";
    let Some(cgroup) = cgroup("not-ours") else {
        return;
    };
    let runtime = Runtime::builder()
        .under(cgroup.enter())
        .env("RPM_PORTS", "off")
        .program(["/usr/bin/python3", "-c", GREEDY])
        .start();
    runtime.wait_for_line(|line| line.contains("child ended by 9"));
    assert_eq!(counter(&runtime, KILLS), 1);
    assert_eq!(exits(&runtime, "oom"), 0);
    stop(runtime);
}
