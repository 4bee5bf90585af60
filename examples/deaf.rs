//! Ignores TERM and INT, with `--all` also HUP, QUIT, USR1 and USR2, so that only SIGKILL ends it. Prints `deaf ready`.
#![allow(clippy::print_stdout, reason = "a payload speaks through its output")]
#![allow(
    clippy::disallowed_methods,
    reason = "a payload is a program of its own, not a part of the runtime"
)]
#![allow(unsafe_code, reason = "signal(2)")]

use std::{env, process, thread};

use nix::sys::signal::{self, SigHandler, Signal};

fn main() {
    let all = env::args().any(|word| word == "--all");
    let mut signals = vec![Signal::SIGTERM, Signal::SIGINT];
    if all {
        signals.extend([
            Signal::SIGHUP,
            Signal::SIGQUIT,
            Signal::SIGUSR1,
            Signal::SIGUSR2,
        ]);
    }
    for signal in signals {
        // SAFETY: ignoring runs no code of ours.
        if let Err(error) = unsafe { signal::signal(signal, SigHandler::SigIgn) } {
            println!("ignore {signal}: {error}");
            process::exit(1);
        }
    }
    println!("deaf ready pid {}", process::id());
    loop {
        thread::park();
    }
}
