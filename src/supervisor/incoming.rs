//! What wakes the loop, and what it means to the fleet.

use std::time::Duration;

use tracing::warn;

use crate::app_metrics::merge::Life;
use crate::checks::Check;
use crate::model::{Command, Pid, Sig};
use crate::policy::Event;
use crate::policy::notify::Message;
use crate::ports::PortEvent;
use crate::triggers::Fired;

use super::Supervisor;

/// A wake-up that comes later than this was slept over: the runtime itself did not run.
const FROZEN: Duration = Duration::from_secs(1);

/// While a deadline is pending, the loop looks at the clock so often: a freeze is measured from the last look.
const BEAT: Duration = Duration::from_millis(500);

/// What wakes the loop.
#[derive(Debug)]
pub(super) enum Incoming {
    /// Signals are pending.
    Signals(Vec<Sig>),
    /// A worker that is being started has something to say.
    Status(Pid),
    /// The shared ports have.
    Port(PortEvent),
    /// Somebody asked for it.
    Asked(Command),
    /// The worker does what RPM_READY asks for.
    Accepted(Pid),
    /// A trigger has something to say.
    Fired(Fired),
    /// A worker said something of itself.
    Said(Pid, Vec<Message>),
    /// And it means this.
    Told(Event),
    /// The worker was asked whether it is healthy.
    Checked(Pid, Check),
    /// The worker was asked for its metrics a last time.
    Looked(Pid, Life),
}

impl Supervisor {
    /// Waits for the next thing that concerns the fleet. Takes the time for which the runtime itself was frozen out of
    /// the clock: a deadline that passed in the meantime says nothing about workers that were frozen with it.
    ///
    /// How long the freeze was is told by the wake-up that it delayed: that was due a [`BEAT`] after the last look at
    /// the clock, or at the deadline. So the honest wait is never taken out, the freeze is, but for a beat at most, and
    /// one that began earlier in the turn (or a turn that took so long) counts like any other. Without a deadline there
    /// is nothing to put off, and no beat.
    pub(super) async fn next_event(&mut self) -> Event {
        let incoming = loop {
            let deadlines = [
                self.fleet.next_deadline(),
                self.watched.deadline(),
                self.saying.deadline(),
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
        match incoming {
            None => Event::Woke,
            Some(incoming) => self.translate(incoming),
        }
    }

    fn translate(&mut self, incoming: Incoming) -> Event {
        match incoming {
            Incoming::Signals(pending) => self.signalled(&pending),
            Incoming::Status(pid) => self.read_status(pid).unwrap_or(Event::Woke),
            Incoming::Port(event) => self.port_event(&event),
            Incoming::Fired(fired) => self.fired(fired),
            Incoming::Said(pid, messages) => self.said(pid, &messages),
            Incoming::Told(event) => event,
            Incoming::Asked(command) => Event::Operator(command),
            Incoming::Accepted(pid) => self.accepted(pid),
            Incoming::Checked(pid, check) => self.checked(pid, &check),
            Incoming::Looked(pid, life) => {
                self.looked(pid, life);
                Event::Woke
            }
        }
    }
}
