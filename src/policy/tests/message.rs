//! Workers that are told to stop by a message first (RPM_STOP_MESSAGE).

use super::roll::{self, RELOAD, SCALE_DOWN, live, two};
use super::*;
use crate::model::DrainEnd;

/// One worker with a channel that has served for long; grace 10 s.
fn serving(params: Params) -> (Table, Pid) {
    let mut table = Table::new(Params {
        stop_message: true,
        ..params
    });
    let pid = comes(&mut table, SLOT, 0);
    let _ = table.wait(60_000);
    (table, pid)
}

/// A worker with a channel is ready.
fn comes(table: &mut Table, slot: SlotId, listener: u16) -> Pid {
    table.pids += 1;
    let pid = Pid::new(table.pids).unwrap();
    let _ = table.tell(Event::Spawned {
        slot,
        listener: ListenerId(listener),
        pid,
        port: None,
        channel: true,
    });
    let _ = table.tell(Event::Executed { pid });
    let _ = table.tell(is_ready(pid));
    pid
}

#[test]
fn the_signal_follows_when_half_of_the_grace_is_over_and_sigkill_at_its_end() {
    let (mut table, pid) = serving(params());
    assert_eq!(deeds(&table.tell(STOP)), [Action::Message { pid }]);
    assert_eq!(
        table.seen().retiring[0].due,
        Some(table.now.after(secs(10)))
    );
    assert_eq!(table.wait(4999), []);
    assert_eq!(table.due_in(), Some(millis(1)));
    assert_eq!(table.wait(1), [Action::Stop { pid }]);
    assert_eq!(table.wait(4999), []);
    assert_eq!(deeds(&table.wait(1)), [Action::Kill { pid }]);
    let told = table.ends(pid, KILLED);
    assert_eq!(super::told(&told).0, Cause::StopTimeout);
    assert_eq!(deeds(&told), [Action::Finish { code: 1 }]);
}

#[test]
fn a_worker_that_ends_by_its_message_gets_no_signal() {
    let (mut table, pid) = serving(params());
    let _ = table.tell(STOP);
    let _ = table.wait(2000);
    let told = table.ends(pid, Exit::Code(0));
    assert_eq!(super::told(&told), (Cause::Stop, Next::Stopping));
    assert_eq!(deeds(&told), [Action::Finish { code: 0 }]);
}

#[test]
fn a_program_that_closes_its_channel_gets_the_signal_at_once() {
    let (mut table, pid) = serving(params());
    let _ = table.tell(STOP);
    let _ = table.wait(1000);
    let closed = Event::ChannelClosed { pid };
    assert_eq!(deeds(&table.tell(closed)), [Action::Stop { pid }]);
    assert_eq!(table.tell(closed), [], "once");
    // The grace began with the message.
    assert_eq!(table.due_in(), Some(secs(9)));
}

#[test]
fn a_program_without_a_channel_gets_the_signal_at_the_beginning() {
    let (mut table, pid) = serving(params());
    assert_eq!(table.tell(Event::ChannelClosed { pid }), []);
    assert_eq!(deeds(&table.tell(STOP)), [Action::Stop { pid }]);
    assert_eq!(table.due_in(), Some(secs(10)));

    let (mut table, pids) = Table::serving(Params {
        stop_message: true,
        ..params()
    });
    let pid = pids[0];
    assert_eq!(deeds(&table.tell(STOP)), [Action::Stop { pid }]);
}

#[test]
fn without_the_setting_a_channel_changes_nothing() {
    let mut table = Table::new(params());
    let pid = comes(&mut table, SLOT, 0);
    assert_eq!(deeds(&table.tell(STOP)), [Action::Stop { pid }]);
}

#[test]
fn without_a_grace_there_is_no_time_for_a_message() {
    let (mut table, pid) = serving(Params {
        stop_timeout: Duration::ZERO,
        ..params()
    });
    let both = [Action::Stop { pid }, Action::Kill { pid }];
    assert_eq!(deeds(&table.tell(STOP)), both);
}

#[test]
fn a_second_stop_sends_the_signal_and_a_third_kills() {
    let (mut table, pid) = serving(params());
    let _ = table.tell(STOP);
    let told = table.tell(STOP);
    assert!(says(&told, Note::Hurried { kills: false }));
    assert_eq!(deeds(&told), [Action::Stop { pid }]);
    assert_eq!(table.due_in(), Some(secs(10)));
    let told = table.tell(STOP);
    assert!(says(&told, Note::Hurried { kills: true }));
    assert_eq!(deeds(&told), [Action::Kill { pid }]);
}

#[test]
fn in_a_reload_the_message_follows_the_drain() {
    let (mut table, old) = serving(Params {
        instances: 1,
        ..two()
    });
    let _ = table.tell(RELOAD);
    let new = comes(&mut table, SLOT, 1);
    assert_eq!(live(&table), [1]);
    let told = table.tell(Event::Drained { pid: old });
    assert_eq!(deeds(&told), [Action::Message { pid: old }]);
    assert_eq!(deeds(&table.wait(2500)), [Action::Stop { pid: old }]);
    let told = table.ends(old, TERMINATED);
    assert_eq!(super::told(&told), (Cause::Reload, Next::Replaced));
    assert!(table.seen().ready, "{new} serves");
}

#[test]
fn a_worker_that_is_suspended_for_a_look_continues_and_reads_its_message() {
    let (mut table, pid) = serving(Params {
        instances: 1,
        ..two()
    });
    let _ = table.tell(RELOAD);
    let _ = comes(&mut table, SLOT, 1);
    let _ = table.wait(10_000);
    let told = table.tell(Event::Moment { pid, quiet: true });
    assert_eq!(roll::drained(&told), Some(DrainEnd::Quiet));
    let want = [Action::Message { pid }, Action::Resume { pid }];
    assert_eq!(deeds(&told), want);
    // The look was already under way.
    let told = table.tell(Event::Moment { pid, quiet: true });
    assert_eq!(deeds(&told), [Action::Resume { pid }]);
}

#[test]
fn a_worker_that_does_not_come_up_gets_a_message_too() {
    let mut table = Table::new(Params {
        instances: 1,
        stop_message: true,
        ..two()
    });
    table.pids += 1;
    let pid = Pid::new(table.pids).unwrap();
    let _ = table.tell(Event::Spawned {
        slot: SLOT,
        listener: home(SLOT),
        pid,
        port: None,
        channel: true,
    });
    assert_eq!(deeds(&table.wait(30_000)), [Action::Message { pid }]);
}

#[test]
fn a_restart_and_a_scale_down_send_the_message() {
    let (mut table, pid) = serving(params());
    assert_eq!(deeds(&table.tell(RESTART)), [Action::Message { pid }]);
    let told = table.ends(pid, Exit::Code(0));
    assert_eq!(super::told(&told).0, Cause::Restart);

    let mut table = Table::new(Params {
        drain_timeout: None,
        stop_message: true,
        ..two()
    });
    let _ = comes(&mut table, SLOT, 0);
    let pid = comes(&mut table, OTHER, 1);
    assert_eq!(deeds(&table.tell(SCALE_DOWN)), [Action::Message { pid }]);
}

#[test]
fn what_a_worker_leaves_behind_gets_the_signal_that_the_worker_did_not_get() {
    let (mut table, pid) = serving(params());
    let _ = table.tell(STOP);
    let _ = table.wait(1000);
    let told = table.ends_and_leaves(pid, Exit::Code(0));
    assert_eq!(deeds(&told), [Action::StopGroup { pid, told: false }]);
    assert_eq!(table.wait(8999), [], "and nothing when half is over");
    assert_eq!(deeds(&table.wait(1)), [Action::KillGroup { pid }]);
}

#[test]
fn a_turn_that_comes_late_kills_and_does_not_signal() {
    let (mut table, pid) = serving(params());
    let _ = table.tell(STOP);
    assert_eq!(deeds(&table.wait(20_000)), [Action::Kill { pid }]);
}
