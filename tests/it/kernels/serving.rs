//! The shared port.

use super::Container;
use crate::harness::load::{Load, Plan, Style};
use crate::harness::reloads::reload;
use crate::harness::shared_port::{send, stop, v4, wait_ready, wait_rotation};
use crate::harness::{Signal, free_port, http_get, patience, process, until};
use crate::load::lost_nothing;

const WORKERS: u16 = 3;

/// Clients that wait as long as a slow machine needs.
pub fn clients(port: u16, style: Style) -> Load {
    let mut plan = Plan::new(v4(port), 4, style).strict();
    plan.patience = patience();
    Load::run(plan)
}

#[test]
#[ignore = "needs a machine of its own: make kernels"]
fn a_port_is_handed_over_and_reloads_under_load_lose_nothing() {
    let container = Container::new("reloads", &[("memory.max", "134217728")]);
    let port = free_port();
    let service = container.echo(port);
    let runtime = service.env("RPM_INSTANCES", WORKERS.to_string()).start();
    wait_ready(&runtime, WORKERS.into());
    let line = runtime.wait_for_line(|line| line.contains("handover="));
    assert!(line.contains("handover=intercept"), "{line}");
    assert!(line.contains("steering=adaptive"), "{line}");
    let (short, kept) = (
        clients(port, Style::Short),
        clients(port, Style::Bounded(20)),
    );
    for _ in 0..2 {
        short.wait_answers(100);
        kept.wait_answers(100);
        reload(&runtime);
    }
    short.wait_answers(100);
    kept.wait_answers(100);
    lost_nothing("a connection each", &short.stop(), &runtime);
    lost_nothing("kept connections", &kept.stop(), &runtime);
    stop(runtime);
}

#[test]
#[ignore = "needs a machine of its own: make kernels"]
fn the_queue_of_a_dead_worker_is_served_by_its_successor() {
    let container = Container::new("dead", &[]);
    let port = free_port();
    let service = container.echo(port);
    let runtime = service.env("RPM_INSTANCES", WORKERS.to_string()).start();
    wait_ready(&runtime, WORKERS.into());
    wait_rotation(&runtime, &(0..WORKERS).collect::<Vec<_>>());
    let old = runtime.workers();
    for worker in &old {
        send(worker.pid, Signal::SIGKILL);
    }
    // What one of them had accepted would be cut.
    until("all are dead", || {
        let mut left = old.iter().filter_map(|worker| process(worker.pid));
        left.all(|process| process.is_zombie())
    });
    // Nobody serves at first, and nobody is refused.
    assert_eq!(http_get(v4(port), "/").unwrap().status, 200);
    wait_ready(&runtime, 2 * usize::from(WORKERS));
    until("no zombies", || runtime.zombies() == 0);
    stop(runtime);
}
