//! Writes frames to the terminal, on a thread of its own: a slow or stopped terminal holds up neither keys nor signals. While
//! it writes, no further frame is taken; so a slow link gets fewer frames, and never old ones.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rpm_runtime::sys::thread::{STACK, start};

use super::terminal::write;
use super::wake::Waker;
use crate::exit::Failure;

/// The thread, as the driver sees it.
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    work: Mutex<Work>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Work {
    /// To be written next.
    frame: Option<Vec<u8>>,
    /// Something is being written.
    busy: bool,
    /// The driver waits for the end of it.
    awaited: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    pub fn start(waker: Waker) -> Result<Self, Failure> {
        let shared = Arc::new(Shared::default());
        let own = Arc::clone(&shared);
        start("writer", STACK, move || run(&own, &waker))
            .map_err(|errno| Failure::failed(format!("cannot start a thread: {errno}")))?;
        Ok(Self { shared })
    }

    /// Whether it takes a frame. If not, it wakes the driver when it does.
    pub fn is_free(&self) -> bool {
        let mut work = self.shared.lock();
        let free = !work.busy && work.frame.is_none();
        work.awaited = !free;
        free
    }

    /// Writes a frame.
    pub fn write(&self, frame: Vec<u8>) {
        self.shared.lock().frame = Some(frame);
        self.shared.changed.notify_all();
    }

    /// Waits until everything is written. False if that takes longer than `limit`.
    pub fn finish(&self, limit: Duration) -> bool {
        let work = self.shared.lock();
        let busy = |work: &mut Work| work.busy || work.frame.is_some();
        let waited = self.shared.changed.wait_timeout_while(work, limit, busy);
        let (_work, late) = waited.unwrap_or_else(PoisonError::into_inner);
        !late.timed_out()
    }
}

fn run(shared: &Shared, waker: &Waker) {
    let mut work = shared.lock();
    loop {
        let Some(frame) = work.frame.take() else {
            work = shared
                .changed
                .wait(work)
                .unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        work.busy = true;
        drop(work);
        // If the terminal is gone, the driver reads its end.
        let _ = write(&frame);
        work = shared.lock();
        work.busy = false;
        if std::mem::take(&mut work.awaited) {
            waker.wake();
        }
        shared.changed.notify_all();
    }
}
