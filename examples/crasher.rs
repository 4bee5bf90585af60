//! Ends itself: `crasher CODE [DELAY_MS]`. CODE is an exit code, or `signal:NAME` to be killed by that signal.
//!
//! Prints `crashing soon` first and `crashing` last.
#![allow(clippy::print_stdout, reason = "a payload speaks through its output")]
#![allow(
    clippy::disallowed_methods,
    reason = "a payload is a program of its own, not a part of the runtime"
)]

use std::time::Duration;
use std::{env, process, thread};

use nix::sys::signal::{self, SigHandler, Signal};

fn main() {
    let words: Vec<String> = env::args().skip(1).collect();
    let how = words.first().map_or("1", String::as_str);
    let delay = words
        .get(1)
        .and_then(|delay| delay.parse().ok())
        .unwrap_or(0);
    println!("crashing soon pid {}", process::id());
    thread::sleep(Duration::from_millis(delay));
    println!("crashing");
    if let Some(name) = how.strip_prefix("signal:") {
        match format!("SIG{name}").parse::<Signal>() {
            Ok(signal) => die(signal),
            Err(_) => println!("no signal is called {name}"),
        }
    }
    process::exit(how.parse().unwrap_or(2));
}

#[allow(unsafe_code, reason = "signal(2)")]
fn die(signal: Signal) {
    // SAFETY: the default action runs no code of ours. The call is needed because Rust ignores SIGPIPE at the start;
    // its result is ignored because SIGKILL has no disposition to set.
    let _ = unsafe { signal::signal(signal, SigHandler::SigDfl) };
    if let Err(error) = signal::raise(signal) {
        println!("raise: {error}");
    }
}
