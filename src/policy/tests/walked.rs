//! Failures that the random walks found, reduced to the shortest form.

use super::roll::{RELOAD, asked, live, result, rises, two};
use super::*;
use crate::model::{Generation, ReloadResult};

const MEMORY: Cause = Cause::MemoryLimit;

/// No additional worker, one missing at a time.
fn no_surge(instances: u16) -> Params {
    Params {
        instances,
        surge: Share::Number(0),
        unavailable: Share::Number(1),
        ..two()
    }
}

fn checked(pid: Pid, passed: bool) -> Event {
    Event::Checked { pid, passed }
}

fn not_up(actions: &[Action]) -> usize {
    let all = actions.iter();
    all.filter(|action| matches!(action, Action::Say(Note::NotUp { .. })))
        .count()
}

#[test]
fn who_is_settled_keeps_nobody_awake() {
    let (mut table, old) = Table::serving(two());
    let _ = table.tell(RELOAD);
    let first = rises(&mut table, SLOT, 2);
    let _ = table.tell(is_ready(first));
    assert_eq!(table.due_in(), Some(secs(10)), "the drain's end");
    let _ = table.tell(Event::Drained { pid: old[0] });
    assert_eq!(table.due_in(), Some(secs(5)), "the grace's end");
}

#[test]
fn who_waits_for_room_keeps_nobody_awake() {
    let (mut table, old) = Table::serving(Params {
        health_failures: Some(1),
        ..two()
    });
    for pid in &old {
        let _ = table.tell(checked(*pid, false));
    }
    let _ = rises(&mut table, SLOT, 2);
    assert_eq!(table.due_in(), Some(secs(5)), "the new one's");
}

#[test]
fn who_ended_in_the_same_moment_is_not_told_to_stop() {
    let params = || Params {
        surge: Share::Number(2),
        ..two()
    };
    // The worker and its successor.
    let (mut table, old) = Table::serving(params());
    let _ = table.tell(RELOAD);
    let next = rises(&mut table, SLOT, 2);
    let _ = rises(&mut table, OTHER, 3);
    let told = table.tell_all(&[ended(old[0], KILLED), ended(next, Exit::Code(3))]);
    assert_eq!(deeds(&told), [asked(SLOT, 0, 1)]);
    let end = told.iter().rev().find_map(|action| match action {
        Action::Say(Note::Ended { pid, cause, .. }) => Some((*pid, *cause)),
        _ => None,
    });
    assert_eq!(end, Some((next, Cause::Exit)), "by itself");
    // Two successors: the end of the first one is the end of the reload.
    let (mut table, _) = Table::serving(params());
    let _ = table.tell(RELOAD);
    let first = rises(&mut table, SLOT, 2);
    let second = rises(&mut table, OTHER, 3);
    let told = table.tell_all(&[ended(first, KILLED), ended(second, KILLED)]);
    assert_eq!(result(&told), Some((ReloadResult::Failure, 0)));
    assert_eq!(deeds(&told), []);
}

#[test]
fn what_a_worker_leaves_that_nobody_told_to_stop_is_told() {
    let (mut table, old) = Table::serving(two());
    let _ = table.tell(RELOAD);
    let pid = rises(&mut table, SLOT, 2);
    let _ = table.tell(is_ready(pid));
    let pid = old[0];
    let told = table.ends_and_leaves(pid, Exit::Code(0));
    let told = deeds(&told);
    assert_eq!(told[0], Action::StopGroup { pid, told: false });
}

#[test]
fn a_slot_that_stays_down_does_not_hold_a_reload_up() {
    let (mut table, old) = Table::serving(Params {
        stop_exit_codes: vec![3],
        ..no_surge(2)
    });
    let _ = table.ends(old[1], Exit::Code(3));
    let _ = table.tell(RELOAD);
    assert_eq!(table.draining().len(), 1);
    let _ = table.tell(Event::Drained { pid: old[0] });
    let _ = table.ends(old[0], TERMINATED);
    let pid = rises(&mut table, SLOT, 0);
    let told = table.tell(is_ready(pid));
    assert_eq!(result(&told), Some((ReloadResult::Success, 1)));
}

#[test]
fn a_slot_that_stays_down_is_none_of_those_that_may_be_missing() {
    let (mut table, old) = Table::serving(Params {
        stop_exit_codes: vec![3],
        unavailable: Share::Percent(50),
        ..no_surge(4)
    });
    for pid in &old[2..] {
        let _ = table.ends(*pid, Exit::Code(3));
    }
    let _ = table.tell(RELOAD);
    assert_eq!(live(&table), [1], "half of those that are left");
}

#[test]
fn those_that_are_taken_away_as_unhealthy_are_counted_until_they_are_back() {
    let (mut table, old) = Table::serving(Params {
        health_failures: Some(1),
        ..no_surge(3)
    });
    for pid in &old {
        let _ = table.tell(checked(*pid, false));
    }
    assert_eq!(live(&table), [1, 2]);
    let _ = table.tell(Event::Drained { pid: old[0] });
    let _ = table.ends(old[0], TERMINATED);
    let next = rises(&mut table, SLOT, 0);
    assert_eq!(live(&table), [1, 2], "it does not serve yet");
    let _ = table.tell(is_ready(next));
    assert_eq!(live(&table), [0, 2]);
}

#[test]
fn a_slot_that_stays_down_is_no_longer_counted_as_unhealthy() {
    let (mut table, old) = Table::serving(Params {
        health_failures: Some(1),
        restart: Restart::Never,
        ..no_surge(4)
    });
    let _ = table.tell(checked(old[0], false));
    let _ = table.tell(Event::Drained { pid: old[0] });
    let _ = table.ends(old[0], TERMINATED);
    let next = rises(&mut table, SLOT, 0);
    // It is not ready in time, and the slot is not restarted.
    let _ = table.wait(30_000);
    let _ = table.ends(next, TERMINATED);
    assert_eq!(table.seen().slots[0].state, WorkerState::Stopped);
    assert_eq!(live(&table), [1, 2, 3]);
    let _ = table.tell(checked(old[1], false));
    assert_eq!(live(&table), [2, 3], "the next has its turn");
}

#[test]
fn a_check_has_its_time_from_the_moment_at_which_it_can_be_made() {
    for ready in [ReadyRule::Alive(secs(60)), ReadyRule::Told] {
        let (mut table, _) = Table::serving(Params {
            ready,
            health_failures: Some(1),
            ..two()
        });
        let _ = table.wait(60_000);
        for pid in table.seen().slots.iter().filter_map(|slot| slot.pid) {
            let _ = table.tell(checked(pid, true));
        }
        let _ = table.tell(RELOAD);
        let pid = rises(&mut table, SLOT, 2);
        let by = secs(60);
        let _ = table.tell(Event::Extended { pid, by });
        assert_eq!(not_up(&table.wait(59_999)), 0);
        let _ = table.tell(is_ready(pid));
        assert_eq!(not_up(&table.wait(29_999)), 0, "{ready:?}");
        assert_eq!(not_up(&table.wait(2)), 1, "but not for ever");
    }
}

#[test]
fn what_became_of_an_earlier_reload_does_not_fail_the_next() {
    let (mut table, _) = Table::serving(Params {
        surge: Share::Number(2),
        ..two()
    });
    let _ = table.tell(RELOAD);
    let _ = rises(&mut table, SLOT, 2);
    let _ = rises(&mut table, OTHER, 3);
    let _ = table.tell(RELOAD);
    // Both are late at the same time.
    let told = table.wait(30_000);
    assert_eq!(not_up(&told), 1);
    assert_eq!(table.seen().generation, Generation(2));
    assert_eq!(table.seen().state, crate::model::RunState::Reloading);
}

#[test]
fn a_reload_that_succeeds_leaves_other_replacements_alone() {
    let (mut table, old) = Table::serving(Params {
        min_ready: secs(5),
        ..two()
    });
    let _ = table.tell(RELOAD);
    let first = rises(&mut table, SLOT, 2);
    let _ = table.tell(is_ready(first));
    let _ = table.wait(5000);
    let _ = table.tell(Event::Drained { pid: old[0] });
    let _ = table.ends(old[0], TERMINATED);
    let second = rises(&mut table, OTHER, 0);
    let _ = table.tell(is_ready(second));
    let _ = table.wait(5000);
    let _ = table.tell(Event::Drained { pid: old[1] });
    let (pid, cause) = (first, MEMORY);
    let _ = table.tell(Event::Unfit { pid, cause });
    let told = table.ends(old[1], TERMINATED);
    assert_eq!(deeds(&told), [asked(SLOT, 1, 1)]);
    let _ = rises(&mut table, SLOT, 1);
}

#[test]
fn a_remembered_reload_starts_empty_slots_at_once() {
    let (mut table, old) = Table::serving(Params {
        surge: Share::Number(2),
        backoff: Backoff::new(secs(40), secs(60)).unwrap(),
        ..two()
    });
    let _ = table.ends(old[1], Exit::Code(1));
    let short = table.runs(OTHER);
    let _ = table.tell(RELOAD);
    let next = rises(&mut table, SLOT, 2);
    let _ = table.tell(RELOAD);
    let told = table.ends(short, Exit::Code(1));
    assert_eq!(deeds(&told), [asked(OTHER, 1, 1)]);
    let new = table.runs(OTHER);
    let told = table.ends(new, Exit::Code(1));
    assert_eq!(result(&told), Some((ReloadResult::Failure, 0)));
    let told = deeds(&told);
    assert!(told.contains(&Action::Stop { pid: next }), "{told:?}");
    assert!(told.contains(&asked(OTHER, 1, 2)), "{told:?}");
}

#[test]
fn a_worker_has_the_generation_that_it_was_asked_for_with() {
    let (mut table, _) = Table::serving(two());
    for slot in [SLOT, OTHER] {
        let pid = table.seen().slots[usize::from(slot.0)].pid.unwrap();
        let _ = table.ends(pid, Exit::Code(1));
        let pid = table.runs(slot);
        let _ = table.ends(pid, Exit::Code(1));
    }
    let both = [asked(SLOT, 0, 1), asked(OTHER, 1, 1)];
    assert_eq!(deeds(&table.tell(RELOAD)), both);
    let told = table.tell(spawn_failed(SLOT));
    assert_eq!(result(&told), Some((ReloadResult::Failure, 0)));
    let _ = table.runs(OTHER);
    assert_eq!(table.seen().slots[1].generation, Generation(1));
}

#[test]
fn a_listener_whose_worker_is_still_awaited_is_no_spare() {
    let (mut table, _) = Table::serving(Params {
        surge: Share::Number(2),
        ..two()
    });
    let both = [asked(SLOT, 2, 1), asked(OTHER, 3, 1)];
    assert_eq!(deeds(&table.tell(RELOAD)), both);
    let _ = table.tell(RELOAD);
    let (slot, listener) = (SLOT, ListenerId(2));
    let told = table.tell(Event::SpawnFailed { slot, listener });
    assert_eq!(result(&told), Some((ReloadResult::Failure, 0)));
    // The second answer is still missing, and its worker counts.
    assert_eq!(deeds(&told), [asked(SLOT, 2, 2)]);
    let (slot, listener, pid) = (OTHER, ListenerId(3), Pid::new(900).unwrap());
    let told = table.tell(Event::Spawned {
        slot,
        listener,
        pid,
        port: None,
        channel: false,
    });
    assert_eq!(deeds(&told), [Action::Stop { pid }]);
    let _ = rises(&mut table, SLOT, 2);
}

#[test]
fn a_replacement_that_cannot_be_forked_waits_even_if_the_back_off_is_shorter() {
    let (mut table, old) = Table::serving(Params {
        backoff: Backoff::new(Duration::ZERO, Duration::ZERO).unwrap(),
        ..two()
    });
    let (pid, cause) = (old[0], MEMORY);
    let _ = table.tell(Event::Unfit { pid, cause });
    let (slot, listener) = (SLOT, ListenerId(2));
    let told = table.tell(Event::SpawnFailed { slot, listener });
    assert_eq!(deeds(&told), []);
    assert_eq!(table.due_in(), Some(millis(100)));
}

#[test]
fn a_worker_that_gets_well_is_still_too_large() {
    let (mut table, old) = Table::serving(Params {
        health_failures: Some(1),
        ..two()
    });
    let (pid, cause) = (old[1], MEMORY);
    let _ = table.tell(Event::Unfit { pid, cause });
    let _ = table.tell(checked(old[0], false));
    let _ = table.tell(checked(old[1], false));
    assert_eq!(live(&table), [1], "the other's turn has not come");
    let _ = table.tell(checked(old[1], true));
    let pid = rises(&mut table, OTHER, 2);
    let _ = table.tell(is_ready(pid));
    let told = table.tell(checked(pid, true));
    let old = old[1];
    let slot = OTHER;
    assert!(says(&told, Note::TookOver { slot, pid, old }));
}

#[test]
fn a_worker_that_gets_well_is_still_of_yesterday() {
    let (mut table, old) = Table::serving(Params {
        health_failures: Some(1),
        surge: Share::Number(2),
        ..two()
    });
    for pid in &old {
        let _ = table.tell(checked(*pid, false));
    }
    let early = rises(&mut table, SLOT, 2);
    let _ = table.tell(RELOAD);
    let _ = rises(&mut table, SLOT, 3);
    let told = table.ends(early, TERMINATED);
    assert_eq!(deeds(&told), [asked(OTHER, 2, 1)]);
    let pid = rises(&mut table, OTHER, 2);
    assert_eq!(table.tell(checked(old[1], true)), []);
    let _ = table.tell(is_ready(pid));
    let told = table.tell(checked(pid, true));
    let (slot, old) = (OTHER, old[1]);
    assert!(says(&told, Note::TookOver { slot, pid, old }));
}

#[test]
fn a_reload_does_not_wait_for_ever_for_a_check() {
    let (mut table, old) = Table::serving(Params {
        health_failures: Some(1),
        ..no_surge(2)
    });
    let _ = table.tell(RELOAD);
    let _ = table.tell(Event::Drained { pid: old[0] });
    let _ = table.ends(old[0], TERMINATED);
    let pid = rises(&mut table, SLOT, 0);
    let _ = table.tell(is_ready(pid));
    assert_eq!(table.due_in(), Some(secs(30)));
    let told = table.wait(30_000);
    assert_eq!(result(&told), Some((ReloadResult::Failure, 1)));
    assert_eq!(live(&table), [0, 1], "it serves, but proves nothing");
    assert_eq!(table.due_in(), None);
}

#[test]
fn one_that_leaves_for_a_reload_while_it_is_unhealthy_is_counted_too() {
    let (mut table, old) = Table::serving(Params {
        health_failures: Some(1),
        ..two()
    });
    let _ = table.tell(checked(old[0], false));
    let new = rises(&mut table, SLOT, 2);
    let _ = table.ends(new, Exit::Code(1));
    // Its replacement is not due yet, but it cannot stay beside the new version.
    let _ = table.tell(Event::Excludes { pid: old[0] });
    let _ = table.tell(RELOAD);
    assert_eq!(table.draining().len(), 1);
    let _ = table.tell(checked(old[1], false));
    assert_eq!(live(&table), [1], "the other one still serves");
}
