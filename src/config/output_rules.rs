//! Rules between RPM_LOG_* variables. A rule is silent while one of its settings is faulty by itself.

use std::collections::HashMap;

use super::env::Raw;
use super::faults::Wrong;
use super::file_name::FileName;
use super::logging::LogFormat;
use super::output::{Draft, LINES_IN_BUFFER};
use super::resolve::Reader;
use super::show;
use crate::model::SlotId;
use crate::policy::MAX_INSTANCES;

const NO_TIME: &str = "none, or RPM_LOG_FORMAT=prefix or json";

/// Applies every rule.
pub(super) fn check(draft: &Draft, raw: &Raw, reader: &mut Reader) {
    match draft.format.flatten() {
        Some(LogFormat::Inherit) => inherit(draft, raw, reader),
        Some(LogFormat::Raw) if draft.times() => {
            let said = if raw.log_format.is_some() {
                ""
            } else {
                ", its default"
            };
            let what = format!(
                "has no place in lines that pass byte for byte (RPM_LOG_FORMAT is raw{said})"
            );
            let text = raw.log_timestamp.as_deref();
            reader.fault("RPM_LOG_TIMESTAMP", text, Wrong::new(what, NO_TIME));
        }
        _ => {}
    }
    lengths(draft, raw, reader);
    two_files(draft, raw, reader);
    rotation(draft, raw, reader);
}

/// Workers write to our stdout themselves: there are no lines to do anything with.
fn inherit(draft: &Draft, raw: &Raw, reader: &mut Reader) {
    const WHAT: &str =
        "never gets a line: with RPM_LOG_FORMAT=inherit workers write to our own stdout and stderr";
    const ELSE: &str = "leaving it unset, or RPM_LOG_FORMAT=raw, prefix or json";
    if draft.times() {
        let text = raw.log_timestamp.as_deref();
        reader.fault("RPM_LOG_TIMESTAMP", text, Wrong::new(WHAT, NO_TIME));
    }
    let multiline = matches!(draft.multiline, Some(Some(_)));
    let rows = [
        ("RPM_LOG_MULTILINE", &raw.log_multiline, multiline),
        (
            "RPM_LOG_RATE",
            &raw.log_rate,
            matches!(draft.rate, Some(Some(_))),
        ),
        (
            "RPM_LOG_FILE",
            &raw.log_file,
            matches!(draft.out, Some(Some(_))),
        ),
        (
            "RPM_LOG_ERROR_FILE",
            &raw.log_error_file,
            matches!(draft.error, Some(Some(_))),
        ),
    ];
    for (name, text, wants) in rows {
        if wants {
            reader.fault(name, text.as_deref(), Wrong::new(WHAT, ELSE));
        }
    }
    let idle = [
        ("RPM_LOG_STDERR", &raw.log_stderr),
        ("RPM_LOG_OVERFLOW", &raw.log_overflow),
        ("RPM_LOG_BUFFER", &raw.log_buffer),
        ("RPM_LOG_MAX_LINE", &raw.log_max_line),
    ];
    for (name, given) in idle {
        if given.is_some() {
            reader.warnings.push(format!(
                "{name} has no effect with RPM_LOG_FORMAT=inherit: workers write to our own stdout and stderr"
            ));
        }
    }
}

fn lengths(draft: &Draft, raw: &Raw, reader: &mut Reader) {
    let (Some(buffer), Some(Some(max_line))) = (draft.buffer, draft.max_line) else {
        return;
    };
    let most = buffer / LINES_IN_BUFFER;
    if max_line > most {
        let said = if raw.log_buffer.is_some() {
            ""
        } else {
            ", its default"
        };
        let (most, buffer) = (show::size(most), show::size(buffer));
        let wrong = Wrong::new(
            format!("is more than a sixteenth of RPM_LOG_BUFFER ({buffer}{said})"),
            format!("at most {most}, or a larger RPM_LOG_BUFFER"),
        );
        reader.fault("RPM_LOG_MAX_LINE", raw.log_max_line.as_deref(), wrong);
    }
}

/// Two names are one for all slots or for none.
fn two_files(draft: &Draft, raw: &Raw, reader: &mut Reader) {
    let (Some(Some(out)), Some(Some(error))) = (&draft.out, &draft.error) else {
        return;
    };
    if out != error
        && let Some((ours, theirs)) = collision(out, error)
    {
        let slot = |name: &FileName, slot: u16| {
            if name.has_slot() {
                format!(" of slot {slot}")
            } else {
                String::new()
            }
        };
        let (ours, theirs) = (slot(out, ours), slot(error, theirs));
        let what = format!("the file{theirs} is RPM_LOG_FILE{ours} too");
        let wrong = Wrong::new(what, "another name, or that of RPM_LOG_FILE as it is");
        reader.fault("RPM_LOG_ERROR_FILE", raw.log_error_file.as_deref(), wrong);
    }
}

/// The slots whose files are the same.
fn collision(out: &FileName, error: &FileName) -> Option<(u16, u16)> {
    let slots = |name: &FileName| 0..if name.has_slot() { MAX_INSTANCES } else { 1 };
    let ours: HashMap<_, _> = slots(out)
        .map(|slot| (out.path(SlotId(slot)), slot))
        .collect();
    slots(error).find_map(|slot| Some((*ours.get(&error.path(SlotId(slot)))?, slot)))
}

/// Settings of something that is not there.
fn rotation(draft: &Draft, raw: &Raw, reader: &mut Reader) {
    let never = draft.size == Some(None) && draft.every == Some(None);
    let keeps_none = draft.retain == Some(Some(0));
    let without = if draft.out == Some(None) && draft.error == Some(None) {
        Some("without RPM_LOG_FILE or RPM_LOG_ERROR_FILE")
    } else {
        None
    };
    let unrotated =
        never.then_some("while RPM_LOG_ROTATE_SIZE and RPM_LOG_ROTATE_EVERY are both off");
    let rows = [
        ("RPM_LOG_ROTATE_SIZE", &raw.log_rotate_size, without),
        ("RPM_LOG_ROTATE_EVERY", &raw.log_rotate_every, without),
        ("RPM_LOG_RETAIN", &raw.log_retain, without.or(unrotated)),
        (
            "RPM_LOG_COMPRESS",
            &raw.log_compress,
            without
                .or(unrotated)
                .or(keeps_none.then_some("with RPM_LOG_RETAIN=0")),
        ),
    ];
    for (name, given, why) in rows {
        if let (Some(_), Some(why)) = (given, why) {
            reader.warnings.push(format!("{name} has no effect {why}"));
        }
    }
}

#[cfg(test)]
#[path = "output_rules_tests.rs"]
mod tests;
