//! One walk, move by move.
#![forbid(unsafe_code)]

use std::time::Duration;

use rpm_runtime::model::{Cause, Command, Exit, Pid, PortId, ReadyBy, Sig, Tick, Trigger};
use rpm_runtime::policy::drain::Disposition;
use rpm_runtime::policy::{Event, Fleet, Params};

use crate::books::Books;
use crate::moves::{Move, Who, Word};
use crate::system::{OnStop, System};
use crate::tally::Tally;

/// The worker says that it is ready.
pub(super) fn told_ready(pid: Pid) -> Event {
    let by = ReadyBy::Notify;
    Event::Ready { pid, by }
}

pub struct World {
    pub(super) now: Tick,
    pub(super) fleet: Fleet,
    pub(super) system: System,
    pub(super) books: Books,
    pub(super) sees_groups_end: bool,
    jitter: Vec<u16>,
    asked: usize,
    /// When everything must be finished if the fleet is woken in time.
    stops_by: Option<Tick>,
    /// How late it has been woken since then.
    late: Duration,
    pub(super) amid: Option<Command>,
    /// The processes reaped last.
    pub(super) gone: Vec<Pid>,
    pub(super) oom: bool,
    /// Number of checked turns so far.
    pub(super) turns: u64,
}

impl World {
    pub fn new(params: Params, system: System, sees_groups_end: bool, jitter: Vec<u16>) -> Self {
        let now = Tick(Duration::from_secs(1));
        Self {
            now,
            fleet: Fleet::new(params.clone(), now),
            system,
            books: Books::new(params, now),
            sees_groups_end,
            jitter,
            asked: 0,
            stops_by: None,
            late: Duration::ZERO,
            amid: None,
            gone: Vec::new(),
            oom: false,
            turns: 0,
        }
    }

    pub fn finished(&self) -> bool {
        self.books.finished
    }

    pub fn turns(&self) -> u64 {
        self.turns
    }

    pub fn tally(&self) -> &Tally {
        &self.books.tally
    }

    pub fn step(&mut self, step: Move) {
        if self.books.finished {
            return;
        }
        match step {
            Move::Wait(time) => self.wait(time),
            Move::Deadline => self.deadline(),
            Move::Jump(time) => self.jump(time),
            Move::Ends(who, exit) => self.ends(who, exit),
            Move::EndTogether(mask, exits) => {
                for (nr, pid) in self.system.unreaped().into_iter().enumerate() {
                    if mask >> (nr % 16) & 1 == 1 {
                        self.end_one(pid, exits[nr % 2]);
                    }
                }
                self.turn(&[]);
            }
            Move::Oom(who) => {
                self.oom = true;
                self.ends(who, Exit::Signal(Sig::KILL));
                self.oom = false;
            }
            Move::Ready(who) => self.tell(who, told_ready),
            Move::Listens(who, port) => self.tell(who, |pid| Event::Listens { pid, port }),
            Move::AllListen(mask) => self.all_listen(mask),
            Move::Checked(who, passed) => self.tell(who, |pid| Event::Checked { pid, passed }),
            Move::Unfit(who, cause) => self.tell(who, |pid| Event::Unfit { pid, cause }),
            Move::Excludes(who) => self.tell(who, |pid| Event::Excludes { pid }),
            Move::GivesWay(who, exit) => self.gives_way(who, exit),
            Move::Extended(who, by) => self.tell(who, |pid| Event::Extended { pid, by }),
            Move::AllReady => self.tell_all(Books::stay, told_ready),
            Move::AllChecked(passed) => {
                self.tell_all(Books::stay, |pid| Event::Checked { pid, passed });
            }
            Move::AllDrained => self.tell_all(Books::drain, |pid| Event::Drained { pid }),
            Move::Drained(who) => {
                if let Some(pid) = who.of(&self.books.drain()) {
                    self.turn(&[Event::Drained { pid }]);
                }
            }
            Move::Moment(who, quiet) => {
                if let Some(pid) = who.of(&self.books.drain()) {
                    // The look stops it, and lets it go on itself if there is no moment.
                    if quiet {
                        self.system.freeze(pid);
                    }
                    self.turn(&[Event::Moment { pid, quiet }]);
                }
            }
            Move::Disposition(who, disposition) => {
                if let Some(pid) = who.of(&self.books.drain()) {
                    self.turn(&[Event::Disposition { pid, disposition }]);
                }
            }
            Move::Scraped(who) => {
                if let Some(pid) = who.of(&self.books.scraping()) {
                    self.turn(&[Event::Scraped { pid }]);
                }
            }
            Move::Closes(who) => self.tell(who, |pid| Event::ChannelClosed { pid }),
            Move::Quiet => self.turn(&[Event::Quiet]),
            Move::MemberEnds(who) => {
                let led: Vec<Pid> = self.system.processes.keys().copied().collect();
                if let Some(pid) = who.of(&led)
                    && let Some(process) = self.system.processes.get_mut(&pid)
                {
                    process.members_end = Some(self.now);
                    self.turn(&[]);
                }
            }
            Move::Thaws(who) => {
                let all: Vec<Pid> = self.system.processes.keys().copied().collect();
                if let Some(pid) = who.of(&all) {
                    self.system.thaw(self.now, pid);
                    self.turn(&[]);
                }
            }
            Move::Shortage(forks) => self.system.refuse += forks,
            Move::Asks(command) => self.turn(&[Event::Operator(command)]),
            Move::Granted(workers) => self.turn(&[Event::Granted { workers }]),
            Move::AsksTogether(commands) => self.turn(&commands.map(Event::Operator)),
            Move::AsksAmid(command) => self.amid = Some(command),
            Move::Stranger(exit) => {
                let pid = self.system.free();
                self.turn(&[Event::Exited {
                    pid,
                    exit,
                    leftovers: false,
                    oom: false,
                }]);
            }
            Move::Stale(who, word) => self.stale(who, word),
            Move::Calm => self.calm(),
        }
    }

    /// Requests a stop, if there is none, and runs until the end; nothing may exceed the time limit.
    pub fn end(&mut self) {
        if !self.books.finished && !self.books.stops() {
            self.turn(&[Event::Operator(Command::Stop)]);
        }
        while !self.books.finished {
            self.deadline();
        }
        let bound = self.stops_by.map(|by| by.after(self.late));
        assert!(
            bound.is_none_or(|by| self.now <= by),
            "the stop took until {:?}, bound {bound:?}",
            self.now
        );
        self.silence();
    }

    /// After the end the fleet does nothing, whatever it is told.
    fn silence(&mut self) {
        let mut out = Vec::new();
        let commands = [
            Command::Stop,
            Command::Restart,
            Command::Reload(Trigger::Operator),
            Command::ScaleUp,
            Command::ScaleDown,
            Command::Replace(rpm_runtime::model::SlotId(0)),
            Command::Halt(rpm_runtime::model::SlotId(0)),
            Command::Start(rpm_runtime::model::SlotId(0)),
        ];
        let mut events = vec![Event::Quiet, Event::Granted { workers: 9 }];
        events.extend(commands.map(Event::Operator));
        events.extend(self.fleet.workers().map(|(_, pid)| Event::Exited {
            pid,
            exit: Exit::Code(0),
            leftovers: true,
            oom: true,
        }));
        let later = self.now.after(Duration::from_mins(1));
        self.fleet.tick(later, 0, &mut out);
        for event in events {
            self.fleet
                .decide(self.now.after(Duration::from_mins(1)), 0, event, &mut out);
        }
        assert_eq!(out, [], "after the end");
        assert_eq!(self.fleet.next_deadline(), None);
    }

    fn ends(&mut self, who: Who, exit: Exit) {
        if let Some(pid) = who.of(&self.system.unreaped()) {
            self.end_one(pid, exit);
            self.turn(&[]);
        }
    }

    /// A worker that has not served yet finds a path in use and ends.
    fn gives_way(&mut self, who: Who, exit: Exit) {
        if let Some(pid) = who.of(&self.books.start_up()) {
            self.turn(&[Event::FoundInUse { pid }]);
            self.end_one(pid, exit);
            self.turn(&[]);
        }
    }

    fn end_one(&mut self, pid: Pid, exit: Exit) {
        let now = self.now;
        if let Some(process) = self.system.processes.get_mut(&pid)
            && !(process.killed && matches!(process.fate.on_stop, OnStop::Undying))
        {
            process.ends = Some((now, exit));
        }
    }

    /// Reports something of, or about, a process that is not reaped.
    fn tell(&mut self, who: Who, event: impl FnOnce(Pid) -> Event) {
        if let Some(pid) = who.of(&self.system.unreaped()) {
            self.turn(&[event(pid)]);
        }
    }

    pub(super) fn tell_all(&mut self, who: fn(&Books) -> Vec<Pid>, event: impl Fn(Pid) -> Event) {
        for pid in who(&self.books) {
            if self.books.knows(pid) {
                self.turn(&[event(pid)]);
            }
        }
    }

    /// All workers that stay listen on the ports whose bit is set.
    pub(super) fn all_listen(&mut self, mask: u8) {
        for number in (0..3).filter(|number| mask >> number & 1 == 1) {
            let port = PortId::new(number).unwrap();
            self.tell_all(Books::stay, |pid| Event::Listens { pid, port });
        }
    }

    /// Late messages, and messages about unknown processes, change nothing.
    fn stale(&mut self, who: Who, word: Word) {
        self.turn(&[]);
        if self.books.finished {
            return;
        }
        let known = |pid: &Pid| !self.books.knows(*pid);
        let mut about: Vec<Pid> = self.gone.iter().copied().filter(known).collect();
        about.extend(Pid::new(1 << 20));
        if !matches!(
            word,
            Word::Drained
                | Word::Moment
                | Word::Disposition
                | Word::Scraped
                | Word::Closes
                | Word::GroupEmpty
        ) {
            about.extend(self.books.leave());
        }
        about.retain(|pid| !self.fleet.sweeping().any(|leader| leader == *pid));
        let pid = who.of(&about).unwrap();
        let event = match word {
            Word::Ready => told_ready(pid),
            Word::Listens => Event::Listens {
                pid,
                port: PortId::new(0).unwrap(),
            },
            Word::Excludes => Event::Excludes { pid },
            Word::FindsInUse => Event::FoundInUse { pid },
            Word::Executed => Event::Executed { pid },
            Word::Passed => Event::Checked { pid, passed: true },
            Word::Failed => Event::Checked { pid, passed: false },
            Word::Unfit => Event::Unfit {
                pid,
                cause: Cause::MemoryLimit,
            },
            Word::Extended => Event::Extended {
                pid,
                by: Duration::from_hours(1),
            },
            Word::Drained => Event::Drained { pid },
            Word::Moment => Event::Moment { pid, quiet: true },
            Word::Disposition => Event::Disposition {
                pid,
                disposition: Disposition::Ignored,
            },
            Word::Scraped => Event::Scraped { pid },
            Word::Closes => Event::ChannelClosed { pid },
            Word::GroupEmpty => Event::GroupEmpty { pid },
        };
        let before = self.outside();
        let mut out = Vec::new();
        self.decides(event, &mut out);
        self.books.tally.hit("stale word");
        assert_eq!(out, [], "{event:?} changes something");
        assert_eq!(self.outside(), before, "{event:?} changes something");
    }

    /// Advances to the next time at which anything is due.
    pub(super) fn deadline(&mut self) {
        let due = [self.fleet.next_deadline(), self.system.next_end()];
        match due.into_iter().flatten().min() {
            Some(at) => self.now = self.now.max(at),
            None => self.now = self.now.after(Duration::from_secs(1)),
        }
        self.turn(&[]);
    }

    fn jump(&mut self, time: Duration) {
        self.now = self.now.after(time);
        self.books.overslept += time;
        self.late += time;
        self.turn(&[]);
    }

    fn wait(&mut self, time: Duration) {
        let until = self.now.after(time);
        self.words();
        while !self.books.finished {
            let due = [
                self.fleet.next_deadline(),
                self.system.next_end(),
                Some(until),
            ];
            let next = due.into_iter().flatten().min().unwrap();
            self.now = self.now.max(next.min(until));
            self.turn(&[]);
            if self.now == until {
                return;
            }
        }
    }

    /// Workers report their way to their programs.
    pub(super) fn words(&mut self) {
        for pid in self.system.unreaped() {
            if let Some(event) = self.system.word(pid) {
                self.turn(&[event]);
            }
        }
    }

    pub(super) fn next_jitter(&mut self) -> u16 {
        self.asked += 1;
        self.jitter[self.asked % self.jitter.len()]
    }

    /// The time limit counts from the first request.
    pub(super) fn note_bound(&mut self) {
        if self.stops_by.is_none() && self.books.stops() {
            self.stops_by = self.books.ends_by();
            self.late = Duration::ZERO;
        }
    }
}
