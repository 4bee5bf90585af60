//! Regression tests.

use super::*;

#[test]
fn no_order_goes_to_a_worker_that_was_reaped_with_the_one_that_made_the_runtime_give_up() {
    let (mut table, pids) = Table::running(Params {
        instances: 2,
        max_restarts: Some(1),
        ..params()
    });
    let actions = table.tell_all(&[ended(pids[0], Exit::Code(5)), ended(pids[1], Exit::Code(6))]);
    assert_eq!(deeds(&actions), [Action::Finish { code: 5 }]);
}

#[test]
fn a_worker_that_ended_in_time_was_not_killed_however_late_we_look() {
    let (mut table, pids) = Table::serving(params());
    let other = Pid::new(4711).unwrap();
    let _ = table.tell(STOP);
    table.now = table.now.after(secs(11));
    let actions = table.tell_all(&[ended(other, KILLED), ended(pids[0], TERMINATED)]);
    assert_eq!(deeds(&actions), [Action::Finish { code: 0 }]);
}

#[test]
fn what_cannot_be_killed_is_not_started_again_against_the_rule() {
    let (mut table, pids) = Table::running(Params {
        ready: ReadyRule::Told,
        ..one_shot()
    });
    let (slot, pid) = (SLOT, pids[0]);
    let _ = table.wait(30_000);
    let _ = table.wait(10_000);
    assert_eq!(
        table.wait(5000),
        [
            Action::Release {
                pid,
                listener: home(slot)
            },
            Action::Say(Note::Undead {
                slot,
                pid,
                leftovers: false
            }),
            Action::Finish { code: 137 }
        ]
    );
}

#[test]
fn what_cannot_be_killed_counts_to_the_streak() {
    let (mut table, _) = Table::running(Params {
        ready: ReadyRule::Told,
        max_restarts: Some(1),
        ..params()
    });
    let _ = table.wait(30_000);
    let _ = table.wait(10_000);
    assert_eq!(deeds(&table.wait(5000)), [Action::Finish { code: 137 }]);
}

#[test]
fn the_late_end_of_what_could_not_be_killed_says_nothing_about_its_slot() {
    let (mut table, pids) = Table::serving(params());
    let _ = table.tell(RESTART);
    let _ = table.wait(10_000);
    let _ = table.wait(5000);
    let _ = table.wait(100);
    let successor = table.runs(SLOT);
    let actions = table.ends(pids[0], KILLED);
    assert_eq!(told(&actions), (Cause::Restart, Next::Replaced));
    assert_eq!(deeds(&actions), []);
    assert_eq!(table.seen().slots[0].pid, Some(successor));
    assert_eq!(table.seen().slots[0].last_exit, None);
}

#[test]
fn in_tinis_role_a_worker_that_cannot_be_killed_is_no_success() {
    let (mut table, _) = Table::serving(one_shot());
    let _ = table.tell(STOP);
    let _ = table.wait(10_000);
    assert_eq!(deeds(&table.wait(5000)), [Action::Finish { code: 137 }]);
}

#[test]
fn a_stop_awaits_the_workers_it_has_asked_for() {
    let mut table = Table::new(Params {
        instances: 3,
        ..params()
    });
    assert_eq!(deeds(&table.tell(STOP)), []);
    let (pid, actions) = table.spawned(SLOT);
    assert_eq!(deeds(&actions), [Action::Stop { pid }]);
    let slot = OTHER;
    assert_eq!(table.tell(spawn_failed(slot)), []);
    assert_eq!(deeds(&table.ends(pid, TERMINATED)), []);
    let slot = SlotId(2);
    assert_eq!(
        deeds(&table.tell(spawn_failed(slot))),
        [Action::Finish { code: 0 }]
    );
}

#[test]
fn the_first_fork_that_fails_leaves_no_other_worker_behind() {
    let mut table = Table::new(Params {
        instances: 2,
        ..params()
    });
    let slot = SLOT;
    assert_eq!(deeds(&table.tell(spawn_failed(slot))), []);
    let (pid, actions) = table.spawned(OTHER);
    assert_eq!(actions, [Action::Stop { pid }]);
    assert_eq!(
        deeds(&table.ends(pid, TERMINATED)),
        [Action::Finish { code: 71 }]
    );
}

#[test]
fn a_restart_does_not_ask_twice_for_one_worker() {
    let (mut table, pids) = Table::serving(params());
    assert_eq!(deeds(&table.ends(pids[0], Exit::Code(1))), [spawn(SLOT)]);
    assert_eq!(deeds(&table.tell(RESTART)), []);
    table.runs(SLOT);
    assert_eq!(table.state(SLOT), WorkerState::Starting);
}

#[test]
fn what_a_worker_answers_to_our_stop_signal_is_no_success() {
    for (restart_rule, stop_exit_codes) in
        [(Restart::OnFailure, vec![]), (Restart::Always, vec![0])]
    {
        let (mut table, pids) = Table::running(Params {
            ready: ReadyRule::Told,
            restart: restart_rule,
            stop_exit_codes,
            ..params()
        });
        let _ = table.wait(30_000);
        assert_eq!(
            told(&table.ends(pids[0], Exit::Code(0))),
            (Cause::StartTimeout, restart(100, 1))
        );
    }
}

#[test]
fn a_restart_counts_for_a_worker_that_is_being_stopped_for_being_late() {
    for (restart_rule, max_restarts) in [(Restart::Never, None), (Restart::Always, Some(1))] {
        let (mut table, pids) = Table::running(Params {
            ready: ReadyRule::Told,
            restart: restart_rule,
            max_restarts,
            ..params()
        });
        let _ = table.wait(30_000);
        let _ = table.tell(RESTART);
        assert_eq!(deeds(&table.ends(pids[0], TERMINATED)), [spawn(SLOT)]);
    }
}

#[test]
fn the_code_of_a_worker_that_was_started_again_is_forgotten() {
    let (mut table, pids) = Table::serving(one_shot());
    let _ = table.tell(RESTART);
    assert_eq!(deeds(&table.ends(pids[0], TERMINATED)), [spawn(SLOT)]);
    let pid = table.runs(SLOT);
    assert_eq!(
        deeds(&table.ends(pid, Exit::Code(0))),
        [Action::Finish { code: 0 }]
    );

    let (mut table, pids) = Table::serving(Params {
        instances: 2,
        ..one_shot()
    });
    let _ = table.ends(pids[0], Exit::Code(3));
    let _ = table.tell(RESTART);
    let first = table.runs(SLOT);
    let _ = table.ends(pids[1], TERMINATED);
    let second = table.runs(OTHER);
    let _ = table.ends(first, Exit::Code(0));
    assert_eq!(
        deeds(&table.ends(second, Exit::Code(0))),
        [Action::Finish { code: 0 }]
    );
}

#[test]
fn a_shortage_between_fork_and_exec_puts_the_start_off_and_counts_to_no_streak() {
    // Even before any program ran.
    let mut table = Table::new(params());
    for wait in [100, 200, 400, 800] {
        let (pid, _) = table.spawned(SLOT);
        assert_eq!(table.tell(Event::Starved { pid }), []);
        let actions = table.ends(pid, Exit::Code(126));
        assert_eq!(told(&actions), (Cause::ExecFailed, restart(wait, 0)));
        assert_eq!(deeds(&table.wait(wait)), [spawn(SLOT)]);
    }
    // A start ends the row of shortages; the streak continues where it was.
    let pid = table.runs(SLOT);
    assert_eq!(told(&table.ends(pid, Exit::Code(1))).1, restart(100, 1));
    let _ = table.wait(100);
    let (pid, _) = table.spawned(SLOT);
    let _ = table.tell(Event::Starved { pid });
    assert_eq!(told(&table.ends(pid, Exit::Code(126))).1, restart(100, 1));
}

#[test]
fn in_tinis_role_a_shortage_between_fork_and_exec_is_the_callers_business() {
    let mut table = Table::new(one_shot());
    let (pid, _) = table.spawned(SLOT);
    let _ = table.tell(Event::Starved { pid });
    assert_eq!(
        deeds(&table.ends(pid, Exit::Code(126))),
        [Action::Finish { code: 126 }]
    );
}

#[test]
fn a_group_whose_number_is_given_out_again_is_gone() {
    let (mut table, pids) = Table::serving(params());
    let pid = pids[0];
    let _ = table.ends_and_leaves(pid, Exit::Code(1));
    assert_eq!(table.tell(spawned(SLOT, pid)), []);
    assert_eq!(table.fleet.sweeping().count(), 0);
    assert_eq!(deeds(&table.wait(10_000)), []);
}

#[test]
fn after_the_end_nothing_is_done() {
    let (mut table, pids) = Table::serving(params());
    let _ = table.tell(STOP);
    let _ = table.wait(10_000);
    let _ = table.wait(5000);
    assert_eq!(table.tick(), []);
    for event in [ended(pids[0], KILLED), STOP, RESTART] {
        assert_eq!(table.tell(event), []);
    }
}

#[test]
fn who_ran_its_program_in_want_of_something_says_nothing_about_it() {
    let (mut table, pids) = Table::serving(Params {
        instances: 2,
        max_restarts: Some(3),
        ..params()
    });
    let mut pid = pids[1];
    let mut waits = Vec::new();
    for _ in 0..10 {
        let _ = table.tell(Event::Starved { pid });
        let _ = table.tell(Event::Executed { pid });
        let (_, next) = told(&table.ends(pid, Exit::Code(3)));
        let Next::Restart { wait, streak: 0 } = next else {
            panic!("{next:?}");
        };
        waits.push(wait);
        let _ = table.wait(60_000);
        pid = table.spawned(OTHER).0;
    }
    assert!(waits.is_sorted() && waits[9] > waits[0], "{waits:?}");
}
