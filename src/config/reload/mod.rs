//! How workers are replaced, and the triggers.

mod ignore;

use std::num::NonZeroU16;
use std::path::PathBuf;
use std::time::Duration;

pub use ignore::Ignore;

use super::faults::{Wrong, quote};
use super::grammar::{breaks_lines, duration, list, positive_duration};
use super::reader::{Reader, Value};
use super::schedule::{Schedule, schedule};
use super::setting::{Group, Preset, Setting};
use super::show;
use super::sizes::{self, Most};
use crate::policy::follow::PercentRule;
use crate::policy::{Bytes, MemoryBudget, Share, share_of_limit};

pub(super) const GROUP: Group = Group {
    title: "Reload, and what causes it",
    settings: &[
        &RELOAD_SURGE,
        &RELOAD_UNAVAILABLE,
        &MIN_READY,
        &MAX_MEMORY,
        &CRON_RELOAD,
        &WATCH,
        &WATCH_IGNORE,
        &WATCH_DELAY,
    ],
};

const RELOAD_SURGE: Setting<Share> = Setting {
    name: "RPM_RELOAD_SURGE",
    default: Preset::Computed(
        "1; 0 where no port is shared, since two workers could not bind the same one",
    ),
    help: "workers above RPM_INSTANCES during a reload: a number or a percentage",
    doc: "How many workers a reload may run beyond `RPM_INSTANCES`. A percentage of `RPM_INSTANCES` is rounded up. While \
          a worker is replaced, two workers of one slot run at the same time, so a job that the program starts on slot 0 \
          runs twice; with `0` a worker is stopped before its successor starts.",
    parse: sizes::surge,
    show: ToString::to_string,
};

const RELOAD_UNAVAILABLE: Setting<Share> = Setting {
    name: "RPM_RELOAD_UNAVAILABLE",
    default: Preset::Computed("0; 1 if RPM_RELOAD_SURGE is 0"),
    help: "workers below RPM_INSTANCES during a reload: a number or a percentage",
    doc: "How many workers may be missing during a reload. A percentage of `RPM_INSTANCES` is rounded down.",
    parse: sizes::unavailable,
    show: ToString::to_string,
};

const MIN_READY: Setting<Duration> = Setting {
    name: "RPM_MIN_READY",
    default: Preset::Text("1s"),
    help: "a new worker must stay ready so long before the next is replaced",
    doc: "In a reload, a new worker must stay ready for so long before the old one goes and the next worker is replaced. If \
          it ends before the old one has its stop signal, the old one serves again, and the reload has failed.",
    parse: duration,
    show: show::duration,
};

pub(super) const MAX_MEMORY: Setting<Most> = Setting {
    name: "RPM_MAX_MEMORY",
    default: Preset::Unset,
    help: "a worker above it is replaced: 300Mi, 1G, or 80% of its share of memory",
    doc: "A worker that uses more memory than this is replaced, as in a reload. The limit is a size (`300Mi`, `1G`), or a \
          percentage of the container's memory limit divided by the number of workers (`80%`), which follows both \
          (`RPM_INSTANCES_FOLLOW`).",
    parse: sizes::most,
    show: |most| match most {
        Most::Size(bytes) => bytes.to_string(),
        Most::Percent(percent) => format!("{percent}%"),
    },
};

const CRON_RELOAD: Setting<Schedule> = Setting {
    name: "RPM_CRON_RELOAD",
    default: Preset::Unset,
    help: "reloads at these times, UTC: minute hour day month weekday (0 4 * * *)",
    doc: "Reloads at these times, in UTC: five fields as in crontab (`0 4 * * MON-FRI` is 04:00 from Monday to Friday), or \
          `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`.",
    parse: schedule,
    show: show::text,
};

const WATCH: Setting<Vec<PathBuf>> = Setting {
    name: "RPM_WATCH",
    default: Preset::Unset,
    help: "files and directories whose change reloads",
    doc: "Files and directories; when one of them changes, the workers are reloaded. Volumes of a ConfigMap work too.",
    parse: paths,
    show: |paths| show::list(paths.iter().map(show::path)),
};

const WATCH_IGNORE: Setting<Ignore> = Setting {
    name: "RPM_WATCH_IGNORE",
    default: Preset::Text(".git,node_modules"),
    help: "names and paths below those that do not count; *, ?, **",
    doc: "What does not count below a watched directory: names anywhere (`.git`, `*.log`), or paths from the watched \
          directory on (`cache/**`). `*` and `?` stand for characters of one name, `**` for any directories.",
    parse: ignore::ignore,
    show: ToString::to_string,
};

const WATCH_DELAY: Setting<Duration> = Setting {
    name: "RPM_WATCH_DELAY",
    default: Preset::Text("1s"),
    help: "nothing must have changed for so long before it reloads",
    doc: "After a change, the reload waits until nothing has changed for so long: many files that change together cause \
          one reload.",
    parse: positive_duration,
    show: show::duration,
};

/// RPM_WATCH and its related settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// Files and directories, each once, as written; empty: nothing is watched.
    pub paths: Vec<PathBuf>,
    /// RPM_WATCH_IGNORE.
    pub ignore: Ignore,
    /// RPM_WATCH_DELAY; not 0.
    pub delay: Duration,
}

/// How workers are replaced, and the triggers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reload {
    /// RPM_RELOAD_SURGE; used with `unavailable` in [`crate::policy::allowance`].
    pub surge: Share,
    /// RPM_RELOAD_UNAVAILABLE; not 0 if `surge` is 0.
    pub unavailable: Share,
    /// RPM_MIN_READY.
    pub min_ready: Duration,
    /// RPM_MAX_MEMORY for one worker; a percentage is resolved.
    pub max_memory: Option<Bytes>,
    /// RPM_CRON_RELOAD.
    pub cron: Option<Schedule>,
    /// RPM_WATCH, RPM_WATCH_IGNORE and RPM_WATCH_DELAY.
    pub watch: Watch,
}

impl Reload {
    /// `unshared`: no port is shared.
    pub(super) fn read(
        reader: &mut Reader<'_>,
        instances: Value<NonZeroU16>,
        unshared: Value<bool>,
    ) -> Value<Self> {
        let max_memory = max_memory(reader, instances);
        let surge = surge(reader, unshared);
        let unavailable = unavailable(reader, surge);
        some_worker_can_be_replaced(reader, instances, surge, unavailable);
        if !reader.is_set(&WATCH) && !reader.is_broken(&WATCH) {
            reader.warn_if_set(&WATCH_IGNORE, "without RPM_WATCH");
            reader.warn_if_set(&WATCH_DELAY, "without RPM_WATCH");
        }
        Ok(Self {
            surge: surge?,
            unavailable: unavailable?,
            min_ready: reader.get(&MIN_READY)?,
            max_memory: max_memory?,
            cron: reader.given(&CRON_RELOAD)?,
            watch: Watch {
                paths: reader.given(&WATCH)?.unwrap_or_default(),
                ignore: reader.get(&WATCH_IGNORE)?,
                delay: reader.get(&WATCH_DELAY)?,
            },
        })
    }
}

/// The memory limit for RPM_INSTANCES=max, if RPM_MAX_MEMORY is a size.
pub(super) fn memory_budget(reader: &Reader<'_>, unshared: bool) -> Option<MemoryBudget> {
    let (each, surge) = room(reader, unshared)?;
    Some(MemoryBudget {
        limit: reader.input().memory?,
        each: each.0,
        surge,
    })
}

/// RPM_MAX_MEMORY if it is a size, and RPM_RELOAD_SURGE: what workers have to have room for.
pub(super) fn room(reader: &Reader<'_>, unshared: bool) -> Option<(Bytes, Share)> {
    let Ok(Some(Most::Size(each))) = reader.given(&MAX_MEMORY) else {
        return None;
    };
    let surge = match reader.given(&RELOAD_SURGE).ok()? {
        Some(surge) => surge,
        None => usual_surge(reader, unshared).ok()?,
    };
    Some((each, surge))
}

/// RPM_MAX_MEMORY if it is a percentage, with what it comes to at the start.
pub(super) fn percent(reader: &Reader<'_>, workers: NonZeroU16) -> Option<PercentRule> {
    let Ok(Some(Most::Percent(percent))) = reader.given(&MAX_MEMORY) else {
        return None;
    };
    let limit = reader.input().memory?;
    let (each, _) = share_of_limit(percent, limit, workers.get());
    Some(PercentRule {
        percent,
        limit,
        each,
    })
}

/// One additional worker; but none if no port is shared, unless no worker may be missing either.
fn usual_surge(reader: &Reader<'_>, unshared: bool) -> Value<Share> {
    let unavailable = reader.given(&RELOAD_UNAVAILABLE)?;
    let none_missing = unavailable.is_some_and(Share::is_zero);
    Ok(Share::Number(u16::from(!unshared || none_missing)))
}

fn surge(reader: &mut Reader<'_>, unshared: Value<bool>) -> Value<Share> {
    if let Some(surge) = reader.given(&RELOAD_SURGE)? {
        return Ok(surge);
    }
    let surge = usual_surge(reader, unshared?)?;
    let why = "no port is shared, and two workers could not bind the same one";
    let note = surge.is_zero().then(|| why.to_owned());
    reader.settle(&RELOAD_SURGE, &surge, note);
    Ok(surge)
}

fn unavailable(reader: &mut Reader<'_>, surge: Value<Share>) -> Value<Share> {
    if let Some(unavailable) = reader.given(&RELOAD_UNAVAILABLE)? {
        return Ok(unavailable);
    }
    let none_more = surge?.is_zero();
    let unavailable = Share::Number(u16::from(none_more));
    let note = none_more.then(|| "RPM_RELOAD_SURGE is 0".to_owned());
    reader.settle(&RELOAD_UNAVAILABLE, &unavailable, note);
    Ok(unavailable)
}

fn some_worker_can_be_replaced(
    reader: &mut Reader<'_>,
    instances: Value<NonZeroU16>,
    surge: Value<Share>,
    unavailable: Value<Share>,
) {
    let Ok(unavailable) = unavailable else {
        return;
    };
    if unavailable.is_zero() && surge.is_ok_and(Share::is_zero) {
        let what = "is nothing, and so is RPM_RELOAD_SURGE: no worker could ever be replaced";
        let wrong = Wrong::new(what, "at least 1 of either");
        reader.fault(&RELOAD_UNAVAILABLE, wrong);
    } else if let (Share::Number(count), Ok(instances)) = (unavailable, instances)
        && count > instances.get()
    {
        let what = format!("is more than all workers (RPM_INSTANCES is {instances})");
        let wrong = Wrong::new(what, format!("0 to {instances}, or a percentage"));
        reader.fault(&RELOAD_UNAVAILABLE, wrong);
    }
}

fn max_memory(reader: &mut Reader<'_>, instances: Value<NonZeroU16>) -> Value<Option<Bytes>> {
    let limit = reader.input().memory;
    let Some(most) = reader.given(&MAX_MEMORY)? else {
        return Ok(None);
    };
    let bytes = match most {
        Most::Size(bytes) => bytes,
        Most::Percent(percent) => {
            let (bytes, how) = sizes::share_of_limit(percent, limit, instances?.get())
                .map_err(|wrong| reader.fault(&MAX_MEMORY, wrong))?;
            reader.settle(&MAX_MEMORY, &Most::Size(bytes), Some(how));
            bytes
        }
    };
    if let (Ok(instances), Some(limit)) = (instances, limit)
        && bytes.0.saturating_mul(u64::from(instances.get())) > limit
    {
        reader.warn(format!(
            "RPM_MAX_MEMORY ({bytes}) times {instances} workers is more than the memory limit ({}): the kernel may \
             kill before a worker is replaced",
            Bytes(limit)
        ));
    }
    Ok(Some(bytes))
}

/// Maximal number of entries of RPM_WATCH.
const MOST_PATHS: usize = 64;

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
mod tests;
