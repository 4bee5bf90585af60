//! One walk: time, the fake system, the fleet, and its turns as the loop takes them.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::time::Duration;

use proptest::sample::Index;
use rpm_runtime::model::{Command, Exit, Pid, Tick};
use rpm_runtime::policy::{Action, Event, Fleet, Params};

use crate::books::Books;
use crate::system::{Fate, OnStop, System, Word};

/// What happens next.
#[derive(Clone, Debug)]
pub enum Move {
    /// Time passes, and the fleet is woken in time.
    Wait(Duration),
    /// Until the next thing is due.
    Deadline,
    /// Time passes, and the fleet is woken late.
    Jump(Duration),
    Ends(Index, Exit),
    EndTogether(Vec<(Index, Exit)>),
    Ready(Index),
    MemberEnds(Index),
    Thaws(Index),
    /// So many forks fail.
    Shortage(u8),
    Asks(Command),
    /// The same, between the next request for a worker and its answer.
    AsksAmid(Command),
    Stranger(Exit),
}

pub struct World {
    now: Tick,
    fleet: Fleet,
    system: System,
    books: Books,
    sees_groups_end: bool,
    jitter: Vec<u16>,
    asked: usize,
    /// By how much the fleet was woken late since the stop was asked for.
    late: Duration,
    amid: Option<Command>,
}

impl World {
    pub fn new(params: Params, fates: Vec<Fate>, sees_groups_end: bool, jitter: Vec<u16>) -> Self {
        let now = Tick(Duration::from_secs(1));
        Self {
            now,
            fleet: Fleet::new(params.clone(), now),
            system: System::new(fates),
            books: Books::new(params, now),
            sees_groups_end,
            jitter,
            asked: 0,
            late: Duration::ZERO,
            amid: None,
        }
    }

    pub fn step(&mut self, step: Move) {
        if self.books.finished {
            return;
        }
        match step {
            Move::Wait(time) => self.wait(time),
            Move::Deadline => self.deadline(),
            Move::Jump(time) => {
                self.now = self.now.after(time);
                if self.books.ends_by().is_some() {
                    self.late += time;
                }
                self.turn(Event::Woke);
            }
            Move::Ends(who, exit) => {
                self.end_one(who, exit);
                self.turn(Event::Woke);
            }
            Move::EndTogether(all) => {
                for (who, exit) in all {
                    self.end_one(who, exit);
                }
                self.turn(Event::Woke);
            }
            Move::Ready(who) => {
                if let Some(pid) = pick(who, &self.system.unreaped()) {
                    self.turn(Event::Ready { pid });
                }
            }
            Move::MemberEnds(who) => {
                let led: Vec<Pid> = self.system.processes.keys().copied().collect();
                if let Some(pid) = pick(who, &led)
                    && let Some(process) = self.system.processes.get_mut(&pid)
                {
                    process.members_end = Some(self.now);
                    self.turn(Event::Woke);
                }
            }
            Move::Thaws(who) => {
                let all: Vec<Pid> = self.system.processes.keys().copied().collect();
                if let Some(pid) = pick(who, &all) {
                    self.system.thaw(self.now, pid);
                    self.turn(Event::Woke);
                }
            }
            Move::Shortage(forks) => self.system.refuse += forks,
            Move::Asks(command) => self.turn(Event::Operator(command)),
            Move::AsksAmid(command) => self.amid = Some(command),
            Move::Stranger(exit) => {
                let pid = self.system.free();
                let leftovers = false;
                self.turn(Event::Exited {
                    pid,
                    exit,
                    leftovers,
                });
            }
        }
    }

    /// Asks to stop, if nobody has, and sees it through: nothing may outlast the bound.
    pub fn end(&mut self) {
        if self.books.finished {
            return self.silence();
        }
        if self.books.ends_by().is_none() {
            self.turn(Event::Operator(Command::Stop));
        }
        while !self.books.finished {
            self.deadline();
        }
        let bound = self.books.ends_by().map(|by| by.after(self.late));
        assert!(
            bound.is_none_or(|by| self.now <= by),
            "the stop took until {:?}, bound {bound:?}",
            self.now
        );
        self.silence();
    }

    /// After the end nothing is done any more, whatever comes.
    fn silence(&mut self) {
        let mut out = Vec::new();
        let mut events = vec![
            Event::Woke,
            Event::Operator(Command::Stop),
            Event::Operator(Command::Restart),
        ];
        events.extend(self.fleet.workers().map(|(_, pid)| Event::Exited {
            pid,
            exit: Exit::Code(0),
            leftovers: true,
        }));
        for event in events {
            self.fleet
                .decide(self.now.after(Duration::from_mins(1)), 0, event, &mut out);
        }
        assert_eq!(out, [], "after the end");
    }

    fn end_one(&mut self, who: Index, exit: Exit) {
        let now = self.now;
        if let Some(pid) = pick(who, &self.system.unreaped())
            && let Some(process) = self.system.processes.get_mut(&pid)
            && !(process.killed && matches!(process.fate.on_stop, OnStop::Undying))
        {
            process.ends = Some((now, exit));
        }
    }

    /// To the next moment at which anything is due.
    fn deadline(&mut self) {
        let due = [self.fleet.next_deadline(), self.system.next_end()];
        match due.into_iter().flatten().min() {
            Some(at) => self.now = self.now.max(at),
            None => self.now = self.now.after(Duration::from_secs(1)),
        }
        self.turn(Event::Woke);
    }

    fn wait(&mut self, time: Duration) {
        let until = self.now.after(time);
        for pid in self.system.unreaped() {
            if let Some(event) = self.word(pid) {
                self.turn(event);
            }
        }
        while !self.books.finished {
            let due = [
                self.fleet.next_deadline(),
                self.system.next_end(),
                Some(until),
            ];
            let next = due.into_iter().flatten().min().unwrap();
            self.now = self.now.max(next.min(until));
            self.turn(Event::Woke);
            if self.now == until {
                return;
            }
        }
    }

    fn word(&mut self, pid: Pid) -> Option<Event> {
        match self.system.processes.get_mut(&pid)?.word.take()? {
            Word::Executed => Some(Event::Executed { pid }),
            Word::Starved => Some(Event::Starved { pid }),
            Word::ExecFailed(code) => Some(Event::ExecFailed { pid, code }),
        }
    }

    /// As the loop does it: everything that ended is known before anything is decided.
    fn turn(&mut self, event: Event) {
        if self.books.finished {
            return;
        }
        let mut out = Vec::new();
        // What it said before it died counts.
        let ended = self.system.ending(self.now);
        for pid in ended {
            if let Some(event) = self.word(pid) {
                self.take(event, &mut out);
            }
        }
        for (pid, exit, leftovers) in self.system.reap(self.now) {
            self.take(
                Event::Exited {
                    pid,
                    exit,
                    leftovers,
                },
                &mut out,
            );
        }
        if self.sees_groups_end {
            let system = &self.system;
            let gone: Vec<Pid> = self
                .fleet
                .sweeping()
                .filter(|pid| !system.group_left(*pid))
                .collect();
            for pid in gone {
                self.take(Event::GroupEmpty { pid }, &mut out);
            }
        }
        self.decide(event, &mut out);
        let mut queue = VecDeque::from(out);
        while let Some(action) = queue.pop_front() {
            let mut more = Vec::new();
            if matches!(action, Action::Spawn { .. })
                && let Some(command) = self.amid.take()
            {
                self.decide(Event::Operator(command), &mut more);
            }
            if let Some(outcome) = self.perform(&action) {
                self.decide(outcome, &mut more);
            }
            queue.extend(more);
        }
        self.books.settled(self.now, &self.fleet);
    }

    fn next_jitter(&mut self) -> u16 {
        self.asked += 1;
        self.jitter[self.asked % self.jitter.len()]
    }

    fn take(&mut self, event: Event, out: &mut Vec<Action>) {
        let (jitter, from) = (self.next_jitter(), out.len());
        self.books.hears(self.now, jitter, event);
        self.fleet.take(self.now, jitter, event, out);
        self.books.sees(self.now, &out[from..]);
    }

    fn decide(&mut self, event: Event, out: &mut Vec<Action>) {
        let (jitter, from) = (self.next_jitter(), out.len());
        self.books.hears(self.now, jitter, event);
        self.fleet.decide(self.now, jitter, event, out);
        self.books.sees(self.now, &out[from..]);
    }

    fn perform(&mut self, action: &Action) -> Option<Event> {
        match *action {
            Action::Spawn { slot, .. } => Some(match self.system.fork(self.now) {
                Some(pid) => Event::Spawned { slot, pid },
                None => Event::SpawnFailed { slot },
            }),
            Action::Stop { pid } => {
                assert!(
                    self.system.unreaped().contains(&pid),
                    "{pid} is no worker's"
                );
                self.system.stop(self.now, pid);
                None
            }
            Action::Kill { pid } => {
                assert!(
                    self.system.unreaped().contains(&pid),
                    "{pid} is no worker's"
                );
                self.system.kill(self.now, pid);
                None
            }
            Action::StopGroup { pid, .. } => {
                self.system.signal_group(self.now, pid, false);
                None
            }
            Action::KillGroup { pid } => {
                assert!(
                    !self.system.unreaped().contains(&pid),
                    "{pid} leads another group now"
                );
                self.system.signal_group(self.now, pid, true);
                None
            }
            Action::Say(_) | Action::Finish { .. } => None,
        }
    }
}

fn pick(who: Index, of: &[Pid]) -> Option<Pid> {
    (!of.is_empty()).then(|| of[who.index(of.len())])
}
