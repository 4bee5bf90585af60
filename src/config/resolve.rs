//! What the raw text means: one builder for each group of settings, and every fault told.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use super::draft::Draft;
use super::env::{Source, gather};
use super::faults::{Fault, Faults, Wrong, quote};
use super::names::{Preset, rank, setting, settings};
use super::types::Config;
use super::{parse, rules};
use crate::policy::CpuBudget;

/// All that the configuration depends on.
pub struct Input<'a> {
    /// The environment, in its order.
    pub vars: Vec<(OsString, OsString)>,
    /// The command's words, without our own options.
    pub args: Vec<OsString>,
    /// What `max` is worked out from.
    pub cpus: CpuBudget,
    /// The memory limit of the container, bytes; `None` if there is none.
    pub memory: Option<u64>,
    /// Reads a `NAME_FILE` and RPM_ENV_FILE.
    pub read_file: &'a dyn Fn(&Path) -> io::Result<Vec<u8>>,
}

/// One setting, for --check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The variable.
    pub name: &'static str,
    /// The value that holds, `-` for none.
    pub value: String,
    /// Where it comes from.
    pub source: Source,
    /// How it came about, where that is not plain.
    pub note: Option<String>,
}

/// A good configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// What the runtime goes by.
    pub config: Config,
    /// What is odd, one message each.
    pub warnings: Vec<String>,
    /// Every setting, in the order of the help text.
    pub lines: Vec<Line>,
}

/// The configuration, or everything that is wrong with it.
pub fn resolve(input: &Input<'_>) -> Result<Resolved, Faults> {
    let given = gather(&input.vars, input.read_file);
    let raw = given.raw;
    let mut reader = Reader {
        sources: given.sources,
        broken: given.broken,
        notes: BTreeMap::new(),
        faults: given.faults,
        warnings: given.warnings,
    };
    let draft = Draft::read(&raw, input, &mut reader);
    rules::check(&draft, &raw, &mut reader);
    let faults = reader.sorted_faults();
    match draft.finish() {
        Some(config) if faults.is_empty() => {
            let lines = settings().map(|setting| Line {
                name: setting.name,
                value: (setting.show)(&config),
                source: reader.source(setting.name),
                note: reader.notes.remove(setting.name),
            });
            let lines = lines.collect();
            Ok(Resolved {
                config,
                warnings: reader.warnings,
                lines,
            })
        }
        _ => Err(Faults {
            faults,
            warnings: reader.warnings,
        }),
    }
}

/// RPM_ADMIN_ADDR alone, for --healthcheck, which needs no command and shall not fail for other settings' sake.
pub fn admin_addr(input: &Input<'_>) -> Result<Option<SocketAddr>, Faults> {
    let name = "RPM_ADMIN_ADDR";
    let given = gather(&input.vars, input.read_file);
    let mut reader = Reader {
        sources: given.sources,
        broken: given.broken,
        notes: BTreeMap::new(),
        faults: given.faults,
        warnings: Vec::new(),
    };
    let addr = reader.get(name, given.raw.admin_addr.as_ref(), parse::admin_addr);
    reader
        .faults
        .retain(|fault| rank(&fault.name) == rank(name));
    addr.ok_or_else(|| Faults {
        faults: reader.faults,
        warnings: Vec::new(),
    })
}

/// Hands out values and collects faults.
pub(super) struct Reader {
    sources: BTreeMap<&'static str, Source>,
    broken: BTreeSet<&'static str>,
    pub(super) notes: BTreeMap<&'static str, String>,
    faults: Vec<Fault>,
    pub(super) warnings: Vec<String>,
}

impl Reader {
    /// The value of a setting: what was given, else its default; `None` if that is faulty or there is none.
    pub(super) fn get<T>(
        &mut self,
        name: &'static str,
        given: Option<&String>,
        parse: impl FnOnce(&str) -> Result<T, Wrong>,
    ) -> Option<T> {
        if self.broken.contains(name) {
            return None;
        }
        let text = match (given, setting(name).map(|setting| setting.preset)) {
            (Some(text), _) => text.as_str(),
            (None, Some(Preset::Text(text))) => text,
            (None, _) => return None,
        };
        parse(text)
            .map_err(|wrong| self.fault(name, Some(text), wrong))
            .ok()
    }

    /// As `get`, for a setting without a default: the outer `None` is a fault, the inner one is unset.
    #[expect(clippy::option_option, reason = "faulty, unset and set are three")]
    pub(super) fn optional<T>(
        &mut self,
        name: &'static str,
        given: Option<&String>,
        parse: impl FnOnce(&str) -> Result<T, Wrong>,
    ) -> Option<Option<T>> {
        match given {
            None if self.broken.contains(name) => None,
            None => Some(None),
            Some(_) => self.get(name, given, parse).map(Some),
        }
    }

    pub(super) fn fault(&mut self, name: &'static str, value: Option<&str>, wrong: Wrong) {
        let file = match self.sources.get(name) {
            Some(Source::File(file)) => Some(file.clone()),
            _ => None,
        };
        self.faults.push(Fault {
            name: name.to_owned(),
            value: value.map(quote),
            file,
            what: wrong.what,
            accepted: wrong.accepted,
        });
    }

    pub(super) fn set_source(&mut self, name: &'static str, source: Source) {
        self.sources.insert(name, source);
    }

    fn source(&self, name: &str) -> Source {
        self.sources.get(name).cloned().unwrap_or(Source::Default)
    }

    pub(super) fn is_broken(&self, name: &str) -> bool {
        self.broken.contains(name)
    }

    fn sorted_faults(&mut self) -> Vec<Fault> {
        let mut faults = std::mem::take(&mut self.faults);
        faults.sort_by_key(|fault| rank(&fault.name));
        faults
    }
}

#[cfg(test)]
#[path = "resolve_tests.rs"]
mod tests;
