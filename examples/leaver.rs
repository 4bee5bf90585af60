//! Leaves a child behind in its process group: `leaver [--deaf] [--session] [--exit]`.
//!
//! Prints `child PID` and `ready`. The child waits forever; with `--deaf` it ignores TERM, with `--session` it moves to
//! a session of its own. The parent waits too until TERM kills it; with `--exit` it exits at once.
#![allow(clippy::print_stdout, reason = "a payload speaks through its output")]
#![allow(
    clippy::disallowed_methods,
    reason = "a payload is a program of its own, not a part of the runtime"
)]
#![allow(unsafe_code, reason = "fork and signal(2)")]

use std::{env, process, thread};

use nix::sys::signal::{self, SigHandler, Signal};
use nix::unistd::{self, ForkResult};

fn main() {
    let flag = |key: &str| env::args().any(|word| word == key);
    let (deaf, session, exit) = (flag("--deaf"), flag("--session"), flag("--exit"));
    // A pipe whose write end closes when the child is set up.
    let Ok((reader, writer)) = unistd::pipe() else {
        process::exit(1)
    };
    // SAFETY: the program has one thread, so the child may continue normally.
    match unsafe { unistd::fork() } {
        Ok(ForkResult::Child) => {
            if deaf {
                // SAFETY: ignoring runs no code of ours.
                if unsafe { signal::signal(Signal::SIGTERM, SigHandler::SigIgn) }.is_err() {
                    process::exit(1);
                }
            }
            if session && unistd::setsid().is_err() {
                process::exit(1);
            }
            drop((reader, writer));
            loop {
                thread::park();
            }
        }
        Ok(ForkResult::Parent { child }) => {
            drop(writer);
            // The end of the pipe is the signal; there is nothing to read.
            let _ = unistd::read(&reader, &mut [0]);
            println!("child {child}");
            println!("ready pid {}", process::id());
            if exit {
                return;
            }
            loop {
                thread::park();
            }
        }
        Err(error) => {
            println!("fork: {error}");
            process::exit(1);
        }
    }
}
