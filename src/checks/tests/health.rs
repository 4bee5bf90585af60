use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::checks::testing::{Group, PATIENCE, SHORT, answer, block_on, page, rest};
use crate::checks::{Check, Failure, PeriodicCheck, Step, Target};
use crate::policy::health::HealthCheck;

fn watch(kind: HealthCheck, timeout: Duration) -> PeriodicCheck {
    PeriodicCheck {
        check: kind,
        interval: Duration::from_millis(20),
        timeout,
        seed: 4711,
    }
}

/// Starts the watch of worker 2 and returns its reports.
fn start(
    watch: PeriodicCheck,
    target: Option<Target>,
    queue: impl Fn() -> Option<u32> + Send + Sync + 'static,
) -> UnboundedReceiver<Check> {
    let (send, receive) = unbounded_channel();
    tokio::spawn(async move {
        let report = |check| drop(send.send(check));
        watch.run(|| target, queue, report).await;
    });
    receive
}

async fn next(checks: &mut UnboundedReceiver<Check>) -> Check {
    let next = tokio::time::timeout(PATIENCE, checks.recv()).await;
    next.unwrap().unwrap()
}

/// Waits for this result; others may come before it.
async fn until(checks: &mut UnboundedReceiver<Check>, wanted: &Check) {
    while next(checks).await != *wanted {}
}

#[test]
fn every_check_is_reported_for_ever() {
    let group = Group::new();
    let (serve, status) = answer("200 OK");
    group.work(2, serve);
    block_on(async {
        let http = watch(HealthCheck::Http(page("/healthz")), PATIENCE);
        let mut checks = start(http, Some(group.target(2)), group.queue(2));
        for _ in 0..3 {
            assert_eq!(next(&mut checks).await, Check::Passed);
        }
        "503 Sick".clone_into(&mut status.lock().unwrap());
        let sick = Check::Failed(Failure::Status(503));
        until(&mut checks, &sick).await;
        assert_eq!(next(&mut checks).await, sick);
        "200 OK".clone_into(&mut status.lock().unwrap());
        until(&mut checks, &Check::Passed).await;
    });
}

#[test]
fn tcp_and_accept_look_at_the_queue() {
    let group = Group::new();
    block_on(async {
        let target = Some(group.target(2));
        let mut accept = start(watch(HealthCheck::Accept, SHORT), target, group.queue(2));
        assert_eq!(next(&mut accept).await, Check::Passed);
        let mut tcp = start(watch(HealthCheck::Tcp, SHORT), target, group.queue(2));
        let not_accepted = Check::Failed(Failure::TimedOut {
            step: Step::Accept,
            limit: SHORT,
        });
        assert_eq!(next(&mut tcp).await, not_accepted);
        // The connection of the other check waits there.
        while !matches!(
            next(&mut accept).await,
            Check::Failed(Failure::Stuck { .. })
        ) {}
        group.work(2, |stream| drop(rest(&stream)));
        until(&mut tcp, &Check::Passed).await;
        until(&mut accept, &Check::Passed).await;
    });
}

#[test]
fn a_worker_that_cannot_be_asked_is_not_found_guilty() {
    block_on(async {
        for kind in [HealthCheck::Http(page("/")), HealthCheck::Tcp] {
            let mut checks = start(watch(kind, SHORT), None, || Some(3));
            let unknown = "it has no shared port on which it can be asked";
            assert_eq!(next(&mut checks).await, Check::NotMade(unknown.into()));
        }
        let mut checks = start(watch(HealthCheck::Accept, SHORT), None, || None);
        let unknown = "the length of its queue cannot be read";
        assert_eq!(next(&mut checks).await, Check::NotMade(unknown.into()));
    });
}
