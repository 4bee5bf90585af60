//! More and fewer workers under load: a worker that is told to leave has served all its connections.

use std::collections::BTreeSet;

use super::{WORKERS, lost_nothing};
use crate::harness::load::{Load, Style};
use crate::harness::programs::Program;
use crate::harness::reloads::{count, pids, wait_scale};
use crate::harness::shared_port::{field, stop, wait_ready};
use crate::harness::{Runtime, Signal, until};

/// One signal after the other, from one number of workers to another: the kernel may merge two equal signals.
fn scale(runtime: &Runtime, from: u32, to: u32, loads: &[&Load]) {
    let steps: Vec<u32> = if from < to {
        (from + 1..=to).collect()
    } else {
        (to..from).rev().collect()
    };
    let signal = if from < to {
        Signal::SIGTTIN
    } else {
        Signal::SIGTTOU
    };
    for wanted in steps {
        runtime.signal(signal);
        wait_scale(runtime, wanted);
        for load in loads {
            load.wait_answers(50);
        }
    }
}

/// New clients reach all of these workers and no other.
fn all_serve(program: &Program, runtime: &Runtime) {
    let load = Load::run(program.plan(4, Style::Short).strict());
    // With eight workers, the chance that one gets no request is 1 in 10^27.
    load.wait_answers(500);
    let report = load.stop();
    lost_nothing("clients that look round", &report, runtime);
    let seen: BTreeSet<i64> = report.by_pid.keys().copied().collect();
    let workers: BTreeSet<i64> = pids(runtime).into_iter().map(i64::from).collect();
    assert_eq!(seen, workers, "{}", runtime.shown());
}

fn up_and_down(program: &Program) {
    let runtime = program.workers(WORKERS).start();
    wait_ready(&runtime, WORKERS);
    let short = Load::run(program.plan(8, Style::Short).strict());
    let pooled = Load::run(program.plan(8, Style::Bounded(50)).strict());
    let loads = [&short, &pooled];
    let first = pids(&runtime);
    scale(&runtime, 4, 8, &loads);
    assert!(pids(&runtime).is_superset(&first));
    all_serve(program, &runtime);
    scale(&runtime, 8, 2, &loads);
    assert!(pids(&runtime).is_subset(&first));
    all_serve(program, &runtime);
    lost_nothing("a connection each", &short.stop(), &runtime);
    lost_nothing("kept connections", &pooled.stop(), &runtime);
    stop(runtime);
}

#[test]
fn scaling_node_without_a_handler_loses_nothing() {
    up_and_down(&Program::node());
}

#[test]
fn scaling_a_rust_server_loses_nothing() {
    up_and_down(&Program::rust());
}

/// The highest slots are added and removed.
#[test]
fn the_highest_slot_leaves_and_comes_back() {
    let program = Program::rust();
    let runtime = program.workers(3).start();
    wait_ready(&runtime, 3);
    let slots = || {
        let texts = runtime.texts();
        let alive = pids(&runtime);
        let started = texts.iter().filter(|line| line.contains("worker started"));
        let living = started.filter(|line| alive.contains(&field(line, "pid").parse().unwrap()));
        let slots = living.map(|line| field(line, "slot").parse::<u32>().unwrap());
        slots.collect::<BTreeSet<u32>>()
    };
    scale(&runtime, 3, 2, &[]);
    assert_eq!(slots(), BTreeSet::from([0, 1]));
    scale(&runtime, 2, 4, &[]);
    assert_eq!(slots(), BTreeSet::from([0, 1, 2, 3]));
    stop(runtime);
}

/// A service keeps one worker, however often it is told to scale down.
#[test]
fn the_last_worker_stays() {
    let program = Program::rust();
    let runtime = program.workers(2).start();
    wait_ready(&runtime, 2);
    let load = Load::run(program.plan(4, Style::Short).strict());
    scale(&runtime, 2, 1, &[&load]);
    runtime.signal(Signal::SIGTTOU);
    let heard = "rpm_signals_received_total{signal=\"TTOU\"}";
    until("the signal is counted", || count(&runtime, heard) == 2);
    load.wait_answers(100);
    wait_scale(&runtime, 1);
    lost_nothing("clients of the last", &load.stop(), &runtime);
    stop(runtime);
}
