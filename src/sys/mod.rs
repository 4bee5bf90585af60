//! System calls, one small file for each family of calls. A file that needs `unsafe` says so at its head. This layer
//! does not log and does not decide; it returns errors to its callers.

pub mod architecture;
pub mod bells;
pub mod bounded;
pub mod caller;
pub mod cgroup;
pub mod channel;
mod child;
pub mod client;
pub mod clock;
pub mod clone3;
pub mod datagram;
pub mod deserted;
pub mod directory;
pub mod epoll;
pub mod epoll_set;
pub mod family;
mod fork;
pub mod guarded;
mod inet;
pub mod inherited;
pub mod inotify;
pub mod inspect;
pub mod intercept;
pub mod intercept_probe;
pub mod io;
pub mod kernel;
pub mod links;
pub mod listener;
pub mod local_time;
pub mod network;
pub mod notify;
pub mod own_binary;
pub mod peer;
pub mod pid1;
pub mod pidfd;
pub mod place;
pub mod proc;
pub mod procnet;
pub mod procunix;
pub mod random;
pub mod reaper;
pub mod register;
pub mod remote;
pub mod rights;
pub mod schedstat;
pub mod search;
mod send_fd;
pub mod signals;
pub mod sockdiag;
pub mod sockopt;
pub mod spawn;
pub mod status;
pub mod steering;
pub mod tcp;
pub mod terminal;
#[cfg(test)]
pub(crate) mod testing;
pub mod thread;
pub mod unix;
pub mod unix_client;
pub mod unseen;

use nix::errno::Errno;

/// Repeats `call` while a signal interrupts it (EINTR). Every call that must survive a signal goes through here.
pub fn retry<T>(mut call: impl FnMut() -> nix::Result<T>) -> nix::Result<T> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            other => return other,
        }
    }
}
