//! Commands for the whole runtime.

use super::roll::{self, RELOAD, SCALE_DOWN, rises};
use super::*;

fn two() -> Params {
    Params {
        instances: 2,
        ..params()
    }
}

#[test]
fn a_stop_tells_all_at_once_and_ends_when_all_are_gone() {
    let (mut table, pids) = Table::serving(two());
    let actions = table.tell(STOP);
    let (workers, grace, delay) = (2, secs(10), Duration::ZERO);
    assert!(says(&actions, Note::StopRequested { delay }));
    assert!(says(&actions, Note::StopBegins { workers, grace }));
    let stop = |pid: &Pid| Action::Stop { pid: *pid };
    assert_eq!(deeds(&actions), pids.iter().map(stop).collect::<Vec<_>>());
    assert!(!table.seen().ready);
    let actions = table.ends(pids[0], TERMINATED);
    assert_eq!(told(&actions), (Cause::Stop, Next::Stopping));
    assert_eq!(deeds(&actions), []);
    assert_eq!(
        deeds(&table.ends(pids[1], Exit::Code(9))),
        [Action::Finish { code: 0 }]
    );
}

#[test]
fn the_grace_ends_in_sigkill_and_in_code_1() {
    let (mut table, pids) = Table::serving(two());
    let _ = table.tell(STOP);
    let _ = table.ends(pids[0], Exit::Code(0));
    assert_eq!(table.wait(9999), []);
    let (slot, pid, leftovers) = (OTHER, pids[1], false);
    assert_eq!(
        table.wait(1),
        [
            Action::Say(Note::GraceOver {
                slot,
                pid,
                leftovers
            }),
            Action::Kill { pid }
        ]
    );
    let actions = table.ends(pid, KILLED);
    assert_eq!(told(&actions), (Cause::StopTimeout, Next::Stopping));
    assert_eq!(deeds(&actions), [Action::Finish { code: 1 }]);
}

#[test]
fn during_the_delay_everything_goes_on_but_readiness() {
    let shutdown_delay = secs(5);
    let (mut table, pids) = Table::serving(Params {
        shutdown_delay,
        ..params()
    });
    assert_eq!(deeds(&table.tell(STOP)), []);
    assert!(!table.seen().ready);
    assert_eq!(table.fleet.rotation().live, [home(SLOT)]);
    assert_eq!(table.tell(RESTART), [], "not now");
    assert_eq!(deeds(&table.ends(pids[0], Exit::Code(1))), [spawn(SLOT)]);
    let pid = table.runs(SLOT);
    let _ = table.wait(1000);
    assert!(!table.fleet.stopping());
    assert_eq!(deeds(&table.wait(3999)), []);
    assert_eq!(deeds(&table.wait(1)), [Action::Stop { pid }]);
    assert!(table.fleet.stopping());
}

#[test]
fn the_second_stop_ends_the_delay_and_the_third_the_grace() {
    let shutdown_delay = secs(5);
    let (mut table, pids) = Table::serving(Params {
        shutdown_delay,
        ..params()
    });
    let pid = pids[0];
    let _ = table.tell(STOP);
    assert_eq!(deeds(&table.tell(STOP)), [Action::Stop { pid }]);
    let actions = table.tell(STOP);
    assert!(says(&actions, Note::Hurried { kills: true }));
    assert_eq!(deeds(&actions), [Action::Kill { pid }]);
    assert_eq!(table.tell(STOP), [], "there is nothing stronger");
    assert_eq!(
        deeds(&table.ends(pid, KILLED)),
        [Action::Finish { code: 1 }]
    );
}

#[test]
fn a_stop_does_not_wait_for_slots_in_back_off() {
    let (mut table, pids) = Table::running(params());
    let _ = table.ends(pids[0], Exit::Code(1));
    assert_eq!(deeds(&table.tell(STOP)), [Action::Finish { code: 0 }]);
}

#[test]
fn leftovers_share_the_grace_of_their_leader() {
    let (mut table, pids) = Table::serving(params());
    let pid = pids[0];
    let _ = table.tell(STOP);
    let _ = table.wait(8000);
    assert_eq!(
        deeds(&table.ends_and_leaves(pid, TERMINATED)),
        [Action::StopGroup { pid, told: true }]
    );
    assert_eq!(table.due_in(), Some(secs(2)));
    assert_eq!(deeds(&table.wait(2000)), [Action::KillGroup { pid }]);
    assert_eq!(
        deeds(&table.tell(Event::GroupEmpty { pid })),
        [Action::Finish { code: 1 }]
    );
}

#[test]
fn leftovers_of_a_killed_leader_have_their_sigkill_already() {
    let (mut table, pids) = Table::serving(params());
    let pid = pids[0];
    let _ = table.tell(STOP);
    let _ = table.wait(10_000);
    assert_eq!(deeds(&table.ends_and_leaves(pid, KILLED)), []);
    assert_eq!(
        deeds(&table.tell(Event::GroupEmpty { pid })),
        [Action::Finish { code: 1 }]
    );
}

#[test]
fn what_cannot_be_killed_does_not_keep_the_runtime() {
    for leaves in [false, true] {
        let (mut table, pids) = Table::serving(params());
        let (slot, pid) = (SLOT, pids[0]);
        let _ = table.tell(STOP);
        let _ = table.wait(10_000);
        if leaves {
            let _ = table.ends_and_leaves(pid, KILLED);
        }
        assert_eq!(table.due_in(), Some(KILL_PATIENCE));
        let release = Action::Release {
            pid,
            listener: home(slot),
        };
        let mut expected = vec![
            Action::Say(Note::Undead {
                slot,
                pid,
                leftovers: leaves,
            }),
            Action::Say(Note::Stopped {
                delay: Duration::ZERO,
                drain: Duration::ZERO,
                stop: secs(15),
            }),
            Action::Finish { code: 1 },
        ];
        if !leaves {
            expected.insert(0, release);
        }
        assert_eq!(table.wait(5000), expected);
        assert_eq!(table.due_in(), None);
    }
}

#[test]
fn a_restart_starts_each_again_when_its_predecessor_is_gone() {
    let (mut table, pids) = Table::serving(two());
    let stop = |pid: &Pid| Action::Stop { pid: *pid };
    let actions = table.tell(RESTART);
    assert!(says(&actions, Note::RestartRequested));
    assert_eq!(deeds(&actions), pids.iter().map(stop).collect::<Vec<_>>());
    assert_eq!(deeds(&table.tell(RESTART)), [], "once is enough");
    let actions = table.ends(pids[1], TERMINATED);
    assert_eq!(told(&actions), (Cause::Restart, restart(0, 0)));
    assert_eq!(deeds(&actions), [spawn(OTHER)]);
    let next = table.runs(OTHER);
    assert_eq!(deeds(&table.wait(10_000)), [Action::Kill { pid: pids[0] }]);
    assert_eq!(deeds(&table.ends(pids[0], KILLED)), [spawn(SLOT)]);
    table.runs(SLOT);
    let workers: Vec<_> = table.fleet.workers().map(|(_, pid)| pid).collect();
    assert!(workers.contains(&next) && workers.len() == 2);
}

#[test]
fn a_restart_forgives_and_starts_those_who_wait_or_stay_down() {
    let (mut table, pids) = Table::running(Params {
        instances: 2,
        stop_exit_codes: vec![3],
        ..params()
    });
    let _ = table.ends(pids[0], Exit::Code(1));
    let _ = table.ends(pids[1], Exit::Code(3));
    assert_eq!(deeds(&table.tell(RESTART)), [spawn(SLOT), spawn(OTHER)]);
    let pid = table.runs(SLOT);
    assert_eq!(told(&table.ends(pid, Exit::Code(1))).1, restart(100, 1));
}

#[test]
fn a_stop_during_a_restart_starts_nobody() {
    let (mut table, pids) = Table::serving(params());
    let _ = table.tell(RESTART);
    assert_eq!(deeds(&table.tell(STOP)), [], "it has its signal");
    let actions = table.ends(pids[0], TERMINATED);
    assert_eq!(told(&actions), (Cause::Restart, Next::Stopping));
    assert_eq!(deeds(&actions), [Action::Finish { code: 0 }]);
}

#[test]
fn in_tinis_role_the_workers_code_is_ours_also_after_a_stop() {
    for (exit_ok, exit, code) in [
        (vec![], Exit::Code(0), 0),
        (vec![], Exit::Code(4), 4),
        (vec![], TERMINATED, 143),
        (vec![143], TERMINATED, 0),
    ] {
        let (mut table, pids) = Table::serving(Params {
            exit_ok,
            ..one_shot()
        });
        let _ = table.tell(STOP);
        assert_eq!(deeds(&table.ends(pids[0], exit)), [Action::Finish { code }]);
    }
    let (mut table, pids) = Table::serving(one_shot());
    let _ = table.tell(STOP);
    let _ = table.wait(10_000);
    assert_eq!(
        deeds(&table.ends(pids[0], KILLED)),
        [Action::Finish { code: 137 }]
    );
}

#[test]
fn giving_up_after_the_stop_was_asked_for_is_a_stop_that_was_asked_for() {
    let (mut table, pids) = Table::running(Params {
        shutdown_delay: secs(60),
        max_restarts: Some(1),
        ..params()
    });
    let _ = table.tell(STOP);
    assert_eq!(
        deeds(&table.ends(pids[0], Exit::Code(5))),
        [Action::Finish { code: 0 }]
    );
}

#[test]
fn giving_up_leaves_no_successor_behind() {
    let (mut table, old) = Table::serving(Params {
        max_restarts: Some(1),
        ..roll::two()
    });
    let cause = Cause::MemoryLimit;
    let _ = table.tell(Event::Unfit { pid: old[0], cause });
    let next = rises(&mut table, SLOT, 2);
    let _ = table.ends(old[1], Exit::Code(1));
    let pid = table.runs(OTHER);
    let told = table.ends(pid, Exit::Code(1));
    assert_eq!(deeds(&told), [Action::Stop { pid: next }]);
    let _ = table.tell(Event::Quiet);
    assert_eq!(deeds(&table.ends(old[0], TERMINATED)), []);
    let code = 1;
    let told = table.ends(next, TERMINATED);
    assert_eq!(deeds(&told), [Action::Finish { code }]);
}

#[test]
fn who_gave_up_says_so_even_if_all_end_by_themselves_in_the_drain() {
    let (mut table, old) = Table::serving(Params {
        max_restarts: Some(1),
        stop_exit_codes: vec![0],
        ..roll::two()
    });
    let _ = table.ends(old[1], Exit::Code(7));
    let pid = table.runs(OTHER);
    assert_eq!(told(&table.ends(pid, Exit::Code(7))).1, Next::GivesUp);
    let code = 7;
    let actions = table.ends(old[0], Exit::Code(0));
    assert_eq!(deeds(&actions), [Action::Finish { code }]);
}

#[test]
fn the_end_waits_for_a_worker_that_was_asked_for() {
    let mut table = Table::new(Params {
        stop_exit_codes: vec![0],
        ..roll::two()
    });
    let pid = table.runs(SLOT);
    assert_eq!(deeds(&table.tell(SCALE_DOWN)), []);
    assert_eq!(deeds(&table.ends(pid, Exit::Code(0))), []);
    let (pid, told) = table.spawned(OTHER);
    assert_eq!(deeds(&told), [Action::Stop { pid }]);
    let code = 0;
    assert_eq!(
        deeds(&table.ends(pid, TERMINATED)),
        [Action::Finish { code }]
    );
}

#[test]
fn a_stop_waits_for_a_worker_that_drains_even_if_nobody_else_serves() {
    let (mut table, old) = Table::serving(Params {
        instances: 1,
        surge: Share::Number(0),
        ..roll::two()
    });
    let _ = table.tell(RELOAD);
    assert_eq!(deeds(&table.tell(STOP)), []);
    let pid = old[0];
    assert_eq!(table.fleet.stop_drain(), Some(vec![(pid, home(SLOT))]));
    assert_eq!(deeds(&table.tell(Event::Quiet)), [Action::Stop { pid }]);
}
