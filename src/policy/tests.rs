//! Table tests of the fleet: each relevant seat and event, each rule of restart, readiness and stop.

mod drains;
mod end;
mod excludes;
mod expected;
mod failures;
mod give_back;
mod halt;
mod in_use;
mod listeners;
mod message;
mod ready;
mod replace;
mod roll;
mod scrape;
mod start;
mod starting;
mod stop;
mod walked;

use std::time::Duration;

use super::*;
use crate::model::{
    Cause, Command, Exit, ListenerId, Pid, PortId, PortSet, ReadyBy, Sig, SlotId, Snapshot, Tick,
    WorkerState,
};

pub(super) const SLOT: SlotId = SlotId(0);
pub(super) const OTHER: SlotId = SlotId(1);
pub(super) const TERMINATED: Exit = Exit::Signal(Sig::TERM);
pub(super) const KILLED: Exit = Exit::Signal(Sig::KILL);
pub(super) const STOP: Event = Event::Operator(Command::Stop);
pub(super) const RESTART: Event = Event::Operator(Command::Restart);

pub(super) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(super) fn millis(time: u64) -> Duration {
    Duration::from_millis(time)
}

/// One worker, ready after a second; ready timeout 30 s, grace 10 s, backoff 100 ms to 15 s, gives up at three short
/// lives.
pub(super) fn params() -> Params {
    Params {
        instances: 1,
        ready: ReadyRule::Alive(secs(1)),
        ready_timeout: secs(30),
        waits_apart: true,
        ports: PortSet::EMPTY,
        restart: Restart::Always,
        stop_exit_codes: Vec::new(),
        exit_ok: Vec::new(),
        min_uptime: secs(1),
        max_restarts: Some(3),
        backoff: Backoff::new(millis(100), secs(15)).unwrap(),
        stop_timeout: secs(10),
        shutdown_delay: Duration::ZERO,
        drain_timeout: None,
        surge: Share::Number(1),
        unavailable: Share::Number(0),
        min_ready: Duration::ZERO,
        health_failures: None,
        last_scrape: false,
        stop_message: false,
    }
}

/// The role of tini.
pub(super) fn one_shot() -> Params {
    Params {
        restart: Restart::Never,
        ..params()
    }
}

/// A fleet whose actions are not performed.
pub(super) struct Table {
    pub(super) fleet: Fleet,
    now: Tick,
    pids: i32,
}

impl Table {
    /// A fleet that has requested its first workers.
    pub(super) fn new(params: Params) -> Self {
        let fleet = Fleet::new(params, Tick::default());
        let mut table = Self {
            fleet,
            now: Tick::default(),
            pids: 100,
        };
        let asked = table.tick();
        assert_eq!(asked.len(), table.fleet.snapshot().slots.len());
        table
    }

    /// A fleet whose workers run.
    pub(super) fn running(params: Params) -> (Self, Vec<Pid>) {
        let mut table = Self::new(params);
        let count = table.fleet.snapshot().desired;
        let pids = (0..count).map(|nr| table.runs(SlotId(nr))).collect();
        (table, pids)
    }

    /// A fleet whose workers have been ready for a long time.
    pub(super) fn serving(params: Params) -> (Self, Vec<Pid>) {
        let (mut table, pids) = Self::running(params);
        for pid in &pids {
            let _ = table.tell(is_ready(*pid));
        }
        let _ = table.wait(60_000);
        (table, pids)
    }

    /// Only time passes.
    pub(super) fn tick(&mut self) -> Vec<Action> {
        let mut out = Vec::new();
        self.fleet.tick(self.now, 0, &mut out);
        out
    }

    pub(super) fn tell(&mut self, event: Event) -> Vec<Action> {
        let mut out = Vec::new();
        self.fleet.decide(self.now, 0, event, &mut out);
        out
    }

    /// Reports several simultaneous events.
    pub(super) fn tell_all(&mut self, events: &[Event]) -> Vec<Action> {
        let mut out = Vec::new();
        for event in events {
            self.fleet.take(self.now, 0, *event, &mut out);
        }
        self.fleet.tick(self.now, 0, &mut out);
        out
    }

    pub(super) fn wait(&mut self, time: u64) -> Vec<Action> {
        self.now = self.now.after(millis(time));
        self.tick()
    }

    /// The workers that drain now.
    pub(super) fn draining(&self) -> Vec<Drains> {
        self.fleet.draining(self.now).collect()
    }

    /// Reports `Spawned`.
    pub(super) fn spawned(&mut self, slot: SlotId) -> (Pid, Vec<Action>) {
        self.pids += 1;
        let pid = Pid::new(self.pids).unwrap();
        (pid, self.tell(spawned(slot, pid)))
    }

    pub(super) fn runs(&mut self, slot: SlotId) -> Pid {
        let (pid, actions) = self.spawned(slot);
        assert_eq!(actions, []);
        assert_eq!(self.tell(Event::Executed { pid }), []);
        pid
    }

    pub(super) fn ends(&mut self, pid: Pid, exit: Exit) -> Vec<Action> {
        self.tell(ended(pid, exit))
    }

    pub(super) fn ends_and_leaves(&mut self, pid: Pid, exit: Exit) -> Vec<Action> {
        let leftovers = true;
        self.tell(Event::Exited {
            pid,
            exit,
            leftovers,
            oom: false,
        })
    }

    pub(super) fn seen(&self) -> Snapshot {
        self.fleet.snapshot()
    }

    pub(super) fn state(&self, slot: SlotId) -> WorkerState {
        self.seen().slots[usize::from(slot.0)].state
    }

    /// Time until the next deadline.
    pub(super) fn due_in(&self) -> Option<Duration> {
        self.fleet.next_deadline().map(|at| at.since(self.now))
    }
}

/// The worker says that it is ready.
pub(super) fn is_ready(pid: Pid) -> Event {
    let by = ReadyBy::Notify;
    Event::Ready { pid, by }
}

pub(super) fn ended(pid: Pid, exit: Exit) -> Event {
    Event::Exited {
        pid,
        exit,
        leftovers: false,
        oom: false,
    }
}

/// The reported cause and consequence of a worker's end.
pub(super) fn told(actions: &[Action]) -> (Cause, Next) {
    let mut ends = actions.iter().filter_map(|action| match action {
        Action::Say(Note::Ended { cause, next, .. }) => Some((*cause, *next)),
        _ => None,
    });
    let first = ends.next().unwrap();
    assert_eq!(ends.next(), None);
    first
}

pub(super) fn restart(wait: u64, streak: u32) -> Next {
    Next::Restart {
        wait: millis(wait),
        streak,
    }
}

/// The actions on processes, without notes and without those on listeners, which [`upkeep`] returns.
pub(super) fn deeds(actions: &[Action]) -> Vec<Action> {
    let on_processes = |action: &&Action| {
        !matches!(
            action,
            Action::Say(_)
                | Action::Release { .. }
                | Action::CheckListeners { .. }
                | Action::CloseAbandonedPorts
        )
    };
    actions.iter().filter(on_processes).cloned().collect()
}

/// The actions on listeners and shared ports.
pub(super) fn upkeep(actions: &[Action]) -> Vec<Action> {
    let deeds = deeds(actions);
    let rest = |action: &&Action| !matches!(action, Action::Say(_)) && !deeds.contains(action);
    actions.iter().filter(rest).cloned().collect()
}

pub(super) fn spawn(slot: SlotId) -> Action {
    let generation = crate::model::Generation::default();
    Action::Spawn {
        slot,
        listener: home(slot),
        generation,
    }
}

/// The listener of a slot before the first reload.
pub(super) fn home(slot: SlotId) -> ListenerId {
    ListenerId(slot.0)
}

pub(super) fn spawned(slot: SlotId, pid: Pid) -> Event {
    Event::Spawned {
        slot,
        listener: home(slot),
        pid,
        port: None,
        channel: false,
    }
}

pub(super) fn spawn_failed(slot: SlotId) -> Event {
    Event::SpawnFailed {
        slot,
        listener: home(slot),
    }
}

pub(super) fn says(actions: &[Action], note: Note) -> bool {
    actions.contains(&Action::Say(note))
}
