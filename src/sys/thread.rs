//! Threads beside the event loop.

use std::thread::{self, JoinHandle};

use nix::errno::Errno;

use super::signals::block_all;

/// Stack size for a thread that does not recurse and has no large locals, bytes.
pub const STACK: usize = 256 * 1024;

/// Starts a thread with all signals blocked; only the main thread takes signals. Fails with EAGAIN at the limit of
/// processes or without memory (pthread_create(3)).
pub fn start(
    name: &str,
    stack: usize,
    body: impl FnOnce() + Send + 'static,
) -> nix::Result<JoinHandle<()>> {
    let started = thread::Builder::new()
        .name(name.to_owned())
        .stack_size(stack)
        .spawn(move || {
            block_all();
            body();
        });
    started.map_err(|error| error.raw_os_error().map_or(Errno::EAGAIN, Errno::from_raw))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use nix::sys::signal::{SigSet, Signal};

    use super::*;

    #[test]
    fn a_thread_has_its_name_and_takes_no_signal() {
        let (tell, told) = channel();
        let body = move || {
            let name = thread::current().name().map(str::to_owned);
            let blocked = SigSet::thread_get_mask().unwrap();
            tell.send((name, blocked.contains(Signal::SIGTERM)))
                .unwrap();
        };
        start("named", STACK, body).unwrap().join().unwrap();
        assert_eq!(told.recv(), Ok((Some("named".to_owned()), true)));
    }
}
