//! Executes a command in a state that a careless parent may leave: `hostile WISH[,WISH...] COMMAND [ARG...]`.
//!
//! | wish | what the command starts with |
//! |---|---|
//! | blocked | every signal is blocked |
//! | ignored | every signal is ignored, if possible |
//! | stray | /dev/null is open at 3, 7 and 99, not close-on-exec |
//! | closed=02 | these of 0, 1 and 2 are closed |
//! | nofile=N | a limit of N descriptors, with only 0, 1 and 2 open |
//! | gone | a working directory that is deleted |
#![allow(clippy::print_stdout, reason = "a payload speaks through its output")]
#![allow(
    clippy::disallowed_methods,
    reason = "a payload is a program of its own, not a part of the runtime"
)]
#![allow(
    unsafe_code,
    reason = "the standard library's exec would tidy up what shall be untidy"
)]

use std::ffi::CString;
use std::os::unix::ffi::OsStringExt;
use std::{env, fs, process, ptr};

fn fail(what: &str) -> ! {
    println!("hostile: {what}: {}", std::io::Error::last_os_error());
    process::exit(2)
}

fn block_all() {
    let all = nix::sys::signal::SigSet::all();
    if all.thread_block().is_err() {
        fail("block");
    }
}

fn ignore_all() {
    for signal in 1..=64 {
        // SAFETY: ignoring runs no code of ours. Signals that cannot be ignored are refused.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}

fn leave_open() {
    for number in [3, 7, 99] {
        // SAFETY: the path ends in NUL.
        let fd = unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) };
        // SAFETY: numbers only; the copy is not close-on-exec.
        if fd < 0 || (fd != number && unsafe { libc::dup2(fd, number) } < 0) {
            fail("open");
        }
    }
}

fn limit_files(most: u64) {
    // SAFETY: integers only; this program needs none of these descriptors.
    unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) };
    let limit = libc::rlimit {
        rlim_cur: most,
        rlim_max: most,
    };
    // SAFETY: the pointer is to a live value.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } != 0 {
        fail("setrlimit");
    }
}

fn leave_directory() {
    let path = env::temp_dir().join(format!("hostile-{}", process::id()));
    let gone = fs::create_dir(&path)
        .and_then(|()| env::set_current_dir(&path))
        .and_then(|()| fs::remove_dir(&path));
    if gone.is_err() {
        fail("directory");
    }
}

fn main() {
    let mut words = env::args_os().skip(1);
    let wishes = words.next().unwrap_or_default();
    let command: Vec<CString> = words
        .filter_map(|word| CString::new(word.into_vec()).ok())
        .collect();
    let mut close = String::new();
    for wish in wishes.to_string_lossy().split(',') {
        match wish.split_once('=').unwrap_or((wish, "")) {
            ("blocked", _) => block_all(),
            ("ignored", _) => ignore_all(),
            ("stray", _) => leave_open(),
            ("closed", which) => which.clone_into(&mut close),
            ("nofile", most) => limit_files(most.parse().unwrap_or(16)),
            ("gone", _) => leave_directory(),
            _ => fail(wish),
        }
    }
    let mut pointers: Vec<*const libc::c_char> = command.iter().map(|word| word.as_ptr()).collect();
    pointers.push(ptr::null());
    for digit in close.bytes() {
        // SAFETY: numbers only.
        unsafe { libc::close(i32::from(digit.wrapping_sub(b'0'))) };
    }
    let Some(program) = command.first() else {
        fail("no command")
    };
    // SAFETY: all strings end in NUL, the list in a null pointer.
    unsafe { libc::execvp(program.as_ptr(), pointers.as_ptr()) };
    fail("exec");
}
