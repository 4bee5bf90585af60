//! Calls that cannot be answered yet, because the worker itself does not let us read what it asks for (see
//! [`crate::sys::bounded`]). Without the runtime such a call would wait as well. The others must not wait for it.

use std::time::Duration;

use crate::model::Tick;
use crate::sys::bounded::Stuck;
use crate::sys::epoll::Interest;
use crate::sys::intercept::Notification;

use super::{PortEvent, Thread};

/// How long the thread waits for an answer before it turns to others. On a slow machine this may be over although the
/// worker is innocent; then its call is answered a moment later.
pub(super) const PATIENCE: Duration = Duration::from_millis(100);

/// After this time it is not the machine that is slow.
const TELL: Duration = Duration::from_secs(5);

/// A call that waits until the question about it is over. It is then answered from the start.
#[derive(Debug)]
pub(super) struct Parked {
    pub(super) notification: Notification,
    stuck: Stuck,
    since: Tick,
    told: bool,
}

impl Parked {
    pub(super) fn new(notification: Notification, stuck: Stuck, since: Tick) -> Self {
        let told = false;
        Self {
            notification,
            stuck,
            since,
            told,
        }
    }

    fn tell_at(&self) -> Option<Tick> {
        (!self.told).then(|| self.since.after(TELL))
    }
}

impl<F: Fn(PortEvent)> Thread<F> {
    /// Answers the calls about which the question is over.
    pub(super) fn resume(&mut self) {
        let workers = self.workers.iter();
        let due: Vec<u64> = workers
            .filter(|(_, served)| {
                let parked = served.parked.as_ref();
                parked.is_some_and(|parked| parked.stuck.is_over()) && served.rests.is_none()
            })
            .map(|(token, _)| *token)
            .collect();
        for token in due {
            if let Some(served) = self.workers.get(&token) {
                let notifier = &served.trapped.notifier;
                // Without memory for it the worker is not served any more, as at its start.
                let lost = self
                    .poller
                    .add(notifier, token, Interest::Readable)
                    .is_err();
                self.serve_worker(token, lost);
            }
        }
    }

    /// Answers the workers again that have rested.
    pub(super) fn resume_rested(&mut self) {
        let now = self.clock.now();
        let mut rested = Vec::new();
        for (token, served) in &mut self.workers {
            if served.rests.is_some_and(|until| until <= now) {
                served.rests = None;
                rested.push((*token, served.parked.is_some()));
            }
        }
        let waits = rested.iter().any(|(_, parked)| *parked);
        for (token, _) in rested.into_iter().filter(|(_, parked)| !parked) {
            if let Some(served) = self.workers.get(&token)
                && let Err(_) = self
                    .poller
                    .add(&served.trapped.notifier, token, Interest::Readable)
            {
                // Without memory for it the worker is not served any more, as at its start.
                self.serve_worker(token, true);
            }
        }
        if waits {
            self.resume();
        }
    }

    /// When a call that waits is to be told of, or a worker has rested.
    pub(super) fn until_told(&self) -> Option<Tick> {
        let parked = self.workers.values().filter_map(|one| one.parked.as_ref());
        let told = parked.filter_map(Parked::tell_at);
        let rests = self.workers.values().filter_map(|one| one.rests);
        told.chain(rests).min()
    }

    /// Tells of the calls that have waited for long.
    pub(super) fn tell_of_parked(&mut self) {
        let now = self.clock.now();
        for served in self.workers.values_mut() {
            if let Some(parked) = &mut served.parked
                && parked.tell_at().is_some_and(|at| at <= now)
            {
                parked.told = true;
                if !served.once.stalls {
                    served.once.stalls = true;
                    let (worker, slot) = (served.trapped.worker, served.trapped.slot);
                    (self.events)(PortEvent::Stalls { worker, slot });
                }
            }
        }
    }
}
