//! `rpmctl`, the operator's tool: a binary of its own, so that PID 1 carries neither a parser of command lines nor what
//! draws tables. It works in an image with nothing but itself: no shell, no HOME, any user, a terminal or none.
//!
//! `args` has the command line; `choice` finds the runtime and `connection` asks it; each command is a module. `table` and `words`
//! say how things are shown, `exit` how the program ends.
#![forbid(unsafe_code)]

mod args;
mod choice;
mod connection;
mod describe;
mod env;
mod events;
mod exit;
mod from_pm2;
mod health;
mod lines;
mod list;
mod logs;
mod manual;
mod monit;
mod output;
mod plain;
mod progress;
mod reload;
mod settle;
mod steer;
mod stop;
mod table;
#[cfg(test)]
mod testing;
mod version;
mod wait;
mod words;

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

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
    let globals = &args.globals;
    match &args.command {
        Command::List => list::run(globals),
        Command::Describe { slot } => describe::run(globals, *slot),
        Command::Monit => monit::run(globals),
        Command::Health => health::run(globals),
        Command::Env => env::run(globals),
        Command::Wait(what) => wait::run(globals, what),
        Command::Version => version::run(globals),
        Command::FromPm2(words) => {
            let home = home();
            let printed = from_pm2::run(words, globals.json, home.as_deref())?;
            eprint(&printed.err);
            // Of a file of this person: values must stay as they are.
            print_exactly(&printed.out)
        }
        Command::Reload(waiting) => reload::run(globals, waiting),
        Command::Restart { target, waiting } => steer::restart(globals, *target, waiting),
        Command::Stop { target, waiting } => stop::stop(globals, *target, waiting),
        Command::Start { target, waiting } => stop::start(globals, *target, waiting),
        Command::Scale { number, waiting } => steer::scale(globals, *number, waiting),
        Command::Signal { name, target } => steer::signal(globals, name, *target),
        Command::Send { target, message } => steer::send(globals, *target, message),
        Command::Reopen => steer::reopen(globals),
        Command::Completion { shell } => print_exactly(&manual::completion(*shell)),
        Command::Man { page } => print_exactly(&manual::page(*page)),
        Command::Flush => steer::flush(globals),
        Command::Events(which) => events::run(globals, which),
        Command::Logs(which) => logs::run(globals, which),
    }
}

/// Writes lines to standard output, in which nothing steers a terminal. A reader that is gone is a failure: a script must not
/// take half a table for a whole one.
fn print(text: &str) -> Result<(), Failure> {
    print_exactly(&plain::lines(text))
}

/// The same for a text that is not for a terminal, and in which each byte counts.
fn print_exactly(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| Failure::failed(format!("cannot write to standard output: {error}")))
}

/// Lets time pass between two questions. The runtime wakes for nobody who waits, so who waits asks again.
#[expect(
    clippy::disallowed_methods,
    reason = "a program of its own: nothing else waits for this thread"
)]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Writes lines to standard error, in which nothing steers a terminal. A reader that is gone is no failure: what is said there
/// is beside the outcome.
fn eprint(text: &str) {
    let _ = std::io::stderr().write_all(plain::lines(text).as_bytes());
}

/// Whether colours are wanted: not if NO_COLOR (no-color.org) or TERM=dumb is set.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the main of rpmctl, which reads the environment here"
)]
fn wants_colour() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// The home directory.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the main of rpmctl, which reads the environment here"
)]
fn home() -> Option<String> {
    std::env::var_os("HOME")?.into_string().ok()
}
