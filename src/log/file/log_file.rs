//! The writer of one log file.

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
use super::keeper::Keeper;
use super::name::{Form, Stamp, Turn};
use super::note::{Note, Why};
use super::open::Opened;
use super::rotation::Rotation;

/// Between two tries to open the file.
const OPEN_AGAIN: Duration = Duration::from_secs(1);
/// Between two looks whether the path still names the open file.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Between two tries of a rotation that failed.
const ROTATE_AGAIN: Duration = Duration::from_secs(10);
/// The file works again if it took everything for so long. A disk that is nearly full takes a short line and not the
/// next batch; without this, each of both would be told.
const CALM: Duration = Duration::from_secs(1);

/// What a file did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Bytes of whole lines written.
    pub bytes: u64,
    /// Rotations.
    pub rotations: u64,
    /// Rotations that failed, each try.
    pub rotations_failed: u64,
    /// Lines that were not written.
    pub lost_lines: u64,
}

/// A write that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed {
    /// So many bytes of it are in the file, all of them whole lines.
    pub written: usize,
    /// So many lines are not.
    pub lost: u64,
    /// Why.
    pub why: Why,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} lines were not written: {}", self.lost, self.why)
    }
}

impl Error for Failed {}

/// A log file. Lines go in whole or not at all; what went wrong is in [`LogFile::notes`].
///
/// A file that was renamed, removed or replaced by somebody else, or whose directory was, is noticed within a second,
/// and opened again. Lines that were written in that second to a file which nobody can name any more are gone, and
/// counted as written: the kernel took them.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    rotation: Arc<Rotation>,
    keeper: Keeper,
    file: Option<Opened>,
    /// Why it could not be opened, and since the last try.
    broken: Option<(Why, Pause)>,
    /// Since the last look at what the path names.
    look: Pause,
    /// Since the last rotation that failed.
    stuck: Pause,
    /// That is told.
    unrotatable: bool,
    /// The last rotation's name.
    last: Option<Turn>,
    spell: Option<Spell>,
    notes: Vec<Note>,
    counters: Counters,
}

/// A time in which lines are lost.
#[derive(Debug, Default)]
struct Spell {
    lost: u64,
    /// Since the last loss.
    calm: Pause,
}

impl LogFile {
    /// Opens nothing yet; the first line does. All files share one `keeper`.
    pub fn new(path: PathBuf, rotation: Arc<Rotation>, keeper: Keeper) -> Self {
        Self {
            path,
            rotation,
            keeper,
            file: None,
            broken: None,
            look: Pause::default(),
            stuck: Pause::default(),
            unrotatable: false,
            last: None,
            spell: None,
            notes: Vec::new(),
            counters: Counters::default(),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it did so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// What went wrong since the last call, here and in the keeper's thread (there, with any file). Cheap if nothing did.
    pub fn notes(&mut self) -> Vec<Note> {
        let mut notes = mem::take(&mut self.notes);
        self.keeper.take_notes(&mut notes);
        notes
    }

    /// Writes whole lines: `parts` together end in a newline. `now` is wall time; it may jump.
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

    /// Closes the file and opens what its path names now: an outside logrotate has renamed it (USR1). One that was never
    /// opened stays so.
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

    fn append(
        &mut self,
        parts: &[&[u8]],
        total: usize,
        now: SystemTime,
    ) -> Result<(), (usize, Why)> {
        let none = |why| (0, why);
        let mut opened = self.opened(now).map_err(none)?;
        if self.is_due(&mut opened, total as u64, now) {
            opened = self.rotate(opened, now).map_err(none)?;
        }
        let done = opened.append(parts);
        // A file server may have forgotten it; then only opening helps.
        if !matches!(done, Err((_, Errno::ESTALE))) {
            self.file = Some(opened);
        }
        done.map_err(|(written, errno)| (written, errno.into()))
    }

    /// The open file, if it still is what the path names; else the one that is.
    fn opened(&mut self, now: SystemTime) -> Result<Opened, Why> {
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

    /// Tries to open the path, unless it failed a moment ago.
    fn open(&mut self, now: SystemTime) -> Result<Opened, Why> {
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

    /// Whether `total` more bytes must not come before a rotation.
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
        // Somebody may have truncated it (copytruncate).
        opened.refresh();
        if by_time && opened.size == 0 {
            // There is nothing to put away.
            opened.due = Due::new(every, now, now);
        }
        opened.size > 0 && (by_time || too_large(opened.size))
    }

    /// Puts the file away under another name and opens a new one. If either cannot be done, it goes on with the one it
    /// has.
    fn rotate(&mut self, mut opened: Opened, now: SystemTime) -> Result<Opened, Why> {
        let real = opened.real.clone();
        if !opened.is_at(&real) {
            // Somebody else has put it away.
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
                self.keeper.rotated(real, retain, compress);
                Ok(new)
            }
            Err(why) => {
                self.rotation_failed(why, now);
                // What stands in its place now is not ours to overwrite.
                if is_there(&real) || fs::rename(&away, &real).is_err() {
                    return Err(why);
                }
                self.broken = None;
                Ok(opened)
            }
        }
    }

    /// A name of this second that nobody has.
    fn free_turn(&self, real: &Path, now: SystemTime) -> Turn {
        let stamp = Stamp::of(now);
        // Not one that has become free again: its place in the order is before those that came after it.
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

    fn rotation_failed(&mut self, why: Why, now: SystemTime) {
        self.stuck.begin(now);
        self.counters.rotations_failed += 1;
        if !mem::replace(&mut self.unrotatable, true) {
            let path = self.path.clone();
            self.notes.push(Note::RotationFailed { path, why });
        }
    }

    fn lost(&mut self, lines: u64, why: Why, now: SystemTime) {
        self.counters.lost_lines += lines;
        let mut spell = self.spell.take().unwrap_or_else(|| {
            let path = self.path.clone();
            self.notes.push(Note::Failed { path, why });
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
            self.notes.push(Note::Works { path, lost });
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

/// How many lines of `parts` come after their first `count` bytes.
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
