//! The only writer of one standard stream. It survives all errors of the reader.

use std::io::IoSlice;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use nix::errno::Errno;

use super::batch::{Batch, outcome};
use super::own;
use super::shared::Shared;
use super::stall::Stall;
use crate::model::LossReason;
use crate::sys::io;

/// Lines lost since the output last accepted data.
#[derive(Debug)]
struct Loss {
    lines: u64,
    errno: Errno,
}

/// Stdout or stderr. The descriptor may block; its flags are never changed.
#[derive(Debug)]
pub struct StreamWriter {
    out: OwnedFd,
    shared: Arc<Shared>,
    stall: Arc<Stall>,
    loss: Option<Loss>,
    /// The last write stopped inside a line.
    torn: bool,
}

impl StreamWriter {
    pub fn new(out: OwnedFd, shared: Arc<Shared>) -> Self {
        let stall = shared.stall();
        Self {
            out,
            shared,
            stall,
            loss: None,
            torn: false,
        }
    }

    /// Writes the batch and then `more`, which belongs to the last run of the batch. An error is never final: what
    /// could not be written is counted as lost, and the next write tries again, since a disk may get space and a FIFO a
    /// reader.
    pub fn write(&mut self, batch: &Batch, more: [&[u8]; 2]) {
        let mend: &[u8] = if self.torn { b"\n" } else { b"" };
        let parts = [mend, &batch.bytes, more[0], more[1]];
        self.shared.add_pending(mend.len());
        self.stall.begin();
        let (written, error) = self.push(parts);
        self.stall.end();
        if let Some(last) = last_of(&parts, written) {
            self.torn = last != b'\n';
        }
        let counters = &self.shared.counters;
        let Some(errno) = error else {
            for run in batch.runs() {
                counters.wrote(*run);
            }
            if let Some(Loss { lines, errno }) = self.loss.take() {
                self.shared.log_own(&own::lost(lines, errno));
            }
            return;
        };
        let written = written.saturating_sub(mend.len());
        let mut lines = 0;
        for (went, lost) in outcome(batch.runs(), parts.get(1..).unwrap_or_default(), written) {
            counters.wrote(went);
            self.shared.dropped(went.owner, LossReason::Closed, lost);
            lines += lost;
        }
        let before = self.loss.take().map_or(0, |loss| loss.lines);
        let lines = before + lines;
        self.loss = Some(Loss { lines, errno });
    }

    /// Writes `parts`. Returns the number of written bytes and the error, if any.
    fn push(&self, parts: [&[u8]; 4]) -> (usize, Option<Errno>) {
        let total: usize = parts.iter().map(|part| part.len()).sum();
        let mut slices = parts.map(IoSlice::new);
        let mut left = slices.as_mut_slice();
        let mut written = 0;
        while written < total {
            match io::write_some(&self.out, left) {
                Ok(count) => {
                    written += count;
                    self.shared.sub_pending(count);
                    IoSlice::advance_slices(&mut left, count);
                }
                Err(errno) => {
                    self.shared.sub_pending(total - written);
                    return (written, Some(errno));
                }
            }
        }
        (written, None)
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
