//! An operator wants another worker in one slot.

use super::roll::{self, RELOAD, live, rises};
use super::*;

fn two() -> Params {
    Params {
        instances: 2,
        ..roll::two()
    }
}

const REPLACE: Event = Event::Operator(Command::Replace(SLOT));

#[test]
fn its_successor_comes_first_and_the_others_stay() {
    let (mut table, old) = Table::serving(two());
    let told = table.tell(REPLACE);
    let (slot, pid, cause) = (SLOT, old[0], Cause::Restart);
    assert!(says(&told, Note::Renews { slot, pid, cause }));
    assert_eq!(live(&table), [0, 1], "it serves until then");
    assert_eq!(table.tell(REPLACE), [], "it is under way");
    let next = rises(&mut table, SLOT, 2);
    let _ = table.tell(is_ready(next));
    assert_eq!(live(&table), [2, 1]);
    let _ = table.tell(Event::Drained { pid: old[0] });
    let told = table.ends(old[0], TERMINATED);
    assert_eq!(super::told(&told), (Cause::Restart, Next::Replaced));
    assert_eq!(table.seen().generation.0, 0);
}

#[test]
fn one_that_does_not_come_up_is_not_tried_again() {
    let (mut table, old) = Table::serving(two());
    let _ = table.tell(REPLACE);
    let next = rises(&mut table, SLOT, 2);
    assert_eq!(deeds(&table.ends(next, Exit::Code(1))), []);
    assert_eq!(deeds(&table.wait(60_000)), []);
    assert_eq!(live(&table), [0, 1]);
    assert_eq!(table.seen().slots[0].pid, Some(old[0]));
}

#[test]
fn one_that_is_too_large_as_well_is_tried_again() {
    let (mut table, old) = Table::serving(two());
    let _ = table.tell(REPLACE);
    let cause = Cause::MemoryLimit;
    let _ = table.tell(Event::Unfit { pid: old[0], cause });
    let next = rises(&mut table, SLOT, 2);
    let _ = table.ends(next, Exit::Code(1));
    assert_eq!(deeds(&table.wait(1000)).len(), 1, "a next one is requested");
}

#[test]
fn one_whose_replacement_waits_after_a_failure_is_replaced_now() {
    let (mut table, old) = Table::serving(two());
    let cause = Cause::MemoryLimit;
    let _ = table.tell(Event::Unfit { pid: old[0], cause });
    let next = rises(&mut table, SLOT, 2);
    assert_eq!(
        deeds(&table.ends(next, Exit::Code(1))),
        [],
        "it is tried again later"
    );
    assert_eq!(
        deeds(&table.tell(REPLACE)).len(),
        1,
        "a next one is requested"
    );
    let next = rises(&mut table, SLOT, 2);
    let _ = table.tell(is_ready(next));
    assert_eq!(live(&table), [2, 1]);
}

#[test]
fn one_that_is_unhealthy_and_still_in_steering_is_replaced() {
    let (mut table, old) = Table::serving(Params {
        health_failures: Some(1),
        ..two()
    });
    for pid in &old {
        let _ = table.tell(Event::Unfit {
            pid: *pid,
            cause: Cause::Unhealthy,
        });
    }
    assert_eq!(live(&table), [1], "only one is out at a time");
    assert_eq!(table.seen().rising.len(), 1);
    let _ = table.tell(Event::Operator(Command::Replace(OTHER)));
    let first = rises(&mut table, SLOT, 2);
    let _ = table.tell(is_ready(first));
    let (pid, passed) = (first, true);
    let _ = table.tell(Event::Checked { pid, passed });
    let _ = table.tell(Event::Drained { pid: old[0] });
    let _ = table.ends(old[0], TERMINATED);
    assert_eq!(table.seen().rising[0].slot, OTHER);
}

#[test]
fn an_empty_slot_gets_its_worker_now() {
    let (mut table, old) = Table::serving(two());
    let _ = table.ends(old[0], Exit::Code(1));
    let pid = table.runs(SLOT);
    let _ = table.ends(pid, Exit::Code(1));
    assert_eq!(table.state(SLOT), WorkerState::Backoff);
    assert_eq!(deeds(&table.tell(REPLACE)), [spawn(SLOT)]);
}

#[test]
fn a_slot_that_stays_down_is_started_again() {
    let (mut table, old) = Table::serving(Params {
        restart: Restart::OnFailure,
        ..two()
    });
    let _ = table.ends(old[0], Exit::Code(0));
    assert_eq!(table.state(SLOT), WorkerState::Stopped);
    assert_eq!(deeds(&table.tell(REPLACE)), [spawn(SLOT)]);
}

#[test]
fn it_is_ignored_in_a_reload_and_for_a_slot_that_is_not_there() {
    let (mut table, _) = Table::serving(two());
    assert_eq!(table.tell(Event::Operator(Command::Replace(SlotId(2)))), []);
    let _ = table.tell(RELOAD);
    assert_eq!(table.tell(REPLACE), []);
}
