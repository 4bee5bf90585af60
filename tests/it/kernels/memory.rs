//! The OOM killer, with and without memory.oom.group.

use super::Container;
use crate::harness::shared_port::{stop, v4, wait_ready, wait_rotation, worker};
use crate::harness::status::{counter, exits, to_slot};
use crate::harness::{Runtime, free_port, http_get, until};

const LIMITS: [(&str, &str); 2] = [("memory.max", "100663296"), ("memory.swap.max", "0")];

fn start(container: &Container, port: u16) -> Runtime {
    let service = container.echo(port).env("RPM_INSTANCES", "3");
    let runtime = service.start();
    wait_ready(&runtime, 3);
    wait_rotation(&runtime, &[0, 1, 2]);
    runtime
}

#[test]
#[ignore = "needs a machine of its own: make kernels"]
fn without_an_oom_group_one_worker_is_killed_told_apart_and_started_again() {
    let container = Container::new("oom", &LIMITS);
    let port = free_port();
    let runtime = start(&container, port);
    assert!(!runtime.shown().contains("memory.oom.group is set"));
    let mut others = [0, 1].map(|slot| to_slot(v4(port), slot));
    for other in &mut others {
        assert_eq!(other.get("/").unwrap().status, 200);
    }
    let greedy = worker(&runtime, 2);
    assert!(to_slot(v4(port), 2).get("/alloc/300").is_err());
    runtime.wait_for_line(|line| {
        line.contains("worker ended")
            && line.contains(&format!("pid={greedy} exit=SIGKILL cause=oom"))
    });
    wait_ready(&runtime, 4);
    let killed = exits(&runtime, "oom");
    assert_eq!(counter(&runtime, "rpm_oom_kills_total"), killed);
    let counted = container.count("memory.events", "oom_kill ");
    assert_eq!(u64::from(killed), counted);
    // The kernel may take another worker before the memory of the first is free.
    let served = others.iter_mut().map(|other| other.get("/").is_ok());
    let cut = served.filter(|served| !served).count();
    assert_eq!(cut + 1, killed as usize, "{}", runtime.shown());
    wait_rotation(&runtime, &[0, 1, 2]);
    assert_eq!(http_get(v4(port), "/").unwrap().status, 200);
    stop(runtime);
}

#[test]
#[ignore = "needs a machine of its own: make kernels"]
fn with_an_oom_group_the_container_ends_as_the_log_had_said() {
    let container = Container::new("oom-group", &LIMITS);
    container.set("memory.oom.group", "1");
    let port = free_port();
    let mut runtime = start(&container, port);
    runtime.wait_for_line(|line| {
        line.contains("memory.oom.group is set here") && line.contains("RPM_MAX_MEMORY")
    });
    assert!(to_slot(v4(port), 2).get("/alloc/300").is_err());
    assert!(runtime.wait_exit().code() != Some(0), "{}", runtime.shown());
    until("nobody is left", || {
        container.count("cgroup.events", "populated ") == 0
    });
    assert!(container.count("memory.events", "oom_kill ") >= 4);
    // The kernel counts this since 5.17.
    if container.has("memory.events", "oom_group_kill ") {
        assert_eq!(container.count("memory.events", "oom_group_kill "), 1);
    }
}

/// The way out of the group kill: replaced in time, by a successor that is there first.
#[test]
#[ignore = "needs a machine of its own: make kernels"]
fn a_worker_that_grows_is_replaced_before_the_kernel_kills() {
    let container = Container::new("grows", &LIMITS);
    container.set("memory.oom.group", "1");
    let port = free_port();
    let service = container.echo(port).env("RPM_INSTANCES", "2");
    let runtime = service.env("RPM_MAX_MEMORY", "24Mi").start();
    wait_ready(&runtime, 2);
    wait_rotation(&runtime, &[0, 1]);
    let grown = to_slot(v4(port), 1).get("/alloc/32").unwrap();
    assert_eq!(grown.status, 200);
    until("it is replaced", || exits(&runtime, "memory_limit") == 1);
    assert_eq!(counter(&runtime, "rpm_oom_kills_total"), 0);
    stop(runtime);
}
