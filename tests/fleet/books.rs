//! The books: an independent model. They record what the fleet was told and what it did, and derive from that what it
//! must do and must not do.
//!
//! What follows from an event alone is recorded exactly: each exit and its consequence, each streak, each grace, the
//! end of a reload. When the fleet takes a step of its own (requests a successor, lets it take over, retires a worker),
//! the books check whether it may; and after each turn, whether a step is missing.
#![forbid(unsafe_code)]

mod acts;
mod asks;
mod births;
mod ends;
mod health;
mod notes;
mod promises;
mod readiness;
mod reload;
mod roll;
mod scrapes;
mod state;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rpm_runtime::model::{
    Cause, Command, Exit, Generation, ListenerId, Pid, SlotId, Tick, Trigger,
};
use rpm_runtime::policy::{Event, Note, Params, Restart};

use crate::tally::Tally;
use readiness::{Doubt, PortBook, Served, Start};
use scrapes::Scrape;

/// Shortest wait after a lack of resources.
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chair {
    Down,
    Due(Tick),
    /// Until this retiring worker, which has the slot's listener, is gone.
    Held(Pid),
    Asked,
    Seated(Pid),
}

/// A drain, and the wait for a quiet moment after it.
#[derive(Clone, Copy, Debug)]
struct Drain {
    since: Tick,
    until: Tick,
    choosing: bool,
    /// Until then only a moment will do in which nothing moves; `None` until the disposition is known.
    settled_until: Option<Tick>,
    scrape: Scrape,
}

/// A process that was started and not reaped.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
struct Life {
    slot: usize,
    listener: ListenerId,
    generation: Generation,
    started: Tick,
    ready: Option<Tick>,
    start: Start,
    exec_failed: Option<u8>,
    starved: bool,
    fit: bool,
    failures: u32,
    /// No other process can bind an address that it has.
    excludes: bool,
    /// It found a path of its service in use.
    found_in_use: bool,
    /// Why it must end, if it must; it then has no slot any more.
    leaves: Option<Cause>,
    /// It was well, and gets its slot back if its successor ends.
    returns: bool,
    /// How many had left before it and with it.
    left: u32,
    /// When it must be gone or given up.
    gone_by: Tick,
    /// How late the fleet had been woken in total when the worker was told to end.
    overslept: Duration,
    drain: Option<Drain>,
    /// Its last scrape goes on, until then.
    scraping: Option<Tick>,
    /// It was scraped while it waited for a moment: that was the last.
    scraped: bool,
    /// It can be sent a message.
    channel: bool,
    /// When the stop signal is due, since its message.
    signal_due: Option<Tick>,
    /// When SIGKILL is due, since it was told to stop.
    kill_due: Option<Tick>,
    killed: Option<Tick>,
    undead: bool,
    /// Its listener is free.
    released: bool,
}

/// What a reaped worker left in its process group.
#[derive(Clone, Copy, Debug)]
struct Group {
    slot: usize,
    /// Its leader had been sent a stop signal, and not only a message.
    led: bool,
    told: bool,
    kill_due: Tick,
    killed: Option<Tick>,
}

/// A successor that will take over a slot.
#[derive(Clone, Copy, Debug)]
struct Rise {
    listener: ListenerId,
    /// None while it is requested.
    pid: Option<Pid>,
}

/// Why the worker of a slot must be replaced, apart from a reload.
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
    /// An operator stopped it.
    halted: bool,
    /// None until the first worker of a new slot is requested.
    listener: Option<ListenerId>,
    next: Option<Rise>,
    renewal: Option<Renewal>,
    /// Its worker was retired as unhealthy.
    ails: bool,
    streak: u32,
    /// Lives in a row that were not long.
    unrest: u32,
    shortages: u32,
    tells: bool,
    /// What its last worker served, if that was up for long enough.
    served: Option<Served>,
}

/// A request for a worker that is not answered yet.
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
    /// How many there were to replace.
    workers: usize,
    again: Option<Trigger>,
    /// The workers that served at its begin, and those that took over since: none of them may end except by a rule.
    keeps: BTreeSet<Pid>,
}

/// A decided stop.
#[derive(Clone, Copy, Debug)]
struct StopBook {
    /// The end of the delay or of the drain.
    until: Tick,
    drains: bool,
    asked: Tick,
    /// The exit code if the fleet gave up.
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
    /// When the stop signals were sent.
    began: Option<Tick>,
    killed: bool,
    code: u8,
    /// The note about the duration of the stop was sent.
    told_stopped: bool,
    started: bool,
    jitter: u16,
    pub finished: bool,
    /// Notes that must come, in this order.
    owed: Vec<Note>,
    /// Workers that a look has stopped and that are to go on.
    resumes: Vec<Pid>,
    /// Listeners whose workers were reaped.
    releases: Vec<(Pid, ListenerId)>,
    /// The worker whose listeners were looked at: the one that is told to be ready next.
    checks: Option<Pid>,
    /// Abandoned ports were closed, for the reload that ends next.
    closed: bool,
    /// A worker has ended since ports were last closed that nobody has.
    unclaimed: bool,
    /// The longest time after its start in which a worker opened a port.
    slowest: Duration,
    /// The workers that were reported late in this decision.
    late: Vec<Pid>,
    /// How late the fleet was woken in total.
    pub overslept: Duration,
    /// The highest requested listener plus one.
    listeners: u16,
    /// Number of workers, and number wanted, after the previous step.
    crowd: (usize, usize),
    /// Number of workers out of steering as unhealthy after the previous step.
    sick: usize,
    /// The workers in steering after the previous step.
    served: Vec<Pid>,
    ports: PortBook,
    /// It is ready although something is missing, by the note before.
    excused: Option<Pid>,
    /// Ready, though siblings ask for more; they must have left their slots.
    doubtful: Vec<Doubt>,
    /// How many workers were told to leave.
    left: u32,
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
            resumes: Vec::new(),
            releases: Vec::new(),
            checks: None,
            closed: false,
            unclaimed: false,
            slowest: Duration::ZERO,
            late: Vec::new(),
            overslept: Duration::ZERO,
            listeners: 0,
            sick: 0,
            served: Vec::new(),
            ports: PortBook::default(),
            excused: None,
            doubtful: Vec::new(),
            left: 0,
            tally: Tally::default(),
        }
    }

    fn one_shot(&self) -> bool {
        self.params.restart == Restart::Never && self.params.instances == 1
    }

    fn mapped(&self, life: Life, exit: Exit) -> u8 {
        let code = life.exec_failed.unwrap_or(exit.shell_code());
        if self.params.exit_ok.contains(&code) {
            0
        } else {
            code
        }
    }

    /// RPM_DRAIN_TIMEOUT, if set.
    fn drain_limit(&self) -> Option<Duration> {
        self.params.drain_timeout.filter(|limit| !limit.is_zero())
    }

    /// Time passes, until the fleet decides with this jitter.
    pub fn waits(&mut self, jitter: u16) {
        assert_eq!(self.owed, [], "not said");
        self.jitter = jitter;
    }

    /// Records an event before the fleet is told.
    pub fn hears(&mut self, now: Tick, jitter: u16, event: Event) {
        self.waits(jitter);
        match event {
            // A worker that reports its own end is out of steering; only its exit counts.
            Event::Leaving { .. } => {}
            Event::Spawned {
                slot,
                listener,
                pid,
                port,
                channel,
            } => self.spawned(now, usize::from(slot.0), listener, (pid, port, channel)),
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
            Event::Ready { pid, by } => self.told_ready(pid, by),
            Event::Listens { pid, port } => self.listens(now, pid, port),
            Event::Excludes { pid } => {
                if let Some(life) = self.lives.get_mut(&pid) {
                    life.excludes = true;
                }
            }
            Event::FoundInUse { pid } => {
                if let Some(life) = self.lives.get_mut(&pid) {
                    life.found_in_use = true;
                }
            }
            Event::Checked { pid, passed } => self.checked(now, pid, passed),
            Event::Unfit { pid, cause } => self.unfit(now, pid, cause),
            Event::Extended { pid, by } => self.extended(now, pid, by),
            Event::Drained { pid } => self.drained(now, pid),
            Event::Disposition { pid, disposition } => self.disposition(now, pid, disposition),
            Event::Moment { pid, quiet } => {
                if quiet {
                    self.stopped_for_a_look(pid);
                }
                self.moment(now, pid, quiet);
            }
            Event::Scraped { pid } => self.scraped(now, pid),
            Event::ChannelClosed { pid } => self.channel_closed(now, pid),
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
            Event::Granted { workers } => self.granted(now, workers),
            Event::Operator(Command::Stop) => self.asked_to_stop(now),
            Event::Operator(Command::Restart) => self.asked_to_restart(now),
            Event::Operator(Command::Reload(trigger)) => self.asked_to_reload(now, trigger),
            Event::Operator(Command::ScaleUp) => self.asked_for_one_more(now),
            Event::Operator(Command::ScaleDown) => self.asked_for_one_less(now),
            Event::Operator(Command::Replace(slot)) => {
                self.asked_to_replace(now, usize::from(slot.0));
            }
            Event::Operator(Command::Halt(slot)) => self.asked_to_halt(now, usize::from(slot.0)),
            Event::Operator(Command::Start(slot)) => self.asked_to_start(now, usize::from(slot.0)),
        }
    }
}

impl Life {
    fn is_another(&self, than: &Self) -> bool {
        self.listener != than.listener || self.started != than.started
    }

    /// It found a path in use and has served nobody.
    fn gave_way(&self) -> bool {
        self.found_in_use && self.ready.is_none() && self.start.listens.is_empty()
    }
}

impl SlotBook {
    fn new(listener: Option<ListenerId>, now: Tick) -> Self {
        Self {
            chair: Chair::Due(now),
            halted: false,
            listener,
            next: None,
            renewal: None,
            ails: false,
            streak: 0,
            unrest: 0,
            shortages: 0,
            tells: false,
            served: None,
        }
    }

    fn calm(&mut self) {
        (self.streak, self.unrest) = (0, 0);
    }

    /// Its worker is out of steering because it failed its checks.
    fn is_out(&self) -> bool {
        self.renewal.is_some_and(|renewal| renewal.out)
    }
}

fn id(at: usize) -> SlotId {
    SlotId(u16::try_from(at).unwrap())
}
