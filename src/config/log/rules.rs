//! Rules between RPM_LOG_* variables. A rule is skipped while one of its settings is faulty by itself.

use std::collections::HashMap;

use super::own::{LOG_OWN, LOG_OWN_FILE};
use super::{
    FileName, LINES_IN_BUFFER, LOG_BUFFER, LOG_COMPRESS, LOG_ERROR_FILE, LOG_FILE, LOG_FORMAT,
    LOG_MAX_LINE, LOG_MULTILINE, LOG_OVERFLOW, LOG_RATE, LOG_RETAIN, LOG_ROTATE_EVERY,
    LOG_ROTATE_SIZE, LOG_STDERR, LOG_TIMESTAMP, LogFormat, LogStderr, OwnLines,
};
use crate::config::faults::Wrong;
use crate::config::reader::{Reader, Value};
use crate::config::show;
use crate::model::{Overflow, SlotId, Timestamp};
use crate::policy::MAX_INSTANCES;

const NO_TIME: &str = "none, or RPM_LOG_FORMAT=prefix or json";

/// Applies every rule.
pub(super) fn check(reader: &mut Reader<'_>, format: Value<LogFormat>) {
    match format {
        Ok(LogFormat::Inherit) => inherit(reader),
        Ok(LogFormat::Raw) if has_times(reader) => {
            let its = if reader.is_set(&LOG_FORMAT) {
                ""
            } else {
                ", its default"
            };
            let what = format!(
                "has no place in lines that pass byte for byte (RPM_LOG_FORMAT is raw{its})"
            );
            reader.fault(&LOG_TIMESTAMP, Wrong::new(what, NO_TIME));
        }
        _ => {}
    }
    line_fits_into_buffer(reader);
    two_files(reader);
    own_file(reader);
    idle_rotation(reader);
}

/// Whether lines get a timestamp.
fn has_times(reader: &Reader<'_>) -> bool {
    let given = reader.given(&LOG_TIMESTAMP);
    given.is_ok_and(|given| given.is_some_and(|timestamp| timestamp != Timestamp::None))
}

fn has<T>(value: &Value<Option<T>>) -> bool {
    matches!(value, Ok(Some(_)))
}

/// The first set variable that needs lines to pass through the runtime. They do not with the format inherit.
pub(super) fn needs_lines(reader: &Reader<'_>) -> Option<&'static str> {
    let merges = reader.given(&LOG_STDERR) == Ok(Some(LogStderr::Merge));
    let drops = reader.get(&LOG_OVERFLOW) == Ok(Overflow::Drop);
    let rows = [
        (LOG_TIMESTAMP.name, has_times(reader)),
        (LOG_STDERR.name, merges),
        (LOG_OVERFLOW.name, drops),
        (LOG_MULTILINE.name, has(&reader.given(&LOG_MULTILINE))),
        (LOG_RATE.name, has(&reader.get(&LOG_RATE))),
        (LOG_FILE.name, has(&reader.given(&LOG_FILE))),
        (LOG_ERROR_FILE.name, has(&reader.given(&LOG_ERROR_FILE))),
    ];
    rows.into_iter().find(|(_, needs)| *needs).map(|row| row.0)
}

/// Workers write to the runtime's own stdout themselves, so the runtime gets no lines.
fn inherit(reader: &mut Reader<'_>) {
    let wrong = |accepted| {
        let what = "never gets a line: with RPM_LOG_FORMAT=inherit workers write to our own stdout and stderr";
        Wrong::new(what, accepted)
    };
    let accepted = "leaving it unset, or RPM_LOG_FORMAT=raw, prefix or json";
    if has_times(reader) {
        reader.fault(&LOG_TIMESTAMP, wrong(NO_TIME));
    }
    if has(&reader.given(&LOG_MULTILINE)) {
        reader.fault(&LOG_MULTILINE, wrong(accepted));
    }
    if has(&reader.get(&LOG_RATE)) {
        reader.fault(&LOG_RATE, wrong(accepted));
    }
    if has(&reader.given(&LOG_FILE)) {
        reader.fault(&LOG_FILE, wrong(accepted));
    }
    if has(&reader.given(&LOG_ERROR_FILE)) {
        reader.fault(&LOG_ERROR_FILE, wrong(accepted));
    }
    let why = "with RPM_LOG_FORMAT=inherit: workers write to our own stdout and stderr";
    reader.warn_if_set(&LOG_STDERR, why);
    reader.warn_if_set(&LOG_OVERFLOW, why);
    reader.warn_if_set(&LOG_BUFFER, why);
    reader.warn_if_set(&LOG_MAX_LINE, why);
}

fn line_fits_into_buffer(reader: &mut Reader<'_>) {
    let (Ok(buffer), Ok(Some(max_line))) = (reader.get(&LOG_BUFFER), reader.given(&LOG_MAX_LINE))
    else {
        return;
    };
    let most = buffer / LINES_IN_BUFFER;
    if max_line > most {
        let its = if reader.is_set(&LOG_BUFFER) {
            ""
        } else {
            ", its default"
        };
        let (most, buffer) = (show::size(&most), show::size(&buffer));
        let wrong = Wrong::new(
            format!("is more than a sixteenth of RPM_LOG_BUFFER ({buffer}{its})"),
            format!("at most {most}, or a larger RPM_LOG_BUFFER"),
        );
        reader.fault(&LOG_MAX_LINE, wrong);
    }
}

/// The two names must be the same file for all slots or for none.
fn two_files(reader: &mut Reader<'_>) {
    let (Ok(Some(out)), Ok(Some(error))) = (reader.given(&LOG_FILE), reader.given(&LOG_ERROR_FILE))
    else {
        return;
    };
    if out != error
        && let Some((ours, theirs)) = collision(&out, &error)
    {
        let slot = |name: &FileName, slot: u16| {
            if name.has_slot() {
                format!(" of slot {slot}")
            } else {
                String::new()
            }
        };
        let (ours, theirs) = (slot(&out, ours), slot(&error, theirs));
        let what = format!("the file{theirs} is RPM_LOG_FILE{ours} too");
        let wrong = Wrong::new(what, "another name, or that of RPM_LOG_FILE as it is");
        reader.fault(&LOG_ERROR_FILE, wrong);
    }
}

/// Two slots whose files are the same.
fn collision(out: &FileName, error: &FileName) -> Option<(u16, u16)> {
    let slots = |name: &FileName| 0..if name.has_slot() { MAX_INSTANCES } else { 1 };
    let ours: HashMap<_, _> = slots(out)
        .map(|slot| (out.path(SlotId(slot)), slot))
        .collect();
    slots(error).find_map(|slot| Some((*ours.get(&error.path(SlotId(slot)))?, slot)))
}

/// The runtime's own file is none of the workers' files, because each file has one writer. `file` needs one.
fn own_file(reader: &mut Reader<'_>) {
    let Ok(file) = reader.given(&LOG_OWN_FILE) else {
        return;
    };
    let Some(own) = file else {
        if reader.get(&LOG_OWN) == Ok(OwnLines::File) {
            let what = "has no file to go to: RPM_LOG_OWN_FILE is not set";
            reader.fault(&LOG_OWN, Wrong::new(what, "both, or a RPM_LOG_OWN_FILE"));
        } else {
            reader.warn_if_set(&LOG_OWN, "without RPM_LOG_OWN_FILE");
        }
        return;
    };
    for theirs in [&LOG_FILE, &LOG_ERROR_FILE] {
        let Ok(Some(name)) = reader.given(theirs) else {
            continue;
        };
        if let Some((slot, _)) = collision(&name, &own) {
            let slot = if name.has_slot() {
                format!(" of slot {slot}")
            } else {
                String::new()
            };
            let what = format!("is {}{slot} too, and a file has one writer", theirs.name);
            let wrong = Wrong::new(what, "the path of another file");
            reader.fault(&LOG_OWN_FILE, wrong);
            return;
        }
    }
}

/// Reports rotation settings without effect. The runtime's own file is rotated daily, whatever RPM_LOG_ROTATE_EVERY says.
fn idle_rotation(reader: &mut Reader<'_>) {
    let no_file = reader.given(&LOG_FILE) == Ok(None) && reader.given(&LOG_ERROR_FILE) == Ok(None);
    let no_own = reader.given(&LOG_OWN_FILE) == Ok(None);
    let never =
        reader.get(&LOG_ROTATE_SIZE) == Ok(None) && reader.get(&LOG_ROTATE_EVERY) == Ok(None);
    if no_file {
        let why = if no_own {
            "without RPM_LOG_FILE or RPM_LOG_ERROR_FILE"
        } else {
            "without RPM_LOG_FILE or RPM_LOG_ERROR_FILE: the file of RPM_LOG_OWN_FILE is rotated daily"
        };
        reader.warn_if_set(&LOG_ROTATE_EVERY, why);
    }
    if no_file && no_own {
        let why = "without RPM_LOG_FILE, RPM_LOG_ERROR_FILE or RPM_LOG_OWN_FILE";
        reader.warn_if_set(&LOG_ROTATE_SIZE, why);
        reader.warn_if_set(&LOG_RETAIN, why);
        reader.warn_if_set(&LOG_COMPRESS, why);
    } else if never && no_own {
        let why = "while RPM_LOG_ROTATE_SIZE and RPM_LOG_ROTATE_EVERY are both off";
        reader.warn_if_set(&LOG_RETAIN, why);
        reader.warn_if_set(&LOG_COMPRESS, why);
    } else if reader.get(&LOG_RETAIN) == Ok(Some(0)) {
        reader.warn_if_set(&LOG_COMPRESS, "with RPM_LOG_RETAIN=0");
    }
}

#[cfg(test)]
mod tests;
