//! The stream of `logs`: the last lines, and those that come.

use std::borrow::Cow;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};

use crate::control::protocol::{LogLine, LogSource, Wanted};
use crate::control::{Items, Next, Page};
use crate::log::{About, Cursor, Found, Grep, Ring};
use crate::model::{LogOrigin, Pid, SlotId};
use crate::sys::clock::wall;

/// How many pieces of the ring are looked at in one turn.
const LOOKS: usize = 16;

/// Lines from a place in the ring on.
#[derive(Debug)]
pub(super) struct Lines {
    ring: Arc<Ring>,
    filter: Filter,
    cursor: Cursor,
    /// Behind the last line when the client asked.
    asked: u64,
    follow: bool,
    /// Only so many of the last lines: where they are counted, how many there are so far, and how many are asked for.
    counting: Option<(Cursor, u64, u64)>,
    /// How many of the first lines are left out.
    skip: u64,
    /// The piece that was copied.
    text: Vec<u8>,
    /// Whom new lines wake.
    waits: Option<Waker>,
}

/// Which lines are wanted.
#[derive(Debug)]
struct Filter {
    slot: Option<SlotId>,
    stderr: bool,
    /// Since 1970.
    since: Duration,
    grep: Option<Grep>,
}

impl Filter {
    fn wants(&self, about: &About) -> bool {
        self.slot.is_none_or(|slot| about.slot == Some(slot))
            && (!self.stderr || about.origin == LogOrigin::Stderr)
            && about.time >= self.since
    }

    /// The texts that are wanted, of a piece of the ring.
    fn texts<'a>(&'a self, about: &About, piece: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        texts(about, piece).filter(|text| {
            let grep = self.grep.as_ref();
            grep.is_none_or(|grep| grep.is_in(text))
        })
    }
}

/// The texts of a piece of the ring.
fn texts<'a>(about: &About, piece: &'a [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    let one = about.one;
    let body = if one {
        piece
    } else {
        piece.strip_suffix(b"\n").unwrap_or(piece)
    };
    body.split(move |byte| !one && *byte == b'\n')
}

impl Lines {
    /// The lines that are wanted.
    pub(super) fn new(ring: Arc<Ring>, wanted: &Wanted) -> Self {
        let Wanted {
            follow,
            lines,
            slot,
            stderr,
            since,
            grep,
        } = wanted;
        let now = wall().duration_since(SystemTime::UNIX_EPOCH);
        let now = now.unwrap_or_default();
        let end = ring.end();
        let from = if *lines == Some(0) {
            end
        } else {
            ring.oldest()
        };
        Self {
            filter: Filter {
                slot: slot.map(SlotId),
                stderr: *stderr,
                since: since.map_or(Duration::ZERO, |since| {
                    now.saturating_sub(Duration::from_secs(since))
                }),
                grep: grep.as_ref().map(|text| Grep::new(text)),
            },
            cursor: from,
            asked: end.line(),
            follow: *follow,
            counting: lines.filter(|lines| *lines > 0).map(|most| (from, 0, most)),
            skip: 0,
            text: Vec::new(),
            waits: None,
            ring,
        }
    }

    /// Counts the lines that are wanted; true when all are counted.
    fn count(&mut self) -> bool {
        let Some((mut cursor, mut count, most)) = self.counting else {
            return true;
        };
        self.text.clear();
        let filter = &self.filter;
        let (_, found) = self
            .ring
            .read(&mut cursor, |about| filter.wants(about), &mut self.text);
        if let Found::Lines(about) = found {
            let lines = texts(&about, &self.text).count() as u64;
            // It may have come after the question.
            if cursor.line() - lines < self.asked {
                count += filter.texts(&about, &self.text).count() as u64;
            }
        }
        if found == Found::Nothing || cursor.line() >= self.asked {
            self.skip = count.saturating_sub(most);
            self.counting = None;
            return true;
        }
        self.counting = Some((cursor, count, most));
        false
    }

    /// Sends the next piece.
    fn send(&mut self, page: &mut Page) -> Next {
        if !self.follow && self.cursor.line() >= self.asked {
            return Next::End;
        }
        self.text.clear();
        let filter = &self.filter;
        let (lost, found) = self.ring.read(
            &mut self.cursor,
            |about| filter.wants(about),
            &mut self.text,
        );
        // What would have been left out is not missing.
        let skipped = lost.min(self.skip);
        self.skip -= skipped;
        page.lost(lost - skipped);
        match found {
            Found::Others => Next::More,
            Found::Nothing if self.follow => Next::Wait,
            Found::Nothing => Next::End,
            Found::Lines(about) => {
                for text in filter.texts(&about, &self.text) {
                    match self.skip.checked_sub(1) {
                        Some(left) => self.skip = left,
                        None => page.put(&line(&about, text)),
                    }
                }
                Next::More
            }
        }
    }
}

impl Items for Lines {
    fn fill(&mut self, page: &mut Page) -> Next {
        for _ in 0..LOOKS {
            if !page.has_room() {
                break;
            }
            if !self.count() {
                continue;
            }
            match self.send(page) {
                Next::More => {}
                other => return other,
            }
        }
        Next::More
    }

    fn follows(&self) -> bool {
        self.follow
    }

    fn poll_more(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.waits = Some(context.waker().clone());
        self.ring.poll(&self.cursor, context)
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        if let Some(waker) = &self.waits {
            self.ring.forget(waker);
        }
    }
}

/// A line in the words of the protocol. What is no UTF-8 is replaced.
fn line<'a>(about: &About, text: &'a [u8]) -> LogLine<Cow<'a, str>> {
    let micros = u64::try_from(about.time.as_micros()).unwrap_or(u64::MAX);
    let own = about.pid.is_none();
    let text = if own {
        text
    } else {
        text.strip_suffix(b"\r").unwrap_or(text)
    };
    LogLine {
        time: Duration::from_millis(micros / 1000).as_secs_f64(),
        slot: about.slot.map(|slot| slot.0),
        pid: about.pid.map_or_else(
            || i32::try_from(std::process::id()).unwrap_or_default(),
            Pid::get,
        ),
        stream: match about.origin {
            LogOrigin::Stdout => LogSource::Stdout,
            LogOrigin::Stderr => LogSource::Stderr,
            LogOrigin::Runtime => LogSource::Runtime,
        },
        text: String::from_utf8_lossy(text),
        cut: about.cut,
        partial: about.partial,
    }
}

#[cfg(test)]
mod tests {
    use std::task::Wake;

    use serde_json::Value;

    use super::*;
    use crate::log::LogSettings;

    fn ring() -> Arc<Ring> {
        Arc::new(Ring::new(LogSettings::RING))
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
}
