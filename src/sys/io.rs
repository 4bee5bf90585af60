//! Pipes and plain reads and writes.
#![expect(unsafe_code, reason = "FIONREAD has no safe wrapper")]

use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::fstat;
use nix::sys::uio::writev;
use nix::unistd;

use super::retry;

/// A worker's output pipe: our end does not block, the worker's end does. The two ends are open file descriptions of
/// their own (pipe(7)), so O_NONBLOCK on ours is invisible to the worker.
#[derive(Debug)]
pub struct OutputPipe {
    /// Ours.
    pub read: OwnedFd,
    /// The worker's; close-on-exec until it is moved to 1 or 2 in the child.
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

/// Sets or clears O_NONBLOCK, which lives in the open file description: everybody who holds it is concerned.
pub fn set_nonblocking(fd: impl AsFd, on: bool) -> nix::Result<()> {
    let fd = fd.as_fd();
    let mut flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
    flags.set(OFlag::O_NONBLOCK, on);
    fcntl(fd, FcntlArg::F_SETFL(flags)).map(drop)
}

/// What one read found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// So many bytes.
    Data(usize),
    /// Nothing now.
    Empty,
    /// Every writer is gone.
    End,
}

/// Reads once into `buffer` (not empty).
pub fn read(fd: impl AsFd, buffer: &mut [u8]) -> nix::Result<Read> {
    match retry(|| unistd::read(fd.as_fd(), buffer)) {
        Ok(0) => Ok(Read::End),
        Ok(count) => Ok(Read::Data(count)),
        Err(Errno::EAGAIN) => Ok(Read::Empty),
        Err(errno) => Err(errno),
    }
}

/// Whether both are one file, pipe or socket, however it was opened.
pub fn is_same(one: impl AsFd, other: impl AsFd) -> nix::Result<bool> {
    let [one, other] = [fstat(one)?, fstat(other)?];
    Ok((one.st_dev, one.st_ino) == (other.st_dev, other.st_ino))
}

/// How many bytes wait in a pipe or socket to be read.
pub fn unread(fd: impl AsFd) -> nix::Result<usize> {
    let mut count: libc::c_int = 0;
    // SAFETY: FIONREAD writes one int (ioctl(2)), into a variable of ours; the descriptor is open while borrowed.
    let done = unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), libc::FIONREAD, &raw mut count) };
    Errno::result(done)?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// Writes once, from `parts` (together not empty) in their order, and says how many bytes went; waits as long as the
/// reader takes. A descriptor that somebody who shares it set to O_NONBLOCK is polled; the flag is never changed,
/// since it is not ours alone.
pub fn write_some(fd: impl AsFd, parts: &[IoSlice<'_>]) -> nix::Result<usize> {
    let fd = fd.as_fd();
    loop {
        match retry(|| writev(fd, parts)) {
            // Not a thing that write(2) does to a request that is not empty; taken as done, it would be asked for ever.
            Ok(0) => return Err(Errno::EIO),
            Err(Errno::EAGAIN) => {
                let mut fds = [PollFd::new(fd, PollFlags::POLLOUT)];
                retry(|| poll(&mut fds, PollTimeout::NONE))?;
            }
            other => return other,
        }
    }
}

/// Writes all of `bytes`, waiting as long as the reader takes, as [`write_some`] does.
pub fn write_all(fd: impl AsFd, mut bytes: &[u8]) -> nix::Result<()> {
    while !bytes.is_empty() {
        let count = write_some(fd.as_fd(), &[IoSlice::new(bytes)])?;
        bytes = bytes.get(count..).unwrap_or_default();
    }
    Ok(())
}

/// Waits until `fd` has something to read, or `limit` is over; true if it has.
pub fn wait_readable(fd: impl AsFd, limit: std::time::Duration) -> nix::Result<bool> {
    let timeout = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
    let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
    retry(|| poll(&mut fds, timeout)).map(|count| count > 0)
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
