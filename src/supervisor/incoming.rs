//! What wakes the loop, and what it means to the fleet.

use std::time::Duration;

use tracing::warn;

use crate::checks::Check;
use crate::model::Sig;
use crate::policy::Event;
use crate::policy::notify::Message;
use crate::ports::PortEvent;
use crate::triggers::Fired;

use super::Supervisor;
use super::worker::WorkerId;

/// A wake-up that comes later than this was slept over: the runtime itself did not run.
const FROZEN: Duration = Duration::from_secs(1);

/// While a deadline is pending, the loop looks at the clock so often: a freeze is measured from the last look.
const BEAT: Duration = Duration::from_millis(500);

/// What wakes the loop.
#[derive(Debug)]
pub(super) enum Incoming {
    /// Signals are pending.
    Signals(Vec<Sig>),
    /// The shared ports have something to say.
    Port(PortEvent),
    /// A trigger has something to say.
    Fired(Fired),
    /// Of a worker. It counts for nothing once that worker is reaped.
    Worker(WorkerId, Report),
}

/// What is reported of one worker.
#[derive(Debug)]
pub(super) enum Report {
    /// It is being started and has something to say.
    Status,
    /// It does what RPM_READY asks for.
    Accepted,
    /// It said something of itself (sd_notify).
    Said(Vec<Message>),
    /// It was asked whether it is healthy.
    Checked(Check),
    /// Its final scrape is over.
    Scraped,
}

impl Supervisor {
    /// Waits for the next thing that concerns the fleet, and says what it means: any number of events, none if only time
    /// has passed. Takes the time for which the runtime itself was frozen out of
    /// the clock: a deadline that passed in the meantime says nothing about workers that were frozen with it.
    ///
    /// How long the freeze was is told by the wake-up that it delayed: that was due a [`BEAT`] after the last look at
    /// the clock, or at the deadline. So the honest wait is never taken out, the freeze is, but for a beat at most, and
    /// one that began earlier in the turn (or a turn that took so long) counts like any other. Without a deadline there
    /// is nothing to put off, and no beat.
    pub(super) async fn next_events(&mut self) -> Vec<Event> {
        let incoming = loop {
            let deadlines = [
                self.fleet.next_deadline(),
                self.drains.deadline(),
                self.workers.watchdog_deadline(),
            ];
            let Some(deadline) = deadlines.into_iter().flatten().min() else {
                let incoming = self.inbox.recv().await;
                self.now = self.clock.now();
                break incoming;
            };
            let due = deadline.max(self.now).min(self.now.after(BEAT));
            let at = tokio::time::Instant::from_std(self.clock.instant(due));
            let incoming = tokio::time::timeout_at(at, self.inbox.recv())
                .await
                .unwrap_or_default();
            let frozen = self.clock.now().since(due);
            if frozen > FROZEN {
                self.clock.skip(frozen);
                warn!(
                    seconds = frozen.as_secs_f32(),
                    "the runtime did not run for a while; deadlines are put off by as much"
                );
            }
            self.now = self.clock.now();
            if incoming.is_some() || deadline <= self.now {
                break incoming;
            }
        };
        let mut events = Vec::new();
        if let Some(incoming) = incoming {
            self.translate(incoming, &mut events);
        }
        events
    }

    fn translate(&mut self, incoming: Incoming, events: &mut Vec<Event>) {
        match incoming {
            Incoming::Signals(pending) => self.signalled(&pending, events),
            Incoming::Port(event) => events.extend(self.port_event(&event)),
            Incoming::Fired(fired) => events.extend(self.fired(fired)),
            Incoming::Worker(id, report) => self.reported(id, report, events),
        }
    }

    fn reported(&mut self, id: WorkerId, report: Report, events: &mut Vec<Event>) {
        let Some(worker) = self.workers.find(id) else {
            return;
        };
        let (pid, slot) = (id.pid, worker.slot);
        match report {
            Report::Status => self.read_status(pid, events),
            Report::Accepted => {
                worker.readiness = None;
                events.push(Event::Ready { pid });
            }
            Report::Said(messages) => self.said(pid, &messages, events),
            Report::Checked(check) => events.extend(self.checked(pid, slot, &check)),
            Report::Scraped => events.push(Event::Scraped { pid }),
        }
    }
}
