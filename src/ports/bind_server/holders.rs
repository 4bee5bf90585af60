//! Processes that listen and are no workers themselves, but children of one. Nobody reports their end to the runtime, and
//! then nobody may listen on that port any more. The kernel reports it by a descriptor of the process (pidfd_open(2)).

use std::collections::HashMap;
use std::os::fd::OwnedFd;

use crate::sys::epoll::Interest;
use crate::sys::pidfd;

use super::{PortEvent, Thread};

/// Most processes that are watched. Each costs a descriptor.
const MOST: usize = 64;

#[derive(Debug)]
struct Holder {
    pid: i32,
    /// Readable as soon as the process has ended.
    process: OwnedFd,
    /// The inodes of its listeners.
    has: Vec<u64>,
}

/// The watched processes, by token.
#[derive(Debug, Default)]
pub(super) struct Holders(HashMap<u64, Holder>);

impl<F: Fn(PortEvent)> Thread<F> {
    /// Watches for the end of a process that has this listener. Without a descriptor for it, only arrivals lead to a look.
    pub(super) fn watch_holder(&mut self, pid: i32, inode: u64) {
        let mut known = self.holders.0.values_mut();
        if let Some(holder) = known.find(|holder| holder.pid == pid) {
            if !holder.has.contains(&inode) {
                holder.has.push(inode);
            }
            return;
        }
        if self.holders.0.len() >= MOST {
            return;
        }
        let Ok(process) = pidfd::open(pid, 0) else {
            return;
        };
        let token = self.next_token;
        self.next_token += 1;
        if self.poller.add(&process, token, Interest::Readable).is_ok() {
            let has = vec![inode];
            self.holders.0.insert(token, Holder { pid, process, has });
        }
    }

    /// True if the token is that of a watched process. It has ended then.
    pub(super) fn holder_ended(&mut self, token: u64) -> bool {
        let Some(holder) = self.holders.0.remove(&token) else {
            return false;
        };
        // Nobody else has a copy, so closing it would be enough.
        let _ = self.poller.remove(&holder.process);
        let now = self.clock.now();
        for inode in holder.has {
            self.closed.holder_ended(inode, now);
        }
        true
    }
}
