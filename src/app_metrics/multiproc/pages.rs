//! Builds the pages of all processes from the entries of all files.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::file::{HEAD, entries};
use super::key::{Key, Title, read};
use super::process::{Newest, Process, Said};
use super::{Content, FileName, Mode};
use crate::app_metrics::merge::Aggregation;
use crate::exposition::{self, DropReason, Parsed};

/// Limits for reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreLimits {
    /// Number of files in the directory.
    pub files: usize,
    /// Used bytes of one file.
    pub file_bytes: usize,
    /// Bytes of all files.
    pub bytes: usize,
    /// Number of entries in all files.
    pub entries: usize,
    /// Limits for one process: number of entries (as series), lengths of names.
    pub page: exposition::PageLimits,
}

impl Default for StoreLimits {
    fn default() -> Self {
        Self {
            files: 16_384,
            file_bytes: 8 << 20,
            bytes: 64 << 20,
            entries: 250_000,
            page: exposition::PageLimits::default(),
        }
    }
}

/// The result of reading all files.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// The page of each process, by PID.
    pub processes: BTreeMap<u32, Parsed>,
    /// The aggregation that the program asks for, by gauge name. If processes differ, the one with the highest PID,
    /// which may be the youngest, wins.
    pub modes: BTreeMap<Box<str>, Aggregation>,
    /// Files that may belong to the program but could not be read.
    pub unreadable: usize,
    /// Processes of which something is missing because of the limits for all processes together.
    pub short: BTreeSet<u32>,
}

/// Collects the files one by one, in the order of their names.
#[derive(Debug)]
pub struct Pages {
    limits: StoreLimits,
    processes: BTreeMap<u32, Process>,
    modes: BTreeMap<Box<str>, Aggregation>,
    newest: Newest,
    short: BTreeSet<u32>,
    keys: Keys,
    bytes: usize,
    entries: usize,
}

/// A parsed key and the number of its family.
type Known = (Arc<Key>, usize);

/// Cache of parsed keys: most keys are the same in all processes.
#[derive(Debug, Default)]
struct Keys {
    /// By the kind of the file and the text of the key.
    known: BTreeMap<&'static str, HashMap<Box<[u8]>, Known>>,
    numbers: HashMap<Title, usize>,
    titles: Vec<Title>,
}

impl Keys {
    fn read(
        &mut self,
        json: &[u8],
        content: Content,
        limits: &exposition::PageLimits,
    ) -> Result<Option<Known>, DropReason> {
        let known = self.known.entry(content.kind()).or_default();
        if let Some(known) = known.get(json) {
            return Ok(Some(known.clone()));
        }
        let Some(key) = read(json, content, limits)? else {
            return Ok(None);
        };
        let number = self.numbers.len();
        let number = *self.numbers.entry(key.title.clone()).or_insert(number);
        if number == self.titles.len() {
            self.titles.push(key.title.clone());
        }
        let new = (Arc::new(key), number);
        known.insert(json.into(), new.clone());
        Ok(Some(new))
    }
}

impl Pages {
    /// Creates an empty collection.
    pub fn new(limits: StoreLimits) -> Self {
        Self {
            limits,
            processes: BTreeMap::new(),
            modes: BTreeMap::new(),
            newest: Newest::default(),
            short: BTreeSet::new(),
            keys: Keys::default(),
            bytes: 0,
            entries: 0,
        }
    }

    /// Most bytes to take of the next file.
    pub(super) fn room(&self) -> usize {
        let room = self.limits.bytes.saturating_sub(self.bytes);
        room.min(self.limits.file_bytes).max(HEAD)
    }

    /// Takes a file. `bytes` is its used part, or less if it was cut.
    pub fn add(&mut self, name: FileName, bytes: &[u8]) {
        let room = self.room();
        let cut = if bytes.len() > room {
            DropReason::Limit
        } else {
            DropReason::Invalid
        };
        if bytes.len() > room && room < self.limits.file_bytes {
            self.short.insert(name.pid);
        }
        let bytes = bytes.get(..room).unwrap_or(bytes);
        self.bytes += bytes.len();
        let process = self.processes.entry(name.pid).or_default();
        let mode = match name.content {
            Content::Gauge(mode) => Some(mode),
            _ => None,
        };
        for entry in entries(bytes) {
            let Ok(entry) = entry else {
                process.dropped.count(cut, 1);
                continue;
            };
            let full = self.entries >= self.limits.entries;
            if full {
                self.short.insert(name.pid);
            }
            if full || process.len >= self.limits.page.series {
                process.dropped.count(DropReason::Limit, 1);
                continue;
            }
            process.len += 1;
            self.entries += 1;
            let known = self.keys.read(entry.key, name.content, &self.limits.page);
            let (key, family) = match known {
                Ok(Some(known)) => known,
                Ok(None) => continue,
                Err(fault) => {
                    process.dropped.count(fault, 1);
                    continue;
                }
            };
            if let Some(aggregation) = mode.and_then(Mode::aggregation) {
                self.modes.insert(key.title.name.clone(), aggregation);
            }
            let is_recent = mode.is_some_and(Mode::is_recent);
            if is_recent {
                self.newest.note(&key, entry.time, entry.value);
            }
            let said = Said {
                key,
                value: entry.value,
                is_recent,
            };
            process.add(family, said);
        }
    }

    /// Builds the pages. If the most recent value of a gauge counts, every process that has the gauge gets that value.
    pub fn finish(self) -> Reading {
        let Self {
            processes,
            newest,
            short,
            keys,
            ..
        } = self;
        let page = |(pid, process): (u32, Process)| (pid, process.page(&keys.titles, &newest));
        Reading {
            processes: processes.into_iter().map(page).collect(),
            modes: self.modes,
            unreadable: 0,
            short,
        }
    }
}
