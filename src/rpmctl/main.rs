//! `rpmctl`, the operator's tool: a binary of its own, so that PID 1 carries neither a parser of command lines nor what
//! draws tables. It works in an image with nothing but itself: no shell, no HOME, any user, a terminal or none.
#![forbid(unsafe_code)]

mod args;
mod exit;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};
use exit::Failure;

fn main() -> ExitCode {
    let outcome = match Args::try_parse_from(std::env::args_os()) {
        Ok(args) => run(&args),
        Err(error) => Err(Failure::of_words(&error)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell(),
    }
}

fn run(args: &Args) -> Result<(), Failure> {
    match args.command {
        Command::Version => print(&format!("rpmctl {}\n", env!("CARGO_PKG_VERSION"))),
    }
}

/// Writes to standard output. A reader that is gone is a failure: a script must not take half a table for a whole one.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| Failure::failed(format!("cannot write to standard output: {error}")))
}
