//! Pipes and plain reads and writes.
#![expect(unsafe_code, reason = "FIONREAD has no safe wrapper")]

use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::fstat;
use nix::sys::uio::writev;
use nix::unistd;

use super::retry;

/// The output pipe of a worker. Our end is non-blocking, the worker's end blocks. The ends are separate open file
/// descriptions (pipe(7)), so the worker does not see O_NONBLOCK of our end.
#[derive(Debug)]
pub struct OutputPipe {
    /// The runtime's end.
    pub read: OwnedFd,
    /// The worker's end; close-on-exec until the child moves it to 1 or 2.
    pub write: OwnedFd,
}

impl OutputPipe {
    /// Fails with EMFILE or ENFILE.
    pub fn new() -> nix::Result<Self> {
        let (read, write) = unistd::pipe2(OFlag::O_CLOEXEC)?;
        set_nonblocking(&read, true)?;
        Ok(Self { read, write })
    }
}

/// Sets or clears O_NONBLOCK. The flag belongs to the open file description, so every process that shares it is
/// affected.
pub fn set_nonblocking(fd: impl AsFd, on: bool) -> nix::Result<()> {
    let fd = fd.as_fd();
    let mut flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
    flags.set(OFlag::O_NONBLOCK, on);
    fcntl(fd, FcntlArg::F_SETFL(flags)).map(drop)
}

/// Whether O_NONBLOCK is set on the open file description.
pub fn is_nonblocking(fd: impl AsFd) -> nix::Result<bool> {
    let flags = fcntl(fd.as_fd(), FcntlArg::F_GETFL)?;
    Ok(OFlag::from_bits_retain(flags).contains(OFlag::O_NONBLOCK))
}

/// Result of one read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// This many bytes.
    Data(usize),
    /// No data now.
    Empty,
    /// Every writer has closed.
    End,
}

/// Reads once into `buffer`, which must not be empty.
pub fn read(fd: impl AsFd, buffer: &mut [u8]) -> nix::Result<Read> {
    match retry(|| unistd::read(fd.as_fd(), buffer)) {
        Ok(0) => Ok(Read::End),
        Ok(count) => Ok(Read::Data(count)),
        Err(Errno::EAGAIN) => Ok(Read::Empty),
        Err(errno) => Err(errno),
    }
}

/// Whether both descriptors refer to the same file, pipe or socket, even if it was opened separately.
pub fn is_same(one: impl AsFd, other: impl AsFd) -> nix::Result<bool> {
    let [one, other] = [fstat(one)?, fstat(other)?];
    Ok((one.st_dev, one.st_ino) == (other.st_dev, other.st_ino))
}

/// How many unread bytes a pipe or socket holds.
pub fn unread(fd: impl AsFd) -> nix::Result<usize> {
    let mut count: libc::c_int = 0;
    // SAFETY: FIONREAD writes one int (ioctl(2)) into our variable; the descriptor is open while borrowed.
    let done = unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), libc::FIONREAD, &raw mut count) };
    Errno::result(done)?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// Writes once from `parts` in order (together not empty) and returns the number of bytes written. Waits until the
/// reader takes data. If another process set O_NONBLOCK on the shared description, this polls; it never changes the
/// flag.
pub fn write_some(fd: impl AsFd, parts: &[IoSlice<'_>]) -> nix::Result<usize> {
    let fd = fd.as_fd();
    loop {
        match retry(|| writev(fd, parts)) {
            // write(2) never returns 0 for a request that is not empty; treating it as progress would loop forever.
            Ok(0) => return Err(Errno::EIO),
            Err(Errno::EAGAIN) => {
                let mut fds = [PollFd::new(fd, PollFlags::POLLOUT)];
                retry(|| poll(&mut fds, PollTimeout::NONE))?;
            }
            other => return other,
        }
    }
}

/// Writes all of `bytes`, waiting for the reader as [`write_some`] does.
pub fn write_all(fd: impl AsFd, mut bytes: &[u8]) -> nix::Result<()> {
    while !bytes.is_empty() {
        let count = write_some(fd.as_fd(), &[IoSlice::new(bytes)])?;
        bytes = bytes.get(count..).unwrap_or_default();
    }
    Ok(())
}

/// Whole milliseconds: a wait that is too short would be repeated without a pause.
fn rounded_up(limit: std::time::Duration) -> PollTimeout {
    let limit = limit.saturating_add(std::time::Duration::from_micros(999));
    PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX)
}

/// Waits until `fd` is readable or `limit` has passed; true if it is readable.
pub fn wait_readable(fd: impl AsFd, limit: std::time::Duration) -> nix::Result<bool> {
    let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
    retry(|| poll(&mut fds, rounded_up(limit))).map(|count| count > 0)
}

/// Waits until one of `fds` is readable, or hung up, or `limit` has passed, or a signal handler ran. Says of each whether
/// it is.
pub fn wait_any<const N: usize>(
    fds: [BorrowedFd<'_>; N],
    limit: std::time::Duration,
) -> nix::Result<[bool; N]> {
    let mut polled = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN));
    match poll(&mut polled, rounded_up(limit)) {
        Ok(_) | Err(Errno::EINTR) => Ok(polled.map(|fd| fd.any().unwrap_or(true))),
        Err(errno) => Err(errno),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_in_a_pipe_is_counted() {
        let pipe = OutputPipe::new().unwrap();
        assert_eq!(unread(&pipe.read), Ok(0));
        write_all(&pipe.write, b"12345").unwrap();
        assert_eq!(unread(&pipe.read), Ok(5));
        assert_eq!(read(&pipe.read, &mut [0; 8]), Ok(Read::Data(5)));
        assert_eq!(read(&pipe.read, &mut [0; 8]), Ok(Read::Empty));
        drop(pipe.write);
        assert_eq!(read(&pipe.read, &mut [0; 8]), Ok(Read::End));
    }

    #[test]
    fn of_several_descriptors_those_that_can_be_read_are_told() {
        let [one, other] = [OutputPipe::new().unwrap(), OutputPipe::new().unwrap()];
        let fds = || [one.read.as_fd(), other.read.as_fd()];
        assert_eq!(wait_any(fds(), std::time::Duration::ZERO), Ok([false; 2]));
        write_all(&other.write, b"1").unwrap();
        let long = std::time::Duration::from_hours(1);
        assert_eq!(wait_any(fds(), long), Ok([false, true]));
        drop(one.write);
        assert_eq!(wait_any(fds(), long), Ok([true; 2]));
    }

    #[test]
    fn two_ends_of_a_pipe_are_one_file_and_two_pipes_are_not() {
        let [one, other] = [OutputPipe::new().unwrap(), OutputPipe::new().unwrap()];
        assert_eq!(is_same(&one.write, &one.read), Ok(true));
        assert_eq!(is_same(&one.write, &other.write), Ok(false));
    }

    #[test]
    fn a_nonblocking_output_is_waited_for_and_left_so() {
        let (read_end, write_end) = unistd::pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).unwrap();
        let bytes = vec![b'x'; 300_000];
        let reader = std::thread::spawn(move || {
            let (mut total, mut buffer) = (0, [0; 4096]);
            loop {
                match read(&read_end, &mut buffer).unwrap() {
                    Read::Data(count) => total += count,
                    Read::Empty => {
                        let mut fds = [PollFd::new(read_end.as_fd(), PollFlags::POLLIN)];
                        retry(|| poll(&mut fds, PollTimeout::NONE)).unwrap();
                    }
                    Read::End => return total,
                }
            }
        });
        write_all(&write_end, &bytes).unwrap();
        let flags = fcntl(&write_end, FcntlArg::F_GETFL).unwrap();
        assert!(OFlag::from_bits_retain(flags).contains(OFlag::O_NONBLOCK));
        drop(write_end);
        assert_eq!(reader.join().unwrap(), 300_000);
    }
}
