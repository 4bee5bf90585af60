//! Executes a command under a kernel filter that refuses something: `deny WHAT[=ERRNO][,WHAT...] COMMAND [ARG...]`.
//!
//! | what | refused | default errno |
//! |---|---|---|
//! | notify | seccomp(2) with SECCOMP_FILTER_FLAG_NEW_LISTENER | EPERM |
//! | steering | setsockopt SO_ATTACH_REUSEPORT_CBPF and _EBPF | EPERM |
//! | sock_diag | socket(2) with NETLINK_SOCK_DIAG | EPERM |
//! | ipv6 | socket(2) with AF_INET6 | EAFNOSUPPORT |
//! | clone3 | clone3(2) | EPERM |
//! | filter | seccomp(2) | EPERM |
//! | steering-silent | the same as steering, but returns 0 and does nothing, as gVisor does | 0 |
//! | affinity | sched_getaffinity(2) | EINVAL |
//! | close_range | close_range(2) | ENOSYS |
//! | aio | io_setup(2) | ENOSYS |
//!
//! prctl stays allowed. The filter is classic BPF for x86-64 and aarch64; no privilege is needed.
#![allow(clippy::print_stdout, reason = "a payload speaks through its output")]
#![allow(
    clippy::disallowed_methods,
    reason = "a payload is a program of its own, not a part of the runtime"
)]
#![allow(unsafe_code, reason = "prctl")]

use std::os::unix::process::CommandExt;
use std::process::{self, Command};
use std::{env, io};

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e; // AUDIT_ARCH_X86_64
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7; // AUDIT_ARCH_AARCH64

// Offsets in struct seccomp_data. Both architectures are little-endian, so the lower half of an argument comes first.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const fn argument(index: u32) -> u32 {
    16 + 8 * index
}

const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const JUMP_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const JUMP_SET: u16 = 0x45; // BPF_JMP | BPF_JSET | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

const fn step(code: u16, k: u32, yes: u8, no: u8) -> libc::sock_filter {
    libc::sock_filter {
        code,
        jt: yes,
        jf: no,
        k,
    }
}

/// One rule: tests the call number, then each argument, then refuses. If a test fails, the next rule follows.
fn refuse(number: libc::c_long, tests: &[(u32, u16, u32)], errno: u32) -> Vec<libc::sock_filter> {
    let number = u32::try_from(number).unwrap_or(u32::MAX);
    let mut steps = vec![step(LOAD, NUMBER, 0, 0), step(JUMP_EQUAL, number, 0, 0)];
    for (index, code, value) in tests {
        steps.extend([
            step(LOAD, argument(*index), 0, 0),
            step(*code, *value, 0, 0),
        ]);
    }
    steps.push(step(RETURN, libc::SECCOMP_RET_ERRNO | errno, 0, 0));
    let end = steps.len();
    for (at, step) in steps.iter_mut().enumerate() {
        if step.code == JUMP_EQUAL || step.code == JUMP_SET {
            step.jf = u8::try_from(end - at - 1).unwrap_or(u8::MAX);
        }
    }
    steps
}

fn filter(wishes: &str) -> Result<Vec<libc::sock_filter>, String> {
    let mut steps = vec![
        step(LOAD, ARCH, 0, 0),
        step(JUMP_EQUAL, ARCHITECTURE, 1, 0),
        step(RETURN, libc::SECCOMP_RET_ALLOW, 0, 0),
    ];
    for wish in wishes.split(',') {
        let (what, errno) = wish.split_once('=').unwrap_or((wish, ""));
        let errno = |default: i32| errno.parse().unwrap_or(default).unsigned_abs();
        match what {
            "notify" => {
                const SET_MODE_FILTER: u32 = 1;
                const NEW_LISTENER: u32 = 8;
                let tests = [
                    (0, JUMP_EQUAL, SET_MODE_FILTER),
                    (1, JUMP_SET, NEW_LISTENER),
                ];
                steps.extend(refuse(libc::SYS_seccomp, &tests, errno(libc::EPERM)));
            }
            "steering" | "steering-silent" => {
                const SOL_SOCKET: u32 = 1;
                const CLASSIC: u32 = 51; // SO_ATTACH_REUSEPORT_CBPF
                const EXTENDED: u32 = 52; // SO_ATTACH_REUSEPORT_EBPF
                let errno = errno(if what == "steering" { libc::EPERM } else { 0 });
                for option in [CLASSIC, EXTENDED] {
                    let tests = [(1, JUMP_EQUAL, SOL_SOCKET), (2, JUMP_EQUAL, option)];
                    steps.extend(refuse(libc::SYS_setsockopt, &tests, errno));
                }
            }
            "sock_diag" => {
                const NETLINK: u32 = 16; // AF_NETLINK
                const SOCK_DIAG: u32 = 4; // NETLINK_SOCK_DIAG
                let tests = [(0, JUMP_EQUAL, NETLINK), (2, JUMP_EQUAL, SOCK_DIAG)];
                steps.extend(refuse(libc::SYS_socket, &tests, errno(libc::EPERM)));
            }
            "ipv6" => {
                const INET6: u32 = 10; // AF_INET6
                let tests = [(0, JUMP_EQUAL, INET6)];
                steps.extend(refuse(libc::SYS_socket, &tests, errno(libc::EAFNOSUPPORT)));
            }
            "filter" => steps.extend(refuse(libc::SYS_seccomp, &[], errno(libc::EPERM))),
            "clone3" => steps.extend(refuse(libc::SYS_clone3, &[], errno(libc::EPERM))),
            // As on a machine with more CPUs than the caller has room for.
            "affinity" => {
                steps.extend(refuse(
                    libc::SYS_sched_getaffinity,
                    &[],
                    errno(libc::EINVAL),
                ));
            }
            "close_range" => {
                steps.extend(refuse(libc::SYS_close_range, &[], errno(libc::ENOSYS)));
            }
            "aio" => steps.extend(refuse(libc::SYS_io_setup, &[], errno(libc::ENOSYS))),
            other => return Err(format!("nothing to refuse is called {other:?}")),
        }
    }
    steps.push(step(RETURN, libc::SECCOMP_RET_ALLOW, 0, 0));
    Ok(steps)
}

fn install(steps: &mut [libc::sock_filter]) -> io::Result<()> {
    // SAFETY: takes numbers only.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let length = u16::try_from(steps.len()).map_err(io::Error::other)?;
    let program = libc::sock_fprog {
        len: length,
        filter: steps.as_mut_ptr(),
    };
    // SAFETY: `program` names `length` valid instructions, which the kernel copies.
    if unsafe {
        libc::prctl(
            libc::PR_SET_SECCOMP,
            libc::SECCOMP_MODE_FILTER,
            &raw const program,
        )
    } != 0
    {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn main() {
    let mut words = env::args_os().skip(1);
    let (Some(wishes), Some(command)) = (words.next(), words.next()) else {
        println!("deny: WHAT[,WHAT...] COMMAND [ARG...]");
        process::exit(2);
    };
    let installed = filter(&wishes.to_string_lossy())
        .and_then(|mut steps| install(&mut steps).map_err(|error| format!("seccomp: {error}")));
    if let Err(error) = installed {
        println!("deny: {error}");
        process::exit(2);
    }
    let error = Command::new(&command).args(words).exec();
    println!("deny: {}: {error}", command.display());
    process::exit(127);
}
