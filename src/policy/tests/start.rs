//! From an empty slot to a serving worker.

use super::*;

#[test]
fn alive_long_enough_is_ready() {
    let (mut table, pids) = Table::running(params());
    let (slot, pid, after) = (SLOT, pids[0], secs(1));
    assert_eq!(table.due_in(), Some(secs(1)));
    assert_eq!(table.wait(999), []);
    assert_eq!(table.state(SLOT), WorkerState::Starting);
    assert_eq!(
        table.wait(1),
        [
            Action::CheckListeners { pid },
            Action::Say(Note::Ready {
                slot,
                pid,
                after,
                by: ReadyBy::Age
            })
        ]
    );
    assert_eq!(
        (table.state(SLOT), table.due_in()),
        (WorkerState::Ready, None)
    );
    assert!(table.seen().ready && table.seen().started);
}

#[test]
fn age_alone_does_not_make_ready_who_has_to_say_so() {
    let ready = ReadyRule::Told;
    let (mut table, pids) = Table::running(Params { ready, ..params() });
    let (slot, pid, missing) = (SLOT, pids[0], Missing::Word);
    assert_eq!(table.wait(4999), []);
    let (after, still) = (secs(5), secs(25));
    assert_eq!(
        table.wait(1),
        [Action::Say(Note::StillStarting {
            slot,
            pid,
            after,
            missing
        })]
    );
    assert_eq!(table.due_in(), Some(still));
    assert_eq!(table.wait(24_999), []);
    let after = secs(30);
    assert_eq!(
        table.wait(1),
        [
            Action::Say(Note::NotReady {
                slot,
                pid,
                after,
                missing
            }),
            Action::Stop { pid }
        ]
    );
    // Held, because the two would share a listener.
    assert_eq!(
        (table.state(SLOT), table.due_in()),
        (WorkerState::Backoff, Some(secs(10)))
    );
    assert_eq!(table.tell(is_ready(pid)), [], "too late");
    assert_eq!(
        told(&table.ends(pid, TERMINATED)),
        (Cause::StartTimeout, restart(100, 1))
    );
    assert_eq!(table.wait(99), []);
    assert_eq!(table.wait(1), [spawn(SLOT)]);
}

#[test]
fn never_being_ready_in_time_ends_in_giving_up() {
    let ready = ReadyRule::Told;
    let mut table = Table::new(Params { ready, ..params() });
    for wait in [100, 200] {
        let pid = table.runs(SLOT);
        let _ = table.wait(30_000);
        let _ = table.ends(pid, Exit::Code(0));
        assert_eq!(table.wait(wait), [spawn(SLOT)]);
    }
    let pid = table.runs(SLOT);
    let _ = table.wait(30_000);
    let actions = table.ends(pid, Exit::Code(9));
    assert_eq!(told(&actions).1, Next::GivesUp);
    assert_eq!(deeds(&actions), [Action::Finish { code: 9 }]);
}

#[test]
fn the_first_fork_that_fails_is_the_end() {
    let mut table = Table::new(params());
    let actions = table.tell(spawn_failed(SLOT));
    assert!(says(
        &actions,
        Note::GivesUp {
            slot: SLOT,
            streak: 0,
            code: 71
        }
    ));
    assert_eq!(deeds(&actions), [Action::Finish { code: 71 }]);
}

#[test]
fn later_a_fork_that_fails_is_tried_again_for_ever() {
    let (mut table, pids) = Table::serving(params());
    assert_eq!(deeds(&table.ends(pids[0], Exit::Code(0))), [spawn(SLOT)]);
    for wait in [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 15_000, 15_000] {
        let (slot, retry_in) = (SLOT, millis(wait));
        assert_eq!(
            table.tell(spawn_failed(slot)),
            [Action::Say(Note::SpawnDelayed { slot, retry_in })]
        );
        assert_eq!(table.wait(wait - 1), []);
        assert_eq!(table.wait(1), [spawn(SLOT)]);
    }
    let pid = table.runs(SLOT);
    let _ = table.wait(60_000);
    let _ = table.ends(pid, Exit::Code(0));
    let retry_in = millis(100);
    assert!(
        says(
            &table.tell(spawn_failed(SLOT)),
            Note::SpawnDelayed {
                slot: SLOT,
                retry_in
            }
        ),
        "a fork that works ends the row"
    );
}

#[test]
fn a_shortage_waits_even_if_the_back_off_is_shorter() {
    let backoff = Backoff::new(millis(1), millis(2)).unwrap();
    let (mut table, pids) = Table::serving(Params {
        backoff,
        ..params()
    });
    let _ = table.ends(pids[0], Exit::Code(0));
    let _ = table.tell(spawn_failed(SLOT));
    assert_eq!(table.due_in(), Some(millis(100)));
}

#[test]
fn all_slots_have_to_be_ready_once() {
    let instances = 2;
    let (mut table, pids) = Table::running(Params {
        instances,
        ready: ReadyRule::Told,
        ..params()
    });
    let _ = table.tell(is_ready(pids[0]));
    assert_eq!((table.seen().ready, table.seen().started), (true, false));
    let _ = table.tell(is_ready(pids[1]));
    assert_eq!((table.seen().ready, table.seen().started), (true, true));
    for pid in pids {
        let _ = table.ends(pid, Exit::Code(1));
    }
    assert_eq!((table.seen().ready, table.seen().started), (false, true));
}
