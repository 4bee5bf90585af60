//! The last scrape of a worker: it is requested before the stop signal, which follows the answer or the limit.

use super::roll::{RELOAD, SCALE_DOWN, drained, rises, two};
use super::*;
use crate::model::DrainEnd;
use crate::policy::drain::{Aim, Disposition};

/// Two workers whose metrics are read. The grace is 5 s, so the limit is 1 s and the answer may come 0.1 s later.
fn scraped() -> Params {
    Params {
        last_scrape: true,
        ..two()
    }
}

fn scrape(pid: Pid) -> Action {
    Action::Scrape {
        pid,
        within: secs(1),
    }
}

/// The first worker is replaced and drains.
fn draining() -> (Table, Pid) {
    let (mut table, old) = Table::serving(scraped());
    let _ = table.tell(RELOAD);
    let pid = rises(&mut table, SLOT, 2);
    let _ = table.tell(is_ready(pid));
    (table, old[0])
}

#[test]
fn the_stop_signal_follows_the_last_scrape_and_the_grace_begins_with_the_signal() {
    let (mut table, pid) = draining();
    let told = table.tell(Event::Drained { pid });
    assert_eq!(drained(&told), Some(DrainEnd::Empty));
    assert_eq!(deeds(&told), [scrape(pid)]);
    let _ = table.wait(900);
    let told = table.tell(Event::Scraped { pid });
    assert_eq!(deeds(&told), [Action::Stop { pid }]);
    assert_eq!(table.tell(Event::Scraped { pid }), []);
    assert_eq!(deeds(&table.wait(4999)), []);
    assert_eq!(deeds(&table.wait(1)), [Action::Kill { pid }]);
}

#[test]
fn an_answer_that_does_not_come_delays_the_stop_signal_no_longer_than_the_limit() {
    let (mut table, pid) = draining();
    let _ = table.tell(Event::Drained { pid });
    assert_eq!(deeds(&table.wait(1099)), []);
    assert_eq!(deeds(&table.wait(1)), [Action::Stop { pid }]);
}

#[test]
fn a_worker_that_was_never_ready_is_not_scraped() {
    let (mut table, pids) = Table::running(scraped());
    let told = table.tell(RESTART);
    let stops = pids.iter().map(|pid| Action::Stop { pid: *pid });
    assert_eq!(deeds(&told), stops.collect::<Vec<_>>());
}

#[test]
fn a_restart_scrapes_every_worker_first() {
    let (mut table, pids) = Table::serving(scraped());
    let told = table.tell(RESTART);
    let scrapes: Vec<Action> = pids.iter().copied().map(scrape).collect();
    assert_eq!(deeds(&told), scrapes);
    let pid = pids[1];
    let told = table.tell(Event::Scraped { pid });
    assert_eq!(deeds(&told), [Action::Stop { pid }]);
}

#[test]
fn the_stop_of_the_runtime_waits_for_no_scrape() {
    let (mut table, pids) = Table::serving(scraped());
    let _ = table.tell(SCALE_DOWN);
    let pid = pids[1];
    let told = table.tell(Event::Drained { pid });
    assert_eq!(deeds(&told), [scrape(pid)]);
    let _ = table.tell(STOP);
    let told = table.tell(STOP);
    let stops = [pid, pids[0]].map(|pid| Action::Stop { pid });
    assert_eq!(deeds(&told), stops);
}

#[test]
fn a_worker_that_ends_during_its_last_scrape_ended_by_itself() {
    let (mut table, pid) = draining();
    let _ = table.tell(Event::Drained { pid });
    let end = table.ends(pid, Exit::Code(3));
    assert_eq!(told(&end).0, Cause::Exit);
    assert_eq!(table.tell(Event::Scraped { pid }), []);
}

/// The drain timeout is over, and the first scrape is answered after so many milliseconds.
fn choosing(disposition: Disposition, scraped_after: u64) -> (Table, Pid) {
    let (mut table, pid) = draining();
    assert_eq!(deeds(&table.wait(10_000)), [scrape(pid)]);
    assert_eq!(
        table.draining()[0].seek,
        Seek::Nothing,
        "it must run to answer"
    );
    let _ = table.wait(scraped_after);
    assert_eq!(table.tell(Event::Scraped { pid }), []);
    assert_eq!(table.draining()[0].seek, Seek::Disposition);
    let told = table.tell(Event::Disposition { pid, disposition });
    assert_eq!(told, []);
    (table, pid)
}

#[test]
fn a_scrape_that_is_too_old_is_made_again_before_the_next_look() {
    let (mut table, pid) = choosing(Disposition::Default, 10);
    assert_eq!(table.draining()[0].seek, Seek::Moment(Aim::Quiet));
    assert_eq!(deeds(&table.wait(99)), []);
    assert_eq!(deeds(&table.wait(1)), [scrape(pid)]);
    assert_eq!(table.draining()[0].seek, Seek::Nothing);
    // There is no answer: the search continues without it.
    assert_eq!(deeds(&table.wait(1100)), []);
    assert_eq!(table.draining()[0].seek, Seek::Moment(Aim::Painless));
    let told = table.tell(Event::Moment { pid, quiet: true });
    assert_eq!(drained(&told), Some(DrainEnd::Quiet));
    assert_eq!(deeds(&told), [Action::Stop { pid }]);
}

#[test]
fn a_moment_that_comes_during_a_scrape_lets_the_worker_run_on() {
    let (mut table, pid) = choosing(Disposition::Default, 10);
    let _ = table.wait(100);
    let told = table.tell(Event::Moment { pid, quiet: true });
    assert_eq!(deeds(&told), [Action::Resume { pid }]);
    assert_eq!(drained(&told), Some(DrainEnd::Quiet));
    let told = table.tell(Event::Scraped { pid });
    assert_eq!(deeds(&told), [Action::Stop { pid }]);
}

#[test]
fn the_wait_for_a_moment_depends_on_what_the_stop_signal_does() {
    let (mut table, pid) = choosing(Disposition::Caught, 900);
    // A slow scrape takes nothing of the wait.
    assert_eq!(table.draining()[0].seek, Seek::Moment(Aim::Quiet));
    let mut waited = 0;
    loop {
        let told = table.wait(10);
        waited += 10;
        let _ = table.tell(Event::Scraped { pid });
        if deeds(&told).contains(&Action::Stop { pid }) {
            assert_eq!(drained(&told), Some(DrainEnd::Timeout));
            break;
        }
    }
    assert_eq!(waited, 2000);
    for disposition in [Disposition::Ignored, Disposition::Unknown] {
        let (mut table, pid) = draining();
        let _ = table.wait(10_000);
        let told = table.tell(Event::Disposition { pid, disposition });
        assert_eq!(drained(&told), Some(DrainEnd::Timeout));
        assert_eq!(deeds(&told), [], "the scrape is under way");
        let told = table.tell(Event::Scraped { pid });
        assert_eq!(deeds(&told), [Action::Stop { pid }]);
    }
}
