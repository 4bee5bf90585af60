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
    /// Workers to replace.
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
            ReloadView {
                number: record.number,
                generation: record.generation,
                workers: record.workers,
                replaced: ended.map_or_else(|| current(snapshot), |ended| ended.replaced),
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

    /// The reload that runs has replaced so many workers. Returns how many there are to replace, if it is more than was told.
    pub(in crate::supervisor) fn step(&self, replaced: usize) -> Option<usize> {
        let mut workers = None;
        self.change(|last| {
            if replaced > last.told {
                last.told = replaced;
                workers = Some(last.workers);
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
mod tests {
    use super::*;
    use crate::model::{Exit, Pid, Trigger};
    use crate::policy::{Missing, NotUp, PortTable};

    fn hear(listening: &mut Listening, note: Note, last_lines: &[String]) {
        listening.hear(&Told {
            note,
            unix_seconds: 7,
            ports: &PortTable::default(),
            last_lines,
            not_passed: None,
            unseen: None,
            blind: false,
        });
    }

    fn begins(generation: u32) -> Note {
        Note::ReloadBegins {
            trigger: Trigger::Operator,
            generation: Generation(generation),
            workers: 2,
        }
    }

    fn ended(result: ReloadResult) -> Note {
        Note::ReloadEnded {
            result,
            replaced: 1,
            took: Duration::from_secs(3),
        }
    }

    #[test]
    fn what_everybody_may_read_of_a_failure_has_nothing_of_its_check() {
        let reloads = Reloads::default();
        let config = crate::config::testing::with(&[("RPM_READY", "http:/up?token=sesame")]);
        let mut listening = Listening::new(&Arc::new(config), &reloads);
        hear(&mut listening, begins(1), &[]);
        let note = Note::NotUp {
            slot: SlotId(1),
            pid: Pid::new(77),
            why: NotUp::NotReady {
                after: Duration::from_secs(9),
                missing: Missing::Word,
            },
        };
        listening.hear(&Told {
            note,
            unix_seconds: 7,
            ports: &PortTable::default(),
            last_lines: &[],
            not_passed: Some("GET /up?token=sesame on port 3000: status 404"),
            unseen: None,
            blind: false,
        });
        let view = reloads.views(&Snapshot::default(), 8).pop().unwrap();
        let (open, whole) = (view.why.unwrap(), view.why_and_lines.unwrap());
        assert!(open.ends_with("the path of RPM_READY with a success"));
        assert_eq!(
            whole,
            format!("{open} (GET /up?token=sesame on port 3000: status 404)")
        );
    }

    #[test]
    fn the_end_of_a_reload_is_kept_with_its_reason() {
        let reloads = Reloads::default();
        let mut listening = Listening::new(&Arc::new(crate::config::testing::with(&[])), &reloads);
        assert_eq!(reloads.next(), 1);
        hear(&mut listening, begins(1), &[]);
        assert_eq!(reloads.next(), 2);
        let why = NotUp::Ended(Exit::Code(3));
        let note = Note::NotUp {
            slot: SlotId(1),
            pid: Pid::new(77),
            why,
        };
        hear(&mut listening, note, &["Error: no such file".to_owned()]);
        hear(&mut listening, ended(ReloadResult::Failure), &[]);
        let last = reloads.all().pop().unwrap();
        assert_eq!(last.ended.unwrap().result, ReloadResult::Failure);
        let (why, with_lines) = last.why.unwrap();
        assert_eq!(
            why,
            "the new worker of slot 1 did not come up: it exited with code 3"
        );
        assert_eq!(
            with_lines,
            format!("{why}; its last lines: Error: no such file")
        );
        // A replacement that fails without a reload changes no record.
        hear(&mut listening, note, &[]);
        assert_eq!(reloads.all().len(), 1);
        let (count, failed) = reloads.failures();
        assert_eq!((count, failed.len()), (2, 2));
        assert_eq!((failed[1].0, failed[1].1), (2, SlotId(1)));
        for _ in 0..20 {
            hear(&mut listening, note, &[]);
        }
        let (count, failed) = reloads.failures();
        assert_eq!((count, failed.len()), (22, KEPT_FAILURES));
        assert_eq!(failed[0].0, 15, "the latest are kept");
        assert_eq!(reloads.next(), 2);
    }

    #[test]
    fn only_the_last_reloads_are_kept_and_their_numbers_go_on() {
        let reloads = Reloads::default();
        let mut listening = Listening::new(&Arc::new(crate::config::testing::with(&[])), &reloads);
        for generation in 1..=20 {
            hear(&mut listening, begins(generation), &[]);
            hear(&mut listening, ended(ReloadResult::Success), &[]);
        }
        let numbers: Vec<u64> = reloads.all().iter().map(|record| record.number).collect();
        assert_eq!(numbers, (13..=20).collect::<Vec<u64>>());
    }

    #[test]
    fn a_long_reason_is_cut_between_two_letters() {
        let text = sentence(SlotId(0), "it ended", &["é".repeat(4000)]);
        assert!(text.len() <= LONGEST + '…'.len_utf8(), "{}", text.len());
        assert!(text.ends_with('…'));
    }
}
