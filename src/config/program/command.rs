//! The command.

use std::ffi::OsString;

use crate::config::environment::Source;
use crate::config::faults::{Wrong, plain, quote};
use crate::config::reader::{Reader, Value};
use crate::config::setting::{Preset, Setting};

pub(super) const COMMAND: Setting<Vec<OsString>> = Setting {
    name: "RPM_COMMAND",
    default: Preset::Unset,
    help: "the program, if no argument names it; split as a shell splits words",
    doc: "The program and its arguments, for images that cannot have them on the command line. The text is split into \
          words as a shell does it, but no shell runs: `&&`, `|` and `$NAME` mean nothing; `sh -c '...'` runs a shell. \
          Words on the command line of the runtime win over this variable.",
    parse: command,
    show: |words| {
        let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
        let line = shlex::try_join(words.iter().map(AsRef::as_ref));
        plain(&line.unwrap_or_else(|_| words.join(" ")))
    },
};

const COMMANDS: &str = "a program and its arguments, such as node app.js";

/// Words that only a shell understands.
const SHELL_WORDS: [&str; 8] = ["&&", "||", "|", ";", "&", ">", ">>", "<"];

fn command(text: &str) -> Result<Vec<OsString>, Wrong> {
    let Some(words) = shlex::split(text) else {
        let what = "a quote is not closed, or it ends in a backslash";
        return Err(Wrong::new(what, COMMANDS));
    };
    if words.first().is_none_or(String::is_empty) {
        return Err(Wrong::new("names no program", COMMANDS));
    }
    Ok(words.into_iter().map(OsString::from).collect())
}

/// RPM_COMMAND is used only if the command line has no program. Otherwise it is not even parsed.
pub(in crate::config) fn overruled_command(args: &[OsString]) -> Option<&'static str> {
    (!args.is_empty()).then_some(COMMAND.name)
}

/// The words after the options; if there are none, RPM_COMMAND.
pub(super) fn argv(reader: &mut Reader<'_>) -> Value<Vec<OsString>> {
    let args = &reader.input().args;
    if let Some(program) = args.first() {
        if program.is_empty() {
            let wrong = Wrong::new("the program's name is empty", COMMANDS);
            return Err(reader.fault_of_command_line(&COMMAND, wrong));
        }
        if reader.is_overruled(&COMMAND) {
            reader.warn("RPM_COMMAND is not used: the command line names the program");
        }
        reader.settle(&COMMAND, args, None);
        reader.set_source(&COMMAND, Source::CommandLine);
        return Ok(args.clone());
    }
    let Some(words) = reader.given(&COMMAND)? else {
        let accepted = "rpm-runtime COMMAND [ARG...], or the command in RPM_COMMAND";
        return Err(reader.fault(&COMMAND, Wrong::new("no command was given", accepted)));
    };
    let is_of_shell = |word: &&OsString| SHELL_WORDS.iter().any(|known| *word == known);
    if let Some(word) = words.iter().find(is_of_shell) {
        reader.warn(format!(
            "RPM_COMMAND is not run by a shell: {} is passed on as an argument; sh -c '...' runs a shell",
            quote(word)
        ));
    }
    Ok(words)
}

#[cfg(test)]
mod tests;
