//! Workers that come, leave and stand still while clients keep their connections.

use super::kept::{Kept, Service, echoes};
use crate::harness::reloads::{reload, wait_scale};
use crate::harness::shared_port::{freeze, send, v4, wait_ready, wait_rotation, worker};
use crate::harness::status::to_slot;
use crate::harness::{Signal, free_port, until};

/// The clients whose connection is closed come back at once, as most do.
#[test]
fn clients_that_come_back_in_a_reload_reach_all_new_workers() {
    const CLIENTS: usize = 32;
    let port = free_port();
    let service = echoes(port).env("RPM_DRAIN_TIMEOUT", "500ms");
    let mut service = Service::start(service, 4);
    service.even_after_each(CLIENTS, |_| v4(port));
    let mark = service.runtime.mark();
    service.runtime.signal(Signal::SIGHUP);
    let is_over = |service: &Service| {
        let lines = service.runtime.lines();
        let mut new = lines[mark..].iter();
        new.any(|line| line.text.contains("reload finished result=success"))
    };
    let mut back = 0;
    let mut over = false;
    while !over {
        let mut cut = 0;
        until("a client is cut, or the reload is over", || {
            // In this order: what the reload cuts is cut before it is over.
            over = is_over(&service);
            cut = service.cut();
            over || cut > 0
        });
        for _ in 0..cut {
            service.open(v4(port));
        }
        back += cut;
    }
    assert!(back >= CLIENTS, "{back}");
    assert_eq!(service.kept.len(), CLIENTS);
    service.wait_rotation();
    service.wait_connections();
    service.counted_with(v4(port));
    service.gets_even(v4(port));
    service.stop();
}

#[test]
fn after_a_reload_without_clients_the_next_ones_are_even() {
    let port = free_port();
    let mut service = Service::start(echoes(port), 4);
    service.even_after_each(7, |_| v4(port));
    service.kept.clear();
    service.wait_connections();
    reload(&service.runtime);
    service.wait_rotation();
    service.even_after_each(16, |_| v4(port));
    service.stop();
}

#[test]
fn the_successor_of_a_killed_worker_catches_up() {
    let port = free_port();
    let mut service = Service::start(echoes(port), 4);
    service.even_after_each(16, |_| v4(port));
    let clients = service.tally()[1];
    send(worker(&service.runtime, 1), Signal::SIGKILL);
    let mut cut = 0;
    until("its clients have lost their connections", || {
        cut += service.cut();
        cut == clients
    });
    wait_ready(&service.runtime, 5);
    service.wait_rotation();
    service.gets_even(v4(port));
    service.stop();
}

/// A new worker is still cold: it gets every second client at most while it has far fewer.
#[test]
fn a_worker_that_has_far_fewer_gets_many_of_the_next_but_not_all() {
    let port = free_port();
    let mut service = Service::start(echoes(port), 3);
    for client in 0..80 {
        let slot = client % 2;
        let kept = service.arrives(|| Kept::ask(to_slot(v4(port), slot)));
        assert_eq!(kept.slot, slot);
        service.kept.push(kept);
    }
    service.counted();
    for _ in 0..31 {
        service.open(v4(port));
    }
    // It still has far fewer. Each of the 31 reached it with a chance of one half. That all or none did has a chance of
    // 2 / 2^31, below 1e-9.
    let tally = service.tally();
    assert!((1..=30).contains(&tally[2]), "{tally:?}");
    service.stop();
}

#[test]
fn added_workers_catch_up_and_workers_that_leave_get_none() {
    let port = free_port();
    let service = echoes(port).env("RPM_DRAIN_TIMEOUT", "1h");
    let mut service = Service::start(service, 2);
    service.even_after_each(8, |_| v4(port));
    for _ in 0..2 {
        service.runtime.signal(Signal::SIGTTIN);
        wait_scale(&service.runtime, 3);
        service.scaled(3);
        service.wait_rotation();
        service.gets_even(v4(port));
        // It keeps its clients, and stays as long as they do.
        service.runtime.signal(Signal::SIGTTOU);
        wait_rotation(&service.runtime, &[0, 1]);
        let kept = service.tally()[2];
        service.scaled(2);
        service.even_after_each(8, |_| v4(port));
        service.kept.retain_mut(|kept| kept.slot < 2);
        assert!(kept > 0);
        wait_scale(&service.runtime, 2);
    }
    service.stop();
}

#[test]
fn a_worker_that_stands_still_gets_no_more_and_the_others_stay_even() {
    let port = free_port();
    let mut service = Service::start(echoes(port), 4);
    service.even_after_each(8, |_| v4(port));
    let still = worker(&service.runtime, 2);
    freeze(still);
    let mut waiting = Vec::new();
    let passed_over = |service: &Service, value: f64| {
        let series = "rpm_worker_passed_over{worker=\"2\"}";
        until(&format!("passed over: {value}"), || {
            service.runtime.metric(series) == Some(value)
        });
    };
    while waiting.is_empty() {
        waiting.extend(service.open_or_wait(v4(port), 2));
    }
    passed_over(&service, 1.0);
    for _ in 0..24 {
        waiting.extend(service.open_or_wait(v4(port), 2));
    }
    assert_eq!(waiting.len(), 1);
    let mut others = service.tally();
    others.remove(2);
    // Where a client comes during each count, as on a slow machine, one may be placed as if it had not been there.
    let difference = others.iter().max().unwrap() - others.iter().min().unwrap();
    assert!(difference <= 2, "{others:?}");
    send(still, Signal::SIGCONT);
    service.kept.extend(waiting.into_iter().map(Kept::answered));
    service.gets_even(v4(port));
    passed_over(&service, 0.0);
    service.stop();
}
