//! Which ports a worker must serve before it is ready.

use super::*;
use crate::model::{ReloadResult, Trigger};

pub(super) const NONE: PortSet = PortSet::EMPTY;

pub(super) fn port(number: u8) -> PortId {
    PortId::new(number).unwrap()
}

pub(super) fn ports(numbers: &[u8]) -> PortSet {
    numbers.iter().map(|number| port(*number)).collect()
}

pub(super) fn auto() -> Params {
    let or_alive = Some(secs(1));
    Params {
        ready: ReadyRule::Listens { or_alive },
        ..params()
    }
}

impl Table {
    pub(super) fn listens(&mut self, pid: Pid, number: u8) -> Vec<Action> {
        let port = port(number);
        self.tell(Event::Listens { pid, port })
    }

    /// A worker of this slot runs, with `PORT` in its environment.
    pub(super) fn runs_with(&mut self, slot: SlotId, listener: ListenerId, named: u8) -> Pid {
        self.pids += 1;
        let pid = Pid::new(self.pids).unwrap();
        let port = Some(port(named));
        let _ = self.tell(Event::Spawned {
            slot,
            listener,
            pid,
            port,
            channel: false,
        });
        let _ = self.tell(Event::Executed { pid });
        pid
    }

    /// A worker of a reload, on the spare listener.
    pub(super) fn rises(&mut self, listener: u16) -> Pid {
        let asked = self.tell(Event::Operator(Command::Reload(Trigger::Operator)));
        assert_eq!(deeds(&asked).len(), 1, "{asked:?}");
        self.pids += 1;
        let pid = Pid::new(self.pids).unwrap();
        let _ = self.tell(Event::Spawned {
            slot: SLOT,
            listener: ListenerId(listener),
            pid,
            port: None,
            channel: false,
        });
        pid
    }

    /// One worker that has long served these ports.
    pub(super) fn serves(params: Params, numbers: &[u8]) -> (Self, Pid) {
        let (mut table, pids) = Self::running(params);
        for number in numbers {
            let _ = table.listens(pids[0], *number);
        }
        let _ = table.wait(60_000);
        assert_eq!(table.state(SLOT), WorkerState::Ready);
        (table, pids[0])
    }
}

pub(super) fn ready(actions: &[Action]) -> Option<ReadyBy> {
    actions.iter().find_map(|action| match action {
        Action::Say(Note::Ready { by, .. }) => Some(*by),
        _ => None,
    })
}

pub(super) fn not_up(actions: &[Action]) -> Option<Missing> {
    actions.iter().find_map(|action| match action {
        Action::Say(Note::NotUp {
            why: NotUp::NotReady { missing, .. },
            ..
        }) => Some(*missing),
        _ => None,
    })
}

#[test]
fn at_a_first_start_the_first_port_makes_ready() {
    let (mut table, pids) = Table::running(auto());
    assert_eq!(table.wait(4999), [], "its age does not");
    assert_eq!(ready(&table.listens(pids[0], 0)), Some(ReadyBy::Listen));
    assert_eq!(table.listens(pids[0], 0), [], "once");
}

#[test]
fn every_listed_port_must_be_listened_on() {
    let (mut table, pids) = Table::running(Params {
        ports: ports(&[0, 1]),
        ..auto()
    });
    assert_eq!(table.listens(pids[0], 0), []);
    assert_eq!(table.listens(pids[0], 2), [], "that is another one");
    assert_eq!(ready(&table.listens(pids[0], 1)), Some(ReadyBy::Listen));
}

#[test]
fn a_successor_must_listen_on_every_port_of_its_predecessor() {
    let (mut table, _) = Table::serves(auto(), &[7, 3]);
    let new = table.rises(1);
    assert_eq!(table.listens(new, 7), [], "the port of its metrics");
    assert_eq!(table.wait(2500).len(), 0);
    assert_eq!(ready(&table.listens(new, 3)), Some(ReadyBy::Listen));
}

#[test]
fn a_successor_without_the_port_of_its_predecessor_replaces_nobody() {
    let (mut table, old) = Table::serves(auto(), &[7, 3]);
    let new = table.rises(1);
    let _ = table.listens(new, 7);
    let _ = table.wait(5000);
    let actions = table.wait(25_000);
    let (expected, listens) = (ports(&[7, 3]), ports(&[7]));
    assert_eq!(
        not_up(&actions),
        Some(Missing::Ports {
            expected,
            listens,
            named: None,
        })
    );
    assert_eq!(table.seen().slots[0].pid, Some(old));
    // And one that ends before it.
    let _ = table.ends(new, TERMINATED);
    let new = table.rises(1);
    let _ = table.listens(new, 7);
    let actions = table.ends(new, Exit::Code(1));
    assert!(actions.iter().any(|action| matches!(
        action,
        Action::Say(Note::ReloadEnded {
            result: ReloadResult::Failure,
            ..
        })
    )));
    assert_eq!(table.seen().slots[0].pid, Some(old));
}

#[test]
fn what_a_worker_served_before_it_died_is_expected_of_the_next() {
    let (mut table, old) = Table::serves(auto(), &[7, 3]);
    let _ = table.ends(old, Exit::Code(1));
    let new = table.runs(SLOT);
    assert_eq!(table.listens(new, 7), []);
    assert!(ready(&table.listens(new, 3)).is_some());
}

#[test]
fn a_port_that_a_short_life_had_is_not_expected() {
    let (mut table, pids) = Table::running(auto());
    let _ = table.listens(pids[0], 7);
    let _ = table.listens(pids[0], 3);
    let _ = table.wait(999);
    let _ = table.ends(pids[0], Exit::Code(1));
    let _ = table.wait(100);
    let new = table.runs(SLOT);
    assert!(ready(&table.listens(new, 7)).is_some());
}

#[test]
fn a_program_that_looks_for_a_free_port_did_not_get_the_shared_one() {
    let instances = 2;
    let (mut table, pids) = Table::running(Params {
        instances,
        ..auto()
    });
    assert!(ready(&table.listens(pids[0], 0)).is_some());
    assert_eq!(table.listens(pids[1], 1), []);
    let _ = table.wait(5000);
    let actions = table.wait(25_000);
    let (expected, listens) = (ports(&[0]), ports(&[1]));
    let missing = Missing::Elsewhere { expected, listens };
    let (slot, pid, after) = (OTHER, pids[1], secs(30));
    assert!(says(
        &actions,
        Note::NotReady {
            slot,
            pid,
            after,
            missing
        }
    ));
}

#[test]
fn the_port_of_the_environment_is_expected() {
    let mut table = Table::new(auto());
    let pid = table.runs_with(SLOT, home(SLOT), 5);
    assert_eq!(table.listens(pid, 0), [], "its metrics");
    assert!(ready(&table.listens(pid, 5)).is_some());
    // Another number there counts instead of the first.
    let _ = table.wait(60_000);
    let _ = table.ends(pid, Exit::Code(1));
    let pid = table.runs_with(SLOT, home(SLOT), 6);
    assert_eq!(table.listens(pid, 0), []);
    assert!(ready(&table.listens(pid, 6)).is_some());
    // A slot may have its own, as with RPM_INCREMENT_VAR=PORT.
    let _ = table.wait(60_000);
    let _ = table.tell(Event::Operator(Command::ScaleUp));
    let pid = table.runs_with(OTHER, ListenerId(1), 9);
    assert_eq!(table.listens(pid, 0), []);
    assert!(ready(&table.listens(pid, 9)).is_some());
}

#[test]
fn a_program_that_does_not_use_the_port_of_its_environment_is_ready_in_the_end() {
    let instances = 2;
    let mut table = Table::new(Params {
        instances,
        ..auto()
    });
    let first = table.runs_with(SLOT, home(SLOT), 5);
    let second = table.runs_with(OTHER, home(OTHER), 5);
    let _ = table.listens(first, 0);
    let _ = table.listens(second, 0);
    let _ = table.wait(5000);
    let actions = table.wait(25_000);
    let (slot, pid, port, listens) = (SLOT, first, port(5), ports(&[0]));
    assert!(says(
        &actions,
        Note::PortUnused {
            slot,
            pid,
            port,
            listens
        }
    ));
    assert_eq!(table.state(OTHER), WorkerState::Ready, "{actions:?}");
    let _ = table.ends(second, Exit::Code(1));
    let third = table.runs_with(OTHER, home(OTHER), 5);
    assert!(ready(&table.listens(third, 0)).is_some(), "nor waited for");
}

#[test]
fn a_program_that_serves_no_port_is_ready_after_the_ready_timeout() {
    let instances = 2;
    let mut table = Table::new(Params {
        instances,
        ..auto()
    });
    let first = table.runs(SLOT);
    let _ = table.wait(29_000);
    let second = table.runs(OTHER);
    let actions = table.wait(1000);
    assert_eq!(ready(&actions), Some(ReadyBy::Age));
    let (slot, pid) = (SLOT, first);
    assert!(says(&actions, Note::ServesNoPort { slot, pid }));
    assert_eq!(
        table.state(OTHER),
        WorkerState::Ready,
        "as old as it must be"
    );
    let _ = table.ends(second, Exit::Code(1));
    table.runs(OTHER);
    assert_eq!(table.due_in(), Some(secs(1)), "nor do its successors wait");
    let actions = table.wait(1000);
    assert_eq!(ready(&actions), Some(ReadyBy::Age));
    assert!(
        !says(&actions, Note::ServesNoPort { slot, pid }),
        "said once"
    );
}

#[test]
fn a_slot_that_has_listened_must_listen_again() {
    let (mut table, old) = Table::serves(auto(), &[3]);
    let _ = table.ends(old, Exit::Code(1));
    table.runs(SLOT);
    let _ = table.wait(5000);
    let actions = table.wait(25_000);
    assert!(matches!(actions[0], Action::Say(Note::NotReady { .. })));
}

#[test]
fn who_has_to_listen_is_not_ready_by_its_age() {
    let or_alive = None;
    let (mut table, pids) = Table::running(Params {
        ready: ReadyRule::Listens { or_alive },
        ..params()
    });
    let _ = table.wait(5000);
    let actions = table.wait(25_000);
    let missing = Missing::Ports {
        expected: NONE,
        listens: NONE,
        named: None,
    };
    let (slot, pid, after) = (SLOT, pids[0], secs(30));
    assert!(says(
        &actions,
        Note::NotReady {
            slot,
            pid,
            after,
            missing
        }
    ));
}

#[test]
fn a_worker_that_is_asked_must_answer_and_listen_everywhere() {
    let (mut table, pids) = Table::running(Params {
        ready: ReadyRule::Asked,
        ports: ports(&[0, 1]),
        ..params()
    });
    let _ = table.listens(pids[0], 0);
    let by = ReadyBy::Http;
    let told = Event::Ready { pid: pids[0], by };
    assert_eq!(table.tell(told), []);
    assert_eq!(ready(&table.listens(pids[0], 1)), Some(by));
}

#[test]
fn a_port_that_opens_after_readiness_is_said_once() {
    let instances = 2;
    let (mut table, pids) = Table::running(Params {
        instances,
        ..auto()
    });
    for pid in &pids {
        let _ = table.listens(*pid, 0);
    }
    let _ = table.wait(2500);
    let (slot, pid, port, after) = (SLOT, pids[0], port(1), millis(2500));
    assert_eq!(
        table.listens(pid, 1),
        [Action::Say(Note::ListensLate {
            slot,
            pid,
            port,
            listens: ports(&[0, 1]),
            after
        })]
    );
    assert_eq!(table.listens(pids[1], 1), []);
}

#[test]
fn a_worker_that_ends_before_the_ports_of_its_predecessor_had_a_short_life() {
    let (mut table, pids) = Table::running(Params {
        ready: ReadyRule::Told,
        ..params()
    });
    let _ = table.tell(is_ready(pids[0]));
    let _ = table.listens(pids[0], 0);
    let _ = table.wait(60_000);
    let _ = table.ends(pids[0], Exit::Code(1));
    let pid = table.runs(SLOT);
    let _ = table.tell(is_ready(pid));
    let _ = table.wait(29_999);
    let mut late = table.fleet.clone();
    assert_eq!(told(&table.ends(pid, Exit::Code(1))).1, restart(100, 1));
    // A longer life was not a failed start.
    let mut out = Vec::new();
    let later = table.now.after(secs(1));
    late.decide(later, 0, ended(pid, Exit::Code(1)), &mut out);
    assert_eq!(told(&out).1, restart(0, 0));
}
