//! A reload as an operator sees it: which worker is replaced by which, in which order, and how many there are
//! meanwhile.

use std::ffi::OsString;

use crate::harness::reloads::{Reloads, pids, reload, reloads};
use crate::harness::shared_port::{self, Gate, field, stop, v4, wait_ready, wait_rotation};
use crate::harness::status::{
    self, Sampler, ask_slot, counter, drains, echo, exits, most_alive, status, took_over,
    wait_reload_ends, wait_status,
};
use crate::harness::{Builder, Runtime, Signal, example, free_port, http_get, scratch, until};

const HEARD: &str = "rpm_signals_received_total{signal=\"HUP\"}";

/// Workers that wait at a gate before they execute the program: `gate.open(n)` releases `n` of them.
fn gated(gate: &Gate, port: u16, workers: u16) -> Builder {
    let program = gate.before(vec![OsString::from(example("echo_server"))]);
    Runtime::builder()
        .env("RPM_INSTANCES", workers.to_string())
        .env("PORT", port.to_string())
        .env("RPM_READY", "listen")
        .program(program)
}

/// Two workers in the middle of a reload: the first new one waits at the gate.
fn in_the_middle(gate: &mut Gate, port: u16) -> Runtime {
    let runtime = gated(gate, port, 2).start();
    gate.open(2);
    wait_ready(&runtime, 2);
    runtime.signal(Signal::SIGHUP);
    runtime.wait_for_lines(3, |line| line == "waiting");
    runtime
}

#[test]
fn hup_replaces_every_worker_slot_by_slot() {
    let port = free_port();
    let runtime = echo(port, 4).start();
    wait_ready(&runtime, 4);
    let before = status(&runtime);
    assert_eq!((before.generation, before.state.as_str()), (0, "running"));
    reload(&runtime);
    let after = status(&runtime);
    // In the order of the slots, each by its own successor.
    let expected: Vec<(u16, i32, i32)> = (0..4)
        .map(|slot| (slot, after.pid(slot.into()), before.pid(slot.into())))
        .collect();
    assert_eq!(took_over(&runtime), expected);
    assert_eq!((after.generation, after.state.as_str()), (1, "running"));
    assert!(after.slots.iter().all(|worker| worker.generation == 1));
    assert!(after.rising.is_empty() && after.retiring.is_empty());
    // The worker knows its slot as well.
    let mut seen = std::collections::BTreeSet::new();
    until("all four answer", || {
        let reply = http_get(v4(port), "/").unwrap();
        assert_eq!(reply.json()["generation"], "1");
        seen.insert(reply.pid());
        seen.len() == 4
    });
    assert_eq!(counter(&runtime, "rpm_generation"), 1);
    assert_eq!(counter(&runtime, "rpm_config_last_reload_successful"), 1);
    assert_eq!(
        counter(&runtime, "rpm_reloads_total{result=\"superseded\"}"),
        0
    );
    assert_eq!(exits(&runtime, "reload"), 4);
    assert_eq!(drains(&runtime, "empty"), 4);
    // No worker had died.
    assert_eq!(
        counter(&runtime, "rpm_worker_restarts_total{worker=\"0\"}"),
        0
    );
    stop(runtime);
}

/// The limits of a reload: the settings, the fewest workers that serve, and the most that exist.
struct Bounds {
    settings: &'static [(&'static str, &'static str)],
    ready: usize,
    alive: usize,
}

/// Never fewer and never more in any sample; and the limit is reached at some time, otherwise the setting had no
/// effect.
fn keeps(bounds: &Bounds) {
    let service = echo(free_port(), 4).env("RPM_MIN_READY", "300ms");
    let settings = bounds.settings.iter();
    let service = settings.fold(service, |service, (name, value)| service.env(name, value));
    let runtime = service.start();
    wait_ready(&runtime, 4);
    wait_status(&runtime, "all serve", |seen| seen.ready() == 4);
    let sampler = Sampler::of_status(&runtime);
    sampler.wait(1);
    reload(&runtime);
    let history = sampler.end();
    assert!(history.len() > 10, "{} samples", history.len());
    for sample in &history {
        assert!(sample.ready() >= bounds.ready, "{sample:?}");
        assert!(sample.processes() <= bounds.alive, "{sample:?}");
    }
    assert_eq!(most_alive(&runtime), bounds.alive, "{}", runtime.shown());
    let fewest = history.iter().map(status::Status::ready).min();
    assert_eq!(fewest, Some(bounds.ready), "{}", runtime.shown());
    let began = |sample: &&status::Status| sample.generation == 1;
    assert!(history.iter().filter(began).count() > 10);
    stop(runtime);
}

#[test]
fn a_reload_has_one_worker_more_and_none_less() {
    keeps(&Bounds {
        settings: &[],
        ready: 4,
        alive: 5,
    });
}

#[test]
fn a_surge_of_two_replaces_two_at_a_time() {
    keeps(&Bounds {
        settings: &[("RPM_RELOAD_SURGE", "2")],
        ready: 4,
        alive: 6,
    });
}

#[test]
fn a_surge_in_percent_is_of_the_workers() {
    keeps(&Bounds {
        settings: &[("RPM_RELOAD_SURGE", "50%")],
        ready: 4,
        alive: 6,
    });
}

#[test]
fn without_surge_one_goes_before_the_next_comes() {
    keeps(&Bounds {
        settings: &[("RPM_RELOAD_SURGE", "0")],
        ready: 3,
        alive: 4,
    });
}

#[test]
fn half_of_them_may_be_away_where_that_is_said() {
    keeps(&Bounds {
        settings: &[("RPM_RELOAD_SURGE", "0"), ("RPM_RELOAD_UNAVAILABLE", "50%")],
        ready: 2,
        alive: 4,
    });
}

#[test]
fn a_new_worker_takes_over_after_the_minimum_ready_time() {
    let runtime = echo(free_port(), 2).env("RPM_MIN_READY", "700ms").start();
    wait_ready(&runtime, 2);
    let sampler = Sampler::of_status(&runtime);
    reload(&runtime);
    let history = sampler.end();
    let new = |worker: &&status::Worker| worker.generation == 1;
    // The successor becomes ready and waits.
    let rises = history.iter().flat_map(|sample| &sample.rising);
    assert!(rises.filter(|worker| worker.state == "ready").count() > 0);
    let seated = history
        .iter()
        .flat_map(|sample| sample.slots.iter().filter(new));
    let uptimes: Vec<f64> = seated.map(|worker| worker.uptime.unwrap()).collect();
    assert!(!uptimes.is_empty());
    assert!(uptimes.iter().all(|uptime| *uptime >= 0.7), "{uptimes:?}");
    stop(runtime);
}

/// The listener that slot 0 leaves goes to the new worker of slot 1, and so on: a late client that waits there is
/// served by the next worker of the roll.
#[test]
fn each_listener_goes_to_the_next_worker_of_the_roll() {
    let port = free_port();
    let runtime = echo(port, 3).env("RPM_READY", "listen").start();
    wait_ready(&runtime, 3);
    wait_rotation(&runtime, &[0, 1, 2]);
    let order = || status(&runtime).order();
    // The spare does not listen before a worker takes it.
    assert_eq!(order(), [Some(0), Some(1), Some(2)]);
    for expected in [
        [Some(1), Some(2), None, Some(0)],
        [Some(2), None, Some(0), Some(1)],
        [None, Some(0), Some(1), Some(2)],
        [Some(0), Some(1), Some(2), None],
    ] {
        reload(&runtime);
        wait_rotation(&runtime, &[0, 1, 2]);
        assert_eq!(order(), expected, "{}", runtime.shown());
        let seen = status(&runtime);
        for queue in &seen.queues {
            assert_eq!(queue.in_rotation, queue.worker.is_some(), "{seen:?}");
        }
    }
    // After as many reloads as there are listeners, each is where it was.
    for slot in 0..3 {
        let reply = ask_slot(v4(port), slot, "/");
        assert_eq!(reply.json()["slot"], slot.to_string());
    }
    stop(runtime);
}

#[test]
fn a_hup_during_a_reload_is_one_more_reload() {
    let mut gate = Gate::new("one-more");
    let runtime = in_the_middle(&mut gate, free_port());
    runtime.signal(Signal::SIGHUP);
    runtime.wait_for_line(|line| line.contains("another one will follow"));
    // Two reloads of two workers; the gate is not opened for more.
    gate.open(4);
    let ended = runtime.wait_for_lines(2, |line| line.contains("reload finished"));
    assert!(
        ended.iter().all(|line| field(line, "replaced") == "2"),
        "{ended:?}"
    );
    let seen = wait_status(&runtime, "it is over", |seen| seen.state == "running");
    assert_eq!(seen.generation, 2);
    assert!(seen.slots.iter().all(|worker| worker.generation == 2));
    stop(runtime);
}

#[test]
fn three_hups_are_two_reloads() {
    let mut gate = Gate::new("three");
    let runtime = in_the_middle(&mut gate, free_port());
    for heard in [2, 3] {
        runtime.signal(Signal::SIGHUP);
        until("the signal is heard", || counter(&runtime, HEARD) == heard);
    }
    gate.open(6);
    runtime.wait_for_lines(2, |line| line.contains("reload finished"));
    // A third reload would have begun at the end of the second.
    let seen = wait_status(&runtime, "it is over", |seen| seen.state == "running");
    assert_eq!(seen.generation, 2);
    let wanted = Reloads {
        success: 2,
        failed: 0,
    };
    assert_eq!(reloads(&runtime), wanted);
    stop(runtime);
}

#[test]
fn term_ends_a_reload_at_once() {
    let mut gate = Gate::new("superseded");
    let mut runtime = in_the_middle(&mut gate, free_port());
    let mark = runtime.mark();
    runtime.signal(Signal::SIGTERM);
    // The runtime does not wait for the new worker: the gate stays closed.
    assert_eq!(runtime.wait_exit().code(), Some(0), "{}", runtime.shown());
    let ended = wait_reload_ends(&runtime, mark);
    assert_eq!(field(&ended, "result"), "superseded");
    assert_eq!(field(&ended, "replaced"), "0");
}

/// A reload that was requested meanwhile does not begin either.
#[test]
fn term_forgets_the_reload_that_would_follow() {
    let mut gate = Gate::new("forgotten");
    let mut runtime = in_the_middle(&mut gate, free_port());
    runtime.signal(Signal::SIGHUP);
    runtime.wait_for_line(|line| line.contains("another one will follow"));
    runtime.signal(Signal::SIGTERM);
    assert_eq!(runtime.wait_exit().code(), Some(0), "{}", runtime.shown());
    let texts = runtime.texts();
    let begun = texts.iter().filter(|line| line.contains("reload begins"));
    assert_eq!(begun.count(), 1, "{texts:?}");
}

/// If another process kills a new worker, the reload ends, and the old workers continue to serve.
#[test]
fn a_reload_whose_new_worker_is_killed_fails_and_the_old_ones_stay() {
    let mut gate = Gate::new("killed");
    let port = free_port();
    let runtime = in_the_middle(&mut gate, port);
    let seen = status(&runtime);
    let old: Vec<i32> = [0, 1].map(|slot| seen.pid(slot)).to_vec();
    let [new] = &seen.rising[..] else {
        panic!("{seen:?}")
    };
    let mark = runtime.mark();
    shared_port::send(new.pid.unwrap(), Signal::SIGKILL);
    let ended = wait_reload_ends(&runtime, mark);
    assert_eq!(field(&ended, "result"), "failure");
    runtime.wait_for_line_after(mark, |line| {
        line.contains("a new worker did not come up") && line.contains("SIGKILL ended it")
    });
    until("only the old ones are left", || {
        pids(&runtime).into_iter().eq(old.iter().copied())
    });
    let seen = status(&runtime);
    // As if it had not happened: the next reload has a number of its own.
    assert_eq!((seen.generation, seen.state.as_str()), (0, "running"));
    assert_eq!(counter(&runtime, "rpm_config_last_reload_successful"), 0);
    assert_eq!(http_get(v4(port), "/").unwrap().status, 200);
    gate.open(2);
    reload(&runtime);
    assert_eq!(status(&runtime).generation, 2);
    stop(runtime);
}

/// The user mends what the start waits for; nobody was served meanwhile.
#[test]
fn a_reload_does_not_wait_for_a_worker_that_hangs_in_its_start() {
    let port = free_port();
    let file = scratch("mended").join("file");
    let server = example("echo_server");
    let script = format!(
        "[ -e {} ] || {{ echo hangs; exec sleep 600; }}; exec {}",
        file.display(),
        server.display()
    );
    let runtime = Runtime::builder()
        .env("PORT", port.to_string())
        .env("RPM_READY", "listen")
        .env("RPM_READY_TIMEOUT", "10m")
        .program(["sh", "-c", &script])
        .start();
    runtime.wait_for_line(|line| line == "hangs");
    std::fs::write(&file, "").unwrap();
    let mark = runtime.mark();
    runtime.signal(Signal::SIGHUP);
    let line = wait_reload_ends(&runtime, mark);
    assert_eq!(field(&line, "result"), "success", "{line}");
    let answer = http_get(v4(port), "/").unwrap().json();
    assert_eq!(answer["generation"], "1");
    stop(runtime);
}
