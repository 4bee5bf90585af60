//! The stream of `logs`: the last lines, and those that come.

use std::borrow::Cow;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::control::protocol::{LogLine, LogSource, Wanted};
use crate::control::{Items, Next, Page};
use crate::log::{About, Cursor, Found, Grep, Ring};
use crate::model::shown::seconds;
use crate::model::{LogOrigin, Pid, SlotId};
use crate::sys::clock::since_1970;

/// Bytes of lines that are looked at in one turn, and what a look costs at least, however little it finds.
const WORK: usize = 64 << 10;
const LOOK: usize = 512;

/// Lines from a place in the ring on.
#[derive(Debug)]
pub(super) struct Lines {
    ring: Arc<Ring>,
    filter: Filter,
    cursor: Cursor,
    /// Behind the last line when the client asked.
    asked: u64,
    follow: bool,
    /// Only so many of the last lines.
    most: u64,
    counting: Option<Counting>,
    /// How many of the first lines are left out.
    skip: u64,
    /// The piece that was copied, what is known of it, and where the first line begins that was not sent.
    text: Vec<u8>,
    piece: Option<About>,
    at: usize,
    /// Whom new lines wake.
    waits: Option<Waker>,
}

/// Counts the lines that are wanted, to find the last ones.
#[derive(Debug)]
struct Counting {
    cursor: Cursor,
    /// How many there are so far.
    count: u64,
    /// So many were found once, before some of them were overwritten.
    found: u64,
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
        texts(about, piece).filter(|text| self.has(text))
    }

    fn has(&self, text: &[u8]) -> bool {
        self.grep.as_ref().is_none_or(|grep| grep.is_in(text))
    }
}

/// A piece of the ring without the newline at its end.
fn body<'a>(about: &About, piece: &'a [u8]) -> &'a [u8] {
    match piece.strip_suffix(b"\n") {
        Some(body) if !about.one => body,
        _ => piece,
    }
}

/// The texts of a piece of the ring.
fn texts<'a>(about: &About, piece: &'a [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    let one = about.one;
    body(about, piece).split(move |byte| !one && *byte == b'\n')
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
        let now = since_1970();
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
            most: lines.unwrap_or_default(),
            counting: lines.filter(|lines| *lines > 0).map(|_| Counting {
                cursor: from,
                count: 0,
                found: 0,
            }),
            skip: 0,
            text: Vec::new(),
            piece: None,
            at: 0,
            waits: None,
            ring,
        }
    }

    /// Counts the wanted lines of the next piece.
    fn count(&mut self, mut counting: Counting, page: &mut Page) {
        self.text.clear();
        let filter = &self.filter;
        let (lost, found) = self.ring.read(
            &mut counting.cursor,
            |about| filter.wants(about),
            &mut self.text,
        );
        if lost > 0 {
            // All that was counted is overwritten.
            self.count_again(counting.found);
            return;
        }
        if let Found::Lines(about) = found {
            let lines = texts(&about, &self.text).count() as u64;
            // It may have come after the question.
            if counting.cursor.line() - lines < self.asked {
                counting.count += filter.texts(&about, &self.text).count() as u64;
            }
        }
        if found != Found::Nothing && counting.cursor.line() < self.asked {
            self.counting = Some(counting);
            return;
        }
        self.skip = counting.count.saturating_sub(self.most);
        page.lost(counting.found.saturating_sub(counting.count));
        if self.follow {
            page.lost(self.cursor.line().saturating_sub(self.asked));
        }
    }

    /// Counts from the oldest line on, because others were overwritten. So many were `found` before.
    fn count_again(&mut self, found: u64) {
        self.cursor = self.ring.oldest();
        self.skip = 0;
        self.counting = Some(Counting {
            cursor: self.cursor,
            count: 0,
            found,
        });
    }

    /// Takes the next piece.
    fn look(&mut self, page: &mut Page) -> Next {
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
        if lost > 0 && self.skip > 0 {
            // Nobody knows how many of those were to be left out.
            self.count_again(self.most);
            return Next::More;
        }
        page.lost(lost);
        match found {
            Found::Others => Next::More,
            Found::Nothing if self.follow => Next::Wait,
            Found::Nothing => Next::End,
            Found::Lines(about) => {
                (self.piece, self.at) = (Some(about), 0);
                Next::More
            }
        }
    }

    /// Sends the lines of the piece, as many as the page has room for.
    fn send(&mut self, page: &mut Page) {
        let Some(about) = self.piece else {
            return;
        };
        let body = body(&about, &self.text);
        while page.has_room() {
            let Some(rest) = body.get(self.at..) else {
                self.piece = None;
                return;
            };
            let end = rest.iter().position(|byte| !about.one && *byte == b'\n');
            let text = end.and_then(|end| rest.get(..end)).unwrap_or(rest);
            self.at += text.len() + 1;
            if self.filter.has(text) {
                match self.skip.checked_sub(1) {
                    Some(left) => self.skip = left,
                    None => page.put(&line(&about, text)),
                }
            }
        }
    }
}

impl Items for Lines {
    fn fill(&mut self, page: &mut Page) -> Next {
        let mut work = 0;
        while work < WORK && page.has_room() {
            if let Some(counting) = self.counting.take() {
                self.count(counting, page);
            } else {
                if self.piece.is_none() {
                    match self.look(page) {
                        Next::More => {}
                        other => return other,
                    }
                }
                self.send(page);
            }
            work += LOOK.max(self.text.len());
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
    let own = about.pid.is_none();
    let text = if own {
        text
    } else {
        text.strip_suffix(b"\r").unwrap_or(text)
    };
    LogLine {
        time: seconds(about.time),
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
mod tests;
