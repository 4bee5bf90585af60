//! Which lines come, and how they look.

use std::task::Wake;

use serde_json::Value;

use super::*;
use crate::log::Block;

fn ring() -> Arc<Ring> {
    Arc::new(Ring::new(256 << 10))
}

/// A line of standard error of each third slot, else of standard output, read at this second.
fn push(ring: &Ring, slot: u16, second: u64, text: &str) {
    let origin = if slot % 3 == 2 {
        LogOrigin::Stderr
    } else {
        LogOrigin::Stdout
    };
    let pid = Pid::new(100 + i32::from(slot));
    let time = Duration::from_millis(second * 1000 + 250);
    ring.push_line(
        About::new(origin, Some(SlotId(slot)), pid, time),
        text.as_bytes(),
    );
}

/// All that comes, up to the next wait or the end: texts, and how many are lost.
fn come(lines: &mut Lines) -> (Vec<String>, u64) {
    let (mut all, mut lost) = (Vec::new(), 0);
    loop {
        let mut page = Page::new(8 << 10);
        let next = lines.fill(&mut page);
        let text = String::from_utf8(page.lines().to_vec()).unwrap();
        for line in text.lines() {
            let item = serde_json::from_str::<Value>(line).unwrap()["item"].take();
            match item["text"].as_str() {
                Some(text) => all.push(text.to_owned()),
                None => lost += item["lost"].as_u64().unwrap(),
            }
        }
        if next != Next::More {
            return (all, lost);
        }
    }
}

fn asked(ring: &Arc<Ring>, wanted: &Wanted) -> Vec<String> {
    let (texts, lost) = come(&mut Lines::new(Arc::clone(ring), wanted));
    assert_eq!(lost, 0);
    texts
}

#[test]
fn the_last_lines_are_those_that_fit_all_that_was_asked() {
    let ring = ring();
    for number in 0..3000_u16 {
        push(&ring, number % 6, 1, &format!("line {number}"));
    }
    let wanted = Wanted::default();
    assert_eq!(asked(&ring, &wanted).len(), 3000);
    let last = Wanted {
        lines: Some(2),
        ..Wanted::default()
    };
    assert_eq!(asked(&ring, &last), ["line 2998", "line 2999"]);
    let slot = Wanted {
        slot: Some(5),
        ..last.clone()
    };
    assert_eq!(asked(&ring, &slot), ["line 2993", "line 2999"]);
    let stderr = Wanted {
        stderr: true,
        ..last.clone()
    };
    assert_eq!(asked(&ring, &stderr), ["line 2996", "line 2999"]);
    let grep = Wanted {
        grep: Some("e 10".to_owned()),
        slot: Some(0),
        ..last
    };
    assert_eq!(asked(&ring, &grep), ["line 1092", "line 1098"]);
    let since = Wanted {
        since: Some(60),
        ..Wanted::default()
    };
    assert_eq!(asked(&ring, &since), Vec::<String>::new());
    let none = Wanted {
        lines: Some(0),
        ..Wanted::default()
    };
    assert_eq!(asked(&ring, &none), Vec::<String>::new());
}

#[test]
fn lines_that_come_follow_and_lost_ones_are_counted() {
    let ring = ring();
    push(&ring, 0, 1, "before");
    let wanted = Wanted {
        follow: true,
        lines: Some(0),
        ..Wanted::default()
    };
    let mut lines = Lines::new(Arc::clone(&ring), &wanted);
    assert_eq!(come(&mut lines), (Vec::new(), 0));
    push(&ring, 0, 1, "after");
    assert_eq!(come(&mut lines), (vec!["after".to_owned()], 0));
    for number in 0..50_000 {
        push(&ring, 0, 1, &number.to_string());
    }
    let (seen, lost) = come(&mut lines);
    assert!(lost > 0);
    assert_eq!(seen.len() as u64 + lost, 50_000);
    assert_eq!(seen.last().unwrap(), "49999");
}

#[test]
fn a_page_is_not_longer_than_it_may_be_however_short_the_lines_are() {
    let ring = ring();
    let text = "\n".repeat(9000);
    let block = Block::whole(b"", text.as_bytes());
    let about = About::new(LogOrigin::Stdout, Some(SlotId(0)), None, Duration::ZERO);
    ring.push(about, block, block.count());
    let mut lines = Lines::new(Arc::clone(&ring), &Wanted::default());
    let mut page = Page::new(8 << 10);
    assert_eq!(lines.fill(&mut page), Next::More);
    let (length, items) = (page.lines().len(), page.sent().items);
    let longest = length / usize::try_from(items).unwrap() + 1;
    assert!(length < (8 << 10) + longest, "{length}");
    assert_eq!(items + come(&mut lines).0.len() as u64, 9000);
}

#[test]
fn a_turn_looks_at_many_short_lines() {
    let ring = ring();
    for number in 0..3000_u16 {
        push(&ring, number % 3, 1, "short");
    }
    let wanted = Wanted {
        lines: Some(1),
        ..Wanted::default()
    };
    let mut lines = Lines::new(ring, &wanted);
    let (mut page, mut turns) = (Page::new(8 << 10), 1);
    while lines.fill(&mut page) == Next::More {
        turns += 1;
    }
    // Each line is looked at twice: it is counted, and left out.
    assert!(turns <= 2 * 3000 * LOOK / WORK + 2, "{turns}");
    assert_eq!(page.sent().items, 1);
}

#[test]
fn the_last_lines_are_those_that_are_there_when_they_are_sent() {
    let fill = |ring: &Ring, slot: u16, from: u32, to: u32| {
        for number in from..to {
            push(ring, slot, 1, &format!("{slot}-{number}"));
        }
    };
    let asked = |others: u32, own: u32, last: u64, counted: bool| {
        let ring = Arc::new(Ring::new(64 << 10));
        fill(&ring, 1, 0, others);
        fill(&ring, 0, 0, own);
        let wanted = Wanted {
            lines: Some(last),
            slot: Some(0),
            ..Wanted::default()
        };
        let mut lines = Lines::new(Arc::clone(&ring), &wanted);
        let mut page = Page::new(8 << 10);
        while let Some(counting) = lines.counting.take() {
            lines.count(counting, &mut page);
            if !counted {
                break;
            }
        }
        assert_eq!(lines.counting.is_none(), counted);
        // Overwrites about 500 lines.
        fill(&ring, 1, 0, 1200);
        come(&mut lines)
    };
    for counted in [false, true] {
        let (texts, lost) = asked(700, 700, 600, counted);
        assert_eq!((texts.len(), lost), (600, 0), "{counted}");
        assert_eq!((texts[0].as_str(), texts[599].as_str()), ("0-100", "0-699"));
    }
    // Some of the last ones are overwritten after they were found.
    let (texts, lost) = asked(0, 1400, 1300, true);
    assert!((100..1000).contains(&lost), "{lost}");
    assert_eq!(texts.len() as u64 + lost, 1300);
}

#[derive(Debug)]
struct Idle;

impl Wake for Idle {
    fn wake(self: Arc<Self>) {}
}

#[test]
fn who_is_gone_is_not_remembered() {
    let (ring, idle) = (ring(), Arc::new(Idle));
    let waker = Waker::from(Arc::clone(&idle));
    let mut lines = Lines::new(ring, &Wanted::default());
    let mut context = Context::from_waker(&waker);
    assert_eq!(lines.poll_more(&mut context), Poll::Pending);
    assert_eq!(lines.poll_more(&mut context), Poll::Pending);
    let waits = Arc::strong_count(&idle);
    drop(lines);
    assert!(waits > 2);
    assert_eq!(Arc::strong_count(&idle), 2);
}

#[test]
fn an_item_has_what_is_known_of_its_line() {
    let ring = ring();
    push(&ring, 2, 7, "a\tb\r");
    let mut page = Page::new(1000);
    Lines::new(Arc::clone(&ring), &Wanted::default()).fill(&mut page);
    let item = r#"{"time":7.25,"slot":2,"pid":102,"stream":"stderr","text":"a\tb"}"#;
    let expected = format!("{{\"v\":1,\"item\":{item}}}\n");
    assert_eq!(String::from_utf8_lossy(page.lines()), expected);
}
