//! From the command line and the environment to the next step of main.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::EXIT_CONFIG;
use super::cli::{Cli, Usage, help};
use super::environment::Input;
use super::faults::Faults;
use super::resolve::{Resolved, admin_addr, resolve};

/// The next step of main.
#[derive(Debug)]
pub enum Opening {
    /// Print this and exit.
    Say(Said),
    /// Ask the runtime at this address whether it is ready; `None` if RPM_ADMIN_ADDR is `off`.
    Healthcheck(Option<SocketAddr>),
    /// Copy the binary to this path and exit.
    CopyTo(PathBuf),
    /// Show this configuration, see whether it can work here, and exit.
    Check(Box<Resolved>),
    /// Run the service; the warnings go to the log.
    Run(Box<Resolved>),
}

/// What to print before the exit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// For standard output.
    pub stdout: String,
    /// For standard error.
    pub stderr: String,
    /// The exit code.
    pub code: u8,
}

impl Said {
    fn fine(stdout: String) -> Opening {
        Opening::Say(Self {
            stdout,
            ..Self::default()
        })
    }
}

/// Parses the command line (`input.args`, with options and without the program's own name) and, if needed, the
/// configuration.
pub fn open(mut input: Input<'_>) -> Opening {
    match Cli::parse(std::mem::take(&mut input.args)) {
        Err(usage) => refuse_usage(&usage),
        Ok(Cli::Help) => Said::fine(help()),
        Ok(Cli::Version) => Said::fine(format!("rpm-runtime {}\n", env!("CARGO_PKG_VERSION"))),
        Ok(Cli::Healthcheck) => match admin_addr(&input) {
            Ok(addr) => Opening::Healthcheck(addr),
            Err(faults) => refuse(&faults),
        },
        Ok(Cli::CopyTo { path }) => Opening::CopyTo(path.into()),
        Ok(Cli::Check { words }) => match resolve(&with(input, words)) {
            Ok(resolved) => Opening::Check(Box::new(resolved)),
            Err(faults) => refuse(&faults),
        },
        Ok(Cli::Run { words }) => match resolve(&with(input, words)) {
            Ok(resolved) => Opening::Run(Box::new(resolved)),
            Err(faults) => refuse(&faults),
        },
    }
}

fn with(input: Input<'_>, args: Vec<OsString>) -> Input<'_> {
    Input { args, ..input }
}

fn refuse(faults: &Faults) -> Opening {
    Opening::Say(Said {
        stderr: format!("{}{faults}\n", warnings(&faults.warnings)),
        code: EXIT_CONFIG,
        ..Said::default()
    })
}

fn refuse_usage(usage: &Usage) -> Opening {
    Opening::Say(Said {
        stderr: format!("{usage}\n"),
        code: EXIT_CONFIG,
        ..Said::default()
    })
}

/// One line per warning.
pub fn warnings(warnings: &[String]) -> String {
    let mut text = String::new();
    for warning in warnings {
        let _ = writeln!(text, "rpm-runtime: warning: {warning}"); // a String takes everything
    }
    text
}
