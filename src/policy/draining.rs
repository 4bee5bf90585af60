//! Workers that finish their requests before their stop signal: when a drain ends, and the last scrape after it.

use std::time::Duration;

use crate::model::{Cause, DrainEnd, Pid, Tick};

use super::drain::{Disposition, Patience};
use super::fleet::{Fleet, Mode};
use super::scrape::{self, LastScrape};
use super::slot::{Retiring, Step};
use super::turn::Turn;
use super::{Action, Note};

/// How a worker ends after its drain.
#[derive(Clone, Copy)]
struct EndingPlan {
    /// From the stop signal to SIGKILL.
    grace: Duration,
    /// Limit of the wait for a quiet moment, after the drain timeout.
    choose_for: Duration,
    /// Limit of the last scrape; `None` if no scrape is needed.
    scrape: Option<Duration>,
    /// From the message to the stop signal; `None` if there is no message.
    message: Option<Duration>,
}

impl EndingPlan {
    /// Sends the message or the stop signal, and starts the grace.
    fn stop(self, turn: &mut Turn<'_>, gone: &mut Retiring) {
        let pid = gone.worker.pid;
        let wait = self.message.filter(|_| gone.worker.channel);
        gone.step = Step::Grace {
            signal_at: wait.map(|wait| turn.now.after(wait)),
            kill_at: turn.now.after(self.grace),
        };
        turn.act(if wait.is_some() {
            Action::Message { pid }
        } else {
            Action::Stop { pid }
        });
    }

    /// Requests the last scrape if the worker may have counted something; otherwise sends the stop signal.
    fn stop_or_scrape(self, turn: &mut Turn<'_>, gone: &mut Retiring) {
        if gone.worker.was_ready
            && let LastScrape::Asked { until, .. } = self.ask(turn, gone.worker.pid)
        {
            gone.step = Step::Scraping { until };
        } else {
            self.stop(turn, gone);
        }
    }

    /// Requests a scrape if one is needed.
    fn ask(self, turn: &mut Turn<'_>, pid: Pid) -> LastScrape {
        let Some(within) = self.scrape else {
            return LastScrape::Unneeded;
        };
        turn.act(Action::Scrape { pid, within });
        LastScrape::asked(turn.now, within)
    }
}

impl Fleet {
    /// Retiring workers that do not drain get their stop signal, after their last scrape.
    pub(super) fn tell_leaving(&mut self, turn: &mut Turn<'_>) {
        let plan = self.ending_plan();
        for gone in &mut self.retiring {
            if gone.step == Step::Leaving {
                plan.stop_or_scrape(turn, gone);
            }
        }
    }

    /// The settings for every worker whose drain is over.
    fn ending_plan(&self) -> EndingPlan {
        let grace = self.params.stop_timeout;
        let half = grace / 2;
        // From the drain of the stop on, nobody scrapes, and the stop would wait for our own requests too.
        let scrapes = matches!(self.mode, Mode::Serving | Mode::Delaying { .. });
        EndingPlan {
            grace,
            choose_for: grace,
            scrape: scrape::limit(grace).filter(|_| self.params.last_scrape && scrapes),
            message: Some(half).filter(|half| self.params.stop_message && !half.is_zero()),
        }
    }

    /// A draining worker has no connections left.
    pub(super) fn drained(&mut self, turn: &mut Turn<'_>, pid: Pid) {
        self.end_drain(turn, pid, DrainEnd::Empty);
    }

    /// Records how a worker that did not drain in time handles its stop signal.
    pub(super) fn disposition(&mut self, turn: &mut Turn<'_>, pid: Pid, disposition: Disposition) {
        let found = self.retiring.iter_mut().find(|gone| gone.worker.pid == pid);
        let Some(gone) = found else { return };
        let Step::Choosing {
            until, patience, ..
        } = &mut gone.step
        else {
            return;
        };
        if patience.is_some() {
            return;
        }
        match Patience::new(disposition, turn.now, *until) {
            Some(known) => {
                *until = known.until();
                *patience = Some(known);
            }
            None => self.end_drain(turn, pid, DrainEnd::Timeout),
        }
    }

    /// A worker that did not drain in time may get its stop signal now.
    pub(super) fn moment(&mut self, turn: &mut Turn<'_>, pid: Pid, quiet: bool) {
        let end = if quiet {
            DrainEnd::Quiet
        } else {
            DrainEnd::Timeout
        };
        let chooses = |gone: &&Retiring| gone.is(pid) && matches!(gone.step, Step::Choosing { .. });
        if self.retiring.iter().any(|gone| chooses(&gone)) {
            self.end_drain(turn, pid, end);
        }
        // A paused worker reads its message only when it continues.
        let told = |gone: &Retiring| gone.is(pid) && matches!(gone.step, Step::Grace { .. });
        let signalled = |gone: &Retiring| told(gone) && gone.step.signal_at().is_none();
        let known = self.workers().any(|(_, worker)| worker == pid);
        if quiet && known && !self.retiring.iter().any(signalled) {
            turn.act(Action::Resume { pid });
        }
    }

    /// The last scrape of a worker has ended.
    pub(super) fn scraped(&mut self, turn: &mut Turn<'_>, pid: Pid) {
        let plan = self.ending_plan();
        let found = self.retiring.iter_mut().find(|gone| gone.is(pid));
        let Some(gone) = found else { return };
        match &mut gone.step {
            Step::Scraping { .. } => plan.stop(turn, gone),
            Step::Choosing { scrape, .. } => *scrape = scrape.answered(turn.now),
            Step::Leaving | Step::Draining { .. } | Step::Grace { .. } | Step::Killed { .. } => {}
        }
    }

    /// No message reaches the worker any more. If it was told by one, it gets its stop signal now.
    pub(super) fn channel_closed(&mut self, now: Tick, pid: Pid) {
        if let Some(worker) = self.worker_mut(pid) {
            worker.channel = false;
        }
        let retiring = self.retiring.iter_mut();
        for gone in retiring.filter(|gone| gone.is(pid)) {
            if let Step::Grace {
                signal_at: Some(at),
                ..
            } = &mut gone.step
            {
                *at = now;
            }
        }
    }

    fn end_drain(&mut self, turn: &mut Turn<'_>, pid: Pid, end: DrainEnd) {
        let plan = self.ending_plan();
        let found = self.retiring.iter_mut().find(|gone| gone.worker.pid == pid);
        if let Some(gone) = found
            && let Step::Draining { since, .. } | Step::Choosing { since, .. } = gone.step
        {
            turn.say(Note::DrainEnded {
                slot: gone.slot,
                pid,
                end,
                took: turn.now.since(since),
            });
            match gone.step {
                _ if end == DrainEnd::Stopped => plan.stop(turn, gone),
                Step::Choosing {
                    scrape: LastScrape::Asked { until, .. },
                    ..
                } => gone.step = Step::Scraping { until },
                Step::Choosing {
                    scrape: LastScrape::Done { .. },
                    ..
                } => plan.stop(turn, gone),
                _ => plan.stop_or_scrape(turn, gone),
            }
        }
    }

    /// Ends all drains and last scrapes, so that the stop signals are sent now.
    pub(super) fn cut_drains(&mut self, turn: &mut Turn<'_>) {
        let drains: Vec<Pid> = self.draining(turn.now).map(|one| one.pid).collect();
        for pid in drains {
            self.end_drain(turn, pid, DrainEnd::Stopped);
        }
        let plan = self.ending_plan();
        for gone in &mut self.retiring {
            if matches!(gone.step, Step::Scraping { .. }) {
                plan.stop(turn, gone);
            }
        }
    }

    /// Performs the steps of drains whose time has come.
    pub(super) fn advance_draining(&mut self, turn: &mut Turn<'_>) {
        let plan = self.ending_plan();
        let mut over = Vec::new();
        for gone in &mut self.retiring {
            let pid = gone.worker.pid;
            match gone.step {
                Step::Draining { since, until } if until <= turn.now => {
                    // The requests of an unhealthy worker have had enough time.
                    if gone.cause == Cause::Unhealthy || plan.choose_for.is_zero() {
                        over.push(pid);
                    } else {
                        gone.step = Step::Choosing {
                            since,
                            until: turn.now.after(plan.choose_for),
                            patience: None,
                            scrape: plan.ask(turn, pid),
                        };
                    }
                }
                Step::Choosing { until, .. } if until <= turn.now => over.push(pid),
                Step::Choosing { ref mut scrape, .. } => {
                    if scrape.is_old(turn.now) {
                        *scrape = plan.ask(turn, pid);
                    } else if scrape.deadline().is_some_and(|due| due <= turn.now) {
                        *scrape = scrape.answered(turn.now);
                    }
                }
                Step::Scraping { until } if until <= turn.now => plan.stop(turn, gone),
                Step::Leaving
                | Step::Draining { .. }
                | Step::Scraping { .. }
                | Step::Grace { .. }
                | Step::Killed { .. } => {}
            }
        }
        for pid in over {
            self.end_drain(turn, pid, DrainEnd::Timeout);
        }
    }
}
