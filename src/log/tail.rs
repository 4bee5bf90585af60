//! The last stderr lines of a worker that is not ready yet. They are shown in the log line that says why it failed.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Bytes to keep of a stream.
const REMEMBERED: usize = 2048;
/// Most lines to show.
const LINES: usize = 5;
/// How long to wait for the thread to read what a dead worker left in its pipe. The thread reads at once, unless its
/// own output is stuck.
const PATIENCE: Duration = Duration::from_millis(50);

/// The end of a stream. Bytes are no longer kept once the last copy outside the log thread is dropped.
#[derive(Clone, Debug, Default)]
pub struct Tail(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    seen: Mutex<Seen>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct Seen {
    bytes: VecDeque<u8>,
    ended: bool,
}

impl Tail {
    /// Whether a copy outside the log thread exists.
    pub(super) fn is_wanted(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    pub(super) fn push(&self, chunk: &[u8]) {
        let from = chunk.len().saturating_sub(REMEMBERED);
        let mut seen = self.0.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.bytes.extend(chunk.get(from..).unwrap_or_default());
        let over = seen.bytes.len().saturating_sub(REMEMBERED);
        seen.bytes.drain(..over);
    }

    /// As the log thread writes it.
    #[cfg(test)]
    pub fn write_for_test(&self, chunk: &[u8]) {
        self.push(chunk);
    }

    /// As the log thread ends it.
    #[cfg(test)]
    pub fn end_for_test(&self) {
        self.end();
    }

    /// Whether all was read.
    pub fn has_ended(&self) -> bool {
        let seen = self.0.seen.lock();
        seen.unwrap_or_else(PoisonError::into_inner).ended
    }

    pub(super) fn end(&self) {
        let mut seen = self.0.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.ended = true;
        self.0.ended.notify_all();
    }

    /// The last lines, oldest first. If `ended` says that the writer has ended, waits briefly for the end of the
    /// stream.
    pub fn lines(&self, ended: bool) -> Vec<String> {
        let mut lines = self.kept(ended);
        let over = lines.len().saturating_sub(LINES);
        lines.drain(..over);
        lines
    }

    /// As [`Self::lines`], but all that is kept; the first line may lack its beginning.
    pub fn kept(&self, ended: bool) -> Vec<String> {
        let mut seen = self.0.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if ended {
            let waited = self
                .0
                .ended
                .wait_timeout_while(seen, PATIENCE, |seen| !seen.ended);
            seen = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let text = String::from_utf8_lossy(seen.bytes.make_contiguous()).into_owned();
        let lines = text.lines().map(str::trim_end);
        lines
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_lines_are_told() {
        let tail = Tail::default();
        for number in 0..1000 {
            tail.push(format!("line {number}\r\n\n").as_bytes());
        }
        tail.push(b"no newline");
        let lines = tail.lines(false);
        assert_eq!(
            lines,
            ["line 996", "line 997", "line 998", "line 999", "no newline"]
        );
        tail.push("x".repeat(100_000).as_bytes());
        assert_eq!(tail.lines(false), ["x".repeat(REMEMBERED)]);
    }

    #[test]
    fn the_end_of_the_stream_is_awaited() {
        let tail = Tail::default();
        let writer = tail.clone();
        let thread = std::thread::spawn(move || {
            writer.push(b"last\n");
            writer.end();
        });
        assert_eq!(tail.lines(true), ["last"]);
        thread.join().unwrap();
        assert!(!tail.is_wanted());
    }
}
