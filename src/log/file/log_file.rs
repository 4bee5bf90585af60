//! Writes one log file.

use std::error::Error;
use std::fmt;
use std::fs;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use memchr::memchr_iter;
use nix::errno::Errno;

use super::due::{Due, Pause};
use super::event::{FileError, FileEvent};
use super::name::{Form, Stamp, Turn};
use super::open::Opened;
use super::rotation::Rotation;
use super::sweeper::Sweeper;

/// Pause between two attempts to open the file.
const OPEN_AGAIN: Duration = Duration::from_secs(1);
/// Pause between two checks whether the path still names the open file.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Pause between two attempts of a failed rotation.
const ROTATE_AGAIN: Duration = Duration::from_secs(10);
/// The file counts as working again after this time without an error. An almost full disk accepts a short line and
/// refuses the next batch; without this pause, both would be reported each time.
const CALM: Duration = Duration::from_secs(1);

/// Totals of one file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Bytes written, in whole lines.
    pub bytes: u64,
    /// Rotations.
    pub rotations: u64,
    /// Failed rotation attempts.
    pub rotations_failed: u64,
    /// Lines that were not written.
    pub lost_lines: u64,
}

/// A failed write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed {
    /// Number of bytes that are in the file, all of them whole lines.
    pub written: usize,
    /// Number of lines that are not.
    pub lost: u64,
    /// The reason.
    pub why: FileError,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} lines were not written: {}", self.lost, self.why)
    }
}

impl Error for Failed {}

/// A log file. Each line is written completely or not at all. Problems are reported by [`LogFile::events`].
///
/// If another process renames, removes or replaces the file or its directory, this is noticed within a second, and the
/// path is opened again. Lines written in that second to a file that has no name any more are lost, but counted as
/// written, because the kernel accepted them.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    rotation: Arc<Rotation>,
    sweeper: Sweeper,
    file: Option<Opened>,
    /// Why the file could not be opened, and the pause since the last attempt.
    broken: Option<(FileError, Pause)>,
    /// Pause since the last check of the path.
    look: Pause,
    /// Pause since the last failed rotation.
    stuck: Pause,
    /// The failed rotation was reported.
    unrotatable: bool,
    /// The name of the last rotation.
    last: Option<Turn>,
    spell: Option<Spell>,
    events: Vec<FileEvent>,
    counters: Counters,
}

/// A period in which lines are lost.
#[derive(Debug, Default)]
struct Spell {
    lost: u64,
    /// Time since the last loss.
    calm: Pause,
}

impl LogFile {
    /// Does not open the file; the first line does. All files share one `sweeper`.
    pub fn new(path: PathBuf, rotation: Arc<Rotation>, sweeper: Sweeper) -> Self {
        Self {
            path,
            rotation,
            sweeper,
            file: None,
            broken: None,
            look: Pause::default(),
            stuck: Pause::default(),
            unrotatable: false,
            last: None,
            spell: None,
            events: Vec::new(),
            counters: Counters::default(),
        }
    }

    /// Opens the file at once, and not with the first line.
    pub fn guarded(mut self, now: SystemTime) -> (Self, Result<(), FileError>) {
        let opened = self.open(now);
        let result = opened.as_ref().map(|_| ()).map_err(|why| *why);
        match opened {
            Ok(opened) => self.file = Some(opened),
            Err(why) => self.lost(0, why, now),
        }
        (self, result)
    }

    /// The configured path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The totals since the start.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// The problems since the last call, of this file and of the sweeper's thread (for any file). Cheap if there are
    /// none.
    pub fn events(&mut self) -> Vec<FileEvent> {
        let mut events = mem::take(&mut self.events);
        self.sweeper.take_events(&mut events);
        events
    }

    /// Writes whole lines: `parts` together end in a newline. `now` is wall time and may jump.
    pub fn write(&mut self, parts: &[&[u8]], now: SystemTime) -> Result<(), Failed> {
        let total: usize = parts.iter().map(|part| part.len()).sum();
        if total == 0 {
            return Ok(());
        }
        let done = self.append(parts, total, now);
        self.counters.bytes += match done {
            Ok(()) => total,
            Err((written, _)) => written,
        } as u64;
        match done {
            Ok(()) => {
                self.worked(now);
                Ok(())
            }
            Err((written, why)) => {
                let lost = newlines_after(parts, written);
                self.lost(lost, why, now);
                Err(Failed { written, lost, why })
            }
        }
    }

    /// Closes the file and opens what its path names now, after an external logrotate renamed it (USR1). A file that
    /// was never opened stays closed.
    pub fn reopen(&mut self, now: SystemTime) {
        let before = self.file.take();
        if before.is_none() && self.broken.take().is_none() {
            return;
        }
        if let Some(mut before) = before {
            before.finish();
        }
        match self.open(now) {
            Ok(opened) => self.file = Some(opened),
            Err(why) => self.lost(0, why, now),
        }
    }

    /// Removes the content of the file that the path names now. Returns false if it is a device.
    pub fn empty(&mut self, now: SystemTime) -> Result<bool, FileError> {
        // Another process may just have renamed it.
        self.look = Pause::default();
        let mut opened = self.opened(now)?;
        let emptied = opened.empty();
        self.file = Some(opened);
        Ok(emptied?)
    }

    fn append(
        &mut self,
        parts: &[&[u8]],
        total: usize,
        now: SystemTime,
    ) -> Result<(), (usize, FileError)> {
        let none = |why| (0, why);
        let mut opened = self.opened(now).map_err(none)?;
        if self.is_due(&mut opened, total as u64, now) {
            opened = self.rotate(opened, now).map_err(none)?;
        }
        let done = opened.append(parts);
        // A network file system may have lost the handle; then only opening again helps.
        if !matches!(done, Err((_, Errno::ESTALE))) {
            self.file = Some(opened);
        }
        done.map_err(|(written, errno)| (written, errno.into()))
    }

    /// The open file if the path still names it; otherwise opens the path again.
    fn opened(&mut self, now: SystemTime) -> Result<Opened, FileError> {
        let Some(mut opened) = self.file.take() else {
            return self.open(now);
        };
        if self.look.is_over(now, LOOK_AGAIN) {
            self.look.begin(now);
            if !opened.is_at(&self.path) {
                opened.finish();
                return self.open(now);
            }
        }
        Ok(opened)
    }

    /// Opens the path, unless the last attempt failed a moment ago.
    fn open(&mut self, now: SystemTime) -> Result<Opened, FileError> {
        if let Some((why, pause)) = self.broken
            && !pause.is_over(now, OPEN_AGAIN)
        {
            return Err(why);
        }
        let opened = Opened::open(&self.path, self.rotation.every.as_ref(), now);
        self.look.begin(now);
        self.broken = opened.as_ref().err().map(|why| (*why, self.look));
        opened
    }

    /// Whether the file must be rotated before `total` more bytes are written.
    fn is_due(&self, opened: &mut Opened, total: u64, now: SystemTime) -> bool {
        let every = self.rotation.every.as_ref();
        let by_time = opened.due.is_over(every, now);
        let too_large = |size: u64| {
            let after = size.saturating_add(total);
            self.rotation.size.is_some_and(|most| after > most)
        };
        if !opened.regular || !(by_time || too_large(opened.size)) {
            return false;
        }
        if !self.stuck.is_over(now, ROTATE_AGAIN) {
            return false;
        }
        // Another process may have truncated the file (copytruncate).
        opened.refresh();
        if by_time && opened.size == 0 {
            // The file is empty, so there is nothing to rotate.
            opened.due = Due::new(every, now, now);
        }
        opened.size > 0 && (by_time || too_large(opened.size))
    }

    /// Renames the file and opens a new one. If either fails, continues with the old file.
    fn rotate(&mut self, mut opened: Opened, now: SystemTime) -> Result<Opened, FileError> {
        let real = opened.real.clone();
        if !opened.is_at(&real) {
            // Another process has renamed it already.
            opened.finish();
            return self.open(now);
        }
        opened.finish();
        let turn = self.free_turn(&real, now);
        let away = beside(&real, turn, Form::Plain);
        if let Err(error) = fs::rename(&real, &away) {
            self.rotation_failed(error.into(), now);
            return Ok(opened);
        }
        match self.open(now) {
            Ok(new) => {
                self.last = Some(turn);
                self.unrotatable = false;
                self.counters.rotations += 1;
                let Rotation {
                    retain, compress, ..
                } = *self.rotation;
                self.sweeper.rotated(real, retain, compress);
                Ok(new)
            }
            Err(why) => {
                self.rotation_failed(why, now);
                // If another file is in its place now, it must not be overwritten.
                if is_there(&real) || fs::rename(&away, &real).is_err() {
                    return Err(why);
                }
                self.broken = None;
                Ok(opened)
            }
        }
    }

    /// A free name for this second.
    fn free_turn(&self, real: &Path, now: SystemTime) -> Turn {
        let stamp = Stamp::of(now);
        // Do not reuse a name that became free: its place in the order would be too early.
        let last = self.last.filter(|last| last.stamp == stamp);
        let first = last.map_or(0, |last| last.number.saturating_add(1));
        let mut turn = Turn {
            stamp,
            number: first,
        };
        while turn.number < u32::MAX
            && [Form::Plain, Form::Packed]
                .into_iter()
                .any(|form| is_there(&beside(real, turn, form)))
        {
            turn.number += 1;
        }
        turn
    }

    fn rotation_failed(&mut self, why: FileError, now: SystemTime) {
        self.stuck.begin(now);
        self.counters.rotations_failed += 1;
        if !mem::replace(&mut self.unrotatable, true) {
            let path = self.path.clone();
            self.events.push(FileEvent::RotationFailed { path, why });
        }
    }

    fn lost(&mut self, lines: u64, why: FileError, now: SystemTime) {
        self.counters.lost_lines += lines;
        let mut spell = self.spell.take().unwrap_or_else(|| {
            let path = self.path.clone();
            self.events.push(FileEvent::Failed { path, why });
            Spell::default()
        });
        spell.lost += lines;
        spell.calm.begin(now);
        self.spell = Some(spell);
    }

    fn worked(&mut self, now: SystemTime) {
        if let Some(Spell { lost, .. }) = self.spell.take_if(|spell| spell.calm.is_over(now, CALM))
        {
            let path = self.path.clone();
            self.events.push(FileEvent::Works { path, lost });
        }
    }
}

fn beside(real: &Path, turn: Turn, form: Form) -> PathBuf {
    let base = real.file_name().unwrap_or_default();
    real.with_file_name(turn.file_name(base, form))
}

fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Number of lines in `parts` after the first `count` bytes.
fn newlines_after(parts: &[&[u8]], mut count: usize) -> u64 {
    let mut lines = 0;
    for part in parts {
        let here = count.min(part.len());
        count -= here;
        let rest = part.get(here..).unwrap_or_default();
        lines += memchr_iter(b'\n', rest).count() as u64;
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_are_not_there_are_counted() {
        let parts: [&[u8]; 4] = [b"ab\nc", b"", b"d\n", b"e\n"];
        for (count, lines) in [(0, 3), (3, 2), (6, 1), (8, 0)] {
            assert_eq!(newlines_after(&parts, count), lines, "{count}");
        }
    }
}
