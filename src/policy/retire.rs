//! Those who were told to stop, and what workers leave behind: stop signal, grace, SIGKILL, patience.
#![forbid(unsafe_code)]

use std::time::Duration;

use crate::model::{Cause, Exit, Sig, SlotId, Tick};

use super::fleet::Fleet;
use super::slot::{Retiring, Seat, Step, Worker};
use super::start::SHORTAGE_PAUSE;
use super::{Action, Next, Note, RestartRule};

/// How long the kernel may take to end a process that has its SIGKILL before the runtime goes on without it: one in
/// uninterruptible sleep never ends, and the stop must.
pub const KILL_PATIENCE: Duration = Duration::from_secs(5);

impl Fleet {
    /// Tells a worker to stop; it leaves its chair, if it had one, to whoever calls.
    pub(super) fn retire(
        &mut self,
        now: Tick,
        slot: SlotId,
        worker: Worker,
        cause: Cause,
        out: &mut Vec<Action>,
    ) {
        let step = Step::Grace {
            kill_at: now.after(self.params.stop_timeout),
        };
        self.retiring.push(Retiring {
            slot,
            worker,
            cause,
            step,
            sweeping: false,
            undead: false,
        });
        out.push(Action::Stop { pid: worker.pid });
    }

    pub(super) fn retiring_ended(
        &mut self,
        now: Tick,
        jitter: u16,
        at: usize,
        exit: Exit,
        leftovers: bool,
        out: &mut Vec<Action>,
    ) {
        let Some(mut gone) = self.retiring.get(at).copied() else {
            return;
        };
        let (id, pid) = (gone.slot, gone.worker.pid);
        let killed = matches!(gone.step, Step::Killed { .. });
        if gone.cause == Cause::Stop && killed {
            gone.cause = Cause::StopTimeout;
        }
        let place = usize::from(id.0);
        let next = self.vacates(now, jitter, gone, exit);
        if let Some(slot) = self.slots.get_mut(place)
            && next != Next::Replaced
        {
            slot.last_exit = Some(exit);
        }
        let uptime = now.since(gone.worker.started);
        out.push(Action::Say(Note::Ended {
            slot: id,
            pid,
            exit,
            cause: gone.cause,
            uptime,
            next,
        }));
        if leftovers {
            gone.sweeping = true;
            if !killed {
                out.push(Action::Say(Note::Leftovers { slot: id, pid }));
                out.push(Action::StopGroup { pid, told: true });
            }
            if let Some(entry) = self.retiring.get_mut(at) {
                *entry = gone;
            }
        } else {
            self.retiring.remove(at);
        }
        self.give_up_if(now, place, next, gone.worker, exit, out);
    }

    /// A retiring worker is gone, or as good as gone: its slot need not wait for it any longer.
    fn vacates(&mut self, now: Tick, jitter: u16, gone: Retiring, exit: Exit) -> Next {
        if gone.undead {
            // That was said when it was given up on.
            return if self.stop_has_come(now) {
                Next::Stopping
            } else {
                Next::Replaced
            };
        }
        let at = usize::from(gone.slot.0);
        let next = if self.stop_has_come(now) {
            Next::Stopping
        } else if gone.cause == Cause::StartTimeout {
            if let Some(slot) = self.slots.get_mut(at) {
                slot.streak = slot.streak.saturating_add(1);
            }
            self.after_end(jitter, at, gone.worker, exit, false)
        } else {
            Next::Restart {
                wait: Duration::ZERO,
                streak: 0,
            }
        };
        if self
            .slots
            .get(at)
            .is_some_and(|slot| slot.seat == Seat::Held)
        {
            self.settle(now, at, next);
        }
        self.remember(next, gone.worker, exit);
        next
    }

    /// tini's role: the one worker's status is ours, whoever ended it.
    pub(super) fn ends_like_its_worker(&self) -> bool {
        self.params.restart == RestartRule::Never && self.params.instances == 1
    }

    pub(super) fn advance_retiring(&mut self, now: Tick, jitter: u16, out: &mut Vec<Action>) {
        let stopping = self.stopping();
        let mut given_up = Vec::new();
        for gone in &mut self.retiring {
            let (slot, pid) = (gone.slot, gone.worker.pid);
            match gone.step {
                Step::Grace { kill_at } if kill_at <= now => {
                    gone.step = Step::Killed {
                        give_up_at: now.after(KILL_PATIENCE),
                    };
                    self.killed |= stopping;
                    out.push(Action::Say(Note::GraceOver {
                        slot,
                        pid,
                        leftovers: gone.sweeping,
                    }));
                    out.push(if gone.sweeping {
                        Action::KillGroup { pid }
                    } else {
                        Action::Kill { pid }
                    });
                }
                Step::Killed { give_up_at } if give_up_at <= now && !gone.undead => {
                    given_up.push(*gone);
                    gone.undead = true;
                }
                Step::Grace { .. } | Step::Killed { .. } => {}
            }
        }
        for gone in given_up {
            self.give_up_on(now, jitter, gone, out);
        }
        self.retiring.retain(|gone| !(gone.undead && gone.sweeping));
    }

    /// What cannot be killed counts as killed.
    fn give_up_on(&mut self, now: Tick, jitter: u16, gone: Retiring, out: &mut Vec<Action>) {
        let (slot, pid) = (gone.slot, gone.worker.pid);
        out.push(Action::Say(Note::Undead {
            slot,
            pid,
            leftovers: gone.sweeping,
        }));
        if gone.sweeping {
            return;
        }
        let (at, exit) = (usize::from(slot.0), Exit::Signal(Sig::KILL));
        let mut next = self.vacates(now, jitter, gone, exit);
        if let Next::Restart { wait, streak } = next {
            // The machine is in trouble: no hurry.
            let wait = wait.max(SHORTAGE_PAUSE);
            next = Next::Restart { wait, streak };
            self.settle(now, at, next);
        }
        self.give_up_if(now, at, next, gone.worker, exit, out);
    }
}
