//! PID 1 of the whole machine. scripts/kernels starts this test before its init becomes the runtime.

use std::collections::BTreeSet;
use std::fs;

use crate::harness::load::{Load, Plan, Style};
use crate::harness::shared_port::{send, v4};
use crate::harness::{Signal, children, http_get, patience, until};

/// The workers: the test itself is a child of PID 1 too.
fn workers() -> BTreeSet<i32> {
    let all = children(1).into_iter();
    let workers = all.filter(|process| process.name == "echo_server" && !process.is_zombie());
    workers.map(|process| process.pid).collect()
}

#[test]
#[ignore = "needs a machine of its own: make kernels"]
fn pid_1_of_the_machine_serves_reloads_and_reaps() {
    until("PID 1 is the runtime", || {
        fs::read_link("/proc/1/exe").is_ok_and(|path| path.ends_with("rpm-runtime"))
    });
    let asked = |path: &str| http_get("127.0.0.1:9464", path).is_ok_and(|it| it.status == 200);
    until("it is ready", || asked("/startupz"));
    let old = workers();
    assert_eq!(old.len(), 2, "max, with a limit of 1500m on four CPUs");

    let mut plan = Plan::new(v4(3000), 4, Style::Short).strict();
    plan.patience = patience();
    let load = Load::run(plan);
    load.wait_answers(100);
    send(1, Signal::SIGHUP);
    until("both workers are new", || {
        let now = workers();
        now.len() == 2 && now.is_disjoint(&old)
    });
    load.wait_answers(100);
    let report = load.stop();
    assert_eq!(report.lost(), 0, "{report}");

    send(*workers().first().unwrap(), Signal::SIGKILL);
    until("the dead worker is replaced, and reaped", || {
        workers().len() == 2 && children(1).iter().all(|process| !process.is_zombie())
    });
}
