//! Chooses the file for a line (RPM_LOG_FILE, RPM_LOG_ERROR_FILE).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::Sender;

use tracing::Level;

use super::batch::{Batch, LineOwner, outcome};
use super::emptying::Emptying;
use super::file::{self, FileEvent, LogFile, Rotation, Sweeper, expand};
use super::output::{LostLines, Output, Sink};
use super::own::OwnEvent;
use super::queue::Queue;
use super::shared::Shared;
use crate::model::{FileLossReason, LogOrigin, Rotations, SlotId};
use crate::sys::clock;

/// Settings of the log files.
#[derive(Clone, Debug, Default)]
pub struct FileSettings {
    /// RPM_LOG_FILE; `{slot}` in it makes one file for each slot.
    pub out: Option<String>,
    /// RPM_LOG_ERROR_FILE: receives stderr instead.
    pub error: Option<String>,
    /// When to rotate a file and how many to keep.
    pub rotation: Arc<Rotation>,
}

impl FileSettings {
    /// Whether any file is configured.
    pub fn any(&self) -> bool {
        self.out.is_some() || self.error.is_some()
    }
}

/// The files that lines were written to so far.
#[derive(Debug)]
pub struct Files {
    settings: FileSettings,
    queue: Option<Arc<Queue>>,
    sweeper: Sweeper,
    outputs: Vec<Output>,
    /// Index in `outputs` of each file.
    by_path: BTreeMap<PathBuf, usize>,
    /// Index in `outputs` for each source: whether it is stderr, and its slot.
    by_owner: BTreeMap<(bool, Option<SlotId>), Option<usize>>,
    shared: Arc<Shared>,
}

impl Files {
    /// With a queue, the thread of the queue writes all files.
    pub fn new(settings: FileSettings, queue: Option<Arc<Queue>>, shared: Arc<Shared>) -> Self {
        Self {
            settings,
            queue,
            sweeper: Sweeper::default(),
            outputs: Vec::new(),
            by_path: BTreeMap::new(),
            by_owner: BTreeMap::new(),
            shared,
        }
    }

    /// The file for these lines.
    pub fn of(&mut self, owner: LineOwner) -> Option<&mut Output> {
        if !self.settings.any() {
            return None;
        }
        let key = (owner.origin == LogOrigin::Stderr, owner.slot);
        let known = self.by_owner.get(&key).copied();
        let at = known.unwrap_or_else(|| {
            let at = self.open(owner);
            self.by_owner.insert(key, at);
            at
        })?;
        self.outputs.get_mut(at)
    }

    fn open(&mut self, owner: LineOwner) -> Option<usize> {
        let FileSettings { out, error, .. } = &self.settings;
        let template = match owner.origin {
            LogOrigin::Stderr => error.as_ref().or(out.as_ref()),
            LogOrigin::Stdout | LogOrigin::Runtime => out.as_ref(),
        }?;
        let path = match owner.slot {
            Some(slot) => expand(template, slot),
            // The runtime's own lines belong to no slot.
            None if template.contains("{slot}") => return None,
            None => PathBuf::from(template),
        };
        if let Some(at) = self.by_path.get(&path) {
            return Some(*at);
        }
        let rotation = Arc::clone(&self.settings.rotation);
        let file = LogFile::new(path.clone(), rotation, self.sweeper.clone());
        let sink = Sink::File(Box::new(FileWriter {
            file,
            shared: Arc::clone(&self.shared),
            counted: file::Counters::default(),
        }));
        let shared = Arc::clone(&self.shared);
        self.outputs.push(match &self.queue {
            None => Output::direct(sink, shared),
            Some(queue) => Output::queued(queue, sink, FileLossReason::BufferFull, shared),
        });
        let at = self.outputs.len() - 1;
        self.by_path.insert(path, at);
        Some(at)
    }

    /// Writes or queues everything that was taken.
    pub fn flush(&mut self) {
        self.outputs.iter_mut().for_each(Output::flush);
    }

    /// Lines lost for lack of room, once there is room again.
    pub fn lost(&mut self) -> Option<LostLines> {
        let all = self.outputs.iter_mut().filter_map(Output::lost);
        all.reduce(|one, other| LostLines {
            lines: one.lines + other.lines,
            bytes: one.bytes + other.bytes,
        })
    }

    /// Reopens each file after the lines that were taken before.
    pub fn reopen(&mut self) {
        self.outputs.iter_mut().for_each(Output::reopen);
        if let Some(queue) = &self.queue {
            queue.reopen();
        }
    }

    /// Empties each file after the lines that were taken before.
    pub fn empty(&mut self, emptying: &Arc<Emptying>) {
        for output in &mut self.outputs {
            output.empty(emptying);
        }
        if let Some(queue) = &self.queue {
            queue.empty(Arc::clone(emptying));
        }
    }

    /// Drops the copies of `done` once everything that was taken is written.
    pub fn done(&mut self, done: &Sender<()>) {
        for output in &mut self.outputs {
            output.done(done.clone());
        }
    }
}

/// One file, and where its problems are reported.
#[derive(Debug)]
pub struct FileWriter {
    file: LogFile,
    shared: Arc<Shared>,
    /// The part of the file's counters that is already in the shared counters.
    counted: file::Counters,
}

impl FileWriter {
    /// Writes the batch and then `more`, which belongs to the last run of the batch.
    pub fn write(&mut self, batch: &Batch, more: [&[u8]; 2]) {
        let parts = [&batch.bytes[..], more[0], more[1]];
        let total = parts.iter().map(|part| part.len()).sum();
        if let Err(failed) = self.file.write(&parts, clock::wall()) {
            for (went, lost) in outcome(batch.runs(), &parts, failed.written) {
                self.shared
                    .dropped(went.owner, FileLossReason::WriteError, lost);
            }
        }
        self.shared.sub_pending(total);
        self.tell();
    }

    /// Empties the file.
    pub fn empty(&mut self, emptying: &Emptying) {
        let outcome = self.file.empty(clock::wall());
        emptying.done(self.file.path(), outcome);
        self.tell();
    }

    /// Reopens the file.
    pub fn reopen(&mut self) {
        self.file.reopen(clock::wall());
        self.tell();
    }

    fn tell(&mut self) {
        let shared = &self.shared;
        report(&mut self.file, &mut self.counted, shared, |said| {
            shared.log_own(said);
        });
    }
}

/// Counts the rotations since the last call, and passes on the problems. `counted` is the part of the counters that was
/// counted before.
pub fn report(
    file: &mut LogFile,
    counted: &mut file::Counters,
    shared: &Shared,
    tell: impl Fn(&OwnEvent),
) {
    let now = file.counters();
    let Rotations { success, failure } = &shared.counters.rotations;
    success.fetch_add(now.rotations - counted.rotations, Relaxed);
    failure.fetch_add(now.rotations_failed - counted.rotations_failed, Relaxed);
    *counted = now;
    for note in file.events() {
        tell(&said(&note));
    }
}

fn said(note: &FileEvent) -> OwnEvent {
    match note {
        FileEvent::Failed { path, why } => {
            let text = "cannot write to a log file, its lines are lost until it works; the service goes on";
            OwnEvent::new(Level::ERROR, text).of(path, Some(why))
        }
        FileEvent::Works { path, lost } => {
            let text = "a log file can be written again";
            OwnEvent::new(Level::INFO, text)
                .of(path, None)
                .count("lost", *lost)
        }
        FileEvent::RotationFailed { path, why } => {
            let text =
                "cannot rotate a log file, so it keeps growing; trying again every ten seconds";
            OwnEvent::new(Level::WARN, text).of(path, Some(why))
        }
        FileEvent::CompressFailed { path, why } => {
            let text =
                "cannot compress a rotated log file, it stays as it is until the next rotation";
            OwnEvent::new(Level::WARN, text).of(path, Some(why))
        }
        FileEvent::RemoveFailed { path, why } => {
            let text = "cannot remove old log files; trying again after the next rotation";
            OwnEvent::new(Level::WARN, text).of(path, Some(why))
        }
    }
}
