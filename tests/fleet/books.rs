//! The books: what the fleet was told and what it did, and from that, without asking it, what it has to do and what it
//! must not do.
//!
//! What follows from an event alone is kept exactly: each end and what follows it, each streak, each grace, the end of a
//! reload. When the fleet takes a step of its own (a successor, a take-over, somebody taken away) the books look whether
//! it may, and after each turn whether one is missing.
#![forbid(unsafe_code)]

mod acts;
mod asks;
mod births;
mod ends;
mod health;
mod notes;
mod promises;
mod reload;
mod roll;
mod state;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rpm_runtime::model::{
    Cause, Command, Exit, Generation, ListenerId, Pid, SlotId, Tick, Trigger,
};
use rpm_runtime::policy::{Event, Note, Params, RestartRule};

use crate::tally::Tally;

/// Shortest wait after a shortage.
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chair {
    Down,
    Due(Tick),
    /// Until this retiring worker, which has the chair's listener, is gone.
    Held(Pid),
    Asked,
    Seated(Pid),
}

/// A drain, and the wait for a moment after it.
#[derive(Clone, Copy, Debug)]
struct Drain {
    since: Tick,
    until: Tick,
    choosing: bool,
}

/// A process that was started and not reaped.
#[derive(Clone, Copy, Debug)]
struct Life {
    slot: usize,
    listener: ListenerId,
    generation: Generation,
    started: Tick,
    ready: Option<Tick>,
    /// Ready by its age at that moment.
    alive_at: Option<Tick>,
    ready_by: Option<Tick>,
    exec_failed: Option<u8>,
    starved: bool,
    fit: bool,
    failures: u32,
    /// Why it is to end, if it is; it has no chair any more.
    leaves: Option<Cause>,
    /// By when it has to be gone, or given up.
    gone_by: Tick,
    /// How long the fleet had overslept when it was told to end.
    overslept: Duration,
    drain: Option<Drain>,
    /// Since its stop signal.
    kill_due: Option<Tick>,
    killed: Option<Tick>,
    undead: bool,
}

/// What a reaped worker left.
#[derive(Clone, Copy, Debug)]
struct Group {
    slot: usize,
    /// Its leader had a stop signal.
    led: bool,
    told: bool,
    kill_due: Tick,
    killed: Option<Tick>,
}

/// Who is to take a chair over.
#[derive(Clone, Copy, Debug)]
struct Rise {
    listener: ListenerId,
    /// None while it is asked for.
    pid: Option<Pid>,
}

/// Why the worker in a chair is to be replaced, apart from a reload.
#[derive(Clone, Copy, Debug)]
struct Renewal {
    cause: Cause,
    grown: bool,
    due: Tick,
    tries: u32,
    /// It is out of steering.
    out: bool,
}

#[derive(Clone, Copy, Debug)]
struct SlotBook {
    chair: Chair,
    /// None until the first worker of a new slot is asked for.
    listener: Option<ListenerId>,
    next: Option<Rise>,
    renewal: Option<Renewal>,
    /// Its worker was taken away as unhealthy.
    ails: bool,
    streak: u32,
    shortages: u32,
    tells: bool,
}

/// A request for a worker that is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Asked {
    slot: usize,
    listener: ListenerId,
    generation: Generation,
}

#[derive(Debug)]
struct ReloadBook {
    began: Tick,
    before: Generation,
    again: Option<Trigger>,
    /// Who served when it began, and who took over since: none of them may go but by a rule.
    keeps: BTreeSet<Pid>,
}

/// A stop that is decided on.
#[derive(Clone, Copy, Debug)]
struct StopBook {
    /// The delay's end, or the drain's.
    until: Tick,
    drains: bool,
    asked: Tick,
    /// The code if it is for giving up.
    gave_up: Option<u8>,
}

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub struct Books {
    params: Params,
    slots: Vec<SlotBook>,
    lives: BTreeMap<Pid, Life>,
    groups: BTreeMap<Pid, Group>,
    asked: Vec<Asked>,
    generation: Generation,
    issued: Generation,
    reload: Option<ReloadBook>,
    ran: bool,
    forked: bool,
    stop: Option<StopBook>,
    /// The order to stop went out then.
    began: Option<Tick>,
    killed: bool,
    code: u8,
    /// It was said how long the parts of the stop took.
    told_stopped: bool,
    started: bool,
    jitter: u16,
    pub finished: bool,
    /// Notes that have to come, in this order.
    owed: Vec<Note>,
    /// Of whom it was said in this decision that they were late.
    late: Vec<Pid>,
    /// By how much the fleet was woken late so far.
    pub overslept: Duration,
    /// One more than the highest listener that was asked for.
    listeners: u16,
    /// How many workers, and how many wanted, after the step before.
    crowd: (usize, usize),
    /// How many were out of steering as unhealthy after the step before.
    sick: usize,
    /// Who was in steering after the step before.
    served: Vec<Pid>,
    pub tally: Tally,
}

impl Books {
    pub fn new(params: Params, now: Tick) -> Self {
        let slots: Vec<SlotBook> = (0..params.instances)
            .map(|nr| SlotBook::new(Some(ListenerId(nr)), now))
            .collect();
        Self {
            crowd: (slots.len(), slots.len()),
            slots,
            params,
            lives: BTreeMap::new(),
            groups: BTreeMap::new(),
            asked: Vec::new(),
            generation: Generation::default(),
            issued: Generation::default(),
            reload: None,
            ran: false,
            forked: false,
            stop: None,
            began: None,
            killed: false,
            code: 0,
            told_stopped: false,
            started: false,
            jitter: 0,
            finished: false,
            owed: Vec::new(),
            late: Vec::new(),
            overslept: Duration::ZERO,
            listeners: 0,
            sick: 0,
            served: Vec::new(),
            tally: Tally::default(),
        }
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

    /// RPM_DRAIN_TIMEOUT, if there is one.
    fn drain_limit(&self) -> Option<Duration> {
        self.params.drain_timeout.filter(|limit| !limit.is_zero())
    }

    /// An event that the fleet is about to be told.
    pub fn hears(&mut self, now: Tick, jitter: u16, event: Event) {
        assert_eq!(self.owed, [], "not said");
        self.jitter = jitter;
        match event {
            // Who is leaving is out of the steering by its own wish; its end is what counts.
            Event::Woke | Event::Leaving { .. } => {}
            Event::Spawned {
                slot,
                listener,
                pid,
            } => self.spawned(now, usize::from(slot.0), listener, pid),
            Event::SpawnFailed { slot, listener } => self.spawn_failed(now, slot, listener),
            Event::Executed { pid } => {
                self.ran = true;
                if let Some(slot) = self
                    .slots
                    .iter_mut()
                    .find(|s| s.chair == Chair::Seated(pid))
                {
                    slot.shortages = 0;
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
            Event::Checked { pid, passed } => self.checked(now, pid, passed),
            Event::Unfit { pid, cause } => self.unfit(now, pid, cause),
            Event::Extended { pid, by } => self.extended(now, pid, by),
            Event::Drained { pid } => self.drained(now, pid),
            Event::Moment { pid, quiet } => self.moment(now, pid, quiet),
            Event::Quiet => {
                if let Some(stop) = &mut self.stop
                    && stop.drains
                    && self.began.is_none()
                {
                    stop.until = now;
                }
            }
            Event::Exited {
                pid,
                exit,
                leftovers,
                oom,
            } => self.exited(now, pid, exit, leftovers, oom),
            Event::GroupEmpty { pid } => {
                self.groups.remove(&pid);
            }
            Event::Operator(Command::Stop) => self.asked_to_stop(now),
            Event::Operator(Command::Restart) => self.asked_to_restart(now),
            Event::Operator(Command::Reload(trigger)) => self.asked_to_reload(now, trigger),
            Event::Operator(Command::ScaleUp) => self.asked_for_one_more(now),
            Event::Operator(Command::ScaleDown) => self.asked_for_one_less(now),
        }
    }
}

impl SlotBook {
    fn new(listener: Option<ListenerId>, now: Tick) -> Self {
        Self {
            chair: Chair::Due(now),
            listener,
            next: None,
            renewal: None,
            ails: false,
            streak: 0,
            shortages: 0,
            tells: false,
        }
    }

    /// Its worker is out of steering because it failed its checks.
    fn is_out(&self) -> bool {
        self.renewal.is_some_and(|renewal| renewal.out)
    }
}

fn id(at: usize) -> SlotId {
    SlotId(u16::try_from(at).unwrap())
}
