//! The CPU limit changes under load, as in an in-place resize: the workers follow, and no request is lost.

use super::lost_nothing;
use crate::harness::cgroup::{Cgroup, Limit};
use crate::harness::load::{Load, Style};
use crate::harness::programs::Program;
use crate::harness::reloads::{pids, wait_scale};
use crate::harness::shared_port::{field, stop, wait_ready, worker};
use crate::harness::status::counter;

fn cpus(number: u32) -> Limit {
    let period = 100_000;
    Limit::Cpu {
        quota: number * period,
        period,
    }
}

#[test]
fn workers_follow_the_cpu_limit_and_no_request_is_lost() {
    let cgroup = match Cgroup::new("follow", &[cpus(2)]) {
        Ok(cgroup) => cgroup,
        Err(error) => {
            // The same in a fixture: triggers::follow::tests.
            println!("no cgroup with a CPU limit can be made here ({error})");
            return;
        }
    };
    let program = Program::rust();
    let runtime = program
        .workers(2)
        .env("RPM_INSTANCES", "max")
        .under(cgroup.enter_with_any_cpus(&[]))
        .start();
    wait_ready(&runtime, 2);
    wait_scale(&runtime, 2);
    let lowest = worker(&runtime, 0);
    let short = Load::run(program.plan(4, Style::Short).strict());
    let pooled = Load::run(program.plan(4, Style::Bounded(50)).strict());
    for wanted in [4, 1, 2] {
        cgroup.set(cpus(wanted));
        wait_scale(&runtime, wanted);
        for load in [&short, &pooled] {
            load.wait_answers(50);
        }
        // Nobody is restarted: the highest slots come and go.
        assert!(pids(&runtime).contains(&lowest));
    }
    lost_nothing("a connection each", &short.stop(), &runtime);
    lost_nothing("kept connections", &pooled.stop(), &runtime);
    let lines = runtime.wait_for_lines(3, |line| line.contains("RPM_INSTANCES follows"));
    let steps: Vec<_> = lines
        .iter()
        .map(|line| (field(line, "from"), field(line, "to")))
        .collect();
    assert_eq!(steps, [("2", "4"), ("4", "1"), ("1", "2")]);
    let followed = "rpm_resizes_total{followed=\"workers\"}";
    assert_eq!(counter(&runtime, followed), 3);
    assert_eq!(runtime.metric("rpm_cgroup_cpu_limit_cores"), Some(2.0));
    stop(runtime);
}
