//! The output of a process, collected line by line.

use std::fmt::Write as _;
use std::io::Read;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Instant;

use super::patience;

/// The stream of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Out,
    Err,
}

/// One line without its newline; bytes that are not UTF-8 are replaced.
#[derive(Clone, Debug)]
pub struct Line {
    pub stream: Stream,
    pub text: String,
    /// When it was read.
    pub came: Instant,
}

#[derive(Default)]
struct Collected {
    lines: Vec<Line>,
    bytes: [Vec<u8>; 2],
    open: usize,
}

/// Shared with one reading thread for each stream.
#[derive(Clone, Default)]
pub struct Output(Arc<(Mutex<Collected>, Condvar)>);

impl Output {
    fn lock(&self) -> MutexGuard<'_, Collected> {
        self.0.0.lock().unwrap()
    }

    /// Reads `source` in a thread until its end.
    pub fn follow(&self, stream: Stream, mut source: impl Read + Send + 'static) {
        self.lock().open += 1;
        let output = self.clone();
        thread::spawn(move || {
            let mut partial = Vec::new();
            let mut chunk = vec![0; 64 << 10];
            loop {
                let count = source.read(&mut chunk).unwrap_or(0);
                let mut collected = output.lock();
                collected.bytes[stream as usize].extend_from_slice(&chunk[..count]);
                partial.extend_from_slice(&chunk[..count]);
                let complete = if count == 0 {
                    partial.len()
                } else {
                    partial
                        .iter()
                        .rposition(|b| *b == b'\n')
                        .map_or(0, |at| at + 1)
                };
                let text: Vec<u8> = partial.drain(..complete).collect();
                let lines = text.split_inclusive(|byte| *byte == b'\n');
                let came = Instant::now();
                collected.lines.extend(lines.map(|line| {
                    Line {
                        stream,
                        text: String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(line))
                            .into_owned(),
                        came,
                    }
                }));
                collected.open -= usize::from(count == 0);
                output.0.1.notify_all();
                if count == 0 {
                    return;
                }
            }
        });
    }

    pub fn lines(&self) -> Vec<Line> {
        self.lock().lines.clone()
    }

    pub fn bytes(&self, stream: Stream) -> Vec<u8> {
        self.lock().bytes[stream as usize].clone()
    }

    pub fn count(&self) -> usize {
        self.lock().lines.len()
    }

    /// Waits until `found` returns a value for the lines so far.
    #[track_caller]
    pub fn wait<T>(&self, mut found: impl FnMut(&[Line]) -> Option<T>) -> T {
        let end = Instant::now() + patience();
        let mut collected = self.lock();
        loop {
            if let Some(value) = found(&collected.lines) {
                return value;
            }
            let left = end.saturating_duration_since(Instant::now());
            let why = match (left.is_zero(), collected.open) {
                (true, _) => "in time",
                (_, 0) => "before the end of the output",
                _ => {
                    collected = self.0.1.wait_timeout(collected, left).unwrap().0;
                    continue;
                }
            };
            drop(collected);
            panic!(
                "the line never came {why}; the output was:\n{}",
                self.shown()
            );
        }
    }

    /// Waits for the end of all streams. False if a process still holds one open after the time limit.
    pub fn wait_end(&self) -> bool {
        let collected = self.lock();
        !self
            .0
            .1
            .wait_timeout_while(collected, patience(), |collected| collected.open > 0)
            .unwrap()
            .1
            .timed_out()
    }

    /// All lines for a person to read; the middle of a long output is left out.
    pub fn shown(&self) -> String {
        const EDGE: usize = 200;
        let lines = self.lines();
        let mut shown = String::new();
        for (number, line) in lines.iter().enumerate() {
            if number < EDGE || number + EDGE >= lines.len() {
                let mark = if line.stream == Stream::Out { '|' } else { '!' };
                let text: String = line.text.chars().take(500).collect();
                writeln!(shown, "  {mark} {text}").unwrap();
            } else if number == EDGE {
                writeln!(shown, "  ... {} lines ...", lines.len() - 2 * EDGE).unwrap();
            }
        }
        shown
    }
}
