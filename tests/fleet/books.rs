//! The books: what the fleet was told and what it did, and from that, without asking it, what it has to do.
#![forbid(unsafe_code)]

mod acts;
mod asks;
mod state;

use std::collections::BTreeMap;
use std::time::Duration;

use rpm_runtime::model::{Cause, Command, Exit, Pid, SlotId, Tick};
use rpm_runtime::policy::{Event, KILL_PATIENCE, Next, Note, Params, ReadyRule, RestartRule};

/// Shortest wait after a shortage.
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chair {
    Down,
    Due(Tick),
    /// Until the retiring worker of this slot is gone.
    Held,
    Asked,
    Seated(Pid),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    NotReady,
    Restart,
    Stop,
}

/// A process that was started and not reaped.
#[derive(Clone, Copy, Debug)]
struct Life {
    slot: usize,
    started: Tick,
    ready: bool,
    /// Ready by its age at that moment.
    alive_at: Option<Tick>,
    ready_by: Option<Tick>,
    exec_failed: Option<u8>,
    starved: bool,
    told: Option<Why>,
    kill_due: Option<Tick>,
    killed: Option<Tick>,
    undead: bool,
}

/// What a reaped worker left.
#[derive(Clone, Copy, Debug)]
struct Group {
    slot: usize,
    told: bool,
    kill_due: Tick,
    killed: Option<Tick>,
}

#[derive(Clone, Copy, Debug)]
struct SlotBook {
    chair: Chair,
    streak: u32,
    shortages: u32,
    tells: bool,
}

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub struct Books {
    params: Params,
    slots: Vec<SlotBook>,
    lives: BTreeMap<Pid, Life>,
    groups: BTreeMap<Pid, Group>,
    ran: bool,
    forked: bool,
    /// When the stop is due; the code if it is for giving up.
    stop: Option<(Tick, Option<u8>)>,
    /// The order to stop went out then.
    began: Option<Tick>,
    killed: bool,
    code: u8,
    started: bool,
    jitter: u16,
    pub finished: bool,
    /// Notes that have to come, in this order.
    owed: Vec<Note>,
}

impl Books {
    pub fn new(params: Params, now: Tick) -> Self {
        let slot = SlotBook {
            chair: Chair::Due(now),
            streak: 0,
            shortages: 0,
            tells: false,
        };
        Self {
            slots: vec![slot; usize::from(params.instances)],
            params,
            lives: BTreeMap::new(),
            groups: BTreeMap::new(),
            ran: false,
            forked: false,
            stop: None,
            began: None,
            killed: false,
            code: 0,
            started: false,
            jitter: 0,
            finished: false,
            owed: Vec::new(),
        }
    }

    /// By when everything has to be over.
    pub fn ends_by(&self) -> Option<Tick> {
        let (at, _) = self.stop?;
        Some(at.after(self.params.stop_timeout).after(KILL_PATIENCE))
    }

    fn coming(&self, now: Tick) -> bool {
        self.began.is_some() || self.stop.is_some_and(|(at, _)| at <= now)
    }

    fn one_shot(&self) -> bool {
        self.params.restart == RestartRule::Never && self.params.instances == 1
    }

    fn mapped(&self, life: Life, exit: Exit) -> u8 {
        let code = life.exec_failed.unwrap_or(exit.shell_code());
        if self.params.exit_ok.contains(&code) {
            0
        } else {
            code
        }
    }

    /// An event that the fleet is about to be told.
    pub fn hears(&mut self, now: Tick, jitter: u16, event: Event) {
        assert_eq!(self.owed, [], "not said");
        self.jitter = jitter;
        match event {
            Event::Woke => {}
            Event::Spawned { slot, pid } => self.spawned(now, usize::from(slot.0), pid),
            Event::SpawnFailed { slot } => self.spawn_failed(now, slot),
            Event::Executed { pid } => {
                self.ran = true;
                if let Some(life) = self.lives.get(&pid).filter(|life| life.told.is_none()) {
                    self.slots[life.slot].shortages = 0;
                }
            }
            Event::Starved { pid } => {
                if let Some(life) = self.lives.get_mut(&pid) {
                    life.starved = true;
                }
            }
            Event::ExecFailed { pid, code } => {
                if let Some(life) = self.lives.get_mut(&pid) {
                    life.exec_failed = Some(code);
                }
            }
            Event::Ready { pid } => self.told_ready(now, pid),
            Event::Exited {
                pid,
                exit,
                leftovers,
            } => match self.lives.remove(&pid) {
                Some(life) => self.ended(now, pid, life, exit, leftovers),
                None => self.owed.push(Note::Stranger { pid, exit }),
            },
            Event::GroupEmpty { pid } => {
                self.groups.remove(&pid);
            }
            Event::Operator(Command::Stop) => self.asked_to_stop(now),
            Event::Operator(Command::Restart) => self.asked_to_restart(now),
        }
    }

    fn spawned(&mut self, now: Tick, at: usize, pid: Pid) {
        self.forked = true;
        // A number is given out again when nobody has it: that group is gone.
        self.groups.remove(&pid);
        let coming = self.began.is_some();
        let (rule, limit) = (self.params.ready, now.after(self.params.ready_timeout));
        let slot = &mut self.slots[at];
        assert_eq!(slot.chair, Chair::Asked, "nobody asked for {pid}");
        let (alive_at, ready_by) = match rule {
            ReadyRule::Alive(wait) => (Some(now.after(wait)), None),
            ReadyRule::Either(wait) if !slot.tells => (Some(now.after(wait)), None),
            ReadyRule::Told | ReadyRule::Either(_) => (None, Some(limit)),
        };
        slot.chair = if coming {
            Chair::Down
        } else {
            Chair::Seated(pid)
        };
        let life = Life {
            slot: at,
            started: now,
            ready: false,
            alive_at,
            ready_by,
            exec_failed: None,
            starved: false,
            told: None,
            kill_due: None,
            killed: None,
            undead: false,
        };
        assert!(self.lives.insert(pid, life).is_none(), "{pid} twice");
    }

    fn spawn_failed(&mut self, now: Tick, id: SlotId) {
        let coming = self.began.is_some();
        let (forked, backoff, jitter) = (self.forked, self.params.backoff, self.jitter);
        let slot = &mut self.slots[usize::from(id.0)];
        assert_eq!(slot.chair, Chair::Asked, "nobody asked");
        if coming {
            slot.chair = Chair::Down;
        } else if forked {
            slot.shortages += 1;
            let retry_in = backoff.delay(slot.shortages, jitter).max(PAUSE);
            slot.chair = Chair::Due(now.after(retry_in));
            self.owed.push(Note::SpawnDelayed { slot: id, retry_in });
        } else {
            slot.chair = Chair::Down;
            self.give_up(now, id, 0, 71);
        }
    }

    fn told_ready(&mut self, now: Tick, pid: Pid) {
        self.ran = true;
        let Some(life) = self.lives.get_mut(&pid).filter(|life| life.told.is_none()) else {
            return;
        };
        self.slots[life.slot].tells = true;
        if !life.ready {
            life.ready = true;
            let after = now.since(life.started);
            let slot = id(life.slot);
            self.owed.push(Note::Ready { slot, pid, after });
        }
    }

    fn give_up(&mut self, now: Tick, slot: SlotId, streak: u32, code: u8) {
        self.owed.push(Note::GivesUp { slot, streak, code });
        self.stop = match self.stop {
            None => Some((now, Some(code))),
            Some((at, why)) => Some((at.min(now), why)),
        };
    }

    /// What has to follow the end, by the rules of restart.
    fn rules(&mut self, life: Life, exit: Exit) -> Next {
        let code = self.mapped(life, exit);
        let by_itself = life.told.is_none();
        let streak = self.slots[life.slot].streak;
        if life.starved && by_itself && !self.one_shot() {
            let shortages = self.slots[life.slot].shortages;
            let wait = self.params.backoff.delay(shortages, self.jitter).max(PAUSE);
            return Next::Restart { wait, streak };
        }
        if life.exec_failed.is_some() && !self.ran {
            return Next::GivesUp;
        }
        let stays = by_itself
            && matches!(exit, Exit::Code(raw) if self.params.stop_exit_codes.contains(&raw));
        let stays = stays
            || match self.params.restart {
                RestartRule::Always => false,
                RestartRule::OnFailure => by_itself && code == 0,
                RestartRule::Never => true,
            };
        if stays {
            if self.code == 0 {
                self.code = code;
            }
            Next::StaysDown
        } else if self.params.max_restarts.is_some_and(|most| streak >= most) {
            Next::GivesUp
        } else {
            let wait = self.params.backoff.delay(streak, self.jitter);
            Next::Restart { wait, streak }
        }
    }

    fn settle(&mut self, now: Tick, at: usize, next: Next, least: Duration) {
        self.slots[at].chair = match next {
            Next::Restart { wait, .. } => Chair::Due(now.after(wait.max(least))),
            Next::StaysDown | Next::Stopping | Next::GivesUp | Next::Replaced => Chair::Down,
        };
    }

    fn ended(&mut self, now: Tick, pid: Pid, life: Life, exit: Exit, leftovers: bool) {
        let at = life.slot;
        let uptime = now.since(life.started);
        if life.told.is_none() && life.starved {
            self.slots[at].shortages += 1;
        } else if life.told.is_none() {
            let good = life.ready && uptime >= self.params.min_uptime;
            let slot = &mut self.slots[at];
            slot.streak = if good { 0 } else { slot.streak + 1 };
        } else if life.told == Some(Why::NotReady) && !life.undead && self.began.is_none() {
            self.slots[at].streak += 1;
        }
        let next = if self.coming(now) {
            if self.one_shot() && !life.undead && self.code == 0 {
                self.code = self.mapped(life, exit);
            }
            Next::Stopping
        } else if life.undead {
            Next::Replaced
        } else if life.told == Some(Why::Restart) {
            Next::Restart {
                wait: Duration::ZERO,
                streak: 0,
            }
        } else {
            self.rules(life, exit)
        };
        if !life.undead && self.began.is_none() {
            self.settle(now, at, next, Duration::ZERO);
        }
        let cause = match (life.told, life.exec_failed, exit) {
            (Some(Why::Stop), ..) if life.killed.is_some() => Cause::StopTimeout,
            (Some(Why::Stop), ..) => Cause::Stop,
            (Some(Why::Restart), ..) => Cause::Restart,
            (Some(Why::NotReady), ..) => Cause::StartTimeout,
            (None, Some(_), _) => Cause::ExecFailed,
            _ if life.starved => Cause::ExecFailed,
            (None, None, Exit::Code(_)) => Cause::Exit,
            (None, None, Exit::Signal(_)) => Cause::Signal,
        };
        let slot = id(at);
        self.owed.push(Note::Ended {
            slot,
            pid,
            exit,
            cause,
            uptime,
            next,
        });
        if leftovers && !life.undead {
            let group = Group {
                slot: at,
                told: life.killed.is_some(),
                kill_due: life.kill_due.unwrap_or(now.after(self.params.stop_timeout)),
                killed: life.killed,
            };
            if !group.told {
                self.owed.push(Note::Leftovers { slot, pid });
            }
            self.groups.insert(pid, group);
        }
        if next == Next::GivesUp {
            let code = self.mapped(life, exit).max(1);
            self.give_up(now, slot, self.slots[at].streak, code);
        }
    }
}

fn id(at: usize) -> SlotId {
    SlotId(u16::try_from(at).unwrap())
}
