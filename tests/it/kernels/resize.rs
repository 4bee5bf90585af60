//! An in-place resize: the kubelet writes the limits of a running container.

use super::Container;
use super::serving::clients;
use crate::harness::free_port;
use crate::harness::load::Style;
use crate::harness::reloads::{pids, wait_scale};
use crate::harness::shared_port::{stop, wait_ready};
use crate::harness::status::counter;
use crate::harness::until;
use crate::load::lost_nothing;

#[test]
#[ignore = "needs a machine of its own: make kernels"]
fn workers_follow_a_written_cpu_max_and_lose_no_request() {
    let container = Container::new("resize", &[("cpu.max", "100000 100000")]);
    let port = free_port();
    let service = container.echo(port).env("RPM_INSTANCES", "max");
    let runtime = service.start();
    wait_ready(&runtime, 1);
    let first = pids(&runtime);
    let load = clients(port, Style::Short);
    for (quota, wanted) in [
        ("250000 100000", 3),
        ("90000 100000", 1),
        ("200000 100000", 2),
    ] {
        load.wait_answers(20);
        container.set("cpu.max", quota);
        wait_scale(&runtime, wanted);
    }
    load.wait_answers(20);
    lost_nothing("a connection each", &load.stop(), &runtime);
    assert!(pids(&runtime).is_superset(&first), "nobody was restarted");
    let followed = counter(&runtime, "rpm_resizes_total{followed=\"workers\"}");
    assert_eq!(followed, 3, "{}", runtime.shown());
    stop(runtime);
}

#[test]
#[ignore = "needs a machine of its own: make kernels"]
fn max_memory_in_percent_follows_a_written_memory_max() {
    let container = Container::new("resize-memory", &[("memory.max", "268435456")]);
    let service = container.echo(free_port()).env("RPM_INSTANCES", "2");
    let runtime = service.env("RPM_MAX_MEMORY", "50%").start();
    wait_ready(&runtime, 2);
    let limit = || runtime.metric("rpm_worker_memory_limit_bytes{worker=\"1\"}");
    assert_eq!(limit(), Some(67_108_864.0));
    container.set("memory.max", "134217728");
    until("the limit of a worker is lower", || {
        limit() == Some(33_554_432.0)
    });
    assert_eq!(runtime.workers().len(), 2);
    stop(runtime);
}
