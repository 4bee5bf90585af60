//! What an operator asks of the whole: to stop, to restart; and the last decision of all.

use crate::model::{Cause, SlotId, Tick};

use super::fleet::{Ending, Fleet, Mode};
use super::slot::{Retiring, Seat, Slot, Step, Worker};
use super::{Action, Note};

impl Fleet {
    pub(super) fn stop(&mut self, now: Tick, out: &mut Vec<Action>) {
        match self.mode {
            Mode::Serving => {
                let delay = self.params.shutdown_delay;
                out.push(Action::Say(Note::StopRequested { delay }));
                self.stop_times.asked = now;
                self.abort_reload(now, Cause::Stop, out);
                self.mode = Mode::Delaying {
                    until: now.after(delay),
                    ending: Ending::Asked,
                };
            }
            // Asked again: neither the delay nor the drain is wanted.
            Mode::Delaying { ending, .. } => {
                self.stop_times.drain = now;
                self.mode = Mode::Draining { until: now, ending };
            }
            Mode::Draining { ending, .. } => self.mode = Mode::Draining { until: now, ending },
            Mode::Stopping { .. } => {
                if self
                    .retiring
                    .iter()
                    .any(|gone| matches!(gone.step, Step::Grace { .. }))
                {
                    out.push(Action::Say(Note::Hurried));
                    for gone in &mut self.retiring {
                        if let Step::Grace { kill_at } = &mut gone.step {
                            *kill_at = now;
                        }
                    }
                }
            }
            Mode::Finished => {}
        }
    }

    /// From the delay to the drain, and from the drain to the stop signals.
    pub(super) fn advance_stop(&mut self, now: Tick, out: &mut Vec<Action>) {
        match self.mode {
            Mode::Delaying { until, ending } if until <= now => self.begin_drain(now, ending, out),
            Mode::Draining { until, ending } if until <= now => self.begin_stop(now, ending, out),
            _ => {}
        }
    }

    /// Whether anybody may have a request in work that can be waited for.
    pub(super) fn has_to_drain(&self) -> bool {
        let serves = |slot: &Slot| matches!(slot.seat, Seat::Ready { .. });
        let limit = self
            .params
            .drain_timeout
            .is_some_and(|limit| !limit.is_zero());
        let drains = self.retiring.iter().any(Retiring::drains);
        limit && (drains || self.slots.iter().any(serves))
    }

    fn begin_drain(&mut self, now: Tick, ending: Ending, out: &mut Vec<Action>) {
        self.stop_times.drain = now;
        let limit = self.params.drain_timeout.filter(|_| self.has_to_drain());
        let Some(limit) = limit else {
            self.begin_stop(now, ending, out);
            return;
        };
        out.push(Action::Say(Note::StopDrains { limit }));
        self.mode = Mode::Draining {
            until: now.after(limit),
            ending,
        };
    }

    /// No worker has a request in work.
    pub(super) fn quiet(&mut self, now: Tick) {
        if let Mode::Draining { ending, .. } = self.mode {
            self.mode = Mode::Draining { until: now, ending };
        }
    }

    pub(super) fn begin_stop(&mut self, now: Tick, ending: Ending, out: &mut Vec<Action>) {
        if !matches!(self.mode, Mode::Draining { .. }) {
            self.stop_times.drain = now;
        }
        self.stop_times.signals = now;
        self.mode = Mode::Stopping { ending };
        let seated: Vec<(SlotId, Worker)> = self
            .slots
            .iter()
            .filter_map(|slot| slot.seat.worker().map(|worker| (slot.id, *worker)))
            .collect();
        for slot in &mut self.slots {
            // What was asked for is awaited, so that no worker is left behind.
            if slot.seat != Seat::Launching {
                slot.seat = Seat::Stopped;
            }
        }
        out.push(Action::Say(Note::StopBegins {
            workers: seated.len(),
            grace: self.params.stop_timeout,
        }));
        self.cut_drains(now, out);
        for (id, worker) in seated {
            self.retire(now, id, worker, Cause::Stop, false, out);
        }
    }

    pub(super) fn restart(&mut self, now: Tick, out: &mut Vec<Action>) {
        if self.mode != Mode::Serving {
            return;
        }
        out.push(Action::Say(Note::RestartRequested));
        self.abort_reload(now, Cause::Restart, out);
        let mut seated = Vec::new();
        for slot in &mut self.slots {
            slot.streak = 0;
            slot.renewal = None;
            slot.ails = false;
            if let Some(worker) = slot.seat.worker() {
                seated.push((slot.id, *worker));
                slot.seat = Seat::Held;
            } else if !matches!(slot.seat, Seat::Held | Seat::Launching) {
                slot.seat = Seat::Waiting { until: now };
            }
        }
        for gone in &mut self.retiring {
            if gone.cause == Cause::StartTimeout && !gone.undead {
                gone.cause = Cause::Restart;
            }
        }
        // Who stays down is started again.
        self.code = 0;
        for (id, worker) in seated {
            self.retire(now, id, worker, Cause::Restart, false, out);
        }
    }

    pub(super) fn finish(&mut self, now: Tick, out: &mut Vec<Action>) {
        let empty = self.asked.is_empty()
            && self.slots.iter().all(|slot| slot.seat == Seat::Stopped)
            && self.retiring.iter().all(|gone| gone.undead);
        let code = match self.mode {
            Mode::Finished => return,
            _ if !empty => return,
            // All stay down by themselves.
            Mode::Serving => self.code,
            Mode::Delaying { ending, .. }
            | Mode::Draining { ending, .. }
            | Mode::Stopping { ending } => match ending {
                Ending::GaveUp { code } => code,
                Ending::Asked if self.ends_like_its_worker() => self.code,
                Ending::Asked => u8::from(self.killed),
            },
        };
        if let Mode::Stopping {
            ending: Ending::Asked,
        } = self.mode
        {
            let times = self.stop_times;
            out.push(Action::Say(Note::Stopped {
                delay: times.drain.since(times.asked),
                drain: times.signals.since(times.drain),
                stop: now.since(times.signals),
            }));
        }
        self.mode = Mode::Finished;
        out.push(Action::Finish { code });
    }
}
