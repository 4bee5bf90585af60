//! The program, its name, and the variable that is counted up for its workers.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use super::env::{Raw, Source};
use super::faults::{Wrong, quote};
use super::parse;
use super::resolve::{Input, Reader};

/// Words that only a shell understands.
const SHELL_WORDS: [&str; 8] = ["&&", "||", "|", ";", "&", ">", ">>", "<"];

/// The words after the options, else RPM_COMMAND.
pub(super) fn argv(raw: &Raw, input: &Input<'_>, reader: &mut Reader) -> Option<Vec<OsString>> {
    let name = "RPM_COMMAND";
    let accepted = "a program and its arguments, such as node app.js";
    if let Some(program) = input.args.first() {
        if program.is_empty() {
            reader.fault(
                "command line",
                None,
                Wrong::new("the program's name is empty", accepted),
            );
            return None;
        }
        if raw.command.is_some() {
            let text = "RPM_COMMAND is not used: the command line names the program";
            reader.warnings.push(text.to_owned());
        }
        reader.set_source(name, Source::CommandLine);
        return Some(input.args.clone());
    }
    let Some(text) = &raw.command else {
        if !reader.is_broken(name) {
            let accepted = "rpm-runtime COMMAND [ARG...], or the command in RPM_COMMAND";
            reader.fault(name, None, Wrong::new("no command was given", accepted));
        }
        return None;
    };
    let Some(words) = shlex::split(text) else {
        let what = "a quote is not closed, or it ends in a backslash";
        reader.fault(name, Some(text), Wrong::new(what, accepted));
        return None;
    };
    if words.first().is_none_or(String::is_empty) {
        reader.fault(name, Some(text), Wrong::new("names no program", accepted));
        return None;
    }
    if let Some(word) = words
        .iter()
        .find(|word| SHELL_WORDS.contains(&word.as_str()))
    {
        reader.warnings.push(format!(
            "RPM_COMMAND is not run by a shell: {} is passed on as an argument; sh -c '...' runs a shell",
            quote(word)
        ));
    }
    Some(words.into_iter().map(OsString::from).collect())
}

/// The last part of the program's path, made fit for a line of the log.
pub(super) fn base_name(program: &OsStr) -> String {
    let name = Path::new(program).file_name().unwrap_or(program);
    let mut name: String = name
        .to_string_lossy()
        .chars()
        .map(|c| if parse::breaks_lines(c) { '?' } else { c })
        .collect();
    name.truncate(name.floor_char_boundary(parse::NAME_BYTES));
    name
}

/// The number that slot 0 gets: what the variable holds, else 0.
pub(super) fn first_number(name: &str, vars: &[(OsString, OsString)]) -> Result<u64, Wrong> {
    let held = vars
        .iter()
        .find(|(other, _)| other == name)
        .map(|(_, value)| value);
    let Some(held) = held.filter(|held| !held.is_empty()) else {
        return Ok(0);
    };
    held.to_str()
        .map(str::trim)
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| {
            Wrong::new(
                format!("the variable {name} holds {}, which cannot be counted up", quote(held)),
                format!("the name of a variable that is unset or a whole number ({name} is the number of slot 0)"),
            )
        })
}
