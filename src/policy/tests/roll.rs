//! Reload, replacement, drain and scaling.

use super::*;
use crate::model::{DrainEnd, Generation, ReloadResult, RunState, Trigger};

pub(super) const SCALE_DOWN: Event = Event::Operator(Command::ScaleDown);
pub(super) const RELOAD: Event = Event::Operator(Command::Reload(Trigger::Operator));

/// Two workers with readiness by event, a drain of ten seconds, a grace of five.
pub(super) fn two() -> Params {
    Params {
        instances: 2,
        ready: ReadyRule::Told,
        drain_timeout: Some(secs(10)),
        stop_timeout: secs(5),
        ..params()
    }
}

pub(super) fn asked(slot: SlotId, listener: u16, generation: u32) -> Action {
    Action::Spawn {
        slot,
        listener: ListenerId(listener),
        generation: Generation(generation),
    }
}

/// Reports `Spawned` for a worker on a spare listener.
pub(super) fn rises(table: &mut Table, slot: SlotId, listener: u16) -> Pid {
    table.pids += 1;
    let pid = Pid::new(table.pids).unwrap();
    let listener = ListenerId(listener);
    let told = table.tell(Event::Spawned {
        slot,
        listener,
        pid,
        port: None,
        channel: false,
    });
    assert_eq!(told, []);
    pid
}

pub(super) fn live(table: &Table) -> Vec<u16> {
    let live = table.fleet.rotation().live;
    live.iter().map(|listener| listener.0).collect()
}

pub(super) fn result(actions: &[Action]) -> Option<(ReloadResult, usize)> {
    actions.iter().find_map(|action| match action {
        Action::Say(Note::ReloadEnded {
            result, replaced, ..
        }) => Some((*result, *replaced)),
        _ => None,
    })
}

pub(super) fn drained(actions: &[Action]) -> Option<DrainEnd> {
    actions.iter().find_map(|action| match action {
        Action::Say(Note::DrainEnded { end, .. }) => Some(*end),
        _ => None,
    })
}

#[test]
fn a_reload_replaces_one_after_the_other_and_rotates_the_spare() {
    let (mut table, old) = Table::serving(two());
    assert_eq!(live(&table), [0, 1]);
    assert_eq!(deeds(&table.tell(RELOAD)), [asked(SLOT, 2, 1)]);
    assert_eq!(table.seen().state, RunState::Reloading);
    assert!(table.seen().ready);
    let first = rises(&mut table, SLOT, 2);
    assert_eq!(live(&table), [0, 1], "nothing for who is not ready");
    assert_eq!(deeds(&table.tell(is_ready(first))), []);
    assert_eq!(live(&table), [2, 1]);
    assert_eq!(table.draining().len(), 1);
    // The next one waits: there would be one too many.
    assert_eq!(deeds(&table.wait(100)), []);
    let told = table.tell(Event::Drained { pid: old[0] });
    assert_eq!(deeds(&told), [Action::Stop { pid: old[0] }]);
    assert_eq!(drained(&told), Some(DrainEnd::Empty));
    let told = table.ends(old[0], TERMINATED);
    assert_eq!(self::told(&told), (Cause::Reload, Next::Replaced));
    assert_eq!(
        deeds(&told),
        [asked(OTHER, 0, 1)],
        "the listener that was left last"
    );
    let second = rises(&mut table, OTHER, 0);
    let _ = table.tell(is_ready(second));
    assert_eq!(live(&table), [2, 0]);
    let _ = table.tell(Event::Drained { pid: old[1] });
    let told = table.ends(old[1], TERMINATED);
    assert_eq!(result(&told), Some((ReloadResult::Success, 2)));
    assert_eq!(table.seen().generation, Generation(1));
    assert_eq!(table.seen().state, RunState::Running);
    assert_eq!(table.due_in(), None);
}

#[test]
fn a_new_worker_that_does_not_come_up_ends_the_reload_and_nothing_else() {
    let ways: [fn(&mut Table, Pid) -> Vec<Action>; 4] = [
        |table, pid| table.ends(pid, Exit::Code(1)),
        |table, _| table.wait(30_000),
        |table, pid| {
            let _ = table.tell(is_ready(pid));
            let _ = table.wait(1999);
            table.ends(pid, Exit::Code(1))
        },
        |table, pid| {
            let cause = Cause::Unhealthy;
            table.tell(Event::Unfit { pid, cause })
        },
    ];
    for way in ways {
        let (mut table, old) = Table::serving(Params {
            min_ready: secs(2),
            ..two()
        });
        let _ = table.tell(RELOAD);
        let pid = rises(&mut table, SLOT, 2);
        let told = way(&mut table, pid);
        assert_eq!(result(&told), Some((ReloadResult::Failure, 0)));
        assert!(told.iter().any(|action| matches!(
            action,
            Action::Say(Note::NotUp { slot: SLOT, pid: Some(new), .. }) if *new == pid
        )));
        let pids: Vec<_> = table
            .seen()
            .slots
            .iter()
            .filter_map(|slot| slot.pid)
            .collect();
        assert_eq!(pids, old);
        assert_eq!(live(&table), [0, 1]);
        assert_eq!(table.seen().generation, Generation(0));
        assert!(table.seen().rising.is_empty());
        // The next attempt has another PID and the same spare listener.
        let _ = table.ends(pid, TERMINATED);
        assert_eq!(deeds(&table.tell(RELOAD)), [asked(SLOT, 2, 2)]);
    }
}

#[test]
fn a_worker_must_stay_ready_before_it_takes_over() {
    let (mut table, _) = Table::serving(Params {
        min_ready: secs(2),
        ..two()
    });
    let _ = table.tell(RELOAD);
    let pid = rises(&mut table, SLOT, 2);
    let _ = table.tell(is_ready(pid));
    assert_eq!(table.due_in(), Some(secs(2)));
    assert_eq!(live(&table), [0, 1]);
    let _ = table.wait(2000);
    assert_eq!(live(&table), [2, 1]);
}

#[test]
fn a_new_worker_must_pass_a_check_where_there_is_one() {
    let health_failures = Some(2);
    let (mut table, old) = Table::serving(Params {
        health_failures,
        ..two()
    });
    let _ = table.tell(RELOAD);
    let pid = rises(&mut table, SLOT, 2);
    let _ = table.tell(is_ready(pid));
    assert_eq!(live(&table), [0, 1]);
    let checked = |passed| Event::Checked { pid, passed };
    let _ = table.tell(checked(false));
    assert_eq!(live(&table), [0, 1]);
    let _ = table.tell(checked(true));
    assert_eq!(live(&table), [2, 1]);
    // Its checks continue, and two new failures in a row are needed.
    let _ = table.tell(Event::Drained { pid: old[0] });
    let _ = table.ends(old[0], TERMINATED);
    assert_eq!(deeds(&table.tell(checked(false))), []);
}

#[test]
fn without_surge_the_worker_goes_first() {
    let (mut table, old) = Table::serving(Params {
        surge: Share::Number(0),
        unavailable: Share::Number(1),
        ..two()
    });
    assert_eq!(deeds(&table.tell(RELOAD)), []);
    assert_eq!(live(&table), [1]);
    let _ = table.tell(Event::Drained { pid: old[0] });
    assert_eq!(
        deeds(&table.ends(old[0], TERMINATED)),
        [asked(SLOT, 0, 1)],
        "on its own listener"
    );
    let first = rises(&mut table, SLOT, 0);
    let _ = table.tell(is_ready(first));
    assert_eq!(live(&table), [0]);
    let _ = table.tell(Event::Drained { pid: old[1] });
    let _ = table.ends(old[1], TERMINATED);
    let second = rises(&mut table, OTHER, 1);
    let told = table.tell(is_ready(second));
    assert_eq!(result(&told), Some((ReloadResult::Success, 2)));
}

#[test]
fn several_slots_at_a_time() {
    let (mut table, _) = Table::serving(Params {
        instances: 4,
        surge: Share::Percent(50),
        ..two()
    });
    assert_eq!(
        deeds(&table.tell(RELOAD)),
        [asked(SLOT, 4, 1), asked(OTHER, 5, 1)]
    );
    let (mut table, _) = Table::serving(Params {
        instances: 4,
        surge: Share::Number(1),
        unavailable: Share::Number(1),
        ..two()
    });
    assert_eq!(deeds(&table.tell(RELOAD)), [asked(SLOT, 4, 1)]);
    assert_eq!(live(&table), [0, 2, 3]);
}

#[test]
fn a_second_request_is_remembered_once() {
    let (mut table, old) = Table::serving(Params {
        instances: 1,
        ..two()
    });
    let _ = table.tell(RELOAD);
    let trigger = Trigger::Operator;
    assert_eq!(
        table.tell(RELOAD),
        [Action::Say(Note::ReloadRemembered { trigger })]
    );
    assert_eq!(table.tell(RELOAD), []);
    let pid = rises(&mut table, SLOT, 1);
    let _ = table.tell(is_ready(pid));
    let _ = table.tell(Event::Drained { pid: old[0] });
    let told = table.ends(old[0], TERMINATED);
    assert_eq!(result(&told), Some((ReloadResult::Success, 1)));
    assert_eq!(deeds(&told), [asked(SLOT, 0, 2)]);
    let pid = rises(&mut table, SLOT, 0);
    let told = table.ends(pid, Exit::Code(1));
    assert_eq!(result(&told), Some((ReloadResult::Failure, 0)));
    assert_eq!(deeds(&told), [], "it was remembered once");
}

#[test]
fn a_worker_that_dies_while_its_successor_starts_is_started_again_on_its_own_queue() {
    let (mut table, old) = Table::serving(two());
    let _ = table.tell(RELOAD);
    let next = rises(&mut table, SLOT, 2);
    let told = table.ends(old[0], KILLED);
    assert_eq!(
        deeds(&told),
        [Action::Stop { pid: next }, asked(SLOT, 0, 1)]
    );
    assert_eq!(result(&told), None, "it was of the old generation");
    let pid = rises(&mut table, SLOT, 0);
    let told = table.ends(pid, Exit::Code(1));
    assert_eq!(result(&told), Some((ReloadResult::Failure, 0)));
}

#[test]
fn an_unhealthy_worker_leaves_steering_and_is_replaced() {
    let (mut table, old) = Table::serving(Params {
        health_failures: Some(3),
        ..two()
    });
    for pid in &old {
        let passed = true;
        let _ = table.tell(Event::Checked { pid: *pid, passed });
    }
    let failed = Event::Checked {
        pid: old[1],
        passed: false,
    };
    assert_eq!(table.tell(failed), []);
    assert_eq!(table.tell(failed), []);
    let told = table.tell(failed);
    assert_eq!(deeds(&told), [asked(OTHER, 2, 0)], "no new generation");
    assert_eq!(live(&table), [0]);
    let next = rises(&mut table, OTHER, 2);
    let _ = table.tell(is_ready(next));
    let checked = |pid| Event::Checked { pid, passed: true };
    let _ = table.tell(checked(next));
    assert_eq!(live(&table), [0, 2]);
    // Its requests get the drain timeout, but not more.
    assert_eq!(deeds(&table.wait(10_000)), [Action::Stop { pid: old[1] }]);
    assert_eq!(
        self::told(&table.ends(old[1], KILLED)),
        (Cause::Unhealthy, Next::Replaced)
    );
}

#[test]
fn a_worker_on_trial_that_cannot_be_asked_does_not_hold_the_reload_up_for_ever() {
    for (surge, unavailable) in [(1, 0), (0, 1)] {
        let (mut table, old) = Table::serving(Params {
            health_failures: Some(3),
            surge: Share::Number(surge),
            unavailable: Share::Number(unavailable),
            ..two()
        });
        let _ = table.tell(RELOAD);
        let listener = if surge == 0 {
            let _ = table.tell(Event::Drained { pid: old[0] });
            let _ = table.ends(old[0], TERMINATED);
            0
        } else {
            2
        };
        let pid = rises(&mut table, SLOT, listener);
        let _ = table.tell(is_ready(pid));
        let asked = table.fleet.checked_workers().find(|one| one.pid == pid);
        assert!(asked.is_some_and(|one| one.eager), "somebody waits");
        // No check could be made at all.
        assert_eq!(table.due_in(), Some(secs(30)));
        assert_eq!(result(&table.wait(29_999)), None);
        let ended = result(&table.wait(1));
        assert_eq!(ended.map(|(result, _)| result), Some(ReloadResult::Failure));
        assert!(live(&table).contains(&1), "the other one stays");
    }
}

#[test]
fn not_all_workers_are_unhealthy_at_once() {
    let (mut table, old) = Table::serving(Params {
        instances: 4,
        health_failures: Some(1),
        ..two()
    });
    let checked = |pid, passed| Event::Checked { pid, passed };
    for pid in &old {
        let _ = table.tell(checked(*pid, false));
    }
    assert_eq!(live(&table), [1, 2, 3]);
    // The worker whose turn has not come recovered.
    let _ = table.tell(checked(old[3], true));
    let next = rises(&mut table, SLOT, 4);
    let _ = table.tell(is_ready(next));
    let _ = table.tell(checked(next, true));
    assert_eq!(live(&table), [4, 2, 3], "now the second");
    let _ = table.tell(Event::Drained { pid: old[0] });
    let _ = table.ends(old[0], TERMINATED);
    let next = rises(&mut table, OTHER, 0);
    let _ = table.tell(is_ready(next));
    let _ = table.tell(checked(next, true));
    assert_eq!(live(&table), [4, 0, 3], "and the third");
}

#[test]
fn a_replacement_that_does_not_come_up_is_tried_again_later() {
    let (mut table, old) = Table::serving(two());
    let cause = Cause::MemoryLimit;
    let told = table.tell(Event::Unfit { pid: old[0], cause });
    assert_eq!(deeds(&told), [asked(SLOT, 2, 0)]);
    assert_eq!(live(&table), [0, 1], "it serves all the while");
    assert_eq!(table.tell(Event::Unfit { pid: old[0], cause }), []);
    let next = rises(&mut table, SLOT, 2);
    assert_eq!(deeds(&table.ends(next, Exit::Code(1))), []);
    let wait = table.due_in().unwrap();
    assert!(wait >= millis(100) && wait <= secs(1), "{wait:?}");
    assert_eq!(deeds(&table.wait(1000)), [asked(SLOT, 2, 0)]);
}

#[test]
fn a_slot_that_cannot_stay_up_is_tried_first() {
    let (mut table, old) = Table::serving(two());
    let _ = table.ends(old[1], Exit::Code(1));
    let pid = table.runs(OTHER);
    let _ = table.ends(pid, Exit::Code(1));
    assert_eq!(table.state(OTHER), WorkerState::Backoff);
    let told = deeds(&table.tell(RELOAD));
    assert_eq!(told, [asked(OTHER, 1, 1)], "nothing is lost there");
    let pid = rises(&mut table, OTHER, 1);
    let told = table.ends(pid, Exit::Code(1));
    assert_eq!(result(&told), Some((ReloadResult::Failure, 0)));
    assert_eq!(live(&table), [0]);
}
