//! Starts slowly: `slow_start MS [COMMAND [ARG...]]`.
//!
//! Prints `starting`, waits, prints `started`, then executes the command, or waits forever without one.
#![allow(clippy::print_stdout, reason = "a payload speaks through its output")]
#![allow(
    clippy::disallowed_methods,
    reason = "a payload is a program of its own, not a part of the runtime"
)]

use std::os::unix::process::CommandExt;
use std::process::{self, Command};
use std::time::Duration;
use std::{env, thread};

fn main() {
    let mut words = env::args_os().skip(1);
    let delay = words
        .next()
        .and_then(|word| word.to_str()?.parse().ok())
        .unwrap_or(1000);
    println!("starting pid {}", process::id());
    thread::sleep(Duration::from_millis(delay));
    println!("started pid {}", process::id());
    if let Some(program) = words.next() {
        let error = Command::new(&program).args(words).exec();
        println!("exec {}: {error}", program.display());
        process::exit(127);
    }
    loop {
        thread::park();
    }
}
