//! How workers are replaced, and what causes it.
#![expect(clippy::option_option, reason = "faulty, absent and present are three")]

use std::num::NonZeroU16;
use std::path::PathBuf;
use std::time::Duration;

use super::env::Raw;
use super::env_file::env_file;
use super::faults::{Wrong, path, plain, quote};
use super::ignore::{Ignore, ignore};
use super::parse::{self, breaks_lines, list};
use super::resolve::{Input, Reader};
use super::schedule::{Schedule, schedule};
use super::sizes::{self, Most};
use super::types::Watch;
use crate::policy::{Bytes, MemoryBudget, Share};

/// Most lines of an RPM_ENV_FILE that are told as wrong.
const BAD_LINES: usize = 5;

/// Most entries of RPM_WATCH.
const MOST_PATHS: usize = 64;

/// Everything about reloads, in doubt.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) drain_timeout: Option<Duration>,
    /// What was said; [`Draft::settle`] makes it what holds.
    pub(super) surge: Option<Option<Share>>,
    pub(super) unavailable: Option<Option<Share>>,
    pub(super) min_ready: Option<Duration>,
    most: Option<Option<Most>>,
    pub(super) max_memory: Option<Option<Bytes>>,
    pub(super) cron: Option<Option<Schedule>>,
    pub(super) env_file: Option<Option<PathBuf>>,
    paths: Option<Vec<PathBuf>>,
    ignore: Option<Ignore>,
    delay: Option<Duration>,
}

impl Draft {
    pub(super) fn read(raw: &Raw, input: &Input<'_>, reader: &mut Reader) -> Self {
        let drain = raw.drain_timeout.as_ref();
        Self {
            drain_timeout: reader.get("RPM_DRAIN_TIMEOUT", drain, parse::duration),
            surge: reader.optional("RPM_RELOAD_SURGE", raw.reload_surge.as_ref(), sizes::surge),
            unavailable: reader.optional(
                "RPM_RELOAD_UNAVAILABLE",
                raw.reload_unavailable.as_ref(),
                sizes::unavailable,
            ),
            min_ready: reader.get("RPM_MIN_READY", raw.min_ready.as_ref(), parse::duration),
            most: reader.optional("RPM_MAX_MEMORY", raw.max_memory.as_ref(), sizes::most),
            max_memory: None,
            cron: reader.optional("RPM_CRON_RELOAD", raw.cron_reload.as_ref(), schedule),
            env_file: variables(raw, input, reader),
            paths: reader
                .optional("RPM_WATCH", raw.watch.as_ref(), paths)
                .map(Option::unwrap_or_default),
            ignore: reader.get("RPM_WATCH_IGNORE", raw.watch_ignore.as_ref(), ignore),
            delay: reader.get(
                "RPM_WATCH_DELAY",
                raw.watch_delay.as_ref(),
                parse::positive_duration,
            ),
        }
    }

    /// What bounds RPM_INSTANCES=max, if each worker has a greatest size.
    pub(super) fn memory_budget(&self, limit: Option<u64>, unshared: bool) -> Option<MemoryBudget> {
        let Some(Some(Most::Size(each))) = self.most else {
            return None;
        };
        Some(MemoryBudget {
            limit: limit?,
            each: each.0,
            surge: self.surge?.or_else(|| self.usual_surge(unshared))?,
        })
    }

    /// Works out what was not said, and what depends on the number of workers.
    pub(super) fn settle(
        &mut self,
        instances: Option<NonZeroU16>,
        unshared: Option<bool>,
        limit: Option<u64>,
        raw: &Raw,
        reader: &mut Reader,
    ) {
        if let Some(unshared) = unshared {
            self.allowances(unshared, reader);
        }
        self.max_memory = match (self.most, instances) {
            (Some(None), _) => Some(None),
            (Some(Some(Most::Size(bytes))), _) => Some(Some(bytes)),
            (Some(Some(Most::Percent(percent))), Some(instances)) => {
                match sizes::share_of_limit(percent, limit, instances.get()) {
                    Ok((bytes, how)) => {
                        reader.notes.insert("RPM_MAX_MEMORY", how);
                        Some(Some(bytes))
                    }
                    Err(wrong) => {
                        reader.fault("RPM_MAX_MEMORY", raw.max_memory.as_deref(), wrong);
                        None
                    }
                }
            }
            _ => None,
        };
        if let (Some(instances), Some(Some(most)), Some(limit)) =
            (instances, self.max_memory, limit)
            && most.0.saturating_mul(u64::from(instances.get())) > limit
        {
            reader.warnings.push(format!(
                "RPM_MAX_MEMORY ({most}) times {instances} workers is more than the memory limit ({}): the kernel may \
                 kill before a worker is replaced",
                Bytes(limit)
            ));
        }
    }

    fn allowances(&mut self, unshared: bool, reader: &mut Reader) {
        if self.surge == Some(None) {
            self.surge = self.usual_surge(unshared).map(Some);
            if self.surge == Some(Some(Share::Number(0))) {
                let why = "no port is shared, and two workers could not bind the same one";
                reader.notes.insert("RPM_RELOAD_SURGE", why.to_owned());
            }
        }
        if let (Some(Some(surge)), Some(None)) = (self.surge, self.unavailable) {
            let count = u16::from(surge.is_zero());
            self.unavailable = Some(Some(Share::Number(count)));
            if count > 0 {
                let why = "RPM_RELOAD_SURGE is 0";
                reader
                    .notes
                    .insert("RPM_RELOAD_UNAVAILABLE", why.to_owned());
            }
        }
    }

    /// One worker more, but none where nothing is shared: unless none may be missing either. `None` if that is not
    /// known.
    fn usual_surge(&self, unshared: bool) -> Option<Share> {
        let none_missing = self.unavailable?.is_some_and(Share::is_zero);
        Some(Share::Number(u16::from(!unshared || none_missing)))
    }

    pub(super) fn watch(&mut self) -> Option<Watch> {
        Some(Watch {
            paths: self.paths.take()?,
            ignore: self.ignore.take()?,
            delay: self.delay?,
        })
    }
}

/// RPM_ENV_FILE, read once to see whether it can be.
fn variables(raw: &Raw, input: &Input<'_>, reader: &mut Reader) -> Option<Option<PathBuf>> {
    let mut unread = Vec::new();
    let file = reader.optional("RPM_ENV_FILE", raw.env_file.as_ref(), |text| {
        let file = PathBuf::from(text);
        let bytes = (input.read_file)(&file).map_err(|error| {
            Wrong::new(
                format!("the file cannot be read: {error}"),
                "the path of a readable file of NAME=VALUE lines",
            )
        })?;
        let variables = env_file(&bytes).map_err(|bad| {
            let mut told: Vec<String> =
                bad.iter().take(BAD_LINES).map(ToString::to_string).collect();
            if bad.len() > BAD_LINES {
                told.push(format!("and {} lines more", bad.len() - BAD_LINES));
            }
            let accepted = "lines NAME=VALUE, export NAME=VALUE, NAME='VALUE' or NAME=\"VALUE\", and comment lines that begin with #";
            Wrong::new(told.join(", "), accepted)
        })?;
        let names = variables.iter().map(|(name, _)| name.to_string_lossy());
        unread.extend(
            names
                .filter(|name| name.starts_with("RPM_"))
                .map(|name| plain(&name)),
        );
        Ok(file)
    });
    if let (Some(Some(file)), false) = (&file, unread.is_empty()) {
        reader.warnings.push(format!(
            "{} in {} does not concern the runtime, which takes its own variables from its environment; workers get it",
            unread.join(", "),
            path(file)
        ));
    }
    file
}

/// RPM_WATCH.
fn paths(text: &str) -> Result<Vec<PathBuf>, Wrong> {
    let accepted =
        "paths of files and directories, separated by commas, such as /etc/app,config.yaml";
    let mut paths: Vec<PathBuf> = Vec::new();
    let mut complaints = Vec::new();
    for part in list(text) {
        if part.chars().any(breaks_lines) {
            let what = "holds a control character or a line break";
            complaints.push(format!("{} {what}", quote(part)));
        }
        let path = PathBuf::from(part);
        if !paths.contains(&path) {
            paths.push(path);
        }
    }
    let what = if !complaints.is_empty() {
        complaints.join(", ")
    } else if paths.is_empty() {
        "names no path".to_owned()
    } else if paths.len() > MOST_PATHS {
        format!("names {} paths, more than {MOST_PATHS}", paths.len())
    } else {
        return Ok(paths);
    };
    Err(Wrong::new(what, accepted))
}

#[cfg(test)]
#[path = "reload_tests.rs"]
mod tests;
