//! Puts a descriptor of ours into epoll sets of another process, under the number that it has there.
//!
//! An epoll set tells its members apart by the open file description and by the number that the descriptor had when
//! it was added (epoll_ctl(2)). Only an entry under the worker's own number is found by the worker's later EPOLL_CTL_MOD
//! and EPOLL_CTL_DEL. So the descriptor must have that number here, where another descriptor has it already. That is
//! possible in a thread with a descriptor table of its own: close_range(2) with CLOSE_RANGE_UNSHARE (Linux 5.9) makes a
//! copy of the table for the calling thread and needs no privilege, as unshare(2) does in a container.
//!
//! The thread lives for some microseconds. Its table holds copies of all descriptors for that time. It works with
//! numbers only: an owned descriptor that it dropped would be closed in its own table and not in that of the process.
#![expect(
    unsafe_code,
    reason = "close_range(2), and calls on numbers of another descriptor table"
)]

use std::fs;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use nix::errno::Errno;

use super::thread;

/// Flags of an entry that are no events. They are set from the first moment.
const FLAGS: u32 = (libc::EPOLLET | libc::EPOLLONESHOT | libc::EPOLLWAKEUP).cast_unsigned();
const EXCLUSIVE: u32 = libc::EPOLLEXCLUSIVE.cast_unsigned();

/// A place in an epoll set.
#[derive(Debug)]
pub struct Place<S> {
    /// The set.
    pub set: S,
    /// The events that are waited for, and the flags.
    pub events: u32,
    /// What the program gets with an event.
    pub data: u64,
}

/// A member that was added and waits for no events yet. If this is dropped, the member is removed.
#[derive(Debug)]
pub struct Registration {
    go: Sender<()>,
    outcome: Receiver<nix::Result<()>>,
    /// Ends right after the outcome was sent. Until then it holds copies of all descriptors.
    pub thread: JoinHandle<()>,
}

/// Adds `member` to all `places` under `number`, without any event. Everything that can fail fails here. Fails with
/// ENOSYS on kernels older than 5.9, with EPERM if a profile forbids close_range(2), with EBADF if the number is above
/// our RLIMIT_NOFILE, with EAGAIN without a thread.
pub fn add<S: AsFd>(
    member: impl AsFd,
    number: i32,
    places: &[Place<S>],
) -> nix::Result<Registration> {
    let job = Job::new(&member, number, places);
    let (go, told) = channel();
    let (tell, outcome) = channel();
    let body = move || {
        let added = job.own_table().and_then(|job| job.add().map(|()| job));
        let sent = tell.send(added.as_ref().map(drop).map_err(|errno| *errno));
        if let (Ok(job), Ok(())) = (added, sent) {
            // If the other end is dropped instead, the member is not wanted any more.
            match told.recv() {
                Ok(()) => drop(tell.send(job.arm())),
                Err(_) => job.remove(),
            }
        }
    };
    let thread = thread::start("register", thread::STACK, body)?;
    // Our descriptors stay open until the thread has made its copies and answers.
    outcome.recv().unwrap_or(Err(Errno::EIO))?;
    Ok(Registration {
        go,
        outcome,
        thread,
    })
}

/// Removes `member` from all `places`, where it is under `number`. Places without it are skipped.
pub fn remove<S: AsFd>(
    member: impl AsFd,
    number: i32,
    places: &[Place<S>],
) -> nix::Result<JoinHandle<()>> {
    let job = Job::new(&member, number, places);
    let (tell, outcome) = channel();
    let body = move || {
        let removed = job.own_table().map(|job| job.remove());
        // The other end waits for it.
        let _ = tell.send(removed);
    };
    let thread = thread::start("register", thread::STACK, body)?;
    outcome.recv().unwrap_or(Err(Errno::EIO))?;
    Ok(thread)
}

impl Registration {
    /// Lets the member wait for the events of its places. Call it after the worker has the descriptor.
    pub fn arm(self) -> (nix::Result<()>, JoinHandle<()>) {
        let armed = self.go.send(()).map_err(|_| Errno::EIO);
        let armed = armed.and_then(|()| self.outcome.recv().unwrap_or(Err(Errno::EIO)));
        (armed, self.thread)
    }
}

/// Numbers of the shared descriptor table.
#[derive(Debug)]
struct Job {
    member: RawFd,
    number: RawFd,
    places: Vec<Place<RawFd>>,
}

impl Job {
    fn new<S: AsFd>(member: &impl AsFd, number: i32, places: &[Place<S>]) -> Self {
        let places = places.iter().map(|place| Place {
            set: place.set.as_fd().as_raw_fd(),
            events: place.events,
            data: place.data,
        });
        Self {
            member: member.as_fd().as_raw_fd(),
            number,
            places: places.collect(),
        }
    }

    /// Gives the calling thread a descriptor table of its own, in which the member has its number.
    fn own_table(mut self) -> nix::Result<Self> {
        // The range is empty of descriptors: nothing is closed, in whichever table.
        // SAFETY: integers only.
        Errno::result(unsafe {
            libc::syscall(
                libc::SYS_close_range,
                libc::c_uint::MAX,
                libc::c_uint::MAX,
                libc::CLOSE_RANGE_UNSHARE,
            )
        })?;
        let spare = duplicate(self.member, 0)?;
        // An emulation may accept the call and share the table all the same. Then `dup3` would close a descriptor of
        // the process. /proc/self shows the table of the main thread.
        let link = |table, fd| fs::read_link(format!("/proc/{table}/fd/{fd}"));
        let (own, shared) = (link("thread-self", spare), link("self", spare));
        if own.is_err() || own.ok() == shared.ok() {
            return Err(Errno::ENOSYS);
        }
        for place in &mut self.places {
            if place.set == self.number {
                place.set = duplicate(place.set, self.number.saturating_add(1))?;
            }
        }
        // SAFETY: integers only; this table belongs to this thread alone, so nobody else loses a descriptor.
        Errno::result(unsafe { libc::dup3(spare, self.number, libc::O_CLOEXEC) })?;
        Ok(self)
    }

    fn add(&self) -> nix::Result<()> {
        for (index, place) in self.places.iter().enumerate() {
            let quiet = place.events & FLAGS;
            let mut added = self.control(libc::EPOLL_CTL_ADD, place, quiet);
            if added == Err(Errno::EEXIST) {
                // The worker had this descriptor before and closed it without EPOLL_CTL_DEL.
                added = self
                    .control(libc::EPOLL_CTL_DEL, place, 0)
                    .and_then(|()| self.control(libc::EPOLL_CTL_ADD, place, quiet));
            }
            if added.is_err() {
                self.remove_from(self.places.get(..index).unwrap_or_default());
                return added;
            }
        }
        Ok(())
    }

    fn arm(&self) -> nix::Result<()> {
        let mut outcome = Ok(());
        for place in &self.places {
            let armed = if place.events & EXCLUSIVE == 0 {
                self.control(libc::EPOLL_CTL_MOD, place, place.events)
            } else {
                // EPOLL_CTL_MOD refuses this flag.
                self.control(libc::EPOLL_CTL_DEL, place, 0)
                    .and_then(|()| self.control(libc::EPOLL_CTL_ADD, place, place.events))
            };
            outcome = outcome.and(armed);
        }
        outcome
    }

    fn remove(&self) {
        self.remove_from(&self.places);
    }

    fn remove_from(&self, places: &[Place<RawFd>]) {
        for place in places {
            // The worker itself may have removed it.
            let _ = self.control(libc::EPOLL_CTL_DEL, place, 0);
        }
    }

    fn control(&self, operation: i32, place: &Place<RawFd>, events: u32) -> nix::Result<()> {
        let mut event = libc::epoll_event {
            events,
            u64: place.data,
        };
        // SAFETY: the event is live; the rest are integers.
        Errno::result(unsafe { libc::epoll_ctl(place.set, operation, self.number, &raw mut event) })
            .map(drop)
    }
}

/// A copy with the lowest free number that is not below `lowest`.
fn duplicate(fd: RawFd, lowest: RawFd) -> nix::Result<RawFd> {
    // SAFETY: integers only.
    Errno::result(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, lowest) })
}

#[cfg(test)]
mod tests;
