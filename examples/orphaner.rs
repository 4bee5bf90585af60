//! Leaves orphans for PID 1: `orphaner N [--linger MS] [--stay]`.
//!
//! Forks N children; each forks a grandchild and exits at once. Each grandchild exits (after `--linger`) with its
//! number modulo 256. Prints `done N`, then exits with 0, or waits forever with `--stay`.
#![allow(clippy::print_stdout, reason = "a payload speaks through its output")]
#![allow(
    clippy::disallowed_methods,
    reason = "a payload is a program of its own, not a part of the runtime"
)]
#![allow(unsafe_code, reason = "fork")]

use std::time::Duration;
use std::{env, process, ptr, thread};

fn fork() -> i32 {
    // SAFETY: the program has one thread, so the child may continue normally.
    let pid = unsafe { libc::fork() };
    if pid < 0 {
        println!("fork: {}", std::io::Error::last_os_error());
        process::exit(1);
    }
    pid
}

fn leave(code: i32) -> ! {
    // SAFETY: always allowed; skips flushing the buffers that belong to the parent.
    unsafe { libc::_exit(code) }
}

fn main() {
    let words: Vec<String> = env::args().skip(1).collect();
    let count: i32 = words
        .first()
        .and_then(|count| count.parse().ok())
        .unwrap_or(100);
    let linger = words
        .iter()
        .position(|word| word == "--linger")
        .and_then(|at| words.get(at + 1)?.parse().ok());
    for number in 0..count {
        let child = fork();
        if child == 0 {
            if fork() == 0 {
                if let Some(linger) = linger {
                    thread::sleep(Duration::from_millis(linger));
                }
                leave(number % 256);
            }
            leave(0);
        }
        // SAFETY: a null status pointer is allowed.
        unsafe { libc::waitpid(child, ptr::null_mut(), 0) };
    }
    println!("done {count}");
    while words.iter().any(|word| word == "--stay") {
        thread::park();
    }
}
