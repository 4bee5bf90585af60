//! Threads beside the event loop.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
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

type Body = Box<dyn FnOnce() + Send>;

/// A thread that starts when it is first needed.
pub struct LateThread {
    name: &'static str,
    stack: usize,
    /// What the thread will do. It stays here if the start fails.
    body: Arc<Mutex<Option<Body>>>,
    started: OnceLock<()>,
}

impl LateThread {
    /// Only prepares it; the thread will be as one by [`start`].
    pub fn new(name: &'static str, stack: usize, body: impl FnOnce() + Send + 'static) -> Self {
        Self {
            name,
            stack,
            body: Arc::new(Mutex::new(Some(Box::new(body)))),
            started: OnceLock::new(),
        }
    }

    /// Starts the thread if it was not started before. Fails as [`start`] does; a later call tries again.
    pub fn ensure(&self) -> nix::Result<()> {
        if self.has_started() {
            return Ok(());
        }
        let body = Arc::clone(&self.body);
        // Whoever comes second finds no body.
        start(self.name, self.stack, move || {
            let body = body.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(body) = body {
                body();
            }
        })?;
        let _ = self.started.set(());
        Ok(())
    }

    /// Whether [`LateThread::ensure`] has succeeded.
    pub fn has_started(&self) -> bool {
        self.started.get().is_some()
    }
}

impl fmt::Debug for LateThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("LateThread");
        shown.field("name", &self.name);
        shown
            .field("started", &self.has_started())
            .finish_non_exhaustive()
    }
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

    #[test]
    fn a_late_thread_starts_once_when_it_is_needed() {
        let (tell, told) = channel();
        let late = LateThread::new("late", STACK, move || {
            let name = thread::current().name().map(str::to_owned);
            tell.send(name).unwrap();
        });
        assert!(!late.has_started());
        for _ in 0..3 {
            late.ensure().unwrap();
            assert!(late.has_started());
        }
        assert_eq!(told.recv(), Ok(Some("late".to_owned())));
        told.recv().expect_err("once");
    }
}
