//! The last scrape of a worker, the wait for a quiet moment, and what is done for listeners: exactly what follows when.
#![forbid(unsafe_code)]

use std::time::Duration;

use rpm_runtime::model::{DrainEnd, ListenerId, Pid, Tick};
use rpm_runtime::policy::drain::{Aim, Disposition};
use rpm_runtime::policy::{KILL_PATIENCE, Seek};

use super::{Books, Drain, Life};

/// Limit of the last scrape, and the part of the grace that it is at most.
const LIMIT: Duration = Duration::from_secs(1);
const PART: u32 = 4;
/// How much later than that the answer may come.
const MARGIN: Duration = Duration::from_millis(100);
/// How long a scrape is fresh, and as a multiple of its time.
const FRESH: Duration = Duration::from_millis(100);
const TIMES: u32 = 5;
/// How long a moment is awaited in which nothing moves, and how long one for a program that catches the signal.
const LULL: Duration = Duration::from_millis(500);
const CATCHING: Duration = Duration::from_secs(2);

/// The scrape of a worker that waits for a quiet moment.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scrape {
    None,
    Asked { until: Tick },
    Done { old: Tick },
}

impl Scrape {
    pub(super) fn due(self) -> Option<Tick> {
        match self {
            Self::None => None,
            Self::Asked { until } => Some(until),
            Self::Done { old } => Some(old),
        }
    }

    /// The answer to what was to be answered by `until`, `time` after it was asked.
    fn done(until: Tick, time: Duration, now: Tick) -> Self {
        let asked = Tick(until.0.saturating_sub(time));
        Self::Done {
            old: now.after(FRESH.max(now.since(asked) * TIMES)),
        }
    }
}

impl Drain {
    pub(super) fn seek(&self, now: Tick) -> Seek {
        match (self.choosing, self.settled_until, self.scrape) {
            (false, ..) => Seek::End,
            (true, _, Scrape::Asked { .. }) => Seek::Nothing,
            (true, _, Scrape::Done { old }) if old <= now => Seek::Nothing,
            (true, None, _) => Seek::Disposition,
            (true, Some(settled), _) if settled > now => Seek::Moment(Aim::Quiet),
            (true, Some(_), _) => Seek::Moment(Aim::Painless),
        }
    }
}

impl Books {
    /// The last scrape delays a stop by so much at most.
    pub(super) fn scrape_time(&self) -> Option<Duration> {
        let limit = LIMIT.min(self.params.stop_timeout / PART);
        let time = limit + MARGIN.min(limit);
        Some(time).filter(|time| self.params.last_scrape && !time.is_zero())
    }

    /// The same, while the runtime does not stop.
    pub(super) fn scrape_now(&self) -> Option<Duration> {
        let drains = self.stop.is_some_and(|stop| stop.drains);
        let over = drains || self.began.is_some();
        self.scrape_time().filter(|_| !over)
    }

    fn wants_scrape(&self, life: Life) -> bool {
        self.scrape_now().is_some() && life.ready.is_some() && !life.scraped
    }

    /// The fleet asks for a scrape.
    pub(super) fn scrapes(&mut self, now: Tick, pid: Pid, within: Duration) {
        if self.lives[&pid].leaves.is_none() {
            self.taken_away(now, pid);
        }
        let time = self.scrape_now().unwrap();
        assert_eq!(within, LIMIT.min(self.params.stop_timeout / PART));
        let (wanted, grace) = (
            self.wants_scrape(self.lives[&pid]),
            self.params.stop_timeout,
        );
        let life = self.lives.get_mut(&pid).unwrap();
        assert!(wanted && life.kill_due.is_none(), "{life:?}");
        assert_eq!(life.scraping, None, "{pid} is asked twice");
        let until = now.after(time);
        let Some(drain) = &mut life.drain else {
            life.scraping = Some(until);
            self.tally.hit("last scrape");
            return;
        };
        match drain.scrape {
            _ if !drain.choosing => {
                assert!(drain.until <= now, "{life:?}");
                drain.choosing = true;
                drain.until = now.after(grace);
                self.tally.hit("drain: chooses");
            }
            Scrape::Done { old } => {
                assert!(old <= now && drain.until > now, "{life:?}");
                self.tally.hit("scraped again");
            }
            Scrape::None | Scrape::Asked { .. } => panic!("{life:?}"),
        }
        drain.scrape = Scrape::Asked { until };
    }

    /// The answer has come, or is given up.
    pub(super) fn scraped(&mut self, now: Tick, pid: Pid) {
        let time = self.scrape_time().unwrap_or_default();
        let Some(life) = self.lives.get_mut(&pid) else {
            return;
        };
        if let Some(until) = &mut life.scraping {
            *until = now.min(*until);
        }
        if let Some(drain) = &mut life.drain
            && let Scrape::Asked { until } = drain.scrape
        {
            drain.scrape = Scrape::done(until, time, now);
        }
    }

    /// What time alone does to the scrapes of those who wait for a moment.
    pub(super) fn scrapes_go_on(&mut self, now: Tick) {
        let (scrape, time) = (self.scrape_now(), self.scrape_time().unwrap_or_default());
        for life in self.lives.values_mut() {
            let Some(drain) = life.drain.as_mut().filter(|drain| drain.choosing) else {
                continue;
            };
            match drain.scrape {
                Scrape::Asked { until } if until <= now => {
                    drain.scrape = Scrape::done(until, time, now);
                }
                Scrape::Done { old } if old <= now => {
                    assert!(scrape.is_none(), "too old: {life:?}");
                    drain.scrape = Scrape::None;
                }
                Scrape::None | Scrape::Asked { .. } | Scrape::Done { .. } => {}
            }
        }
    }

    /// A stop signal: the last scrape is over, or none is wanted.
    pub(super) fn scrape_is_over(&self, now: Tick, life: Life) {
        match life.scraping {
            _ if self.began.is_some() => {}
            Some(until) => assert!(until <= now, "it is being scraped: {life:?}"),
            None => assert!(!self.wants_scrape(life), "no last scrape: {life:?}"),
        }
    }

    /// It is known what a worker does with its stop signal.
    pub(super) fn disposition(&mut self, now: Tick, pid: Pid, disposition: Disposition) {
        let life = self.lives.get_mut(&pid);
        let Some(drain) = life.and_then(|life| life.drain.as_mut()) else {
            return;
        };
        if !drain.choosing || drain.settled_until.is_some() {
            return;
        }
        match disposition {
            Disposition::Default => {}
            Disposition::Caught => drain.until = drain.until.min(now.after(CATCHING)),
            Disposition::Ignored | Disposition::Unknown => {
                self.end_drain(now, pid, DrainEnd::Timeout);
                return;
            }
        }
        drain.settled_until = Some(now.after(LULL));
    }

    /// A look for a moment has stopped a worker: it is told to stop, or goes on.
    pub(super) fn stopped_for_a_look(&mut self, pid: Pid) {
        let Some(life) = self.lives.get(&pid) else {
            return;
        };
        let free = |drain: Drain| drain.choosing && !matches!(drain.scrape, Scrape::Asked { .. });
        // One that is stopped does not read its message.
        let message = self.message_time(life).is_some();
        if !life.drain.is_some_and(free) || message {
            self.resumes.push(pid);
        }
    }

    /// SIGCONT alone.
    pub(super) fn resumed(&mut self, pid: Pid) {
        let place = self.resumes.iter().position(|owed| *owed == pid);
        self.resumes.remove(place.unwrap());
        self.tally.hit("resumed");
    }

    /// A listener is free: its worker is reaped, or cannot be killed.
    pub(super) fn released(&mut self, now: Tick, pid: Pid, listener: ListenerId) {
        let owed = self.releases.iter().position(|one| *one == (pid, listener));
        if let Some(place) = owed {
            self.releases.remove(place);
            return;
        }
        let life = self.lives.get_mut(&pid).unwrap();
        assert_eq!(life.listener, listener);
        assert!(!life.released, "{listener} is released twice");
        let over = life.killed.is_some_and(|at| at.after(KILL_PATIENCE) <= now);
        assert!(over, "{listener} is {life:?}'s");
        life.released = true;
    }
}
