//! What is concluded from other workers, and what is not.

use super::ready::{auto, ports, ready};
use super::*;

#[test]
fn the_ports_of_a_version_that_gave_its_slot_back_are_not_expected() {
    let (mut table, old) = Table::serves(
        Params {
            drain_timeout: Some(secs(60)),
            ..auto()
        },
        &[3],
    );
    let new = table.rises(1);
    let _ = table.listens(new, 3);
    let _ = table.listens(new, 4);
    let _ = table.wait(2000);
    let _ = table.ends(new, Exit::Code(1));
    assert_eq!(table.seen().slots[0].pid, Some(old));
    let new = table.rises(1);
    assert!(ready(&table.listens(new, 3)).is_some());
}

#[test]
fn a_port_that_is_opened_long_after_the_start_is_not_expected() {
    let (mut table, old) = Table::serves(auto(), &[3]);
    let _ = table.listens(old, 9);
    let new = table.rises(1);
    assert!(ready(&table.listens(new, 3)).is_some(), "a debugger's");
}

#[test]
fn what_only_some_siblings_serve_is_expected_of_none_but_their_own_successors() {
    let (mut table, pids) = Table::running(Params {
        instances: 2,
        ..auto()
    });
    let _ = table.listens(pids[0], 0);
    let _ = table.listens(pids[0], 7);
    let _ = table.listens(pids[1], 0);
    let _ = table.wait(60_000);
    let _ = table.ends(pids[1], Exit::Code(1));
    let second = table.runs(OTHER);
    assert!(ready(&table.listens(second, 0)).is_some());
    let _ = table.ends(pids[0], Exit::Code(1));
    let first = table.runs(SLOT);
    assert_eq!(table.listens(first, 0), []);
    assert!(ready(&table.listens(first, 7)).is_some());
    // Of a new slot that is expected which all have.
    let _ = table.wait(60_000);
    let _ = table.tell(Event::Operator(Command::ScaleUp));
    table.pids += 1;
    let third = Pid::new(table.pids).unwrap();
    let asked = table.fleet.rotation().seats[2].0;
    let _ = table.tell(Event::Spawned {
        slot: SlotId(2),
        listener: asked,
        pid: third,
        port: None,
        channel: false,
    });
    assert!(ready(&table.listens(third, 0)).is_some());
}

#[test]
fn nobody_is_kept_down_for_a_port_that_is_only_concluded() {
    let (mut table, old) = Table::serves(auto(), &[3, 7]);
    let _ = table.ends(old, Exit::Code(1));
    let new = table.runs(SLOT);
    let _ = table.listens(new, 3);
    let _ = table.wait(5000);
    let actions = table.wait(25_000);
    let (slot, pid, lacks, listens) = (SLOT, new, ports(&[7]), ports(&[3]));
    assert!(says(
        &actions,
        Note::LacksPorts {
            slot,
            pid,
            lacks,
            listens
        }
    ));
    assert_eq!(ready(&actions), Some(ReadyBy::Listen));
    let _ = table.wait(60_000);
    let _ = table.ends(new, Exit::Code(1));
    let new = table.runs(SLOT);
    assert!(ready(&table.listens(new, 3)).is_some(), "nor again");
}

#[test]
fn a_restart_forgets_what_was_served() {
    let (mut table, old) = Table::serves(auto(), &[3]);
    let _ = table.tell(RESTART);
    let _ = table.ends(old, TERMINATED);
    let new = table.runs(SLOT);
    assert!(ready(&table.listens(new, 4)).is_some());
}

#[test]
fn another_environment_may_have_other_ports() {
    let (mut table, old) = Table::serves(auto(), &[3]);
    let _ = table.ends(old, Exit::Code(1));
    let new = table.runs_with(SLOT, home(SLOT), 5);
    assert!(ready(&table.listens(new, 5)).is_some(), "PORT came");
    let _ = table.wait(60_000);
    let _ = table.ends(new, Exit::Code(1));
    let new = table.runs(SLOT);
    assert!(ready(&table.listens(new, 3)).is_some(), "and went");
}

#[test]
fn a_worker_that_answers_need_not_use_the_port_of_its_environment() {
    let mut table = Table::new(Params {
        ready: ReadyRule::Asked,
        ..params()
    });
    let pid = table.runs_with(SLOT, home(SLOT), 5);
    let _ = table.listens(pid, 0);
    let by = ReadyBy::Http;
    assert_eq!(ready(&table.tell(Event::Ready { pid, by })), Some(by));
}

#[test]
fn a_program_without_ports_is_judged_by_its_age() {
    let (mut table, pids) = Table::running(auto());
    let _ = table.wait(2000);
    let end = told(&table.ends(pids[0], Exit::Code(1)));
    assert_eq!(end.1, restart(0, 0));
}
