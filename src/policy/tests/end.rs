//! The consequences of a worker's end.

use super::*;

#[test]
fn each_rule_of_restart_after_a_good_life() {
    use Restart::{Always, Never, OnFailure};
    let now = restart(0, 0);
    let none: &[u8] = &[];
    let table = [
        (Always, none, none, Exit::Code(0), now, None),
        (Always, none, none, Exit::Code(1), now, None),
        (Always, none, none, TERMINATED, now, None),
        (Always, &[3], none, Exit::Code(3), Next::StaysDown, Some(3)),
        (Always, &[0], none, Exit::Code(0), Next::StaysDown, Some(0)),
        (Always, &[3], &[3], Exit::Code(3), Next::StaysDown, Some(0)),
        // 143 is an exit code here, not SIGTERM.
        (Always, &[143], none, TERMINATED, now, None),
        (
            OnFailure,
            none,
            none,
            Exit::Code(0),
            Next::StaysDown,
            Some(0),
        ),
        (OnFailure, none, none, Exit::Code(1), now, None),
        (OnFailure, none, none, TERMINATED, now, None),
        (
            OnFailure,
            none,
            &[1],
            Exit::Code(1),
            Next::StaysDown,
            Some(0),
        ),
        (
            OnFailure,
            none,
            &[143],
            TERMINATED,
            Next::StaysDown,
            Some(0),
        ),
        (
            OnFailure,
            &[3],
            none,
            Exit::Code(3),
            Next::StaysDown,
            Some(3),
        ),
        (Never, none, none, Exit::Code(0), Next::StaysDown, Some(0)),
        (Never, none, none, Exit::Code(7), Next::StaysDown, Some(7)),
        (Never, none, &[7], Exit::Code(7), Next::StaysDown, Some(0)),
        (Never, none, none, TERMINATED, Next::StaysDown, Some(143)),
    ];
    for (restart, stop_exit_codes, exit_ok, exit, next, code) in table {
        let (mut fleet, pids) = Table::serving(Params {
            restart,
            stop_exit_codes: stop_exit_codes.to_vec(),
            exit_ok: exit_ok.to_vec(),
            ..params()
        });
        let actions = fleet.ends(pids[0], exit);
        let case = format!("{restart:?} {stop_exit_codes:?} {exit_ok:?} {exit}");
        assert_eq!(told(&actions).1, next, "{case}");
        let deed = code.map_or(spawn(SLOT), |code| Action::Finish { code });
        assert_eq!(deeds(&actions), [deed], "{case}");
    }
}

#[test]
fn short_lives_wait_longer_each_time_and_a_long_one_ends_the_row() {
    let max_restarts = None;
    let mut table = Table::new(Params {
        max_restarts,
        ..params()
    });
    for (streak, wait) in [(1, 100), (2, 200), (3, 400), (4, 800)] {
        let pid = table.runs(SLOT);
        let actions = table.ends(pid, Exit::Code(1));
        assert_eq!(told(&actions), (Cause::Exit, restart(wait, streak)));
        assert_eq!(table.due_in(), Some(millis(wait)));
        assert_eq!(table.wait(wait - 1), []);
        assert_eq!(table.wait(1), [spawn(SLOT)]);
    }
    // It is not short, but not long beside the wait of 1.6 s that would follow.
    let pid = table.runs(SLOT);
    let _ = table.wait(159_999);
    let actions = table.ends(pid, KILLED);
    assert_eq!(told(&actions), (Cause::Signal, restart(800, 4)));
    let _ = table.wait(800);
    let pid = table.runs(SLOT);
    let _ = table.wait(320_000);
    let actions = table.ends(pid, KILLED);
    assert_eq!(told(&actions), (Cause::Signal, restart(0, 0)));
}

#[test]
fn a_crash_loop_that_is_slower_than_the_shortest_uptime_waits_too_and_never_gives_up() {
    let mut table = Table::new(params());
    for wait in [
        0, 100, 200, 400, 800, 1600, 3200, 6400, 12_800, 15_000, 15_000,
    ] {
        let pid = table.runs(SLOT);
        let _ = table.wait(2000);
        let actions = table.ends(pid, Exit::Code(1));
        assert_eq!(told(&actions).1, restart(wait, 0));
        if wait > 0 {
            assert_eq!(table.wait(wait), [spawn(SLOT)]);
        }
    }
}

#[test]
fn a_life_is_short_until_ready_and_until_its_time() {
    for (ready, told_ready, lived, streak) in [
        (ReadyRule::Told, false, 5000, 1),
        (ReadyRule::Told, true, 5000, 0),
        (ReadyRule::Told, true, 999, 1),
        (ReadyRule::Alive(millis(10)), false, 999, 1),
        (ReadyRule::Alive(millis(10)), false, 1000, 0),
    ] {
        let (mut table, pids) = Table::running(Params { ready, ..params() });
        if told_ready {
            let _ = table.tell(is_ready(pids[0]));
        }
        let _ = table.wait(lived);
        let actions = table.ends(pids[0], Exit::Code(1));
        let wait = if streak == 0 { 0 } else { 100 };
        assert_eq!(told(&actions).1, restart(wait, streak), "{ready:?} {lived}");
    }
}

#[test]
fn the_streak_ends_the_runtime_with_the_workers_own_code_but_never_with_0() {
    for (exit_ok, exit, code) in [
        (vec![], Exit::Code(5), 5),
        (vec![], KILLED, 137),
        (vec![], Exit::Code(0), 1),
        (vec![5], Exit::Code(5), 1),
    ] {
        let (mut table, pids) = Table::running(Params {
            instances: 2,
            exit_ok,
            ..params()
        });
        let (mut failing, healthy) = (pids[0], pids[1]);
        for wait in [100, 200] {
            let _ = table.ends(failing, exit);
            let _ = table.wait(wait);
            failing = table.runs(SLOT);
        }
        let actions = table.ends(failing, exit);
        assert_eq!(told(&actions).1, Next::GivesUp);
        let (slot, streak) = (SLOT, 3);
        assert!(says(&actions, Note::GivesUp { slot, streak, code }));
        assert_eq!(deeds(&actions), [Action::Stop { pid: healthy }]);
        assert_eq!(
            deeds(&table.ends(healthy, Exit::Code(0))),
            [Action::Finish { code }]
        );
    }
}

#[test]
fn a_program_that_cannot_be_executed_ends_the_first_start_at_once() {
    for code in [126, 127] {
        let mut table = Table::new(params());
        let (pid, _) = table.spawned(SLOT);
        assert_eq!(table.tell(Event::ExecFailed { pid, code }), []);
        let actions = table.ends(pid, Exit::Code(code));
        assert_eq!(told(&actions), (Cause::ExecFailed, Next::GivesUp));
        assert_eq!(deeds(&actions), [Action::Finish { code }]);
    }
}

#[test]
fn a_program_that_ran_once_is_tried_again() {
    let (mut table, pids) = Table::serving(params());
    let _ = table.ends(pids[0], Exit::Code(1));
    for wait in [100, 200] {
        let (pid, _) = table.spawned(SLOT);
        let _ = table.tell(Event::ExecFailed { pid, code: 127 });
        let (cause, next) = told(&table.ends(pid, Exit::Code(127)));
        assert_eq!(cause, Cause::ExecFailed);
        assert!(matches!(next, Next::Restart { wait: w, .. } if w == millis(wait)));
        let _ = table.wait(wait);
    }
    let (pid, _) = table.spawned(SLOT);
    let _ = table.tell(Event::ExecFailed { pid, code: 127 });
    let actions = table.ends(pid, Exit::Code(127));
    assert_eq!(deeds(&actions), [Action::Finish { code: 127 }]);
}

#[test]
fn the_code_of_those_who_stay_down_is_the_first_failure() {
    let (mut table, pids) = Table::serving(Params {
        instances: 3,
        restart: Restart::Never,
        ..params()
    });
    for (pid, code) in pids.iter().zip([0, 4]) {
        assert_eq!(deeds(&table.ends(*pid, Exit::Code(code))), []);
    }
    assert_eq!(
        deeds(&table.ends(pids[2], Exit::Code(5))),
        [Action::Finish { code: 4 }]
    );
}

#[test]
fn what_a_worker_leaves_is_stopped_and_then_killed() {
    let (mut table, pids) = Table::serving(params());
    let (slot, pid) = (SLOT, pids[0]);
    let actions = table.ends_and_leaves(pid, Exit::Code(1));
    assert!(says(&actions, Note::Leftovers { slot, pid }));
    // The successor does not wait for the remaining group.
    assert_eq!(
        deeds(&actions),
        [Action::StopGroup { pid, told: false }, spawn(SLOT)]
    );
    table.runs(SLOT);
    let _ = table.tell(is_ready(pid));
    assert_eq!(deeds(&table.wait(9999)), []);
    assert_eq!(deeds(&table.wait(1)), [Action::KillGroup { pid }]);
    assert_eq!(table.fleet.sweeping().collect::<Vec<_>>(), [pid]);
    assert_eq!(table.tell(Event::GroupEmpty { pid }), []);
    assert_eq!(table.fleet.sweeping().count(), 0);
    // What is left to do are ports that nobody has.
    assert_eq!(upkeep(&table.wait(60_000)), [Action::CloseAbandonedPorts]);
    assert_eq!(table.due_in(), None);
}

#[test]
fn leftovers_that_go_in_time_are_not_killed() {
    let (mut table, pids) = Table::serving(params());
    let _ = table.ends_and_leaves(pids[0], Exit::Code(1));
    table.runs(SLOT);
    let _ = table.tell(Event::GroupEmpty { pid: pids[0] });
    assert_eq!(deeds(&table.wait(20_000)), []);
}

#[test]
fn strangers_are_counted_and_change_nothing() {
    let (mut table, pids) = Table::serving(params());
    let (pid, exit) = (Pid::new(4711).unwrap(), Exit::Code(3));
    let before = table.seen();
    assert_eq!(
        table.ends(pid, exit),
        [Action::Say(Note::Stranger { pid, exit })]
    );
    assert_eq!(table.tell(Event::GroupEmpty { pid: pids[0] }), []);
    assert_eq!(table.seen(), before);
}
