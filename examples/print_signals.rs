//! Prints every signal that it receives: `got TERM 15 from 1`. The first line is `ready`.
//!
//! `print_signals [--until NAME] [--code N]` exits with that code after the named signal; without `--until`, only
//! SIGKILL ends it.
#![allow(clippy::print_stdout, reason = "a payload speaks through its output")]
#![allow(
    clippy::disallowed_methods,
    reason = "a payload is a program of its own, not a part of the runtime"
)]
#![allow(
    unsafe_code,
    reason = "real-time signals are missing from the safe interface"
)]

use std::mem::MaybeUninit;
use std::{env, process, ptr};

use nix::sys::signal::Signal;

fn name(number: i32) -> String {
    match Signal::try_from(number) {
        Ok(signal) => signal.as_str().trim_start_matches("SIG").to_owned(),
        Err(_) => format!("RT{}", number - libc::SIGRTMIN()),
    }
}

fn main() {
    let words: Vec<String> = env::args().skip(1).collect();
    let option = |key: &str| {
        words
            .iter()
            .position(|word| word == key)
            .and_then(|at| words.get(at + 1))
    };
    let until = option("--until").map(|name| name.trim_start_matches("SIG").to_owned());
    let code = option("--code")
        .and_then(|code| code.parse().ok())
        .unwrap_or(0);

    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `all` is valid for writes; sigfillset cannot fail on it and initialises it.
    unsafe { libc::sigfillset(all.as_mut_ptr()) };
    // SAFETY: initialised by sigfillset above.
    let all = unsafe { all.assume_init() };
    // SAFETY: one thread; `all` is a valid set and the old set is not requested.
    unsafe { libc::sigprocmask(libc::SIG_BLOCK, &raw const all, ptr::null_mut()) };
    println!(
        "ready pid {} parent {}",
        process::id(),
        nix::unistd::getppid()
    );
    loop {
        let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
        // SAFETY: both pointers are valid; the signals waited for are blocked.
        let number = unsafe { libc::sigwaitinfo(&raw const all, info.as_mut_ptr()) };
        if number < 0 {
            continue; // stopped and continued: EINTR
        }
        // SAFETY: all zeroes is a siginfo_t, and sigwaitinfo has filled it.
        let info = unsafe { info.assume_init() };
        // SAFETY: si_pid is 0 for signals that the kernel sent.
        let sender = unsafe { info.si_pid() };
        println!("got {} {number} from {sender}", name(number));
        if until.as_deref() == Some(&name(number)) {
            process::exit(code);
        }
    }
}
