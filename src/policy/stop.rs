//! What an operator asks of the whole: to stop, to restart; and the last decision of all.
#![forbid(unsafe_code)]

use crate::model::{Cause, SlotId, Tick};

use super::fleet::{Ending, Fleet, Mode};
use super::slot::{Seat, Step, Worker};
use super::{Action, Note};

impl Fleet {
    pub(super) fn stop(&mut self, now: Tick, out: &mut Vec<Action>) {
        match self.mode {
            Mode::Serving => {
                let delay = self.params.shutdown_delay;
                out.push(Action::Say(Note::StopRequested { delay }));
                self.mode = Mode::Delaying {
                    until: now.after(delay),
                    ending: Ending::Asked,
                };
            }
            Mode::Delaying { ending, .. } => self.mode = Mode::Delaying { until: now, ending },
            Mode::Stopping { .. } => {
                if self
                    .retiring
                    .iter()
                    .any(|gone| matches!(gone.step, Step::Grace { .. }))
                {
                    out.push(Action::Say(Note::Hurried));
                    for gone in &mut self.retiring {
                        gone.step = match gone.step {
                            Step::Grace { .. } => Step::Grace { kill_at: now },
                            Step::Killed { give_up_at } => Step::Killed { give_up_at },
                        };
                    }
                }
            }
            Mode::Finished => {}
        }
    }

    pub(super) fn begin_stop(&mut self, now: Tick, ending: Ending, out: &mut Vec<Action>) {
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
        for (id, worker) in seated {
            self.retire(now, id, worker, Cause::Stop, out);
        }
    }

    pub(super) fn restart(&mut self, now: Tick, out: &mut Vec<Action>) {
        if self.mode != Mode::Serving {
            return;
        }
        out.push(Action::Say(Note::RestartRequested));
        let mut seated = Vec::new();
        for slot in &mut self.slots {
            slot.streak = 0;
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
            self.retire(now, id, worker, Cause::Restart, out);
        }
    }

    pub(super) fn finish(&mut self, out: &mut Vec<Action>) {
        let empty = self.slots.iter().all(|slot| slot.seat == Seat::Stopped)
            && self.retiring.iter().all(|gone| gone.undead);
        let code = match self.mode {
            Mode::Finished => return,
            _ if !empty => return,
            Mode::Stopping {
                ending: Ending::GaveUp { code },
            } => code,
            // All stay down by themselves.
            Mode::Serving => self.code,
            _ if self.ends_like_its_worker() => self.code,
            Mode::Stopping {
                ending: Ending::Asked,
            }
            | Mode::Delaying { .. } => u8::from(self.killed),
        };
        self.mode = Mode::Finished;
        out.push(Action::Finish { code });
    }
}
