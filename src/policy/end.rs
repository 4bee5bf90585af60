//! The consequences of the end of a worker.

use crate::model::{Cause, Exit, Pid, Sig, SlotId, Tick};

use super::fleet::{Ending, Fall, Fleet, Mode, Which};
use super::slot::{Life, Retiring, Seat, Step, Worker};
use super::start::SHORTAGE_PAUSE;
use super::turn::Turn;
use super::{Action, Next, NotUp, Note, ReadyRule, Restart};

/// How many times as long as the wait after it a life must be to be long.
const LONG: u32 = 100;

impl Fleet {
    pub(super) fn exited(&mut self, turn: &mut Turn<'_>, pid: Pid, fall: Fall) {
        if let Some((at, which)) = self.seat_of(pid) {
            match which {
                Which::Present => self.seated_ended(turn, at, fall),
                Which::Next => self.successor_ended(turn, at, fall),
            }
        } else if let Some(at) = self
            .retiring
            .iter()
            .position(|gone| !gone.sweeping && gone.worker.pid == pid)
        {
            self.retiring_ended(turn, at, fall);
        } else {
            let exit = fall.exit;
            turn.say(Note::Stranger { pid, exit });
        }
    }

    /// How good the life of a worker was that ends now by itself. A life is long if the wait after it, which grows
    /// with each life that was not, would be at most a hundredth of it.
    fn life(&self, now: Tick, at: usize, worker: &Worker) -> Life {
        let uptime = now.since(worker.started);
        let slot = self.slots.get(at);
        // One that has never listened may serve no port; then only its age counts.
        let silent = matches!(self.params.ready, ReadyRule::Listens { or_alive: Some(_) })
            && worker.listens.is_empty()
            && !slot.is_some_and(|slot| slot.tells);
        let concluded = slot.map(|slot| self.concluded(now, slot, worker));
        let starts = uptime < self.params.ready_timeout
            && !concluded.is_none_or(|ports| ports.is_subset(worker.listens));
        let comes_up = silent || (worker.was_ready && !starts);
        if !comes_up || uptime < self.params.min_uptime {
            return Life::Short;
        }
        let unrest = slot.map_or(0, |slot| slot.unrest);
        let wait = self.params.backoff.delay(unrest.saturating_add(1), 0);
        if uptime >= wait.saturating_mul(LONG) {
            Life::Long
        } else {
            Life::Middling
        }
    }

    /// The worker of a slot ended by itself.
    pub(super) fn seated_ended(&mut self, turn: &mut Turn<'_>, at: usize, fall: Fall) {
        let exit = fall.exit;
        let seat = self.slots.get(at).map(|slot| slot.seat);
        let Some(worker) = seat.and_then(|seat| seat.worker().copied()) else {
            return;
        };
        let life = self.life(turn.now, at, &worker);
        if self.gives_back(turn, at, worker, fall) {
            return;
        }
        self.remember_ports(turn.now, at);
        let Some(slot) = self.slots.get_mut(at) else {
            return;
        };
        // The next worker is new anyway, so it needs no replacement.
        slot.renewal = None;
        slot.ails = false;
        let uptime = turn.now.since(worker.started);
        // The wait is that after the lives before, so that a first end of a worker that served restarts at once.
        let unrest = slot.unrest;
        if worker.starved {
            // The program did not run: the start was only postponed. This says nothing about the program.
            slot.shortages = slot.shortages.saturating_add(1);
        } else {
            slot.count(life);
        }
        let unrest = if life == Life::Middling {
            unrest
        } else {
            slot.unrest
        };
        let cause = own_cause(worker, fall);
        slot.last_exit = Some(exit);
        slot.last_cause = Some(cause);
        let (id, seat) = (slot.id, slot.seat);
        let new = self.reload.is_some() && worker.generation == self.generation;
        // A new version that ends again and again is no success, however long it is ready.
        let failed = life == Life::Short || exit != Exit::Code(0);
        let tried = (self.on_trial(turn.now, &seat) || (new && failed)) && !worker.gave_way();
        let next = if self.stop_has_come(turn.now) {
            Next::Stopping
        } else {
            self.after_end(turn.jitter, at, worker, exit, (true, unrest))
        };
        self.settle(turn.now, at, next);
        self.remember(next, worker, exit);
        self.release(turn, &worker);
        turn.say(Note::Ended {
            slot: id,
            pid: worker.pid,
            exit,
            cause,
            uptime,
            next,
        });
        if fall.leftovers {
            self.sweep(turn, id, worker, cause);
        }
        self.cull(turn, at, Cause::Reload);
        if tried {
            self.trial_failed(turn, id, Some(worker.pid), NotUp::Ended(exit));
        }
        self.give_up_if(turn, at, next, worker, exit);
    }

    /// A worker that was starting to take over a slot ended.
    fn successor_ended(&mut self, turn: &mut Turn<'_>, at: usize, fall: Fall) {
        let Some(slot) = self.slots.get_mut(at) else {
            return;
        };
        let Some(worker) = slot.successor.and_then(|next| next.seat.worker().copied()) else {
            return;
        };
        let id = slot.id;
        self.ended_beside(turn, id, worker, fall);
        // The process is already reaped, so no stop signal is needed.
        self.give_back(at);
        if self.makes_room(turn, at, worker.pid) || self.starts_again(turn, at, worker) {
            return;
        }
        self.not_up(turn, at, Some(worker.pid), NotUp::Ended(fall.exit));
    }

    /// A worker ended whose slot has another worker.
    pub(super) fn ended_beside(
        &mut self,
        turn: &mut Turn<'_>,
        slot: SlotId,
        worker: Worker,
        fall: Fall,
    ) {
        let cause = own_cause(worker, fall);
        self.release(turn, &worker);
        turn.say(Note::Ended {
            slot,
            pid: worker.pid,
            exit: fall.exit,
            cause,
            uptime: turn.now.since(worker.started),
            next: Next::Replaced,
        });
        if fall.leftovers {
            self.sweep(turn, slot, worker, cause);
        }
    }

    /// Sends the stop signal to the remaining processes of an ended worker's group.
    fn sweep(&mut self, turn: &mut Turn<'_>, slot: SlotId, worker: Worker, cause: Cause) {
        let step = Step::grace(turn.now, self.params.stop_timeout);
        self.retiring.push(Retiring {
            slot,
            worker,
            cause,
            step,
            sweeping: true,
            undead: false,
            returns: false,
        });
        let pid = worker.pid;
        turn.say(Note::Leftovers { slot, pid });
        turn.act(Action::StopGroup { pid, told: false });
    }

    /// Decides what follows the end of the worker of slot `at`, by the restart rules. An exit after our stop signal
    /// (not `by_itself`) is neither a success nor a stop code. `unrest` decides the wait.
    pub(super) fn after_end(
        &self,
        jitter: u16,
        at: usize,
        worker: Worker,
        exit: Exit,
        (by_itself, unrest): (bool, u32),
    ) -> Next {
        let (streak, shortages) = self
            .slots
            .get(at)
            .map_or((0, 0), |slot| (slot.streak, slot.shortages));
        // In the role of tini, the caller of the runtime retries.
        if worker.starved && by_itself && !self.ends_like_its_worker() {
            let wait = self.params.backoff.delay(shortages, jitter);
            let wait = wait.max(SHORTAGE_PAUSE);
            return Next::Restart { wait, streak };
        }
        let asked_down = by_itself
            && matches!(exit, Exit::Code(code) if self.params.stop_exit_codes.contains(&code));
        let down = asked_down
            || match self.params.restart {
                Restart::Always => false,
                Restart::OnFailure => by_itself && self.reported(worker, exit) == 0,
                Restart::Never => true,
            };
        if worker.exec_failed.is_some() && !self.ran {
            Next::GivesUp
        } else if down {
            Next::StaysDown
        } else if self.params.max_restarts.is_some_and(|most| streak >= most) {
            Next::GivesUp
        } else {
            Next::Restart {
                wait: self.params.backoff.delay(unrest, jitter),
                streak,
            }
        }
    }

    /// Stores the exit code of a worker that has no successor, if it may become the runtime's own exit code.
    pub(super) fn remember(&mut self, next: Next, worker: Worker, exit: Exit) {
        let counts = match next {
            Next::StaysDown => true,
            Next::Stopping => self.ends_like_its_worker(),
            Next::Restart { .. }
            | Next::Halted
            | Next::Replaced
            | Next::GivenUp
            | Next::GivesUp => false,
        };
        if counts && self.code == 0 {
            self.code = self.reported(worker, exit);
        }
    }

    pub(super) fn settle(&mut self, now: Tick, at: usize, next: Next) {
        if let Some(slot) = self.slots.get_mut(at) {
            slot.seat = match next {
                Next::Restart { wait, .. } => Seat::Waiting {
                    until: now.after(wait),
                },
                Next::StaysDown
                | Next::Halted
                | Next::Stopping
                | Next::GivesUp
                | Next::Replaced
                | Next::GivenUp => Seat::Stopped,
            };
        }
    }

    pub(super) fn give_up_if(
        &mut self,
        turn: &mut Turn<'_>,
        at: usize,
        next: Next,
        worker: Worker,
        exit: Exit,
    ) {
        if next == Next::GivesUp {
            // 0 would mean that the runtime was stopped as requested. That is not the case, whatever the worker meant
            // by its 0.
            let code = self.reported(worker, exit).max(1);
            let (id, streak) = self
                .slots
                .get(at)
                .map_or((SlotId(0), 0), |slot| (slot.id, slot.streak));
            self.give_up(turn, id, streak, code);
        }
    }

    pub(super) fn give_up(&mut self, turn: &mut Turn<'_>, slot: SlotId, streak: u32, code: u8) {
        turn.say(Note::GivesUp { slot, streak, code });
        self.abort_reload(turn, Cause::Stop);
        self.mode = match self.mode {
            Mode::Serving => Mode::Delaying {
                until: turn.now,
                ending: Ending::GaveUp { code },
            },
            // The stop was already requested: a failure in the meantime does not change the exit code.
            Mode::Delaying { until, ending } => Mode::Delaying {
                until: until.min(turn.now),
                ending,
            },
            mode @ (Mode::Draining { .. } | Mode::Stopping { .. } | Mode::Finished) => mode,
        };
    }

    /// Converts the end of a worker to the runtime's exit code; applies RPM_EXIT_OK.
    pub(super) fn reported(&self, worker: Worker, exit: Exit) -> u8 {
        let code = worker.exec_failed.unwrap_or(exit.shell_code());
        if self.params.exit_ok.contains(&code) {
            0
        } else {
            code
        }
    }
}

/// The cause of the end of a worker that was not told to stop.
pub(super) fn own_cause(worker: Worker, fall: Fall) -> Cause {
    match (worker.exec_failed, fall.exit) {
        (None, _) if worker.starved => Cause::ExecFailed,
        (Some(_), _) => Cause::ExecFailed,
        (None, Exit::Signal(Sig::KILL)) if fall.oom => Cause::Oom,
        (None, Exit::Code(_)) => Cause::Exit,
        (None, Exit::Signal(_)) => Cause::Signal,
    }
}
