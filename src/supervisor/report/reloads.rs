//! The last reloads, for the control socket: how far the present one is, and how and why the others ended. Also why new
//! workers did not come up.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::config::Config;
use crate::model::{Generation, ReloadResult, ReloadView, SlotId, Snapshot, WorkerState};
use crate::policy::Note;

use super::{Listener, Told, missing};

/// How many reloads are kept: who waits for one asks many times while it runs.
const KEPT: usize = 8;

/// How many new workers that did not come up are kept.
const KEPT_FAILURES: usize = 8;

/// Longest text of why a reload failed, bytes.
const LONGEST: usize = 2000;

/// One reload.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ReloadRecord {
    /// Counted from 1.
    number: u64,
    generation: Generation,
    /// Workers to replace, and those that were started meanwhile: slots that should have a worker, as was told last.
    workers: usize,
    /// When it began, seconds since 1970.
    began: u64,
    /// Workers that are replaced already, as was told last.
    told: usize,
    /// How it ended; `None` while it runs.
    ended: Option<Ended>,
    /// Why a new worker did not come up: for everybody to read; and with its last lines and how its check failed.
    why: Option<(String, String)>,
}

/// The end of a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ended {
    result: ReloadResult,
    replaced: usize,
    took: Duration,
}

/// The last reloads, the latest at the end. Clones share them.
#[derive(Clone, Debug, Default)]
pub(in crate::supervisor) struct Reloads(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    records: VecDeque<ReloadRecord>,
    /// New workers that did not come up, in reloads or as replacements.
    failures: u64,
    /// The last of them, with their numbers from 1, their slots, and why they did not.
    failed: VecDeque<(u64, SlotId, String)>,
}

impl Reloads {
    /// As they are shown, in the state of this snapshot. `wall` is the present time in seconds since 1970.
    pub(in crate::supervisor) fn views(&self, snapshot: &Snapshot, wall: u64) -> Vec<ReloadView> {
        let view = |record: &ReloadRecord| {
            let ended = record.ended;
            let running = Duration::from_secs(wall.saturating_sub(record.began));
            let replaced = ended.map_or_else(|| current(snapshot), |ended| ended.replaced);
            ReloadView {
                number: record.number,
                generation: record.generation,
                // The snapshot may be a little older than the record.
                workers: record.workers.max(replaced),
                replaced,
                result: ended.map(|ended| ended.result),
                why: record.why.as_ref().map(|(why, _)| why.clone()),
                why_and_lines: record.why.as_ref().map(|(_, lines)| lines.clone()),
                took: ended.map_or(running, |ended| ended.took),
            }
        };
        self.locked(|kept| kept.records.iter().map(view).collect())
    }

    #[cfg(test)]
    fn all(&self) -> Vec<ReloadRecord> {
        self.locked(|kept| kept.records.iter().cloned().collect())
    }

    /// Whether one runs.
    pub(in crate::supervisor) fn runs(&self) -> bool {
        self.locked(|kept| kept.records.back().is_some_and(|last| last.ended.is_none()))
    }

    /// The number that the next reload gets.
    pub(in crate::supervisor) fn next(&self) -> u64 {
        self.locked(|kept| kept.records.back().map_or(1, |last| last.number + 1))
    }

    /// How many new workers did not come up since the start; and the last of them with their numbers, their slots, and why they
    /// did not.
    pub(in crate::supervisor) fn failures(&self) -> (u64, Vec<(u64, SlotId, String)>) {
        self.locked(|kept| (kept.failures, kept.failed.iter().cloned().collect()))
    }

    /// The reload that runs is as this snapshot shows. Returns how many workers it has replaced, if that is more than was told,
    /// and how many it has to replace.
    pub(in crate::supervisor) fn step(&self, seen: &Snapshot) -> Option<(usize, usize)> {
        let replaced = current(seen);
        let mut workers = None;
        self.change(|last| {
            // Slots may be added, removed, emptied and started meanwhile.
            last.workers = wanted(seen);
            if replaced > last.told {
                last.told = replaced;
                workers = Some((replaced, last.workers));
            }
        });
        workers
    }

    fn failed(&self, slot: SlotId, why: String, with_lines: String) {
        self.change(|last| last.why = Some((why, with_lines.clone())));
        self.locked(|kept| {
            kept.failures = kept.failures.saturating_add(1);
            if kept.failed.len() >= KEPT_FAILURES {
                kept.failed.pop_front();
            }
            kept.failed.push_back((kept.failures, slot, with_lines));
        });
    }

    /// A panic elsewhere leaves the list valid.
    fn locked<T>(&self, then: impl FnOnce(&mut Kept) -> T) -> T {
        then(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn begin(&self, generation: Generation, workers: usize, began: u64) {
        let number = self.next();
        self.locked(|kept| {
            if kept.records.len() >= KEPT {
                kept.records.pop_front();
            }
            kept.records.push_back(ReloadRecord {
                number,
                generation,
                workers,
                began,
                told: 0,
                ended: None,
                why: None,
            });
        });
    }

    /// Changes the reload that runs.
    fn change(&self, then: impl FnOnce(&mut ReloadRecord)) {
        self.locked(|kept| {
            if let Some(last) = kept.records.back_mut().filter(|last| last.ended.is_none()) {
                then(last);
            }
        });
    }
}

/// How many slots should have a worker.
fn wanted(snapshot: &Snapshot) -> usize {
    let down = [WorkerState::Stopped, WorkerState::Halted];
    let slots = snapshot.slots.iter();
    slots.filter(|view| !down.contains(&view.state)).count()
}

/// How many slots are served by a worker of the present generation.
pub(in crate::supervisor) fn current(snapshot: &Snapshot) -> usize {
    let slots = snapshot.slots.iter();
    let ready = slots.filter(|view| view.state == WorkerState::Ready);
    ready
        .filter(|view| view.generation == snapshot.generation)
        .count()
}

/// Writes what the notes tell of reloads.
#[derive(Debug)]
pub(super) struct Listening {
    config: Arc<Config>,
    reloads: Reloads,
}

impl Listening {
    pub(super) fn new(config: &Arc<Config>, reloads: &Reloads) -> Self {
        Self {
            config: Arc::clone(config),
            reloads: reloads.clone(),
        }
    }
}

impl Listener for Listening {
    fn hear(&mut self, told: &Told<'_>) {
        match told.note {
            Note::ReloadBegins {
                generation,
                workers,
                ..
            } => self.reloads.begin(generation, workers, told.unix_seconds),
            Note::NotUp { slot, why, .. } => {
                let whole = missing::not_up(why, &self.config, told);
                let open = missing::not_up_openly(why, &self.config, told);
                let with_lines = sentence(slot, &whole, told.last_lines);
                self.reloads
                    .failed(slot, sentence(slot, &open, &[]), with_lines);
            }
            Note::ReloadEnded {
                result,
                replaced,
                took,
            } => self.reloads.change(|last| {
                last.ended = Some(Ended {
                    result,
                    replaced,
                    took,
                });
            }),
            _ => {}
        }
    }
}

fn sentence(slot: SlotId, why: &str, last_lines: &[String]) -> String {
    let mut text = format!("the new worker of slot {slot} did not come up: {why}");
    if !last_lines.is_empty() {
        text.push_str("; its last lines: ");
        text.push_str(&last_lines.join(" | "));
    }
    if text.len() > LONGEST {
        text.truncate(text.floor_char_boundary(LONGEST));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests;
