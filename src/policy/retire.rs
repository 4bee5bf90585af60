//! Retiring workers: drain, stop signal, grace, SIGKILL, and processes that workers leave behind.

use std::time::Duration;

use crate::model::{Cause, DrainEnd, Exit, Sig, SlotId};

use super::end::own_cause;
use super::fleet::{Fall, Fleet};
use super::slot::{Life, Retiring, Seat, Slot, Step, Worker};
use super::start::SHORTAGE_PAUSE;
use super::turn::Turn;
use super::{Action, Next, Note, Restart};

/// How long the runtime waits for the end of a process after SIGKILL. Then it continues without it, because a process
/// in uninterruptible sleep never ends and the stop must end.
pub const KILL_PATIENCE: Duration = Duration::from_secs(5);

impl Fleet {
    /// Starts the drain of a worker, if it must drain and can; otherwise sends the stop signal. The caller handles the
    /// slot that the worker leaves.
    pub(super) fn retire(
        &mut self,
        turn: &mut Turn<'_>,
        slot: SlotId,
        worker: Worker,
        cause: Cause,
        drain: bool,
    ) {
        let pid = worker.pid;
        let limit = self
            .params
            .drain_timeout
            .filter(|limit| drain && !limit.is_zero());
        let step = if let Some(limit) = limit {
            turn.say(Note::Drains { slot, pid, limit });
            Step::Draining {
                since: turn.now,
                until: turn.now.after(limit),
            }
        } else {
            Step::Leaving
        };
        self.retiring.push(Retiring {
            slot,
            worker,
            cause,
            step,
            sweeping: false,
            undead: false,
            returns: false,
        });
    }

    pub(super) fn retiring_ended(&mut self, turn: &mut Turn<'_>, at: usize, fall: Fall) {
        let Fall {
            exit, leftovers, ..
        } = fall;
        let Some(mut gone) = self.retiring.get(at).copied() else {
            return;
        };
        let (id, pid) = (gone.slot, gone.worker.pid);
        let killed = matches!(gone.step, Step::Killed { .. });
        let told = killed || matches!(gone.step, Step::Grace { .. });
        let mut signalled = told;
        if let Step::Grace { signal_at, .. } = &mut gone.step {
            signalled = signal_at.take().is_none();
        }
        if let Step::Draining { since, .. } | Step::Choosing { since, .. } = gone.step {
            turn.say(Note::DrainEnded {
                slot: id,
                pid,
                end: DrainEnd::Exited,
                took: turn.now.since(since),
            });
        }
        if !told {
            // The worker ended by itself.
            gone.cause = own_cause(gone.worker, fall);
            gone.step = Step::grace(turn.now, self.params.stop_timeout);
        }
        if gone.cause == Cause::Stop && killed {
            gone.cause = Cause::StopTimeout;
        }
        let place = usize::from(id.0);
        let next = self.vacates(turn, gone, exit);
        if let Some(slot) = self.slots.get_mut(place)
            && !matches!(next, Next::Replaced | Next::GivenUp)
        {
            slot.last_exit = Some(exit);
            slot.last_cause = Some(gone.cause);
        }
        if !gone.undead {
            self.release(turn, &gone.worker);
        }
        let uptime = turn.now.since(gone.worker.started);
        turn.say(Note::Ended {
            slot: id,
            pid,
            exit,
            cause: gone.cause,
            uptime,
            next,
        });
        if leftovers {
            gone.sweeping = true;
            if !killed {
                turn.say(Note::Leftovers { slot: id, pid });
                turn.act(Action::StopGroup {
                    pid,
                    told: signalled,
                });
            }
            if let Some(entry) = self.retiring.get_mut(at) {
                *entry = gone;
            }
        } else {
            self.retiring.remove(at);
        }
        self.give_up_if(turn, place, next, gone.worker, exit);
    }

    /// A retiring worker has ended, or was given up on: its slot need not wait for it any more.
    fn vacates(&mut self, turn: &Turn<'_>, gone: Retiring, exit: Exit) -> Next {
        if gone.undead {
            // This was reported when the runtime gave up on it.
            return if self.stop_has_come(turn.now) {
                Next::Stopping
            } else {
                Next::Replaced
            };
        }
        let at = usize::from(gone.slot.0);
        // The slot has another worker, or will never have one.
        let holds = |slot: &Slot| slot.seat == Seat::Held && slot.listener == gone.worker.listener;
        let held = self.slots.get(at).is_some_and(holds);
        let next = if self.stop_has_come(turn.now) {
            Next::Stopping
        } else if !held {
            match self.slots.get(at) {
                Some(slot) if slot.is_empty_of(gone.worker.listener) => Next::Halted,
                Some(_) => Next::Replaced,
                None => Next::GivenUp,
            }
        } else if gone.cause == Cause::StartTimeout {
            if let Some(slot) = self.slots.get_mut(at) {
                slot.count(Life::Short);
            }
            let unrest = self.slots.get(at).map_or(0, |slot| slot.unrest);
            self.after_end(turn.jitter, at, gone.worker, exit, (false, unrest))
        } else {
            Next::Restart {
                wait: Duration::ZERO,
                streak: 0,
            }
        };
        if held {
            self.settle(turn.now, at, next);
        }
        self.remember(next, gone.worker, exit);
        next
    }

    /// In the role of tini, the exit status of the only worker is the runtime's, whatever ended it.
    pub(super) fn ends_like_its_worker(&self) -> bool {
        self.params.restart == Restart::Never && self.params.instances == 1
    }

    pub(super) fn advance_retiring(&mut self, turn: &mut Turn<'_>) {
        self.tell_leaving(turn);
        let stopping = self.stopping();
        let mut given_up = Vec::new();
        for gone in &mut self.retiring {
            let (slot, pid) = (gone.slot, gone.worker.pid);
            match gone.step {
                Step::Grace { kill_at, .. } if kill_at <= turn.now => {
                    gone.step = Step::Killed {
                        give_up_at: turn.now.after(KILL_PATIENCE),
                    };
                    self.killed |= stopping;
                    turn.say(Note::GraceOver {
                        slot,
                        pid,
                        leftovers: gone.sweeping,
                    });
                    turn.act(if gone.sweeping {
                        Action::KillGroup { pid }
                    } else {
                        Action::Kill { pid }
                    });
                }
                Step::Grace {
                    signal_at: Some(at),
                    kill_at,
                } if at <= turn.now => {
                    gone.step = Step::Grace {
                        signal_at: None,
                        kill_at,
                    };
                    turn.act(Action::Stop { pid });
                }
                Step::Killed { give_up_at } if give_up_at <= turn.now && !gone.undead => {
                    given_up.push(*gone);
                    gone.undead = true;
                }
                Step::Leaving
                | Step::Draining { .. }
                | Step::Choosing { .. }
                | Step::Scraping { .. }
                | Step::Grace { .. }
                | Step::Killed { .. } => {}
            }
        }
        // Behind the graces: a grace of zero that begins now is over in the next pass, when the stop may have begun.
        self.advance_draining(turn);
        for gone in given_up {
            self.give_up_on(turn, gone);
        }
        self.retiring.retain(|gone| !(gone.undead && gone.sweeping));
    }

    /// A process that cannot be killed counts as killed.
    fn give_up_on(&mut self, turn: &mut Turn<'_>, gone: Retiring) {
        let (slot, pid) = (gone.slot, gone.worker.pid);
        if !gone.sweeping {
            self.release(turn, &gone.worker);
        }
        turn.say(Note::Undead {
            slot,
            pid,
            leftovers: gone.sweeping,
        });
        if gone.sweeping {
            return;
        }
        let (at, exit) = (usize::from(slot.0), Exit::Signal(Sig::KILL));
        let mut next = self.vacates(turn, gone, exit);
        if let Next::Restart { wait, streak } = next {
            // The machine has a problem, so wait longer.
            let wait = wait.max(SHORTAGE_PAUSE);
            next = Next::Restart { wait, streak };
            self.settle(turn.now, at, next);
        }
        self.give_up_if(turn, at, next, gone.worker, exit);
    }
}
