//! Commands for the whole runtime: stop and restart; and the decision to exit.

use crate::model::{Cause, SlotId, Tick};

use super::fleet::{Ending, Fleet, Mode};
use super::slot::{Retiring, Seat, Slot, Step, Worker};
use super::turn::Turn;
use super::{Action, Note};

impl Fleet {
    pub(super) fn stop(&mut self, turn: &mut Turn<'_>) {
        match self.mode {
            Mode::Serving => {
                let delay = self.params.shutdown_delay;
                turn.say(Note::StopRequested { delay });
                self.stop_times.asked = turn.now;
                self.abort_reload(turn, Cause::Stop);
                self.mode = Mode::Delaying {
                    until: turn.now.after(delay),
                    ending: Ending::Asked,
                };
            }
            // A second request skips the delay and the drain.
            Mode::Delaying { ending, .. } => {
                self.stop_times.drain = turn.now;
                self.mode = Mode::Draining {
                    until: turn.now,
                    ending,
                };
            }
            Mode::Draining { ending, .. } => {
                self.mode = Mode::Draining {
                    until: turn.now,
                    ending,
                }
            }
            Mode::Stopping { .. } => self.hurry(turn),
            Mode::Finished => {}
        }
    }

    /// Sends the stop signals that were to follow a message; if there are none, kills.
    fn hurry(&mut self, turn: &mut Turn<'_>) {
        let graces = || self.retiring.iter().map(|gone| gone.step);
        let kills = !graces().any(|step| step.signal_at().is_some());
        if !graces().any(|step| matches!(step, Step::Grace { .. })) {
            return;
        }
        turn.say(Note::Hurried { kills });
        for gone in &mut self.retiring {
            match &mut gone.step {
                Step::Grace {
                    signal_at: Some(at),
                    ..
                } => *at = turn.now,
                Step::Grace { kill_at, .. } if kills => *kill_at = turn.now,
                _ => {}
            }
        }
    }

    /// Continues from the delay to the drain, and from the drain to the stop signals.
    pub(super) fn advance_stop(&mut self, turn: &mut Turn<'_>) {
        match self.mode {
            Mode::Delaying { until, ending } if until <= turn.now => self.begin_drain(turn, ending),
            Mode::Draining { until, ending } if until <= turn.now => self.begin_stop(turn, ending),
            _ => {}
        }
    }

    /// Whether a worker may have a request in progress that can be waited for.
    pub(super) fn has_to_drain(&self) -> bool {
        let serves = |slot: &Slot| matches!(slot.seat, Seat::Ready { .. });
        let limit = self
            .params
            .drain_timeout
            .is_some_and(|limit| !limit.is_zero());
        let drains = self.retiring.iter().any(Retiring::drains);
        limit && (drains || self.slots.iter().any(serves))
    }

    fn begin_drain(&mut self, turn: &mut Turn<'_>, ending: Ending) {
        self.stop_times.drain = turn.now;
        let limit = self.params.drain_timeout.filter(|_| self.has_to_drain());
        let Some(limit) = limit else {
            self.begin_stop(turn, ending);
            return;
        };
        turn.say(Note::StopDrains { limit });
        self.mode = Mode::Draining {
            until: turn.now.after(limit),
            ending,
        };
    }

    /// No worker has a request in progress.
    pub(super) fn quiet(&mut self, now: Tick) {
        if let Mode::Draining { ending, .. } = self.mode {
            self.mode = Mode::Draining { until: now, ending };
        }
    }

    pub(super) fn begin_stop(&mut self, turn: &mut Turn<'_>, ending: Ending) {
        if !matches!(self.mode, Mode::Draining { .. }) {
            self.stop_times.drain = turn.now;
        }
        self.stop_times.signals = turn.now;
        self.mode = Mode::Stopping { ending };
        let seated: Vec<(SlotId, Worker)> = self
            .slots
            .iter()
            .filter_map(|slot| slot.seat.worker().map(|worker| (slot.id, *worker)))
            .collect();
        for slot in &mut self.slots {
            // A requested worker is waited for, so that no worker is left behind.
            if slot.seat != Seat::Launching {
                slot.seat = Seat::Stopped;
            }
        }
        turn.say(Note::StopBegins {
            workers: seated.len(),
            grace: self.params.stop_timeout,
        });
        self.cut_drains(turn);
        for (id, worker) in seated {
            self.retire(turn, id, worker, Cause::Stop, false);
        }
    }

    pub(super) fn restart(&mut self, turn: &mut Turn<'_>) {
        if self.mode != Mode::Serving {
            return;
        }
        turn.say(Note::RestartRequested);
        self.abort_reload(turn, Cause::Restart);
        let mut seated = Vec::new();
        for slot in &mut self.slots {
            slot.calm();
            slot.renewal = None;
            slot.ails = false;
            // Perhaps it is another program now.
            slot.served = None;
            if let Some(worker) = slot.seat.worker() {
                seated.push((slot.id, *worker));
                slot.seat = Seat::Held;
            } else if !(slot.halted || matches!(slot.seat, Seat::Held | Seat::Launching)) {
                slot.seat = Seat::Waiting { until: turn.now };
            }
        }
        for gone in &mut self.retiring {
            if gone.cause == Cause::StartTimeout && !gone.undead {
                gone.cause = Cause::Restart;
            }
        }
        // Slots that stay down are started again.
        self.code = 0;
        for (id, worker) in seated {
            self.retire(turn, id, worker, Cause::Restart, false);
        }
    }

    pub(super) fn finish(&mut self, turn: &mut Turn<'_>) {
        let empty = self.asked.is_empty()
            && self.is_empty()
            && self.retiring.iter().all(|gone| gone.undead);
        let code = match self.mode {
            Mode::Finished => return,
            _ if !empty => return,
            // An operator may start one again.
            Mode::Serving if self.slots.iter().any(|slot| slot.halted) => return,
            // All workers stay down by themselves.
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
            turn.say(Note::Stopped {
                delay: times.drain.since(times.asked),
                drain: times.signals.since(times.drain),
                stop: turn.now.since(times.signals),
            });
        }
        self.mode = Mode::Finished;
        turn.act(Action::Finish { code });
    }
}
