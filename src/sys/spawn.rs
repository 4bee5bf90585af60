//! Starting one worker. Everything is prepared before the fork; between fork and exec nothing allocates, locks or
//! logs, because another thread may hold any lock at that moment (signal-safety(7)).
#![expect(unsafe_code, reason = "fork, and plain calls between fork and exec")]

use std::ffi::{CString, OsString};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::resource::rlim_t;
use nix::sys::stat::Mode;

use crate::model::{Pid, Sig};

use super::child::{
    close_on_exec_from, is_elf, lift, place, reset_signals, unblock_signals, write_file,
};
use super::fork::fork_with_status;
use super::intercept::Filter;
use super::search::{c_string, candidates, is_absence};
use super::status::{self, Status};

/// What one worker is started with.
#[derive(Debug)]
pub struct Plan<'a> {
    /// The program and its arguments; not empty.
    pub argv: &'a [OsString],
    /// Its environment, whole and in order; what it says about handed descriptors is left out where it is not true.
    pub env: &'a [(OsString, OsString)],
    /// Where its stdin, stdout and stderr go; `None`: stdin is /dev/null, the others are ours.
    pub stdin: Stdin,
    /// stdout and stderr; `None`: ours.
    pub output: Option<(BorrowedFd<'a>, BorrowedFd<'a>)>,
    /// Descriptors for 3 and up, announced by LISTEN_FDS, LISTEN_PID and LISTEN_FDNAMES (sd_listen_fds(3)).
    pub activation: &'a [(BorrowedFd<'a>, String)],
    /// Traps `bind` and `listen`.
    pub filter: Option<&'a Filter>,
    /// What it gets when we die first.
    pub death_signal: Option<Sig>,
    /// Its limit of open descriptors.
    pub file_limit: Option<(rlim_t, rlim_t)>,
    /// How gladly the kernel kills it when memory is short; `None`: as we are.
    pub oom_score_adj: Option<i32>,
    /// It becomes the terminal's foreground group if stdin is a terminal.
    pub foreground: bool,
    /// Descriptors that we were started with are passed on, as tini does.
    pub keep_inherited: bool,
}

/// Where a worker's stdin comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stdin {
    /// /dev/null.
    Null,
    /// Ours.
    Inherit,
}

/// A worker that was forked; it may still fail to execute its program.
#[derive(Debug)]
pub struct Spawned {
    /// The worker.
    pub pid: Pid,
    /// Tells how the start went on: read it with [`super::status::receive`]; its end means that the program runs.
    pub status: OwnedFd,
}

/// Forks one worker. Call it from the main thread only: PR_SET_PDEATHSIG follows the forking thread (prctl(2)).
///
/// EAGAIN: the limit of processes (RLIMIT_NPROC, pids cgroup). EMFILE, ENFILE: of descriptors. ENOMEM. EINVAL: a NUL
/// byte in a word.
pub fn spawn(plan: &Plan<'_>) -> nix::Result<Spawned> {
    let mut child = Prepared::new(plan)?;
    // SAFETY: `Prepared::run` makes async-signal-safe calls only.
    let (pid, status) = unsafe { fork_with_status(|status| child.run(status)) }?;
    super::io::set_nonblocking(&status, true)?;
    // Both sides do it, so that neither depends on who runs first; it fails once the child has executed.
    let leader = nix::unistd::Pid::from_raw(pid.get());
    let _ = nix::unistd::setpgid(leader, leader);
    Ok(Spawned { pid, status })
}

/// All that the child needs, allocated before the fork.
struct Prepared<'a> {
    /// Paths to try, in order.
    paths: Vec<CString>,
    argv: Vec<CString>,
    argv_ptrs: Vec<*const libc::c_char>,
    /// For a file without `#!`: `/bin/sh`, the path (filled in), the arguments.
    shell_ptrs: Vec<*const libc::c_char>,
    env: Vec<CString>,
    env_ptrs: Vec<*const libc::c_char>,
    /// `LISTEN_PID=` and room for the child's own number, which it writes itself; last of the environment.
    listen_pid: Option<Vec<u8>>,
    stdin: Option<OwnedFd>,
    output: Option<(RawFd, RawFd)>,
    activation: Vec<RawFd>,
    filter: Option<&'a Filter>,
    death_signal: Option<i32>,
    parent: i32,
    file_limit: Option<libc::rlimit>,
    oom_score_adj: Option<String>,
    foreground: bool,
    keep_inherited: bool,
}

/// What a process is told about descriptors that were handed to it (sd_listen_fds(3)).
const ACTIVATION: [&str; 4] = [
    "LISTEN_PID",
    "LISTEN_PIDFDID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
];

/// Digits that are kept free for LISTEN_PID.
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
        // What was said to us about descriptors is true of a worker only if it has them as we had them; and getenv(3)
        // takes the first of two.
        let passes = plan.keep_inherited && plan.activation.is_empty();
        for (name, value) in plan.env {
            if !passes && ACTIVATION.iter().any(|known| name == known) {
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
                format!("LISTEN_FDS={}", plan.activation.len()).as_bytes(),
            )?);
            env.push(c_string(
                format!("LISTEN_FDNAMES={}", names.join(":")).as_bytes(),
            )?);
            listen_pid = Some(format!("LISTEN_PID={:0>PID_DIGITS$}\0", 0).into_bytes());
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
            env_ptrs.push(std::ptr::null()); // the one before becomes LISTEN_PID in the child
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
            output: plan
                .output
                .map(|(out, err)| (out.as_raw_fd(), err.as_raw_fd())),
            activation: plan
                .activation
                .iter()
                .map(|(fd, _)| fd.as_raw_fd())
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

    /// The child's life until exec. All signals are blocked. Any failure is reported; the code is what to exit with.
    fn run(&mut self, status: RawFd) -> u8 {
        let (Ok(errno) | Err(errno)) = self.execute(status);
        status::send(status, &Status::ExecFailed(errno));
        Status::exec_code(errno)
    }

    fn execute(&mut self, status: RawFd) -> Result<Errno, Errno> {
        // SAFETY: integers only.
        unsafe { libc::setpgid(0, 0) };
        if let Some(signal) = self.death_signal {
            // SAFETY: integers only.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal, 0, 0, 0) };
            // SAFETY: no arguments.
            if unsafe { libc::getppid() } != self.parent {
                // The parent died before the call: nobody would ever send it.
                return Err(Errno::ESRCH);
            }
        }
        let status = self.arrange_descriptors(status)?;
        reset_signals();
        if let Some(limit) = &self.file_limit {
            // SAFETY: the pointer is to a live value. Lowering a limit to what it was cannot fail.
            unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, std::ptr::from_ref(limit)) };
        }
        if let Some(score) = &self.oom_score_adj {
            // Where it cannot be raised, the worker is killed no sooner than we are, and that is all.
            write_file(c"/proc/self/oom_score_adj", score.as_bytes());
        }
        if self.foreground {
            // Fails harmlessly where stdin is no terminal; SIGTTOU is blocked, so nothing stops us (tcsetpgrp(3)).
            // SAFETY: integers only.
            let own = unsafe { libc::getpid() };
            // SAFETY: integers only.
            unsafe { libc::tcsetpgrp(0, own) };
        }
        self.write_listen_pid();
        if let Some(filter) = self.filter {
            let sent = filter
                .install()
                .and_then(|fd| status::send_notifier(status, fd));
            if let Err(errno) = sent {
                status::send(status, &Status::NotIntercepted(errno));
            }
        }
        unblock_signals();
        Ok(self.exec())
    }

    /// 0, 1, 2 and the activated ones in their places, everything else close-on-exec.
    fn arrange_descriptors(&mut self, status: RawFd) -> Result<RawFd, Errno> {
        let above = 3 + RawFd::try_from(self.activation.len()).map_err(|_| Errno::EMFILE)?;
        // First every source out of the way of every target.
        let status = lift(status, above)?;
        for fd in &mut self.activation {
            *fd = lift(*fd, above)?;
        }
        if let Some(null) = &self.stdin {
            place(null.as_raw_fd(), 0)?;
        }
        if let Some((out, err)) = self.output {
            place(out, 1)?;
            place(err, 2)?;
        }
        if !self.keep_inherited {
            let from = libc::c_uint::try_from(above).unwrap_or(3);
            close_on_exec_from(from);
        }
        for (fd, target) in self.activation.iter().zip(3..) {
            place(*fd, target)?;
        }
        Ok(status)
    }

    /// Writes the decimal digits of our number, and puts the string in its place before the closing null pointer. No
    /// leading zeros: libsystemd would read them as octal.
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
        let name = b"LISTEN_PID=";
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

    /// Tries each path as execvp(3) does; returns why the best of them failed.
    fn exec(&mut self) -> Errno {
        let mut found = Errno::ENOENT;
        for path in &self.paths {
            // SAFETY: all strings end in NUL, both lists in a null pointer.
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
                // A directory of the search path may be closed to us; the program may be in the next.
                errno @ Errno::EACCES => found = errno,
                errno => return errno,
            }
        }
        // The strings behind the pointers must live until here.
        debug_assert!(!self.argv.is_empty() && self.env.len() < self.env_ptrs.len());
        found
    }
}
