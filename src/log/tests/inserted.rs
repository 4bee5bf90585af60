//! Events of workers that come over their channels.

use std::io::Write;
use std::thread;

use nix::fcntl::OFlag;
use nix::unistd::pipe2;
use serde_json::{Value, json};

use crate::log::inserted::WAITING;
use crate::log::log4js::Event;
use crate::log::tests::{PATIENCE, collector, full_pipe, settings, stream, text};
use crate::log::{Flushed, Format, Log, LogSettings, Stream, WorkerLabel, start};
use crate::model::{Generation, Overflow, Pid, SlotId, Timestamp};
use crate::policy::Rate;
use crate::sys::epoll::{Interest, Poller, Waker};

/// Where log4js printed the time, which depends on the zone.
const TIME: usize = "[2026-11-30T07:00:00.123] ".len();

/// An event as log4js sends it.
fn event(message: &str) -> Event {
    let text = Value::from(message);
    let sent = format!(
        r#"[{{"startTime":"1","categoryName":"2","data":"3","level":"4","context":"5"}},"2026-11-30T07:00:00.123Z","app",["6"],{{"levelStr":"7"}},{{}},{text},"WARN"]"#
    );
    Event::read(&sent).unwrap()
}

fn label(slot: u16) -> WorkerLabel {
    WorkerLabel {
        slot: SlotId(slot),
        generation: Generation(2),
        pid: Pid::new(17 + i32::from(slot)).unwrap(),
    }
}

/// Waits until `waker` was woken.
fn woken(waker: &Waker) {
    let mut poller = Poller::new().unwrap();
    poller.add(waker, 0, Interest::Readable).unwrap();
    let mut ready = Vec::new();
    poller.wait(&mut ready, Some(PATIENCE)).unwrap();
    assert_eq!(ready.len(), 1, "nobody woke it");
    waker.clear();
}

/// Inserts, and waits for room as the channel does.
fn insert(log: &Log, slot: u16, event: &Event, room: &Waker) {
    while !log.insert(label(slot), event, room) {
        woken(room);
    }
}

fn collected(change: impl FnOnce(&mut LogSettings)) -> (Log, thread::JoinHandle<Vec<u8>>) {
    let (read_end, write_end) = pipe2(OFlag::O_CLOEXEC).unwrap();
    let mut settings = settings(write_end, Format::Raw, LogSettings::MAX_LINE);
    change(&mut settings);
    (start(settings).unwrap(), collector(read_end))
}

/// Four threads insert events of several lines each, beside lines that the workers write. Returns the output.
fn busy(format: Format, events: u32) -> String {
    let (log, collector) = collected(|settings| settings.format = format);
    let threads: Vec<_> = (0..4)
        .map(|slot| {
            let mut out = stream(&log, slot, Stream::Stdout);
            let log = log.clone();
            thread::spawn(move || {
                let room = Waker::new().unwrap();
                for number in 0..events {
                    let text = format!("{slot} {number}\n  at {slot}\n  end {slot}");
                    insert(&log, slot, &event(&text), &room);
                    writeln!(out, "line {slot} {number}").unwrap();
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let totals = log.clone();
    assert_eq!(log.flush(PATIENCE), Flushed::Done);
    assert_eq!(totals.totals().buffer, 0);
    drop((log, totals));
    text(collector)
}

#[test]
fn each_event_comes_out_once_and_in_one_piece_beside_other_lines() {
    const EVENTS: u32 = 5000;
    let out = busy(Format::Raw, EVENTS);
    let mut next = [[0; 2]; 4];
    let mut lines = out.lines();
    while let Some(line) = lines.next() {
        let (rest, kind) = match line.strip_prefix("line ") {
            Some(rest) => (rest, 1),
            None => (
                line.get(TIME..)
                    .unwrap()
                    .strip_prefix("[WARN] app - ")
                    .unwrap(),
                0,
            ),
        };
        let (slot, number) = rest.split_once(' ').unwrap();
        let want = &mut next[slot.parse::<usize>().unwrap()][kind];
        assert_eq!(number, want.to_string(), "{line}");
        *want += 1;
        if kind == 0 {
            assert_eq!(lines.next(), Some(format!("  at {slot}").as_str()));
            assert_eq!(lines.next(), Some(format!("  end {slot}").as_str()));
        }
    }
    assert_eq!(next, [[EVENTS; 2]; 4]);
}

#[test]
fn in_json_each_event_is_one_object_with_the_labels_of_its_worker() {
    const EVENTS: u32 = 2000;
    let out = busy(Format::Json, EVENTS);
    let mut next = [0; 4];
    for line in out.lines() {
        let mut object: Value = serde_json::from_str(line).unwrap();
        if object.get("category").is_none() {
            continue;
        }
        let slot = object["worker"].as_u64().unwrap();
        let number = &mut next[usize::try_from(slot).unwrap()];
        let message = object["message"].take();
        assert_eq!(
            message,
            format!("{slot} {number}\n  at {slot}\n  end {slot}")
        );
        *number += 1;
        let want = json!({
            "time": "2026-11-30T07:00:00.123Z", "level": "warn", "category": "app", "message": null, "app": "web",
            "worker": slot, "generation": 2, "pid": 17 + slot, "stream": "stdout",
        });
        assert_eq!(object, want);
    }
    assert_eq!(next, [EVENTS; 4]);
    assert_eq!(out.lines().count(), 2 * 4 * EVENTS as usize);
}

#[test]
fn a_stuck_output_fills_the_room_and_wakes_the_caller_when_it_moves() {
    let (reader, out) = full_pipe();
    let log = start(settings(out, Format::Raw, LogSettings::MAX_LINE)).unwrap();
    let (room, line) = (Waker::new().unwrap(), "x".repeat(1000));
    let mut taken = 0;
    // The thread blocks in its write, with what it took before; then the room fills.
    while log.insert(label(0), &event(&format!("{taken} {line}")), &room) {
        taken += 1;
    }
    // Each is a little longer than its text. How much the thread took before it blocked depends on the moment.
    let least = u64::try_from(WAITING / 1100).unwrap();
    assert!((least..1500).contains(&taken), "{taken}");
    assert!(!log.insert(label(1), &event("no"), &room));
    log.insert_last(label(1), &event("of one that has ended"));
    let collector = collector(reader);
    woken(&room);
    insert(&log, 1, &event("last"), &room);
    assert_eq!(log.flush(PATIENCE), Flushed::Done);
    let totals = log.totals();
    assert_eq!(totals.lines.stdout, taken + 2);
    assert_eq!(totals.dropped.stdout.buffer_full, 0);
    drop(log);
    let out = text(collector);
    let out = out.trim_start_matches('.');
    for (number, line) in out
        .lines()
        .take(usize::try_from(taken).unwrap())
        .enumerate()
    {
        assert!(
            line.contains(&format!(" - {number} x")),
            "{number}: {line:.60}"
        );
    }
    assert_eq!(out.matches(" - of one that has ended\n").count(), 1);
    assert!(out.ends_with(" - last\n"));
}

#[test]
fn where_lines_are_dropped_events_are_too_and_nobody_waits() {
    let (reader, out) = full_pipe();
    let mut settings = settings(out, Format::Raw, LogSettings::MAX_LINE);
    settings.overflow = Overflow::Drop;
    settings.buffer = 256 * 1024;
    let log = start(settings).unwrap();
    let room = Waker::new().unwrap();
    let said = "y".repeat(1000);
    for _ in 0..1000 {
        insert(&log, 5, &event(&said), &room);
    }
    while log.totals().dropped.stdout.buffer_full == 0 {
        thread::yield_now();
    }
    let collector = collector(reader);
    assert_eq!(log.flush(PATIENCE), Flushed::Done);
    let totals = log.totals();
    let dropped = totals.dropped.stdout.buffer_full;
    assert_eq!(totals.workers[&SlotId(5)].buffer_full, dropped);
    assert_eq!(totals.lines.stdout + dropped, 1000);
    drop(log);
    assert!(text(collector).contains("warn: lines were dropped, the output did not keep up"));
}

#[test]
fn a_rate_lets_an_event_pass_whole_or_not_at_all() {
    let (log, collector) = collected(|settings| {
        settings.rate = Some(Rate {
            per_second: 1,
            burst: 5,
        });
    });
    let room = Waker::new().unwrap();
    for _ in 0..2 {
        insert(&log, 0, &event("1\n2\n3"), &room);
    }
    assert_eq!(log.flush(PATIENCE), Flushed::Done);
    assert_eq!(log.totals().dropped.stdout.rate_limit, 3);
    drop(log);
    let out = text(collector);
    assert_eq!(out.matches("\n2\n3\n").count(), 1, "{out}");
}

#[test]
fn own_lines_and_events_keep_their_order() {
    let (log, collector) = collected(|settings| settings.format = Format::Prefix);
    let room = Waker::new().unwrap();
    for number in 0..100 {
        log.line(tracing::Level::INFO, &format!("own {number}"));
        insert(&log, 0, &event(&format!("event {number}\nmore")), &room);
    }
    assert_eq!(log.flush(PATIENCE), Flushed::Done);
    drop(log);
    let out = text(collector);
    let mut lines = out.lines();
    for number in 0..100 {
        assert_eq!(
            lines.next().unwrap(),
            format!("[rpm-runtime] info: own {number}")
        );
        let first = lines.next().unwrap().strip_prefix("[web:0] ").unwrap();
        assert_eq!(
            first.get(TIME..).unwrap(),
            format!("[WARN] app - event {number}")
        );
        assert_eq!(lines.next().unwrap(), "[web:0] more");
    }
    assert_eq!(lines.next(), None);
}

#[test]
fn an_event_above_the_limit_of_a_line_passes_in_pieces() {
    let said = format!("{}\n{}\nend", "a".repeat(250), "b".repeat(20));
    let run = |format| {
        let (log, collector) = collected(|settings| {
            settings.max_line = 100;
            settings.format = format;
            settings.timestamp = Timestamp::Pattern("%s".to_owned());
        });
        let mut out = stream(&log, 0, Stream::Stdout);
        writeln!(out, "{}", "c".repeat(150)).unwrap();
        assert_eq!(log.flush(PATIENCE), Flushed::Done);
        insert(&log, 0, &event(&said), &Waker::new().unwrap());
        assert_eq!(log.flush(PATIENCE), Flushed::Done);
        let totals = log.totals();
        assert_eq!((totals.split, totals.buffer), (2, 0));
        drop((log, out));
        text(collector)
    };
    let raw = run(Format::Raw);
    let mut lines: Vec<_> = raw.lines().skip(2).collect();
    assert_eq!(lines.pop(), Some("end"));
    assert_eq!(lines.pop(), Some("b".repeat(20).as_str()));
    assert!(lines.iter().all(|line| line.len() <= 100), "{raw}");
    let joined = lines.concat();
    assert_eq!(
        joined.get(TIME..).unwrap(),
        format!("[WARN] app - {}", "a".repeat(250))
    );
    let objects = run(Format::Json);
    let (mut whole, mut ids) = (String::new(), Vec::new());
    for line in objects.lines().skip(2) {
        let object: Value = serde_json::from_str(line).unwrap();
        whole.push_str(object["message"].as_str().unwrap());
        ids.push(object["partial_id"].as_str().unwrap().to_owned());
    }
    ids.dedup();
    assert_eq!(ids, ["0-17-events-1"]);
    let whole: Value = serde_json::from_str(&whole).unwrap();
    assert_eq!(whole["message"], said);
    assert_eq!(whole["time"], "1796022000");
}
