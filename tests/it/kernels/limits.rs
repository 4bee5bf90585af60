//! The limits of a container.

use super::Container;
use crate::harness::shared_port::{send, stop, v4, wait_ready};
use crate::harness::{Signal, free_port, http_get};

#[test]
#[ignore = "needs a machine of its own: make kernels"]
fn max_is_the_cpu_limit_and_every_limit_is_a_metric() {
    let limits = [
        ("cpu.max", "150000 100000"),
        ("memory.max", "134217728"),
        ("pids.max", "100"),
    ];
    let container = Container::new("limits", &limits);
    let port = free_port();
    let service = container.echo(port).env("RPM_INSTANCES", "max");
    let runtime = service.start();
    wait_ready(&runtime, 2);
    let workers = runtime.workers();
    assert_eq!(workers.len(), 2, "1500m, rounded up, of four CPUs");
    assert_eq!(runtime.metric("rpm_cgroup_cpu_limit_cores"), Some(1.5));
    let memory = runtime.metric("rpm_cgroup_memory_limit_bytes");
    assert_eq!(memory, Some(134_217_728.0));
    assert_eq!(runtime.metric("rpm_cgroup_pids_limit"), Some(100.0));
    let used = runtime.metric("rpm_cgroup_memory_bytes");
    assert!(used > Some(0.0) && used <= memory, "{used:?}");
    stop(runtime);
}

#[test]
#[ignore = "needs a machine of its own: make kernels"]
fn max_without_a_limit_is_all_cpus_and_the_log_warns() {
    let container = Container::new("no-limits", &[]);
    let service = container.echo(free_port()).env("RPM_INSTANCES", "max");
    let runtime = service.start();
    wait_ready(&runtime, 4);
    assert_eq!(runtime.workers().len(), 4);
    runtime.wait_for_line(|line| {
        line.contains("no CPU limit is set, so RPM_INSTANCES=max counts all CPUs")
    });
    stop(runtime);
}

#[test]
#[ignore = "needs a machine of its own: make kernels"]
fn a_memory_limit_leaves_room_for_a_reload() {
    let container = Container::new("room", &[("memory.max", "134217728")]);
    let service = container.echo(free_port()).env("RPM_INSTANCES", "max");
    let runtime = service.env("RPM_MAX_MEMORY", "32Mi").start();
    // Four would fit, and one of them is the new worker of a reload.
    wait_ready(&runtime, 3);
    assert_eq!(runtime.workers().len(), 3);
    stop(runtime);
}

#[test]
#[ignore = "needs a machine of its own: make kernels"]
fn a_limit_of_processes_is_waited_out_and_named() {
    let container = Container::new("pids", &[]);
    let port = free_port();
    let service = container.echo(port).env("RPM_INSTANCES", "2");
    let service = service.env("RPM_BACKOFF_MIN", "10ms");
    let runtime = service.env("RPM_BACKOFF_MAX", "50ms").start();
    wait_ready(&runtime, 2);
    container.set("pids.max", "1");
    send(runtime.workers()[0].pid, Signal::SIGKILL);
    runtime.wait_for_line(|line| {
        line.contains("cannot start a worker") && line.contains("limit of processes")
    });
    assert_eq!(runtime.get("/readyz").status, 200);
    container.set("pids.max", "max");
    wait_ready(&runtime, 3);
    assert_eq!(http_get(v4(port), "/").unwrap().status, 200);
    stop(runtime);
}
