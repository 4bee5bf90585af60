//! Starts one worker. Everything is prepared before the fork. Between fork and exec nothing allocates, locks or logs,
//! because another thread may hold any lock at that moment (signal-safety(7)).
#![expect(unsafe_code, reason = "fork, and plain calls between fork and exec")]

use std::ffi::{CString, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::resource::rlim_t;
use nix::sys::stat::Mode;

use crate::model::worker_vars::{ACTIVATION, LISTEN_FDNAMES, LISTEN_FDS, LISTEN_PID};
use crate::model::{Pid, Sig};

use super::child::{
    close_on_exec_from, is_elf, lift, place, reset_signals, unblock_signals, write_file,
};
use super::fork::fork_with_status;
use super::intercept::Filter;
use super::search::{c_string, candidates, is_absence};
use super::status::{self, Status};

/// How to start one worker.
#[derive(Debug)]
pub struct Plan<'a> {
    /// The program and its arguments; not empty.
    pub argv: &'a [OsString],
    /// The complete environment, in order. Variables about passed descriptors (LISTEN_*) are removed where they would
    /// be wrong.
    pub env: &'a [(OsString, OsString)],
    /// Source of stdin.
    pub stdin: Stdin,
    /// stdout and stderr; `None`: the runtime's own.
    pub output: Option<(BorrowedFd<'a>, BorrowedFd<'a>)>,
    /// Descriptors to pass as 3 and up, announced by LISTEN_FDS, LISTEN_PID and LISTEN_FDNAMES (sd_listen_fds(3)).
    pub activation: &'a [(BorrowedFd<'a>, String)],
    /// The worker's end of a channel, which is passed as the descriptor after those of `activation`.
    pub channel: Option<BorrowedFd<'a>>,
    /// The filter that traps `bind` and `listen`.
    pub filter: Option<&'a Filter>,
    /// The signal that the worker gets when the runtime dies first.
    pub death_signal: Option<Sig>,
    /// Soft and hard limit of open descriptors.
    pub file_limit: Option<(rlim_t, rlim_t)>,
    /// OOM score adjustment of the worker; `None`: inherited from the runtime.
    pub oom_score_adj: Option<i32>,
    /// Makes the worker the foreground group of the terminal if stdin is a terminal.
    pub foreground: bool,
    /// Passes on the descriptors that the runtime was started with, as tini does.
    pub keep_inherited: bool,
}

/// Where a worker's stdin comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stdin {
    /// /dev/null.
    Null,
    /// The runtime's own stdin.
    Inherit,
}

/// A forked worker. It may still fail to execute its program.
#[derive(Debug)]
pub struct Spawned {
    /// The worker.
    pub pid: Pid,
    /// Reports the progress of the start; read it with [`super::status::receive`]. Its end means that the program runs.
    pub status: OwnedFd,
}

/// Forks one worker. Call it only from the main thread, because PR_SET_PDEATHSIG is tied to the forking thread
/// (prctl(2)).
///
/// Fails with EAGAIN at the limit of processes (RLIMIT_NPROC, pids cgroup), with EMFILE or ENFILE at the limit of
/// descriptors, with ENOMEM, and with EINVAL if a word contains a NUL byte.
pub fn spawn(plan: &Plan<'_>) -> nix::Result<Spawned> {
    let mut child = Prepared::new(plan)?;
    // SAFETY: `Prepared::run` makes async-signal-safe calls only.
    let (pid, status) = unsafe { fork_with_status(|status| child.run(status)) }?;
    super::io::set_nonblocking(&status, true)?;
    // Parent and child both do it, because either may run first. The call here fails once the child has executed its
    // program.
    let leader = nix::unistd::Pid::from_raw(pid.get());
    let _ = nix::unistd::setpgid(leader, leader);
    Ok(Spawned { pid, status })
}

/// Everything that the child needs, allocated before the fork.
struct Prepared<'a> {
    /// Paths to try, in order.
    paths: Vec<CString>,
    argv: Vec<CString>,
    argv_ptrs: Vec<*const libc::c_char>,
    /// For a script without `#!`: `/bin/sh`, the path (filled in by the child), the arguments.
    shell_ptrs: Vec<*const libc::c_char>,
    env: Vec<CString>,
    env_ptrs: Vec<*const libc::c_char>,
    /// `LISTEN_PID=` and room for the child's PID, which the child writes itself. Last in the environment.
    listen_pid: Option<Vec<u8>>,
    stdin: Option<OwnedFd>,
    output: Option<(BorrowedFd<'a>, BorrowedFd<'a>)>,
    /// Descriptors that become 3 and up.
    passed: Vec<BorrowedFd<'a>>,
    filter: Option<&'a Filter>,
    death_signal: Option<i32>,
    parent: i32,
    file_limit: Option<libc::rlimit>,
    oom_score_adj: Option<String>,
    foreground: bool,
    keep_inherited: bool,
}

/// Digits reserved for LISTEN_PID.
const PID_DIGITS: usize = 10;

impl<'a> Prepared<'a> {
    fn new(plan: &Plan<'a>) -> nix::Result<Self> {
        let program = plan.argv.first().ok_or(Errno::EINVAL)?;
        let paths = candidates(program, plan.env)?;
        let argv = plan
            .argv
            .iter()
            .map(|word| c_string(word.as_bytes()))
            .collect::<nix::Result<Vec<_>>>()?;
        let mut env = Vec::with_capacity(plan.env.len() + 3);
        // Our own LISTEN_* variables are true for a worker only if it gets the same descriptors in the same places.
        // They must go otherwise, because getenv(3) returns the first of two.
        let passes = plan.keep_inherited && plan.activation.is_empty();
        for (name, value) in plan.env {
            if !passes && ACTIVATION.iter().any(|known| name == known.name) {
                continue;
            }
            env.push(c_string(
                &[name.as_bytes(), b"=", value.as_bytes()].concat(),
            )?);
        }
        let mut listen_pid = None;
        if !plan.activation.is_empty() {
            let names: Vec<&str> = plan
                .activation
                .iter()
                .map(|(_, name)| name.as_str())
                .collect();
            env.push(c_string(
                format!("{}={}", LISTEN_FDS.name, plan.activation.len()).as_bytes(),
            )?);
            env.push(c_string(
                format!("{}={}", LISTEN_FDNAMES.name, names.join(":")).as_bytes(),
            )?);
            listen_pid = Some(format!("{}={:0>PID_DIGITS$}\0", LISTEN_PID.name, 0).into_bytes());
        }
        let stdin = match plan.stdin {
            Stdin::Inherit => None,
            Stdin::Null => Some(open(
                "/dev/null",
                OFlag::O_RDONLY | OFlag::O_CLOEXEC,
                Mode::empty(),
            )?),
        };
        let pointers = |words: &[CString]| -> Vec<*const libc::c_char> {
            words
                .iter()
                .map(|word| word.as_ptr())
                .chain([std::ptr::null()])
                .collect()
        };
        let argv_ptrs = pointers(&argv);
        let mut shell_ptrs = vec![c"/bin/sh".as_ptr(), std::ptr::null()];
        shell_ptrs.extend(argv_ptrs.iter().skip(1));
        let mut env_ptrs = pointers(&env);
        if listen_pid.is_some() {
            env_ptrs.push(std::ptr::null()); // the entry before it becomes LISTEN_PID in the child
        }
        Ok(Self {
            paths,
            argv_ptrs,
            shell_ptrs,
            argv,
            env_ptrs,
            env,
            listen_pid,
            stdin,
            output: plan.output,
            passed: plan
                .activation
                .iter()
                .map(|(fd, _)| *fd)
                .chain(plan.channel)
                .collect(),
            filter: plan.filter,
            death_signal: plan.death_signal.map(Sig::get),
            parent: i32::try_from(std::process::id()).unwrap_or(0),
            file_limit: plan.file_limit.map(|(soft, hard)| libc::rlimit {
                rlim_cur: soft,
                rlim_max: hard,
            }),
            oom_score_adj: plan.oom_score_adj.map(|score| score.to_string()),
            foreground: plan.foreground,
            keep_inherited: plan.keep_inherited,
        })
    }

    /// Runs in the child until exec, with all signals blocked. Reports a failure and returns the exit code.
    fn run(&mut self, status: BorrowedFd<'_>) -> u8 {
        let (Ok(errno) | Err(errno)) = self.execute(status);
        status::send(status, &Status::ExecFailed(errno));
        Status::exec_code(errno)
    }

    fn execute(&mut self, status: BorrowedFd<'_>) -> Result<Errno, Errno> {
        // SAFETY: integers only.
        unsafe { libc::setpgid(0, 0) };
        if let Some(signal) = self.death_signal {
            // SAFETY: integers only.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal, 0, 0, 0) };
            // SAFETY: no arguments.
            if unsafe { libc::getppid() } != self.parent {
                // The parent died before the prctl call, so the signal would never come.
                return Err(Errno::ESRCH);
            }
        }
        let status = self.arrange_descriptors(status)?;
        reset_signals();
        if let Some(limit) = &self.file_limit {
            // SAFETY: the pointer points to a live value. Lowering a limit to its former value cannot fail.
            unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, std::ptr::from_ref(limit)) };
        }
        if let Some(score) = &self.oom_score_adj {
            // Errors are ignored: without a higher score, the kernel only does not prefer the worker to the runtime.
            write_file(c"/proc/self/oom_score_adj", score.as_bytes());
        }
        if self.foreground {
            // Fails harmlessly if stdin is no terminal. SIGTTOU is blocked, so the call does not stop us
            // (tcsetpgrp(3)).
            // SAFETY: integers only.
            let own = unsafe { libc::getpid() };
            // SAFETY: integers only.
            unsafe { libc::tcsetpgrp(0, own) };
        }
        self.write_listen_pid();
        if let Some(filter) = self.filter {
            let sent = filter
                .install()
                .and_then(|notifier| status::send_notifier(status, notifier.as_fd()));
            if let Err(errno) = sent {
                status::send(status, &Status::NotIntercepted(errno));
            }
        }
        unblock_signals();
        Ok(self.exec())
    }

    /// Puts 0, 1, 2 and the passed descriptors in their places, and makes everything else close-on-exec.
    fn arrange_descriptors<'s>(&mut self, status: BorrowedFd<'s>) -> Result<BorrowedFd<'s>, Errno> {
        let above = 3 + RawFd::try_from(self.passed.len()).map_err(|_| Errno::EMFILE)?;
        // First move every source above all targets.
        let status = lift(status, above)?;
        for fd in &mut self.passed {
            *fd = lift(*fd, above)?;
        }
        if let Some(null) = &self.stdin {
            // SAFETY: this child uses no standard stream of its own.
            unsafe { place(null.as_fd(), 0) }?;
        }
        if let Some((out, err)) = self.output {
            // SAFETY: as above.
            unsafe { place(out, 1) }?;
            // SAFETY: as above.
            unsafe { place(err, 2) }?;
        }
        if !self.keep_inherited {
            let from = libc::c_uint::try_from(above).unwrap_or(3);
            close_on_exec_from(from);
        }
        for (fd, target) in self.passed.iter().zip(3..) {
            // SAFETY: what this child uses was moved out of the way above; the rest is the parent's.
            unsafe { place(*fd, target) }?;
        }
        Ok(status)
    }

    /// Writes our PID in decimal digits and puts the string before the closing null pointer. Without leading zeros,
    /// because libsystemd would read them as octal.
    fn write_listen_pid(&mut self) {
        let Some(entry) = &mut self.listen_pid else {
            return;
        };
        // SAFETY: no arguments.
        let mut rest = unsafe { libc::getpid() };
        let mut start = entry.len() - 1;
        loop {
            start -= 1;
            if let Some(digit) = entry.get_mut(start) {
                *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            }
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        start -= 1;
        if let Some(place) = entry.get_mut(start) {
            *place = b'=';
        }
        let name = LISTEN_PID.name.as_bytes();
        start -= name.len();
        if let Some(place) = entry.get_mut(start..start + name.len()) {
            place.copy_from_slice(name);
        }
        if let (Some(place), Some(text)) =
            (self.env_ptrs.iter_mut().rev().nth(1), entry.get(start..))
        {
            *place = text.as_ptr().cast();
        }
    }

    /// Tries each path as execvp(3) does. Returns the most informative error.
    fn exec(&mut self) -> Errno {
        let mut found = Errno::ENOENT;
        for path in &self.paths {
            // SAFETY: all strings end in NUL and both lists in a null pointer.
            unsafe {
                libc::execve(
                    path.as_ptr(),
                    self.argv_ptrs.as_ptr(),
                    self.env_ptrs.as_ptr(),
                )
            };
            match Errno::last() {
                errno if is_absence(errno) => {}
                Errno::ENOEXEC if is_elf(path) => return Errno::ENOEXEC,
                Errno::ENOEXEC => {
                    if let Some(place) = self.shell_ptrs.get_mut(1) {
                        *place = path.as_ptr();
                    }
                    // SAFETY: as above.
                    unsafe {
                        libc::execve(
                            c"/bin/sh".as_ptr(),
                            self.shell_ptrs.as_ptr(),
                            self.env_ptrs.as_ptr(),
                        )
                    };
                    return Errno::ENOEXEC;
                }
                // We may lack access to one directory of the search path; the program may be in the next.
                errno @ Errno::EACCES => found = errno,
                errno => return errno,
            }
        }
        // The strings behind the pointers must live until this line.
        debug_assert!(!self.argv.is_empty() && self.env.len() < self.env_ptrs.len());
        found
    }
}
