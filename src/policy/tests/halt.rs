//! An operator empties a slot and starts it again.

use super::roll::{self, RELOAD, live, rises};
use super::*;
use crate::model::ReloadResult;

const HALT: Event = Event::Operator(Command::Halt(SLOT));
const START: Event = Event::Operator(Command::Start(SLOT));

fn two() -> Params {
    Params {
        instances: 2,
        ..roll::two()
    }
}

/// Its worker has drained and ended.
fn halted(params: Params) -> (Table, Vec<Pid>) {
    let (mut table, pids) = Table::serving(params);
    let _ = table.tell(HALT);
    let _ = table.tell(Event::Drained { pid: pids[0] });
    let told = table.ends(pids[0], TERMINATED);
    assert_eq!(super::told(&told), (Cause::Halt, Next::Halted));
    (table, pids)
}

#[test]
fn its_worker_drains_and_the_slot_stays_empty() {
    let (mut table, old) = Table::serving(two());
    let (slot, pid) = (SLOT, old[0]);
    let told = table.tell(HALT);
    let limit = two().drain_timeout.unwrap();
    assert!(says(&told, Note::Drains { slot, pid, limit }));
    assert_eq!(deeds(&told), []);
    assert_eq!(live(&table), [1], "nobody is sent there");
    assert_eq!(table.fleet.rotation().expected, [ListenerId(1)]);
    assert_eq!(table.state(SLOT), WorkerState::Halted);
    assert!(!table.fleet.idle().contains(&home(SLOT)), "it is held");
    assert_eq!(
        deeds(&table.tell(Event::Drained { pid })),
        [Action::Stop { pid }]
    );
    let told = table.ends(pid, TERMINATED);
    assert_eq!(super::told(&told), (Cause::Halt, Next::Halted));
    assert_eq!(deeds(&told), []);
    assert!(
        table.fleet.idle().contains(&home(SLOT)),
        "its queue is passed on"
    );
    assert_eq!(deeds(&table.wait(600_000)), []);
    assert_eq!(deeds(&table.tell(HALT)), [], "it is halted already");
    assert_eq!(table.seen().desired, 2);
}

#[test]
fn it_is_started_again_at_once() {
    let (mut table, _) = halted(two());
    assert_eq!(deeds(&table.tell(START)), [spawn(SLOT)]);
    assert_eq!(table.state(SLOT), WorkerState::Backoff);
    let pid = table.runs(SLOT);
    let _ = table.tell(is_ready(pid));
    assert_eq!(live(&table), [0, 1]);
    assert_eq!(deeds(&table.tell(START)), [], "it runs already");
}

#[test]
fn a_start_waits_for_the_worker_that_still_leaves() {
    let (mut table, old) = Table::serving(two());
    let _ = table.tell(HALT);
    assert_eq!(deeds(&table.tell(START)), []);
    assert_eq!(table.state(SLOT), WorkerState::Backoff);
    let _ = table.tell(Event::Drained { pid: old[0] });
    let told = table.ends(old[0], TERMINATED);
    assert_eq!(super::told(&told), (Cause::Halt, restart(0, 0)));
    assert_eq!(deeds(&told), [spawn(SLOT)]);
}

#[test]
fn a_restart_of_all_leaves_it_empty_and_a_restart_of_it_starts_it() {
    let (mut table, old) = halted(two());
    assert_eq!(
        deeds(&table.tell(RESTART)),
        [Action::Stop { pid: old[1] }],
        "only the other one"
    );
    assert_eq!(deeds(&table.ends(old[1], TERMINATED)), [spawn(OTHER)]);
    let replace = Event::Operator(Command::Replace(SLOT));
    assert_eq!(deeds(&table.tell(replace)), [spawn(SLOT)]);
}

#[test]
fn a_reload_replaces_the_others_and_leaves_it_empty() {
    let (mut table, old) = halted(two());
    let told = table.tell(RELOAD);
    assert!(told.iter().any(
        |action| matches!(action, Action::Say(Note::ReloadBegins { workers, .. }) if *workers == 1)
    ));
    let next = rises(&mut table, OTHER, 2);
    let _ = table.tell(is_ready(next));
    let _ = table.tell(Event::Drained { pid: old[1] });
    let told = table.ends(old[1], TERMINATED);
    assert_eq!(roll::result(&told), Some((ReloadResult::Success, 1)));
    assert_eq!(table.state(SLOT), WorkerState::Halted);
}

#[test]
fn a_reload_in_progress_goes_on_without_it() {
    let (mut table, old) = Table::serving(two());
    let _ = table.tell(RELOAD);
    let next = rises(&mut table, SLOT, 2);
    let told = table.tell(HALT);
    assert!(deeds(&told).contains(&Action::Stop { pid: next }));
    assert_eq!(live(&table), [1]);
    let _ = table.tell(Event::Drained { pid: old[0] });
    let _ = table.ends(next, TERMINATED);
    let told = table.ends(old[0], TERMINATED);
    let turn = |action: &Action| matches!(action, Action::Spawn { slot: OTHER, .. });
    assert!(told.iter().any(turn), "the next one has its turn: {told:?}");
}

#[test]
fn a_reload_whose_last_slots_are_halted_has_replaced_nobody() {
    let (mut table, _) = Table::serving(two());
    let _ = table.tell(RELOAD);
    let _ = rises(&mut table, SLOT, 2);
    assert_eq!(roll::result(&table.tell(HALT)), None);
    let told = table.tell(Event::Operator(Command::Halt(OTHER)));
    assert_eq!(roll::result(&told), Some((ReloadResult::Superseded, 0)));
    assert_eq!(upkeep(&told), [], "no port is closed");
    assert_eq!(table.seen().generation.0, 0, "nobody has the new one");
}

#[test]
fn a_runtime_whose_slots_are_all_halted_lives_on_and_is_not_ready() {
    let (mut table, old) = halted(two());
    let _ = table.tell(Event::Operator(Command::Halt(OTHER)));
    let _ = table.tell(Event::Drained { pid: old[1] });
    assert_eq!(deeds(&table.ends(old[1], TERMINATED)), []);
    let seen = table.seen();
    assert!(!seen.ready && seen.started);
    let rotation = table.fleet.rotation();
    assert_eq!(rotation.live, []);
    assert_eq!(rotation.expected, [home(SLOT), home(OTHER)]);
    let apart = rotation.apart.unwrap();
    assert_eq!(apart.except, None, "clients wait where no worker is");
    let idle = table.fleet.idle();
    assert!(!idle.contains(&home(SLOT)), "nobody could serve them");
    assert_eq!(table.due_in(), None);
    assert_eq!(upkeep(&table.tell(RELOAD)), [], "no port is closed");
    let told = table.tell_all(&[START, Event::Operator(Command::Start(OTHER))]);
    assert_eq!(deeds(&told), [spawn(SLOT), spawn(OTHER)]);
}

#[test]
fn a_stop_ends_a_runtime_whose_slots_are_all_halted_at_once() {
    let (mut table, _) = halted(Params {
        instances: 1,
        shutdown_delay: secs(60),
        ..two()
    });
    assert_eq!(deeds(&table.tell(STOP)), [Action::Finish { code: 0 }]);
}

#[test]
fn it_keeps_the_runtime_although_the_others_stay_down() {
    let (mut table, old) = halted(Params {
        restart: Restart::Never,
        ..two()
    });
    assert_eq!(deeds(&table.ends(old[1], Exit::Code(3))), []);
    assert_eq!(table.state(OTHER), WorkerState::Stopped);
    let _ = table.tell(START);
    let pid = table.runs(SLOT);
    assert_eq!(
        deeds(&table.ends(pid, Exit::Code(0))),
        [Action::Finish { code: 3 }]
    );
}

#[test]
fn a_slot_in_back_off_is_halted_and_started_without_a_wait() {
    let (mut table, old) = Table::serving(two());
    let _ = table.ends(old[0], Exit::Code(1));
    let pid = table.runs(SLOT);
    let _ = table.ends(pid, Exit::Code(1));
    assert_eq!(deeds(&table.tell(HALT)), []);
    assert_eq!(deeds(&table.wait(60_000)), []);
    assert_eq!(deeds(&table.tell(START)), [spawn(SLOT)]);
}

#[test]
fn a_worker_that_was_requested_meanwhile_is_stopped() {
    let mut table = Table::new(two());
    assert_eq!(deeds(&table.tell(HALT)), []);
    let (pid, told) = table.spawned(SLOT);
    assert_eq!(deeds(&told), [Action::Stop { pid }]);
    assert_eq!(table.state(SLOT), WorkerState::Halted);
    let told = table.ends(pid, TERMINATED);
    assert_eq!(super::told(&told), (Cause::Halt, Next::Halted));
}

#[test]
fn a_worker_that_starts_is_stopped_without_a_drain() {
    let (mut table, pids) = Table::running(two());
    assert_eq!(deeds(&table.tell(HALT)), [Action::Stop { pid: pids[0] }]);
    assert_eq!(table.state(SLOT), WorkerState::Halted);
}

#[test]
fn scale_removes_it_as_any_other_and_nothing_is_halted_in_the_stop() {
    let (mut table, _) = halted(two());
    let down = Event::Operator(Command::ScaleDown);
    let _ = table.tell(down);
    assert_eq!(table.seen().slots.len(), 1);
    assert_eq!(table.tell(Event::Operator(Command::Halt(OTHER))), []);
    let _ = table.tell(Event::Operator(Command::ScaleUp));
    assert_eq!(table.state(OTHER), WorkerState::Backoff, "a new slot runs");
    let _ = table.tell(STOP);
    assert_eq!(table.tell(Event::Operator(Command::Halt(OTHER))), []);
    assert_eq!(table.tell(START), []);
}

/// A random walk found it.
#[test]
fn a_slot_that_stayed_down_is_not_counted_as_unhealthy_when_it_is_started() {
    let (mut table, old) = Table::serving(Params {
        instances: 4,
        surge: Share::Number(0),
        unavailable: Share::Number(1),
        health_failures: Some(1),
        restart: Restart::Never,
        ..two()
    });
    let ails = |pid| Event::Checked { pid, passed: false };
    let _ = table.tell(ails(old[0]));
    let _ = table.tell(Event::Drained { pid: old[0] });
    let _ = table.ends(old[0], TERMINATED);
    let next = rises(&mut table, SLOT, 0);
    let _ = table.wait(30_000);
    let _ = table.ends(next, TERMINATED);
    assert_eq!(table.state(SLOT), WorkerState::Stopped);
    let _ = table.tell(ails(old[1]));
    let _ = table.tell(ails(old[2]));
    assert_eq!(live(&table), [2, 3], "one at a time");
    let _ = table.tell(START);
    let _ = table.runs(SLOT);
    let _ = table.tell(Event::Drained { pid: old[1] });
    let _ = table.ends(old[1], TERMINATED);
    let next = rises(&mut table, OTHER, 1);
    let _ = table.tell(is_ready(next));
    assert_eq!(
        live(&table),
        [1, 3],
        "the third has its turn, though the started one is not ready"
    );
}
