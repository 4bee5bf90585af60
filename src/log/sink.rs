//! The only writer of stdout. It takes whole lines, counts them in and out, and survives whatever the other side does.
#![forbid(unsafe_code)]

use std::io::IoSlice;
use std::mem;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use memchr::{memchr, memchr_iter};
use nix::errno::Errno;

use super::handle::Shared;
use super::line::Block;
use super::{Stream, own};
use crate::sys::io;

/// From here on a block is written from where it was read; below, it is copied, to spare a call.
const DIRECT: usize = 16 * 1024;
/// The batch goes out when it is that long, at the end of a turn in any case.
const FULL: usize = 64 * 1024;

/// Whose lines they are, in the order of [`crate::model::LogTotals`].
#[derive(Clone, Copy, Debug)]
pub enum Origin {
    Stdout = 0,
    Stderr = 1,
    Runtime = 2,
}

impl From<Stream> for Origin {
    fn from(stream: Stream) -> Self {
        match stream {
            Stream::Stdout => Self::Stdout,
            Stream::Stderr => Self::Stderr,
        }
    }
}

/// Lines lost since stdout last took something.
#[derive(Debug)]
struct Loss {
    lines: u64,
    errno: Errno,
}

/// The writer and what it is about to write.
#[derive(Debug)]
pub struct Sink {
    out: OwnedFd,
    shared: Arc<Shared>,
    /// Whole lines only.
    batch: Vec<u8>,
    /// Lines and bytes of the batch, by origin.
    lines: [u64; 3],
    bytes: [u64; 3],
    /// Bytes that were read and are not here yet.
    pub held: usize,
    loss: Option<Loss>,
    /// The last write stopped inside a line.
    torn: bool,
}

impl Sink {
    pub fn new(out: OwnedFd, shared: Arc<Shared>) -> Self {
        Self {
            out,
            shared,
            batch: Vec::new(),
            lines: [0; 3],
            bytes: [0; 3],
            held: 0,
            loss: None,
            torn: false,
        }
    }

    /// Lines byte for byte.
    pub fn raw(&mut self, origin: Origin, block: Block<'_>) {
        let Block { head, body, .. } = block;
        let len = head.len() + body.len();
        self.count(origin, memchr_iter(b'\n', body).count(), len);
        if len >= DIRECT {
            self.write(head, body);
        } else {
            self.batch.extend_from_slice(head);
            self.batch.extend_from_slice(body);
            self.flush_if_full();
        }
    }

    /// Lines with `label` in front of each.
    pub fn prefixed(&mut self, origin: Origin, label: &Label, block: Block<'_>) {
        let Block { mut head, body, .. } = block;
        let mut rest = body;
        while let Some(at) = memchr(b'\n', rest) {
            let (line, after) = rest.split_at(at + 1);
            let before = self.batch.len();
            let label = if block.continued {
                &label.continued
            } else {
                &label.first
            };
            for part in [label, head, line] {
                self.batch.extend_from_slice(part);
            }
            self.count(origin, 1, self.batch.len() - before);
            self.flush_if_full();
            head = b"";
            rest = after;
        }
    }

    fn count(&mut self, origin: Origin, lines: usize, bytes: usize) {
        self.lines[origin as usize] += lines as u64;
        self.bytes[origin as usize] += bytes as u64;
    }

    fn flush_if_full(&mut self) {
        if self.batch.len() >= FULL {
            self.flush();
        }
    }

    /// Writes all that was taken.
    pub fn flush(&mut self) {
        // The second turn is for the word about a loss, which a successful write leaves behind.
        while !self.batch.is_empty() {
            self.write(b"", b"");
        }
        self.store_unwritten(0);
    }

    fn store_unwritten(&self, taken: usize) {
        let bytes = (self.held + taken) as u64;
        self.shared.counters.unwritten.store(bytes, Relaxed);
    }

    /// Writes the batch and then `head` and `body`, which are counted already. An error is never the end: what could
    /// not be written is counted as lost, and the next write is a new try, since a disk may get room and a FIFO a reader.
    fn write(&mut self, head: &[u8], body: &[u8]) {
        let mut batch = mem::take(&mut self.batch);
        let mend: &[u8] = if self.torn { b"\n" } else { b"" };
        let parts = [mend, &batch, head, body];
        let total: usize = parts.iter().map(|part| part.len()).sum();
        let mut slices = parts.map(IoSlice::new);
        let mut left = slices.as_mut_slice();
        let mut written = 0;
        let result = loop {
            self.store_unwritten(total - written);
            if written == total {
                break Ok(());
            }
            match io::write_some(&self.out, left) {
                Ok(count) => {
                    written += count;
                    IoSlice::advance_slices(&mut left, count);
                }
                Err(errno) => break Err(errno),
            }
        };
        if let Some(last) = last_of(&parts, written) {
            self.torn = last != b'\n';
        }
        batch.clear();
        batch.shrink_to(2 * FULL);
        self.batch = batch;
        let lines = mem::take(&mut self.lines);
        let bytes = mem::take(&mut self.bytes);
        match result {
            Ok(()) => {
                let counters = &self.shared.counters;
                add(&counters.lines, lines);
                add(&counters.bytes, bytes);
                if let Some(Loss { lines, errno }) = self.loss.take() {
                    self.own(&own::lost(lines, errno));
                }
            }
            Err(errno) => {
                let lines = lines.iter().sum();
                self.shared.counters.closed.fetch_add(lines, Relaxed);
                let before = self.loss.take().map_or(0, |loss| loss.lines);
                let lines = before + lines;
                self.loss = Some(Loss { lines, errno });
            }
        }
    }

    /// One of the runtime's own lines, or several.
    pub fn own(&mut self, lines: &str) {
        self.raw(
            Origin::Runtime,
            Block {
                head: b"",
                body: lines.as_bytes(),
                continued: false,
            },
        );
    }
}

fn add(counters: &[AtomicU64; 3], by: [u64; 3]) {
    for (counter, by) in counters.iter().zip(by) {
        if by > 0 {
            counter.fetch_add(by, Relaxed);
        }
    }
}

/// The last of the first `count` bytes of `parts`.
fn last_of(parts: &[&[u8]], mut count: usize) -> Option<u8> {
    let mut last = None;
    for part in parts {
        let here = count.min(part.len());
        last = part.get(..here).and_then(<[u8]>::last).copied().or(last);
        count -= here;
    }
    last
}

/// What stands before a worker's lines.
#[derive(Debug)]
pub struct Label {
    first: Box<[u8]>,
    continued: Box<[u8]>,
}

impl Label {
    pub fn new(name: &str, slot: crate::model::SlotId) -> Self {
        Self {
            first: format!("[{name}:{slot}] ").into_bytes().into(),
            continued: format!("[{name}:{slot}+] ").into_bytes().into(),
        }
    }
}
