//! Inspects another process through /proc/PID (proc(5)): its open sockets, its signal dispositions, and whether it
//! runs.
#![expect(
    unsafe_code,
    reason = "getdents64(2) and readlinkat(2) into buffers of our own"
)]

use std::ffi::CStr;
use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, AsRawFd};
use std::thread;
use std::time::Duration;

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use crate::model::{Pid, Sig};

use super::family::{Process, stat_head};
use super::proc::{Proc, ProcDir};

/// Interval and most attempts of [`Proc::stopped_within`].
const STOP_LOOKS: (Duration, u32) = (Duration::from_micros(500), 40);

/// Bytes of directory entries to read at once.
const ENTRIES: usize = 8192;

/// How much of another process could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Everything, or as much as was requested.
    Whole,
    /// The process has ended.
    Over,
    /// Not everything: the process belongs to another uid or is not dumpable (PR_SET_DUMPABLE), or we lack a resource.
    Hidden,
}

/// The dispositions of a process, as masks: bit n-1 is signal n.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dispositions {
    /// Signals with a handler.
    pub caught: u64,
    /// Ignored signals.
    pub ignored: u64,
    /// Signals that the main thread blocks. A program that blocks a signal fetches it itself (sigwait(3), signalfd(2)).
    pub blocked: u64,
}

impl Dispositions {
    /// Whether `mask` contains `sig`.
    pub fn has(mask: u64, sig: Sig) -> bool {
        mask & (1 << (sig.get() - 1)) != 0
    }
}

impl Proc {
    /// Calls `socket` with the inode of every socket that `process` has open, until `socket` breaks. A socket that is
    /// open twice is reported twice. Descriptors that are opened or closed meanwhile may be missing.
    pub fn sockets(
        &self,
        process: &Process,
        socket: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Seen {
        let Some(pid) = Pid::new(process.pid) else {
            return Seen::Hidden;
        };
        if process.is_over() {
            return Seen::Over;
        }
        if process.is_headless() {
            // Only its other threads still show its descriptors. No server runs like this.
            return Seen::Hidden;
        }
        self.sockets_of(pid, socket)
    }

    /// Whether the process has one of these sockets open, and what could be seen of it until then.
    pub fn has_socket(&self, process: &Process, inodes: &[u64]) -> (bool, Seen) {
        let mut has = false;
        let seen = self.sockets(process, &mut |inode| {
            has = inodes.contains(&inode);
            if has {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        (has, seen)
    }

    /// As [`Proc::sockets`], for a process of which only the PID is known. A process of which only the main thread has
    /// ended shows no sockets.
    pub fn sockets_of(&self, pid: Pid, socket: &mut dyn FnMut(u64) -> ControlFlow<()>) -> Seen {
        match self.each_socket(pid, socket) {
            Ok(()) => Seen::Whole,
            // The files of a zombie belong to root (task_dump_owner in fs/proc), so "forbidden" may mean that the
            // process has ended.
            Err(error) if is_gone(&error) || self.is_over(pid) => Seen::Over,
            Err(_) => Seen::Hidden,
        }
    }

    fn each_socket(
        &self,
        pid: Pid,
        socket: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> io::Result<()> {
        let path = self.path(ProcDir::Of(pid), "fd");
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let directory = open(&path, flags, Mode::empty())?;
        let mut buffer = [0; ENTRIES];
        loop {
            let mut rest = read_entries(&directory, &mut buffer)?;
            if rest.is_empty() {
                return Ok(());
            }
            while let Some((name, behind)) = next_entry(rest) {
                rest = behind;
                // `.` and `..` are not descriptors.
                if name.to_bytes().first().is_some_and(u8::is_ascii_digit)
                    && let Some(inode) = socket_inode(&directory, name)?
                    && socket(inode).is_break()
                {
                    return Ok(());
                }
            }
        }
    }

    /// Whether the process has closed all its descriptors. One that ends does so before /proc shows that it has ended.
    pub fn has_closed_all(&self, process: &Process) -> bool {
        let Some(pid) = Pid::new(process.pid) else {
            return false;
        };
        match fs::read_dir(self.path(ProcDir::Of(pid), "fd")) {
            Ok(mut entries) => entries.next().is_none(),
            Err(error) => is_gone(&error),
        }
    }

    fn is_over(&self, pid: Pid) -> bool {
        match stat_head(&self.path(ProcDir::Of(pid), "stat")) {
            Ok(process) => process.is_some_and(|process| process.is_over()),
            Err(error) => is_gone(&error),
        }
    }

    /// Reads the signal dispositions of a process. They are readable for processes of other uids too.
    pub fn dispositions(&self, pid: Pid) -> io::Result<Dispositions> {
        let text = fs::read(self.path(ProcDir::Of(pid), "status"))?;
        parse_status(&text)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "status has an unknown form"))
    }

    /// Whether no thread of the process runs: all are stopped (SIGSTOP, a tracer) or have ended.
    pub fn is_stopped(&self, pid: Pid) -> io::Result<bool> {
        let threads = match fs::read_dir(self.path(ProcDir::Of(pid), "task")) {
            Err(error) if is_gone(&error) => return Ok(true),
            threads => threads?,
        };
        for thread in threads {
            match stat_head(&thread?.path().join("stat")) {
                Ok(Some(thread)) if thread.is_headless() || matches!(thread.state, b'T' | b't') => {
                }
                Err(error) if is_gone(&error) => {}
                Ok(_) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Waits until all threads of `processes` are stopped, for about 20 ms at most, and blocks the calling thread
    /// meanwhile. False if some still run or if this cannot be read. A thread stops when it next returns to its
    /// program, so a thread that waits in the kernel for a disk does not stop in time.
    #[expect(
        clippy::disallowed_methods,
        reason = "no event reports that a process other than our child has stopped"
    )]
    pub fn stopped_within(&self, mut processes: &[Process]) -> bool {
        let (pause, looks) = STOP_LOOKS;
        for look in 0..looks {
            if look > 0 {
                thread::sleep(pause);
            }
            // A stopped process stays stopped, so it is not checked again.
            while let Some((first, rest)) = processes.split_first() {
                let Some(pid) = Pid::new(first.pid) else {
                    return false;
                };
                match self.is_stopped(pid) {
                    Ok(true) => processes = rest,
                    Ok(false) => break,
                    Err(_) => return false,
                }
            }
            if processes.is_empty() {
                return true;
            }
        }
        false
    }
}

/// The file or the process does not exist any more.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH))
}

/// Reads directory entries; empty at the end. Calls getdents64(2) directly, and readlinkat(2) below, because this runs
/// for every descriptor of every worker, also of idle workers.
fn read_entries(directory: impl AsFd, buffer: &mut [u8]) -> io::Result<&[u8]> {
    let fd = directory.as_fd().as_raw_fd();
    // SAFETY: the buffer is as long as said.
    let len = unsafe { libc::syscall(libc::SYS_getdents64, fd, buffer.as_mut_ptr(), buffer.len()) };
    match usize::try_from(len) {
        Ok(len) => Ok(buffer.get(..len).unwrap_or_default()),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

/// The name in the first `struct linux_dirent64`, and the remaining entries.
fn next_entry(entries: &[u8]) -> Option<(&CStr, &[u8])> {
    const LENGTH: usize = 16;
    const NAME: usize = 19;
    let len = [*entries.get(LENGTH)?, *entries.get(LENGTH + 1)?];
    let len = usize::from(u16::from_ne_bytes(len));
    let name = CStr::from_bytes_until_nul(entries.get(NAME..len)?).ok()?;
    Some((name, entries.get(len..)?))
}

/// The inode of the socket behind this descriptor. `None` if it is no socket, or if it was closed since the directory
/// was read.
fn socket_inode(directory: impl AsFd, name: &CStr) -> io::Result<Option<u64>> {
    let mut target = [0_u8; 64];
    let (fd, room) = (directory.as_fd().as_raw_fd(), target.len());
    // SAFETY: the name ends in NUL; the buffer is as long as said.
    let len = unsafe { libc::readlinkat(fd, name.as_ptr(), target.as_mut_ptr().cast(), room) };
    let Ok(len) = usize::try_from(len) else {
        let error = io::Error::last_os_error();
        let closed = error.kind() == io::ErrorKind::NotFound;
        return if closed { Ok(None) } else { Err(error) };
    };
    let target = target.get(..len).unwrap_or_default();
    let number = target
        .strip_prefix(b"socket:[")
        .and_then(|rest| rest.strip_suffix(b"]"))
        .and_then(|number| std::str::from_utf8(number).ok());
    Ok(number.and_then(|number| number.parse().ok()))
}

fn parse_status(text: &[u8]) -> Option<Dispositions> {
    // The process name may not be UTF-8, but the numbers are.
    let mask = |name: &[u8]| {
        let mut lines = text.split(|byte| *byte == b'\n');
        let value = lines.find_map(|line| line.strip_prefix(name))?;
        u64::from_str_radix(std::str::from_utf8(value).ok()?.trim(), 16).ok()
    };
    Some(Dispositions {
        caught: mask(b"SigCgt:")?,
        ignored: mask(b"SigIgn:")?,
        blocked: mask(b"SigBlk:")?,
    })
}

#[cfg(test)]
mod tests;
