//! A successor that ends while its predecessor still drains.

use super::*;
use crate::model::{ReloadResult, Trigger};

fn rolling() -> Params {
    Params {
        drain_timeout: Some(secs(5)),
        min_ready: secs(1),
        ..params()
    }
}

/// A ready worker on the spare listener.
fn rises(table: &mut Table) -> Pid {
    table.pids += 1;
    let new = Pid::new(table.pids).unwrap();
    let _ = table.tell(Event::Spawned {
        slot: SLOT,
        listener: ListenerId(1),
        pid: new,
        port: None,
        channel: false,
    });
    let _ = table.tell(is_ready(new));
    new
}

/// A worker whose successor has taken over, and that drains.
fn taken_over(params: Params) -> (Table, Pid, Pid) {
    let (mut table, pids) = Table::serving(params);
    let reload = Command::Reload(Trigger::Operator);
    let _ = table.tell(Event::Operator(reload));
    let new = rises(&mut table);
    let took = table.wait(1000);
    assert!(says(
        &took,
        Note::TookOver {
            slot: SLOT,
            pid: new,
            old: pids[0]
        }
    ));
    (table, pids[0], new)
}

fn result(actions: &[Action]) -> Option<ReloadResult> {
    actions.iter().find_map(|action| match action {
        Action::Say(Note::ReloadEnded { result, .. }) => Some(*result),
        _ => None,
    })
}

#[test]
fn a_successor_that_ends_gives_the_slot_back() {
    let (mut table, old, new) = taken_over(rolling());
    assert_eq!(table.fleet.rotation().live, [ListenerId(1)]);
    let actions = table.ends(new, Exit::Code(1));
    let slot = SLOT;
    assert!(says(
        &actions,
        Note::GaveBack {
            slot,
            pid: new,
            old
        }
    ));
    assert_eq!(told(&actions).1, Next::Replaced);
    assert_eq!(result(&actions), Some(ReloadResult::Failure));
    assert_eq!(deeds(&actions), [], "nobody is started or stopped");
    assert_eq!(table.fleet.rotation().live, [ListenerId(0)]);
    assert_eq!(table.draining(), []);
    let later = table.wait(60_000);
    assert_eq!(later, [Action::CloseAbandonedPorts], "and it stays");
    let seen = table.seen();
    assert_eq!((seen.slots[0].pid, seen.generation.0), (Some(old), 0));
    // The listener of the one that ended is a spare again.
    let again = table.tell(Event::Operator(Command::Reload(Trigger::Operator)));
    let spawns = |action: &Action| matches!(action, Action::Spawn { listener, .. } if *listener == ListenerId(1));
    assert!(again.iter().any(spawns), "{again:?}");
}

#[test]
fn with_its_stop_signal_nobody_comes_back() {
    let (mut table, old, new) = taken_over(rolling());
    let told_to_stop = table.tell(Event::Drained { pid: old });
    assert_eq!(deeds(&told_to_stop), [Action::Stop { pid: old }]);
    let actions = table.ends(new, Exit::Code(1));
    assert!(matches!(told(&actions).1, Next::Restart { .. }));
    assert_eq!(result(&actions), Some(ReloadResult::Failure));
}

#[test]
fn a_worker_that_waits_for_its_moment_or_its_last_scrape_comes_back() {
    let (mut table, old, new) = taken_over(Params {
        last_scrape: true,
        ..rolling()
    });
    let asked = table.tell(Event::Drained { pid: old });
    assert!(matches!(deeds(&asked)[..], [Action::Scrape { .. }]));
    let _ = table.ends(new, Exit::Code(1));
    assert_eq!(table.tell(Event::Scraped { pid: old }), []);
    assert_eq!(table.seen().slots[0].pid, Some(old));
    let (mut table, old, new) = taken_over(rolling());
    let _ = table.wait(5000);
    let _ = table.ends(new, Exit::Code(1));
    assert_eq!(table.wait(60_000), [Action::CloseAbandonedPorts]);
    assert_eq!(table.seen().slots[0].pid, Some(old));
}

#[test]
fn an_unhealthy_worker_does_not_come_back() {
    let (mut table, pids) = Table::serving(Params {
        health_failures: Some(1),
        ..rolling()
    });
    let cause = Cause::Unhealthy;
    let _ = table.tell(Event::Unfit {
        pid: pids[0],
        cause,
    });
    let new = rises(&mut table);
    let _ = table.tell(Event::Checked {
        pid: new,
        passed: true,
    });
    let _ = table.wait(1000);
    let actions = table.ends(new, Exit::Code(1));
    assert!(matches!(told(&actions).1, Next::Restart { .. }));
}

#[test]
fn one_that_has_grown_too_large_comes_back_and_is_replaced_later() {
    let (mut table, pids) = Table::serving(rolling());
    let old = pids[0];
    let cause = Cause::MemoryLimit;
    let _ = table.tell(Event::Unfit { pid: old, cause });
    let new = rises(&mut table);
    let _ = table.wait(1000);
    let actions = table.ends(new, Exit::Code(1));
    assert_eq!(deeds(&actions), []);
    assert_eq!(table.due_in(), Some(millis(100)));
    assert!(matches!(
        deeds(&table.wait(100))[..],
        [Action::Spawn { .. }]
    ));
}

#[test]
fn a_worker_that_ends_before_it_is_old_enough_fails_the_reload() {
    let (mut table, pids) = Table::serving(Params {
        min_ready: Duration::ZERO,
        ..params()
    });
    let _ = table.tell(Event::Operator(Command::Reload(Trigger::Operator)));
    let new = rises(&mut table);
    // The old one has its stop signal already.
    let actions = table.ends(new, Exit::Code(1));
    assert_eq!(result(&actions), Some(ReloadResult::Failure));
    assert!(matches!(told(&actions).1, Next::Restart { .. }));
    let _ = table.ends(pids[0], TERMINATED);
}
