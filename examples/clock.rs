//! Prints the monotonic clock in nanoseconds as its first action, then waits forever.
#![allow(clippy::print_stdout, reason = "a payload speaks through its output")]
#![allow(unsafe_code, reason = "clock_gettime(2)")]

use std::thread;

fn main() {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the clock exists on every Linux, and `now` is ours to be written to.
    if unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) } == 0 {
        println!("clock {}{:09}", now.tv_sec, now.tv_nsec);
    }
    loop {
        thread::park();
    }
}
