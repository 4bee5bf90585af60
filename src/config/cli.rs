//! The command line: the runtime's own options come first, then the command.

use std::ffi::OsString;
use std::fmt::{self, Write as _};

use super::config::GROUPS;
use super::faults::quote;
use super::setting::Preset;

/// The request of the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cli {
    /// Show the help text.
    Help,
    /// Show the version.
    Version,
    /// Show the resolved configuration and start nothing.
    Check {
        /// The command; may be empty.
        words: Vec<OsString>,
    },
    /// Ask a running runtime whether it is ready.
    Healthcheck,
    /// Copy the binary to this path.
    CopyTo {
        /// The path of the copy.
        path: OsString,
    },
    /// Run the service.
    Run {
        /// The words of the command; empty if RPM_COMMAND has it.
        words: Vec<OsString>,
    },
}

/// A mistake in the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    what: String,
    hint: String,
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "rpm-runtime: {}; {}; nothing was started",
            self.what, self.hint
        )
    }
}

/// Options of pm2-runtime, tini and dumb-init, and what replaces them here.
const FOREIGN: [(&str, &str); 9] = [
    ("-g", "set RPM_SIGNAL_SCOPE=group"),
    ("-i", "set RPM_INSTANCES"),
    ("--instances", "set RPM_INSTANCES"),
    ("-n", "set RPM_APP_NAME"),
    ("--name", "set RPM_APP_NAME"),
    ("-p", "set RPM_PDEATHSIG"),
    ("-r", "set RPM_SIGNALS"),
    ("--rewrite", "set RPM_SIGNALS"),
    (
        "-s",
        "leave it out: the runtime becomes a subreaper by itself",
    ),
];

impl Cli {
    /// Parses the words after the program's own name.
    pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Self, Usage> {
        let mut args = args.into_iter().peekable();
        let (mut help, mut version, mut check, mut healthcheck) = (false, false, false, false);
        while let Some(word) = args.next_if(is_option) {
            match word.to_str() {
                Some("--") => break,
                Some("--help" | "-h") => help = true,
                Some("--version" | "-V") => version = true,
                Some("--check") => check = true,
                Some("--healthcheck") => healthcheck = true,
                Some("--copy-to") => return Self::copy_to(args),
                _ => return Err(unknown(&word)),
            }
        }
        let words: Vec<OsString> = args.collect();
        if help {
            Ok(Self::Help)
        } else if version {
            Ok(Self::Version)
        } else if healthcheck && (check || !words.is_empty()) {
            Err(Usage {
                what: "--healthcheck stands alone".to_owned(),
                hint: "it asks a runtime that is already there".to_owned(),
            })
        } else if healthcheck {
            Ok(Self::Healthcheck)
        } else if check {
            Ok(Self::Check { words })
        } else {
            Ok(Self::Run { words })
        }
    }

    fn copy_to(mut rest: impl Iterator<Item = OsString>) -> Result<Self, Usage> {
        match (rest.next(), rest.next()) {
            (Some(path), None) if !path.is_empty() => Ok(Self::CopyTo { path }),
            _ => Err(Usage {
                what: "--copy-to takes one path and nothing else".to_owned(),
                hint: "it writes a copy of rpm-runtime there".to_owned(),
            }),
        }
    }
}

/// Whether the word begins with a dash and is longer than one character.
fn is_option(word: &OsString) -> bool {
    let bytes = word.as_encoded_bytes();
    bytes.len() > 1 && bytes.first() == Some(&b'-')
}

fn unknown(word: &OsString) -> Usage {
    let text = word.to_string_lossy();
    let name = text.split('=').next().unwrap_or_default();
    let hint = FOREIGN.iter().find(|(option, _)| *option == name);
    Usage {
        what: format!("there is no option {}", quote(word)),
        hint: hint.map_or_else(
            || {
                "options are --help, --version, --check, --healthcheck and --copy-to; -- ends them"
                    .to_owned()
            },
            |(_, hint)| (*hint).to_owned(),
        ),
    }
}

/// Widest line of the help text.
const WIDTH: usize = 132;

const HEAD: &str = "\
rpm-runtime runs N workers of any program on one shared port, as PID 1 of a container.

Usage: rpm-runtime [OPTION...] [--] COMMAND [ARG...]

Options, before the command:
  --check        show the resolved configuration and what is wrong with it; start nothing
  --healthcheck  ask the runtime in this container whether it is ready; exit code 0 if it is
  --copy-to PATH write a copy of rpm-runtime to PATH, and of rpmctl beside it, for another container of the pod
  --help         show this text
  --version      show the version

It is configured by variables. Empty is unset. Durations carry a unit: 500ms, 30s, 2m, 1h. A value can be in a file:
RPM_NAME_FILE=/path. Lists are separated by commas. Signals go by name or number.
";

const TAIL: &str = "
Exit codes: 0 stopped as asked; 1 the same, but something had to be killed; 64 bad configuration; 70 a fault of the
runtime; 71 refused by the system; 126, 127 the program cannot be run, is not there; else the code of the worker,
but 1 in place of 0 where it could not stay up.
";

/// The help text, generated from the definitions of the settings.
pub fn help() -> String {
    let mut text = HEAD.to_owned();
    for group in GROUPS {
        push(&mut text, format_args!("\n{}:\n", group.title));
        for setting in group.settings {
            let (short, long) = match setting.default() {
                Preset::Text(default) => (default, ""),
                Preset::Computed(default) => ("", default),
                Preset::Unset => ("-", ""),
            };
            push(
                &mut text,
                format_args!("  {:<24} {short:<20} {}\n", setting.name(), setting.help()),
            );
            if !long.is_empty() {
                let line = format!("default: {long}");
                let indent = WIDTH.saturating_sub(line.chars().count()).min(27);
                push(&mut text, format_args!("{:indent$}{line}\n", ""));
            }
        }
    }
    text.push_str(TAIL);
    text
}

fn push(text: &mut String, part: fmt::Arguments<'_>) {
    let _ = text.write_fmt(part); // a String takes everything
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::settings;

    fn words(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn command_lines() {
        let run = |line| Ok(Cli::Run { words: words(line) });
        let check = |line| Ok(Cli::Check { words: words(line) });
        let table = [
            ("", run("")),
            ("node app.js", run("node app.js")),
            ("node --help --check", run("node --help --check")),
            ("-- --weird -x", run("--weird -x")),
            ("--", run("")),
            ("- x", run("- x")),
            ("--check", check("")),
            ("--check node", check("node")),
            ("--check -- -x", check("-x")),
            ("--check --check true", check("true")),
            ("node -- x", run("node -- x")),
            ("--help node", Ok(Cli::Help)),
            ("--check --help", Ok(Cli::Help)),
            ("--version", Ok(Cli::Version)),
            ("--healthcheck", Ok(Cli::Healthcheck)),
            ("--healthcheck --", Ok(Cli::Healthcheck)),
            (
                "--copy-to /opt/rpm-runtime",
                Ok(Cli::CopyTo {
                    path: "/opt/rpm-runtime".into(),
                }),
            ),
        ];
        for (line, expected) in table {
            assert_eq!(Cli::parse(words(line)), expected, "{line}");
        }
    }

    #[test]
    fn what_cannot_be_understood_has_a_hint() {
        let table = [
            (
                "--chek true",
                "rpm-runtime: there is no option \"--chek\"; options are --help, --version, --check, \
                 --healthcheck and --copy-to; -- ends them; nothing was started",
            ),
            (
                "--instances=4 node",
                "rpm-runtime: there is no option \"--instances=4\"; set RPM_INSTANCES; nothing was started",
            ),
            (
                "--copy-to",
                "rpm-runtime: --copy-to takes one path and nothing else; it writes a copy of rpm-runtime there; nothing was started",
            ),
            (
                "--copy-to /opt/x node",
                "rpm-runtime: --copy-to takes one path and nothing else; it writes a copy of rpm-runtime there; nothing was started",
            ),
            (
                "--healthcheck node",
                "rpm-runtime: --healthcheck stands alone; it asks a runtime that is already there; nothing was started",
            ),
        ];
        for (line, expected) in table {
            assert_eq!(
                Cli::parse(words(line)).unwrap_err().to_string(),
                expected,
                "{line}"
            );
        }
    }

    #[test]
    fn the_help_text_names_every_variable_once_and_fits() {
        let help = help();
        for line in help.lines() {
            assert!(line.chars().count() <= WIDTH, "{line}");
        }
        let first_words: Vec<&str> = help
            .lines()
            .filter_map(|l| l.split_whitespace().next())
            .collect();
        for setting in settings() {
            let count = first_words
                .iter()
                .filter(|word| **word == setting.name())
                .count();
            assert_eq!(count, 1, "{}", setting.name());
        }
    }
}
