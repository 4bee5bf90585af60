//! Drains, the stop that waits for them, and scaling.

use super::roll::{RELOAD, SCALE_DOWN, asked, drained, live, result, rises, two};
use super::*;
use crate::model::{DrainEnd, ReloadResult};

const SCALE_UP: Event = Event::Operator(Command::ScaleUp);

#[test]
fn a_stop_during_a_reload_wins_at_once() {
    let (mut table, old) = Table::serving(two());
    let _ = table.tell(RELOAD);
    let next = rises(&mut table, SLOT, 2);
    let told = table.tell(STOP);
    assert_eq!(result(&told), Some((ReloadResult::Superseded, 0)));
    assert_eq!(deeds(&told), [Action::Stop { pid: next }]);
    assert_eq!(live(&table), [0, 1], "who serves finishes what is there");
    let told = table.tell(Event::Quiet);
    let stops = old.iter().map(|pid| Action::Stop { pid: *pid });
    assert_eq!(deeds(&told), stops.collect::<Vec<_>>());
}

#[test]
fn the_stop_waits_until_no_request_is_in_work_but_not_for_ever() {
    let (mut table, old) = Table::serving(Params {
        instances: 1,
        shutdown_delay: secs(3),
        ..two()
    });
    let pid = old[0];
    assert_eq!(deeds(&table.tell(STOP)), []);
    assert!(!table.seen().ready);
    assert_eq!(table.fleet.stop_drain(), None);
    let told = table.wait(3000);
    assert!(says(&told, Note::StopDrains { limit: secs(10) }));
    assert_eq!(table.fleet.stop_drain(), Some(vec![(pid, ListenerId(0))]));
    assert_eq!(deeds(&table.wait(9999)), []);
    assert_eq!(deeds(&table.wait(1)), [Action::Stop { pid }]);
    let _ = table.wait(2000);
    let told = table.ends(pid, TERMINATED);
    let (delay, drain, stop) = (secs(3), secs(10), secs(2));
    assert!(says(&told, Note::Stopped { delay, drain, stop }));
    assert_eq!(deeds(&told), [Action::Finish { code: 0 }]);
}

#[test]
fn a_worker_that_is_killed_as_the_stop_begins_counts_to_the_exit_code() {
    let (mut table, old) = Table::serving(Params {
        restart: Restart::Never,
        stop_timeout: Duration::ZERO,
        ..two()
    });
    let _ = table.tell(SCALE_DOWN);
    let _ = table.tell(STOP);
    let _ = table.ends(old[0], Exit::Code(0));
    // The drain of the worker and that of the stop end at the same time.
    let told = table.wait(10_000);
    let begins = told
        .iter()
        .position(|action| matches!(action, Action::Say(Note::StopBegins { .. })));
    let kill = Action::Kill { pid: old[1] };
    let kills = told.iter().position(|action| *action == kill);
    assert!(begins.is_some() && begins < kills, "{told:?}");
    let end = table.ends(old[1], KILLED);
    assert_eq!(deeds(&end), [Action::Finish { code: 1 }]);
}

#[test]
fn a_second_stop_skips_the_delay_and_the_drain() {
    let (mut table, old) = Table::serving(Params {
        instances: 1,
        shutdown_delay: secs(3),
        ..two()
    });
    let _ = table.tell(STOP);
    assert_eq!(deeds(&table.tell(STOP)), [Action::Stop { pid: old[0] }]);
    assert_eq!(deeds(&table.tell(STOP)), [Action::Kill { pid: old[0] }]);
}

#[test]
fn a_worker_that_does_not_finish_waits_for_a_quiet_moment_and_not_for_ever() {
    for quiet in [Some(true), Some(false), None] {
        let (mut table, old) = Table::serving(two());
        let _ = table.tell(RELOAD);
        let pid = rises(&mut table, SLOT, 2);
        let _ = table.tell(is_ready(pid));
        let pid = old[0];
        assert!(table.draining().iter().all(|one| !one.is_choosing()));
        // A quiet moment does not matter while the drain timeout is not over.
        let moment = |quiet| Event::Moment { pid, quiet };
        assert_eq!(table.tell(moment(false)), []);
        assert_eq!(table.tell(moment(true)), [Action::Resume { pid }]);
        assert_eq!(deeds(&table.wait(10_000)), []);
        assert!(table.draining().iter().all(Drains::is_choosing));
        let told = match quiet {
            Some(quiet) => table.tell(moment(quiet)),
            None => table.wait(5000),
        };
        assert_eq!(deeds(&told), [Action::Stop { pid }]);
        let expected = match quiet {
            Some(true) => DrainEnd::Quiet,
            Some(false) | None => DrainEnd::Timeout,
        };
        assert_eq!(drained(&told), Some(expected));
        assert_eq!(deeds(&table.wait(5000)), [Action::Kill { pid }]);
    }
}

#[test]
fn a_worker_that_ends_by_itself_while_it_drains_is_told_so() {
    let (mut table, old) = Table::serving(two());
    let _ = table.tell(RELOAD);
    let pid = rises(&mut table, SLOT, 2);
    let _ = table.tell(is_ready(pid));
    let actions = table.ends(old[0], Exit::Code(3));
    assert_eq!(drained(&actions), Some(DrainEnd::Exited));
    assert_eq!(told(&actions), (Cause::Exit, Next::Replaced));
    assert_eq!(deeds(&actions), [asked(OTHER, 0, 1)]);
}

#[test]
fn the_oom_killer_is_told_apart() {
    for (exit, oom, cause) in [
        (KILLED, true, Cause::Oom),
        (KILLED, false, Cause::Signal),
        (TERMINATED, true, Cause::Signal),
    ] {
        let (mut table, pids) = Table::serving(params());
        let actions = table.tell(Event::Exited {
            pid: pids[0],
            exit,
            leftovers: false,
            oom,
        });
        assert_eq!(told(&actions).0, cause);
        let slot = &table.seen().slots[0];
        assert_eq!((slot.last_exit, slot.last_cause), (Some(exit), Some(cause)));
    }
}

#[test]
fn more_time_to_become_ready_is_never_less() {
    let (mut table, pids) = Table::running(two());
    let pid = pids[0];
    let _ = table.wait(5000);
    let _ = table.tell(Event::Extended { pid, by: secs(5) });
    assert_eq!(table.due_in(), Some(secs(25)));
    let _ = table.tell(Event::Extended { pid, by: secs(60) });
    let _ = table.tell(is_ready(pids[1]));
    assert_eq!(table.due_in(), Some(secs(60)));
}

#[test]
fn a_granted_number_is_reached_at_once_and_those_that_are_too_many_drain() {
    let granted = |workers| Event::Granted { workers };
    let (mut table, old) = Table::serving(two());
    let told = table.tell(granted(4));
    assert!(says(&told, Note::Scaled { from: 2, to: 4 }));
    let places = [(SlotId(2), 2), (SlotId(3), 4)];
    assert_eq!(
        deeds(&told),
        places.map(|(slot, listener)| asked(slot, listener, 0))
    );
    assert_eq!(table.tell(granted(4)), []);
    for (slot, listener) in places {
        let pid = rises(&mut table, slot, listener);
        let _ = table.tell(is_ready(pid));
    }
    // What an operator has made holds until another number is granted.
    let _ = table.tell(SCALE_UP);
    assert_eq!(table.seen().desired, 5);
    let told = table.tell(granted(1));
    assert!(says(&told, Note::Scaled { from: 5, to: 1 }));
    assert_eq!(table.seen().desired, 1);
    let drains = table.draining();
    let drained: Vec<u16> = drains.iter().map(|one| one.slot.0).collect();
    assert_eq!(drained, [3, 2, 1], "the highest first");
    assert!(drains.iter().all(|one| one.pid != old[0]));
    assert_eq!(table.tell(granted(0)), [], "one stays");
}

#[test]
fn scale_goes_up_on_new_listeners_and_down_from_the_highest() {
    let (mut table, old) = Table::serving(two());
    assert_eq!(deeds(&table.tell(SCALE_UP)), [asked(SlotId(2), 2, 0)]);
    assert_eq!(
        table.fleet.listeners(),
        5,
        "one is left for a reload, and one for waiting clients"
    );
    let third = rises(&mut table, SlotId(2), 2);
    let _ = table.tell(is_ready(third));
    assert_eq!(live(&table), [0, 1, 2]);
    assert_eq!(table.seen().desired, 3);
    assert_eq!(deeds(&table.tell(SCALE_DOWN)), []);
    assert_eq!(live(&table), [0, 1]);
    let told = table.tell(Event::Drained { pid: third });
    assert_eq!(deeds(&told), [Action::Stop { pid: third }]);
    // Its listener is not free yet.
    assert_eq!(deeds(&table.tell(SCALE_UP)), [asked(SlotId(2), 4, 0)]);
    let fourth = rises(&mut table, SlotId(2), 4);
    let told = table.ends(third, TERMINATED);
    assert_eq!(self::told(&told).0, Cause::Scale);
    assert_eq!(deeds(&told), []);
    let _ = table.tell(SCALE_DOWN);
    let _ = table.ends(fourth, TERMINATED);
    let _ = table.tell(SCALE_DOWN);
    assert_eq!(
        table.tell(SCALE_DOWN),
        [Action::Say(Note::ScaleRefused { at: 1 })]
    );
    assert_eq!(live(&table), [0]);
    assert_eq!(table.state(SLOT), WorkerState::Ready);
    let _ = table.tell(Event::Drained { pid: old[1] });
    let _ = table.ends(old[1], TERMINATED);
    assert_eq!(table.due_in(), None);
}
