//! Prints what a process inherits, one `name: value` in each line, and exits; with `--stay` it waits forever.
//!
//! ```text
//! pid, parent, group, session, cwd, argument (one a line), SigBlk, SigIgn, SigCgt, NoNewPrivs, Seccomp, CapEff,
//! pdeathsig, terminal-group (-1 without a terminal), fd N (its link), env (one a line, sorted), end
//! ```
#![no_main]
#![allow(clippy::print_stdout, reason = "a payload speaks through its output")]
#![allow(
    clippy::disallowed_methods,
    reason = "a payload is a program of its own, not a part of the runtime"
)]
#![allow(unsafe_code, reason = "an entry point of its own, prctl and tcgetpgrp")]

use std::{env, fs, io, process, thread};

use nix::unistd;

fn show() -> io::Result<()> {
    println!("pid: {}", process::id());
    println!("parent: {}", unistd::getppid());
    println!("group: {}", unistd::getpgrp());
    println!("session: {}", unistd::getsid(None)?);
    println!("cwd: {}", env::current_dir()?.display());
    for argument in env::args_os() {
        println!("argument: {}", argument.display());
    }
    for line in fs::read_to_string("/proc/self/status")?.lines() {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        if [
            "SigBlk",
            "SigIgn",
            "SigCgt",
            "NoNewPrivs",
            "Seccomp",
            "CapEff",
        ]
        .contains(&name)
        {
            println!("{name}: {}", value.trim());
        }
    }
    let mut signal: libc::c_int = 0;
    // SAFETY: PR_GET_PDEATHSIG writes one int to its second argument.
    unsafe { libc::prctl(libc::PR_GET_PDEATHSIG, &raw mut signal) };
    println!("pdeathsig: {signal}");
    // SAFETY: takes an integer only; -1 means that 0 is no terminal.
    println!("terminal-group: {}", unsafe { libc::tcgetpgrp(0) });
    // Collect all numbers first: the directory's own descriptor is closed when the links are read.
    let numbers: Vec<String> = fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
        .collect();
    for number in numbers {
        if let Ok(link) = fs::read_link(format!("/proc/self/fd/{number}")) {
            println!("fd {number}: {}", link.display());
        }
    }
    let mut variables: Vec<_> = env::vars_os().collect();
    variables.sort();
    for (name, value) in variables {
        println!("env: {}={}", name.display(), value.display());
    }
    println!("end: show_process");
    Ok(())
}

/// The C entry point. The entry point of the standard library would ignore SIGPIPE, catch SIGSEGV and open closed
/// streams first, so the output would not show what was inherited.
// SAFETY: the only symbol of this name; the C library calls it once, as it would call the other.
#[unsafe(no_mangle)]
pub extern "C" fn main() -> libc::c_int {
    if let Err(error) = show() {
        println!("show_process: {error}");
        return 1;
    }
    while env::args().any(|word| word == "--stay") {
        thread::park();
    }
    0
}
