//! The messages that wake the loop, and their meaning for the fleet.

use std::time::Duration;

use tracing::warn;

use crate::checks::Check;
use crate::model::{ReadyBy, Received, Tick};
use crate::node::{Member, Said};
use crate::notify::Heard;
use crate::policy::{Event, Late};
use crate::ports::PortEvent;
use crate::sys::schedstat::Activity;
use crate::triggers::Fired;

use super::Supervisor;
use super::control::Order;
use super::worker::WorkerId;

/// A wake-up that is later than this leaves it to the other tasks to read first what came meanwhile.
const DELAYED: Duration = Duration::from_millis(50);

/// At most one line in this time says that the runtime waited for a CPU.
const STARVED: Duration = Duration::from_mins(1);

/// While a deadline is pending, the loop reads the clock this often: a freeze is measured from the last reading.
const BEAT: Duration = Duration::from_millis(500);

/// What tells a freeze from a wait for a CPU.
#[derive(Debug, Default)]
pub(super) struct Lateness {
    activity: Activity,
    /// The activity of the loop's thread when it last read the clock.
    before: Option<Duration>,
    /// When a line last said that the runtime waited for a CPU.
    told: Option<Tick>,
}

/// A message that wakes the loop.
#[derive(Debug)]
pub(super) enum Incoming {
    /// Signals are pending.
    Signals(Vec<Received>),
    /// An event of the shared ports.
    Port(PortEvent),
    /// An event of a trigger.
    Fired(Fired),
    /// Something that was heard over the channel of a Node worker.
    Channel(Member, Said),
    /// A command that came by the control socket.
    Control(Order),
    /// A report about a worker. It is ignored once that worker is reaped.
    Worker(WorkerId, Report),
}

/// A report about one worker.
#[derive(Debug)]
pub(super) enum Report {
    /// The starting worker has sent a status.
    Status,
    /// The worker has passed the check of RPM_READY.
    Accepted(ReadyBy),
    /// Something was heard for the worker (sd_notify).
    Said(Heard),
    /// A health check has ended.
    Checked(Check, Option<u16>),
    /// The final scrape has ended.
    Scraped,
}

impl Supervisor {
    /// Waits for the next message that concerns the fleet and converts it to events. Returns no event if only time has
    /// passed. Removes the time for which the runtime itself was frozen from the clock, because a deadline that passed
    /// during the freeze says nothing about workers that were frozen too.
    ///
    /// The length of the freeze is known from the delayed wake-up, which was due a [`BEAT`] after the last reading of
    /// the clock, or at the deadline. So a regular wait is never removed. A freeze is removed except for at most one
    /// beat, also if it began earlier in the turn. Time in which this thread worked or waited for a CPU is no freeze.
    /// Without a deadline there is nothing to postpone, and no beat.
    pub(super) async fn next_events(&mut self) -> Vec<Event> {
        let incoming = loop {
            let deadlines = [
                self.fleet.next_deadline(),
                self.drains.deadline(),
                self.workers.watchdog_deadline(),
                self.sharing
                    .as_ref()
                    .and_then(|sharing| sharing.deadline(self.now)),
            ];
            let Some(deadline) = deadlines.into_iter().flatten().min() else {
                let incoming = self.inbox.recv().await;
                self.read_clock();
                break incoming;
            };
            let due = deadline.max(self.now).min(self.now.after(BEAT));
            let at = tokio::time::Instant::from_std(self.clock.instant(due));
            let mut incoming = tokio::time::timeout_at(at, self.inbox.recv())
                .await
                .unwrap_or_default();
            let late = self.clock.now().since(due);
            self.judge_late(late);
            if incoming.is_none() && late > DELAYED {
                // What a worker said in time must not be read after its deadline was judged.
                tokio::task::yield_now().await;
                incoming = self.inbox.try_recv().ok();
            }
            self.read_clock();
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

    fn read_clock(&mut self) {
        self.now = self.clock.now();
        self.lateness.before = self.lateness.activity.so_far();
    }

    /// Handles a wake-up that came `late`.
    fn judge_late(&mut self, late: Duration) {
        if late <= DELAYED {
            return;
        }
        let Lateness {
            activity,
            before,
            told,
        } = &mut self.lateness;
        let active = activity.so_far().zip(*before);
        match Late::judge(late, active.map(|(now, then)| now.saturating_sub(then))) {
            Late::No => {}
            Late::Frozen(time) => {
                self.clock.skip(time);
                warn!(
                    seconds = time.as_secs_f32(),
                    "the runtime did not run for a while; deadlines are postponed by that time"
                );
            }
            Late::Starved(time) => {
                let now = self.clock.now();
                if told.is_none_or(|told| now.since(told) > STARVED) {
                    *told = Some(now);
                    warn!(
                        seconds = time.as_secs_f32(),
                        "the runtime waited for a CPU; deadlines are not postponed by that time"
                    );
                }
            }
        }
    }

    fn translate(&mut self, incoming: Incoming, events: &mut Vec<Event>) {
        match incoming {
            Incoming::Signals(pending) => self.signalled(&pending, events),
            Incoming::Port(event) => events.extend(self.port_event(&event)),
            Incoming::Fired(fired) => events.extend(self.fired(fired)),
            Incoming::Channel(member, said) => self.heard(member, said, events),
            Incoming::Control(order) => self.ordered(order, events),
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
            Report::Accepted(by) => {
                worker.readiness = None;
                events.push(Event::Ready { pid, by });
            }
            Report::Said(heard) => self.said(pid, &heard, events),
            Report::Checked(check, port) => {
                events.extend(self.checked(pid, slot, &check, port));
            }
            Report::Scraped => events.push(Event::Scraped { pid }),
        }
    }
}
