//! RPM_INSTANCES_FOLLOW: limits of the container change while it runs, as in an in-place resize.
//!
//! This needs a cgroup with limits below our own. Where none can be made, the tests end with a word about it; the same is
//! shown in a fixture by the tests of `triggers::follow`.

use crate::harness::cgroup::{Cgroup, Limit};
use crate::harness::reloads::wait_scale;
use crate::harness::shared_port::{field, stop, v4, wait_ready};
use crate::harness::status::{counter, echo, exits, to_slot};
use crate::harness::{Builder, Runtime, Signal, free_port, until};

const FOLLOWED: &str = "RPM_INSTANCES follows";

fn cpus(number: u32) -> Limit {
    let period = 100_000;
    Limit::Cpu {
        quota: number * period,
        period,
    }
}

fn cgroup(name: &str, limit: Limit) -> Option<Cgroup> {
    let made = Cgroup::new(name, &[limit]);
    made.map_err(|error| println!("no such cgroup can be made here: {error}"))
        .ok()
}

/// `max` in that cgroup; the numbers do not depend on the machine. `denied` is what examples/deny refuses.
fn max(cgroup: &Cgroup, denied: &[&str]) -> Builder {
    echo(free_port(), 1)
        .under(cgroup.enter_with_any_cpus(denied))
        .env("RPM_READY", "auto")
        .env("RPM_INSTANCES", "max")
}

fn up(service: Builder, workers: usize) -> Runtime {
    let runtime = service.start();
    wait_ready(&runtime, workers);
    runtime
}

#[test]
fn the_number_stays_where_that_is_switched_off_and_where_a_second_worker_could_not_bind() {
    let Some(cgroup) = cgroup("stays", cpus(1)) else {
        return;
    };
    let follows = up(max(&cgroup, &[]), 1);
    let off = max(&cgroup, &[]).env("RPM_INSTANCES_FOLLOW", "false");
    // Without interception a single worker has the port for itself.
    let alone = max(&cgroup, &["notify"]);
    let stays = [up(off, 1), up(alone, 1)];
    // What follows shows when the others had their time: a change takes two looks upwards, and four downwards.
    for wanted in [3, 2] {
        cgroup.set(cpus(wanted));
        wait_scale(&follows, wanted);
    }
    for runtime in stays {
        assert_eq!(counter(&runtime, "rpm_workers_desired"), 1);
        // /metrics tells the limit of the moment, whoever follows it.
        assert_eq!(runtime.metric("rpm_cgroup_cpu_limit_cores"), Some(2.0));
        let texts = runtime.texts();
        assert!(
            !texts.iter().any(|line| line.contains(FOLLOWED)),
            "{texts:?}"
        );
        stop(runtime);
    }
    stop(follows);
}

#[test]
fn a_number_that_an_operator_has_made_holds_until_the_limit_grants_another() {
    let Some(cgroup) = cgroup("operator", cpus(2)) else {
        return;
    };
    let runtime = up(max(&cgroup, &[]), 2);
    runtime.signal(Signal::SIGTTIN);
    wait_scale(&runtime, 3);
    cgroup.set(cpus(4));
    wait_scale(&runtime, 4);
    runtime.signal(Signal::SIGTTOU);
    wait_scale(&runtime, 3);
    cgroup.set(cpus(1));
    wait_scale(&runtime, 1);
    let lines = runtime.wait_for_lines(2, |line| line.contains(FOLLOWED));
    let granted = lines
        .iter()
        .map(|line| (field(line, "from"), field(line, "to")));
    assert!(granted.eq([("2", "4"), ("4", "1")]), "{lines:?}");
    let changed = runtime.wait_for_lines(4, |line| line.contains("number of workers changed"));
    let changed = changed
        .iter()
        .map(|line| (field(line, "from"), field(line, "to")));
    assert!(
        changed.eq([("2", "3"), ("3", "4"), ("4", "3"), ("3", "1")]),
        "{lines:?}"
    );
    stop(runtime);
}

#[test]
fn max_memory_in_percent_follows_the_memory_limit_and_replaces_a_worker_that_is_above_the_new_one()
{
    const MI: u64 = 1 << 20;
    let Some(cgroup) = cgroup("percent", Limit::Memory(256 * MI)) else {
        return;
    };
    let port = free_port();
    let service = echo(port, 2)
        .under(cgroup.enter())
        .env("RPM_READY", "listen")
        .env("RPM_MAX_MEMORY", "50%");
    let runtime = up(service, 2);
    let limit = || runtime.metric("rpm_worker_memory_limit_bytes{worker=\"1\"}");
    let bytes = |mebibytes: u32| Some(f64::from(mebibytes) * 1_048_576.0);
    assert_eq!(limit(), bytes(64));
    assert_eq!(to_slot(v4(port), 1).get("/alloc/40").unwrap().status, 200);
    cgroup.set(Limit::Memory(512 * MI));
    until("the limit of a worker is raised", || limit() == bytes(128));
    assert_eq!(runtime.metric("rpm_cgroup_memory_limit_bytes"), bytes(512));
    assert_eq!(exits(&runtime, "memory_limit"), 0);
    cgroup.set(Limit::Memory(128 * MI));
    until("the worker that is above it is replaced", || {
        exits(&runtime, "memory_limit") == 1
    });
    assert_eq!(limit(), bytes(32));
    let lines = runtime.wait_for_lines(2, |line| line.contains("RPM_MAX_MEMORY follows"));
    let steps = lines
        .iter()
        .map(|line| (field(line, "from"), field(line, "to")));
    assert!(
        steps.eq([("64Mi", "128Mi"), ("128Mi", "32Mi")]),
        "{lines:?}"
    );
    // Less memory replaces workers.
    let levels = lines.iter().map(|line| line.contains(" warn: "));
    assert!(levels.eq([false, true]), "{lines:?}");
    let told = runtime.wait_for_line(|line| line.contains("uses more memory than RPM_MAX_MEMORY"));
    assert_eq!(field(&told, "limit"), "32Mi");
    let followed = |what: &str| {
        let series = format!("rpm_resizes_total{{followed=\"{what}\"}}");
        counter(&runtime, &series)
    };
    assert_eq!((followed("workers"), followed("max_memory")), (0, 2));
    stop(runtime);
}
