//! Actions on listeners and shared ports when workers start, end and are replaced.

use super::roll::{RELOAD, rises, two};
use super::*;

fn release(pid: Pid, listener: u16) -> Action {
    Action::Release {
        pid,
        listener: ListenerId(listener),
    }
}

#[test]
fn the_end_of_a_worker_releases_its_listener_whatever_it_was() {
    // A worker of a slot.
    let (mut table, old) = Table::serving(two());
    assert_eq!(upkeep(&table.ends(old[1], KILLED)), [release(old[1], 1)]);
    // A successor.
    let (mut table, old) = Table::serving(two());
    let _ = table.tell(RELOAD);
    let next = rises(&mut table, SLOT, 2);
    assert_eq!(
        upkeep(&table.ends(next, KILLED)),
        [release(next, 2), Action::CloseAbandonedPorts]
    );
    // A worker that drained and got the stop signal.
    let _ = table.tell(RELOAD);
    let next = rises(&mut table, SLOT, 2);
    let ready = table.tell(is_ready(next));
    assert_eq!(upkeep(&ready), [Action::CheckListeners { pid: next }]);
    let _ = table.tell(Event::Drained { pid: old[0] });
    let end = table.ends(old[0], TERMINATED);
    assert_eq!(upkeep(&end), [release(old[0], 0)]);
    // A process that is not a worker has no listener.
    let stranger = Pid::new(9999).unwrap();
    assert_eq!(upkeep(&table.ends(stranger, KILLED)), []);
}

#[test]
fn a_worker_that_cannot_be_killed_releases_its_listener_once() {
    let (mut table, pids) = Table::serving(params());
    let _ = table.tell(RESTART);
    let _ = table.wait(10_000);
    let given_up = table.wait(5000);
    assert_eq!(upkeep(&given_up), [release(pids[0], 0)]);
    assert_eq!(upkeep(&table.ends(pids[0], KILLED)), []);
}

#[test]
fn ports_that_nobody_binds_any_more_are_closed_after_the_last_worker_of_a_reload() {
    let (mut table, old) = Table::serving(two());
    let _ = table.tell(RELOAD);
    let failed = rises(&mut table, SLOT, 2);
    let end = table.ends(failed, Exit::Code(1));
    // Those that the failed one alone had: the old ones are up.
    assert!(end.contains(&Action::CloseAbandonedPorts));
    let _ = table.tell(RELOAD);
    let mut spare = 2;
    for (slot, old) in [SLOT, OTHER].into_iter().zip(old) {
        let next = rises(&mut table, slot, spare);
        let _ = table.tell(is_ready(next));
        let _ = table.tell(Event::Drained { pid: old });
        let end = table.ends(old, TERMINATED);
        let closes = end.contains(&Action::CloseAbandonedPorts);
        assert_eq!(closes, slot == OTHER, "not before the last: {end:?}");
        spare = slot.0;
    }
}

/// What is due for ports that nobody has, of these actions.
fn closes(actions: &[Action]) -> bool {
    actions.contains(&Action::CloseAbandonedPorts)
}

#[test]
fn ports_of_an_ended_worker_are_closed_when_every_worker_has_bound_its_own() {
    // It may be ready without a port that its predecessor had.
    let listens = Params {
        ready: ReadyRule::Listens { or_alive: None },
        ..two()
    };
    let port = PortId::new(0).unwrap();
    let (mut table, old) = Table::running(listens);
    for pid in &old {
        let _ = table.tell(Event::Listens { pid: *pid, port });
    }
    assert!(!closes(&table.wait(60_000)), "nobody has ended");
    assert!(!closes(&table.ends(old[1], KILLED)));
    let next = table.runs(OTHER);
    assert!(!closes(&table.wait(20_000)), "the next one is not ready");
    assert!(!closes(&table.tell(Event::Listens { pid: next, port })));
    // It took 20 s for its first port, so 40 s from its start would not do.
    assert!(!closes(&table.wait(29_999)));
    assert_eq!(table.due_in(), Some(millis(1)));
    assert!(closes(&table.wait(1)));
    assert!(!closes(&table.wait(60_000)), "once");
}

#[test]
fn a_port_that_was_opened_late_once_stays_open_for_twice_that_time() {
    let listens = Params {
        ready: ReadyRule::Listens { or_alive: None },
        ..two()
    };
    let [port, slow] = [0, 1].map(|nr| PortId::new(nr).unwrap());
    for (late, open) in [(45_000, 90_000), (3_600_000, 600_000)] {
        let (mut table, old) = Table::running(listens.clone());
        for pid in &old {
            let _ = table.tell(Event::Listens { pid: *pid, port });
        }
        let _ = table.wait(late);
        let pid = old[1];
        let _ = table.tell(Event::Listens { pid, port: slow });
        // What is told again is not late.
        let _ = table.wait(7_200_000);
        let _ = table.tell(Event::Listens { pid, port: slow });
        assert!(!closes(&table.ends(pid, KILLED)));
        let next = table.runs(OTHER);
        assert!(!closes(&table.tell(Event::Listens { pid: next, port })));
        // A missing port may hold up its readiness, which counts too.
        assert!(!closes(&table.wait(open - 1)), "after {late} ms");
        assert!(closes(&table.wait(1)), "after {late} ms");
    }
}

#[test]
fn a_worker_that_is_ready_by_its_own_word_may_bind_until_the_ready_timeout() {
    let (mut table, old) = Table::serving(Params {
        ready: ReadyRule::Told,
        ..two()
    });
    let _ = table.ends(old[1], KILLED);
    let next = table.runs(OTHER);
    assert!(!closes(&table.tell(is_ready(next))));
    assert!(!closes(&table.wait(29_999)));
    assert_eq!(table.due_in(), Some(millis(1)));
    assert!(closes(&table.wait(1)));
}

#[test]
fn no_port_is_closed_while_workers_come_and_go() {
    let (mut table, old) = Table::serving(two());
    let _ = table.ends(old[1], KILLED);
    let next = table.runs(OTHER);
    let _ = table.tell(is_ready(next));
    // A reload closes them itself.
    let _ = table.tell(RELOAD);
    assert!(!closes(&table.wait(1000)));
}
