//! A runtime that did not run for a while (SIGSTOP, a paused container, a suspended machine) kills no worker for that.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use std::{fs, thread};

use crate::harness::cgroup::{Cgroup, Limit};
use crate::harness::shared_port::send;
use crate::harness::{self, Builder, Runtime, Signal, process, scratch, until};

const DEADLINE: &str = "2s";

/// Suspends the runtime until long after its deadline. The passing of time itself is tested here, so this sleeps.
fn freeze(runtime: &Runtime) {
    runtime.signal(Signal::SIGSTOP);
    until("it is suspended", || {
        process(runtime.pid()).is_some_and(|now| now.state == 'T')
    });
    thread::sleep(Duration::from_secs(4));
    let mark = runtime.mark();
    runtime.signal(Signal::SIGCONT);
    runtime.wait_for_line_after(mark, |line| line.contains("did not run for a while"));
}

/// Starts the server once the file exists.
fn waits_for(file: &Path, port: u16) -> Builder {
    let server = harness::example("echo_server");
    let script = format!(
        "echo waiting; until [ -e {} ]; do sleep 0.02; done; exec {} 0.0.0.0:{port}",
        file.display(),
        server.display()
    );
    Runtime::builder()
        .env("RPM_PORTS", port.to_string())
        .env("RPM_READY_TIMEOUT", DEADLINE)
        .program(["sh", "-c", &script])
}

/// Exits after the stop signal once the file exists.
fn stops_with(file: &Path) -> Builder {
    let script = format!(
        "trap 'echo told; told=1' TERM; echo waiting; until [ $told ] && [ -e {} ]; do sleep 0.02; done",
        file.display()
    );
    Runtime::builder()
        .env("RPM_PORTS", "off")
        .env("RPM_STOP_TIMEOUT", DEADLINE)
        .program(["sh", "-c", &script])
}

#[test]
fn a_starting_worker_is_not_killed_for_a_freeze() {
    let file = scratch("freeze-start").join("go");
    let runtime = waits_for(&file, harness::free_port()).start();
    runtime.wait_for_line(|line| line == "waiting");
    freeze(&runtime);
    fs::write(&file, "").unwrap();
    runtime.wait_for_line(|line| line.contains("worker ready"));
    assert!(
        !runtime.shown().contains("not ready within"),
        "{}",
        runtime.shown()
    );
}

#[test]
fn the_ready_timeout_goes_on_after_a_freeze() {
    let file = scratch("freeze-start-on").join("go");
    let runtime = waits_for(&file, harness::free_port()).start();
    runtime.wait_for_line(|line| line == "waiting");
    freeze(&runtime);
    runtime.wait_for_line(|line| line.contains("not ready within RPM_READY_TIMEOUT"));
    runtime.wait_for_lines(2, |line| line.contains("worker started"));
}

#[test]
fn a_stopping_worker_is_not_killed_for_a_freeze() {
    let file = scratch("freeze-stop").join("go");
    let mut runtime = stops_with(&file).start();
    runtime.wait_for_line(|line| line == "waiting");
    runtime.signal(Signal::SIGTERM);
    runtime.wait_for_line(|line| line == "told");
    freeze(&runtime);
    fs::write(&file, "").unwrap();
    assert_eq!(runtime.wait_exit().code(), Some(0), "{}", runtime.shown());
}

#[test]
fn the_grace_goes_on_after_a_freeze() {
    let file = scratch("freeze-stop-on").join("go");
    let mut runtime = stops_with(&file).start();
    runtime.wait_for_line(|line| line == "waiting");
    runtime.signal(Signal::SIGTERM);
    runtime.wait_for_line(|line| line == "told");
    freeze(&runtime);
    assert_eq!(runtime.wait_exit().code(), Some(1));
    runtime.wait_for_line(|line| line.contains("did not stop in time"));
}

#[test]
fn the_wait_before_a_freeze_is_not_put_off_with_it() {
    let mut runtime = Runtime::builder()
        .env("RPM_PORTS", "off")
        .env("RPM_SHUTDOWN_DELAY", "5s")
        .program(["sh", "-c", "echo up; exec sleep 1000"])
        .start();
    runtime.wait_for_line(|line| line == "up");
    runtime.signal(Signal::SIGTERM);
    runtime.wait_for_line(|line| line.contains("still serving"));
    thread::sleep(Duration::from_secs(3));
    let mark = runtime.mark();
    let before = waited_for_cpu(&runtime);
    let stopped = Instant::now();
    freeze(&runtime);
    let line = runtime.wait_for_line_after(mark, |line| line.contains("did not run for a while"));
    // The runtime measures from the moment at which it was due to wake up. On a busy machine that moment may be before
    // SIGSTOP: the runtime was due, and waited for a CPU, or for the next millisecond, which is what its timers count.
    let late = waited_for_cpu(&runtime).saturating_sub(before) + Duration::from_millis(1);
    let longest = (stopped.elapsed() + late).as_secs_f32();
    let value = line.split_once("seconds=").unwrap().1;
    let put_off: f32 = value.split(' ').next().unwrap().parse().unwrap();
    assert!(put_off <= longest, "{put_off} of {longest}");
    assert_eq!(runtime.wait_exit().code(), Some(0), "{}", runtime.shown());
}

/// A runtime that gets no CPU is not frozen: its deadlines go on, because whoever stops the container counts the time too.
#[test]
fn a_stop_is_not_put_off_by_a_wait_for_a_cpu() {
    // A thousandth of a CPU, and others that want it.
    let quota = Limit::Cpu {
        quota: 1_000,
        period: 1_000_000,
    };
    let cgroup = match Cgroup::new("starved", &[quota]) {
        Ok(cgroup) => cgroup,
        Err(error) => {
            println!(
                "no cgroup with a CPU limit can be made here ({error}): the test of the decision must do"
            );
            return;
        }
    };
    let mut runtime = Runtime::builder()
        .env("RPM_PORTS", "off")
        .env("RPM_STOP_TIMEOUT", "10s")
        .program([
            "sh",
            "-c",
            "trap '' TERM; echo up; while :; do sleep 1000; done",
        ])
        .start();
    runtime.wait_for_line(|line| line == "up");
    runtime.signal(Signal::SIGTERM);
    runtime.wait_for_line(|line| line.contains("stopping all workers"));
    let mut others = Vec::new();
    for _ in 0..4 {
        let busy = Command::new("sh")
            .args(["-c", "while :; do :; done"])
            .spawn();
        others.push(busy.unwrap());
    }
    let ids = others.iter().map(|busy| i32::try_from(busy.id()).unwrap());
    let ids: Vec<i32> = ids.collect();
    for pid in [&ids[..], &[runtime.pid()]].concat() {
        cgroup.take(pid);
    }
    let before = waited_for_cpu(&runtime);
    until("the runtime has waited for a CPU", || {
        waited_for_cpu(&runtime) > before + Duration::from_secs(3)
    });
    cgroup.release(runtime.pid());
    for (busy, pid) in others.iter_mut().zip(ids) {
        send(pid, Signal::SIGKILL);
        busy.wait().unwrap();
    }
    runtime.wait_for_line(|line| line.contains("the runtime waited for a CPU"));
    assert_eq!(runtime.wait_exit().code(), Some(1));
    let shown = runtime.shown();
    assert!(!shown.contains("did not run for a while"), "{shown}");
}

/// How long the loop's thread has waited for a CPU so far (sched(7), /proc/PID/schedstat).
fn waited_for_cpu(runtime: &Runtime) -> Duration {
    let path = format!("/proc/{}/schedstat", runtime.pid());
    let text = std::fs::read_to_string(path).unwrap();
    let waited = text.split(' ').nth(1).unwrap();
    Duration::from_nanos(waited.parse().unwrap())
}

#[test]
fn a_serving_worker_lives_through_a_freeze() {
    let runtime = Runtime::builder()
        .env("RPM_PORTS", "off")
        .program(["sh", "-c", "echo up; exec sleep 1000"])
        .start();
    runtime.wait_for_line(|line| line.contains("worker ready"));
    let before = runtime.wait_workers(1);
    runtime.signal(Signal::SIGSTOP);
    until("it is suspended", || {
        process(runtime.pid()).is_some_and(|now| now.state == 'T')
    });
    thread::sleep(Duration::from_secs(2));
    runtime.signal(Signal::SIGCONT);
    runtime.wait_for_status("/livez", 200);
    assert_eq!(runtime.wait_workers(1), before);
}
