//! The fake system: processes, their groups, a fork that may fail, PIDs that are reused as soon as they are free.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::time::Duration;

use rpm_runtime::model::{Exit, Pid, PortId, Sig, Tick};
use rpm_runtime::policy::Event;

/// How a process starts.
#[derive(Clone, Copy, Debug)]
pub enum Start {
    /// It executes its program, and the runtime is told.
    Runs,
    /// It cannot execute the program and exits with this code.
    Fails(u8),
    /// It lacks a resource before that and exits with 126.
    Starves,
    /// It reports nothing.
    Silent,
}

/// How a process reacts to the stop signal.
#[derive(Clone, Copy, Debug)]
pub enum OnStop {
    Ends {
        exit: Exit,
        after: Duration,
    },
    Ignores,
    /// It is frozen: not even SIGKILL ends it before it is thawed.
    Undying,
}

/// The behaviour of the next process.
#[derive(Clone, Copy, Debug)]
pub struct Fate {
    pub start: Start,
    pub on_stop: OnStop,
    /// The message does to it what the stop signal does.
    pub reads: bool,
    /// Number of other processes in its group.
    pub members: u8,
    /// They ignore the stop signal.
    pub members_ignore: bool,
    /// Time from SIGKILL to the end.
    pub dies_within: Duration,
}

impl Fate {
    /// Runs, and ends when it is told to.
    const GOOD: Self = Self {
        start: Start::Runs,
        on_stop: OnStop::Ends {
            exit: Exit::Code(0),
            after: Duration::ZERO,
        },
        reads: true,
        members: 0,
        members_ignore: false,
        dies_within: Duration::ZERO,
    };
}

/// A report of a worker before it runs its program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Executed,
    ExecFailed(u8),
    Starved,
}

#[derive(Clone, Copy, Debug)]
pub struct Process {
    pub fate: Fate,
    /// Not reported yet.
    word: Option<Word>,
    /// When and how it will end.
    pub ends: Option<(Tick, Exit)>,
    pub killed: bool,
    /// By a look at it.
    stopped: bool,
    pub members: u8,
    pub members_end: Option<Tick>,
    /// The leader is reaped; only group members are left.
    pub reaped: bool,
}

#[derive(Debug)]
pub struct System {
    fates: Vec<Fate>,
    forks: usize,
    pub refuse: u8,
    /// Every new process runs its program and ends when it is told to.
    pub calm: bool,
    pub processes: BTreeMap<Pid, Process>,
}

impl System {
    pub fn new(fates: Vec<Fate>) -> Self {
        Self {
            fates,
            forks: 0,
            refuse: 0,
            calm: false,
            processes: BTreeMap::new(),
        }
    }

    /// The lowest PID that neither a process nor a group has.
    pub fn free(&self) -> Pid {
        (2..=i32::MAX)
            .filter_map(Pid::new)
            .find(|pid| !self.processes.contains_key(pid))
            .unwrap()
    }

    pub fn fork(&mut self, now: Tick) -> Option<Pid> {
        if self.refuse > 0 {
            self.refuse -= 1;
            return None;
        }
        let mut fate = self.fates[self.forks % self.fates.len()];
        if self.calm {
            fate = Fate::GOOD;
        }
        self.forks += 1;
        let (word, ends) = match fate.start {
            Start::Runs => (Some(Word::Executed), None),
            Start::Fails(code) => (Some(Word::ExecFailed(code)), Some((now, Exit::Code(code)))),
            Start::Starves => (Some(Word::Starved), Some((now, Exit::Code(126)))),
            Start::Silent => (None, None),
        };
        let pid = self.free();
        let process = Process {
            fate,
            word,
            ends,
            killed: false,
            stopped: false,
            members: if ends.is_some() { 0 } else { fate.members },
            members_end: None,
            reaped: false,
        };
        self.processes.insert(pid, process);
        Some(pid)
    }

    /// Sends the stop signal to the worker alone.
    pub fn stop(&mut self, now: Tick, pid: Pid) {
        self.processes.get_mut(&pid).unwrap().stopped = false;
        self.told(now, pid);
    }

    /// Sends the message to the worker.
    pub fn message(&mut self, now: Tick, pid: Pid) {
        if self.processes[&pid].fate.reads {
            self.told(now, pid);
        }
    }

    fn told(&mut self, now: Tick, pid: Pid) {
        let process = self.processes.get_mut(&pid).unwrap();
        if let (None, OnStop::Ends { exit, after }) = (process.ends, process.fate.on_stop) {
            process.ends = Some((now.after(after), exit));
        }
    }

    /// SIGSTOP, by a look.
    pub fn freeze(&mut self, pid: Pid) {
        if let Some(process) = self.processes.get_mut(&pid).filter(|p| !p.reaped) {
            process.stopped = true;
        }
    }

    /// SIGCONT.
    pub fn resume(&mut self, pid: Pid) {
        let process = self.processes.get_mut(&pid).unwrap();
        assert!(process.stopped, "{pid} runs");
        process.stopped = false;
    }

    /// Who does not run.
    pub fn stopped(&self) -> Vec<Pid> {
        let stopped = self
            .processes
            .iter()
            .filter(|(_, p)| p.stopped && !p.reaped);
        stopped.map(|(pid, _)| *pid).collect()
    }

    /// The environment of one in four names a port, and that of one in eight another.
    pub fn port(pid: Pid) -> Option<PortId> {
        match pid.get() % 8 {
            0 => PortId::new(1),
            1 | 2 => PortId::new(0),
            _ => None,
        }
    }

    /// Two in three have a channel.
    pub fn channel(pid: Pid) -> bool {
        pid.get() % 3 != 0
    }

    /// One in eight cannot be asked for its metrics.
    pub fn refuses_scrape(pid: Pid) -> bool {
        pid.get() % 8 == 0
    }

    /// Sends SIGKILL to the worker and its group.
    pub fn kill(&mut self, now: Tick, pid: Pid) {
        let process = self.processes.get_mut(&pid).unwrap();
        process.killed = true;
        if matches!(process.fate.on_stop, OnStop::Undying) {
            return;
        }
        let at = now.after(process.fate.dies_within);
        if process.ends.is_none_or(|(end, _)| end > at) {
            process.ends = Some((at, Exit::Signal(Sig::KILL)));
        }
        Self::end_members(process, at);
    }

    fn end_members(process: &mut Process, at: Tick) {
        process.members_end = Some(process.members_end.map_or(at, |end| end.min(at)));
    }

    /// Sends a signal to the rest of a group.
    pub fn signal_group(&mut self, now: Tick, pid: Pid, kill: bool) {
        // The group may have ended unnoticed; the real call would then fail harmlessly too.
        let Some(process) = self.processes.get_mut(&pid).filter(|p| p.reaped) else {
            return;
        };
        let undying = matches!(process.fate.on_stop, OnStop::Undying);
        if !undying && (kill || !process.fate.members_ignore) {
            let at = now.after(process.fate.dies_within);
            Self::end_members(process, at);
        }
    }

    /// Thaws the process: pending signals take effect.
    pub fn thaw(&mut self, now: Tick, pid: Pid) {
        let Some(process) = self.processes.get_mut(&pid) else {
            return;
        };
        if matches!(process.fate.on_stop, OnStop::Undying) {
            process.fate.on_stop = OnStop::Ignores;
            if process.killed {
                process.ends = Some((now, Exit::Signal(Sig::KILL)));
                Self::end_members(process, now);
            }
        }
    }

    /// When the next process ends.
    pub fn next_end(&self) -> Option<Tick> {
        let ends = |p: &Process| {
            let leader = p.ends.filter(|_| !p.reaped).map(|(at, _)| at);
            let members = p.members_end.filter(|_| p.members > 0);
            leader.into_iter().chain(members).min()
        };
        self.processes.values().filter_map(ends).min()
    }

    /// Leaders that have ended and are not reaped yet.
    pub fn ending(&self, now: Tick) -> Vec<Pid> {
        let due = |p: &Process| !p.reaped && p.ends.is_some_and(|(at, _)| at <= now);
        let all = self.processes.iter().filter(|(_, p)| due(p));
        all.map(|(pid, _)| *pid).collect()
    }

    /// Ends what is due and reaps the leaders: PID, exit, whether group members are left.
    pub fn reap(&mut self, now: Tick) -> Vec<(Pid, Exit, bool)> {
        let mut reaped = Vec::new();
        for (pid, process) in &mut self.processes {
            if process.members_end.is_some_and(|at| at <= now) {
                process.members = 0;
            }
            if let Some((at, exit)) = process.ends
                && at <= now
                && !process.reaped
            {
                process.reaped = true;
                reaped.push((*pid, exit, process.members > 0));
            }
        }
        self.processes.retain(|_, p| !p.reaped || p.members > 0);
        reaped
    }

    /// The next report of a process before it runs its program.
    pub fn word(&mut self, pid: Pid) -> Option<Event> {
        match self.processes.get_mut(&pid)?.word.take()? {
            Word::Executed => Some(Event::Executed { pid }),
            Word::Starved => Some(Event::Starved { pid }),
            Word::ExecFailed(code) => Some(Event::ExecFailed { pid, code }),
        }
    }

    pub fn is_unreaped(&self, pid: Pid) -> bool {
        self.processes.get(&pid).is_some_and(|p| !p.reaped)
    }

    pub fn group_left(&self, pid: Pid) -> bool {
        self.processes.get(&pid).is_some_and(|p| p.reaped)
    }

    /// Worker processes that are not reaped.
    pub fn unreaped(&self) -> Vec<Pid> {
        self.processes
            .iter()
            .filter(|(_, p)| !p.reaped)
            .map(|(pid, _)| *pid)
            .collect()
    }
}
