//! Every note that is due comes, and no other note comes without a reason.
#![forbid(unsafe_code)]

use std::time::Duration;

use rpm_runtime::model::{Cause, DrainEnd, Pid, ReloadResult, Tick};
use rpm_runtime::policy::{NotUp, Note};

use super::scrapes::Scrape;
use super::{Books, Chair, id};

impl Books {
    pub(super) fn said(&mut self, now: Tick, note: Note) {
        self.is_done_before(note);
        if self.owed.first() == Some(&note) {
            self.owed.remove(0);
            return;
        }
        match note {
            Note::Ready {
                slot,
                pid,
                after,
                by,
            } => {
                assert_eq!(after, now.since(self.lives[&pid].started));
                self.said_ready(now, slot, pid, by);
            }
            Note::StillStarting { .. } => self.said_still_starting(now, note),
            Note::PortUnused { .. } => self.said_port_unused(now, note),
            Note::LacksPorts { .. } => self.said_lacks(now, note),
            Note::NotReady {
                slot,
                pid,
                after,
                missing,
            } => {
                let life = self.lives[&pid];
                assert_eq!(after, now.since(life.started));
                self.said_not_ready(now, slot, pid, missing);
                if self.slots[life.slot].chair == Chair::Seated(pid) {
                    self.slots[life.slot].chair = Chair::Held(pid);
                    self.leaves(now, pid, Cause::StartTimeout, false);
                }
            }
            Note::NotUp { slot, pid, why } => self.said_not_up(now, note, pid.unwrap(), why, slot),
            Note::TookOver { slot, pid, old } => {
                self.takes_over(now, usize::from(slot.0), pid, old);
            }
            Note::Drains { slot, pid, limit } => {
                assert_eq!(id(self.lives[&pid].slot), slot);
                assert_eq!(Some(limit), self.drain_limit());
                self.taken_away(now, pid);
            }
            Note::DrainEnded { pid, end, .. } => {
                self.drain_is_over(now, pid, end);
                assert_eq!(self.owed, [note]);
                self.owed.clear();
            }
            Note::ReloadEnded { result, .. } => {
                assert_eq!(result, self.result_of_done());
                assert!(self.reload_is_done(now) && self.owed.is_empty(), "{self:?}");
                self.take_out();
                self.end_reload(now, result);
                assert_eq!(self.owed.remove(0), note);
            }
            Note::StopDrains { limit } => {
                assert!(self.has_to_drain() && self.began.is_none());
                assert_eq!(Some(limit), self.drain_limit());
                let stop = self.stop.as_mut().unwrap();
                assert!(!stop.drains && stop.until <= now);
                stop.drains = true;
                stop.until = now.after(limit);
                self.tally.hit("drain before the stop");
            }
            Note::StopBegins { workers, grace } => self.said_stop_begins(now, workers, grace),
            Note::Stopped { delay, drain, stop } => {
                let (begun, book) = (self.began.unwrap(), self.stop.unwrap());
                assert_eq!(stop, now.since(begun));
                assert_eq!(delay + drain, begun.since(book.asked));
                assert!(!self.told_stopped && book.gave_up.is_none());
                self.told_stopped = true;
            }
            Note::GraceOver { .. } => {}
            Note::Undead {
                slot,
                pid,
                leftovers,
            } => {
                assert_eq!(leftovers, self.groups.contains_key(&pid));
                self.undead(now, slot, pid);
            }
            Note::ServesNoPort { .. }
            | Note::ListensLate { .. }
            | Note::GaveBack { .. }
            | Note::LeavesFirst { .. }
            | Note::StartsAgain { .. }
            | Note::Ended { .. }
            | Note::Leftovers { .. }
            | Note::SpawnDelayed { .. }
            | Note::Renews { .. }
            | Note::ReloadBegins { .. }
            | Note::ReloadRemembered { .. }
            | Note::Scaled { .. }
            | Note::ScaleRefused { .. }
            | Note::StopRequested { .. }
            | Note::Hurried { .. }
            | Note::RestartRequested
            | Note::GivesUp { .. }
            | Note::Stranger { .. } => panic!("{note:?}, owed {:?}", self.owed),
        }
    }

    fn said_stop_begins(&mut self, now: Tick, workers: usize, grace: Duration) {
        assert!(self.coming(now) && self.began.is_none());
        assert_eq!(workers, self.seated().count());
        assert_eq!(grace, self.params.stop_timeout);
        self.began = Some(now);
        for pid in self.seated().collect::<Vec<_>>() {
            self.leaves(now, pid, Cause::Stop, false);
        }
        for slot in &mut self.slots {
            if slot.chair != Chair::Asked {
                slot.chair = Chair::Down;
            }
        }
    }

    /// What this note tells was done.
    fn is_done_before(&mut self, note: Note) {
        match note {
            Note::Ready { pid, .. } => assert_eq!(self.checks.take(), Some(pid), "{note:?}"),
            Note::ReloadEnded { result, .. } => {
                let closed = std::mem::take(&mut self.closed);
                let staffed = self.seated().next().is_some();
                assert_eq!(closed, result == ReloadResult::Success && staffed);
            }
            _ => {}
        }
    }

    /// Caused by time alone: the worker is late, or has not passed its first check.
    fn said_not_up(&mut self, now: Tick, note: Note, pid: Pid, why: NotUp, slot: super::SlotId) {
        let life = self.lives[&pid];
        assert_eq!(id(life.slot), slot);
        let rises = self.slots.get(life.slot).and_then(|slot| slot.next);
        let rises = rises.is_some_and(|next| next.pid == Some(pid));
        match why {
            NotUp::NotReady { after, .. } => {
                assert!(self.late.contains(&pid), "{note:?}");
                assert_eq!(after, now.since(life.started));
                if !rises {
                    assert!(self.reload.is_some() && life.generation == self.generation);
                }
            }
            NotUp::Unfit => {
                let time = self.params.ready_timeout;
                assert!(rises || self.on_trial(now, life), "{note:?}");
                assert!(!life.fit);
                assert!(life.ready.is_some_and(|at| at.after(time) <= now));
                self.tally.hit("not checked");
            }
            NotUp::Ended(_) | NotUp::NotStarted => panic!("{note:?}"),
        }
        if rises {
            self.not_up(now, life.slot, Some(pid), why, false);
        } else {
            self.fail_reload(now);
        }
    }

    pub(super) fn drained(&mut self, now: Tick, pid: Pid) {
        let drains = |life: &super::Life| life.drain.is_some();
        if self.lives.get(&pid).is_some_and(drains) {
            self.end_drain(now, pid, DrainEnd::Empty);
        }
    }

    pub(super) fn moment(&mut self, now: Tick, pid: Pid, quiet: bool) {
        let chooses = |life: &super::Life| life.drain.is_some_and(|drain| drain.choosing);
        if self.lives.get(&pid).is_some_and(chooses) {
            let end = if quiet {
                DrainEnd::Quiet
            } else {
                DrainEnd::Timeout
            };
            self.end_drain(now, pid, end);
        }
    }

    /// Caused by time, or by the stop.
    fn drain_is_over(&mut self, now: Tick, pid: Pid, end: DrainEnd) {
        let life = self.lives[&pid];
        let drain = life.drain.unwrap();
        match end {
            DrainEnd::Timeout => {
                let chooses = !self.params.stop_timeout.is_zero();
                let chooses = chooses && life.leaves != Some(Cause::Unhealthy);
                assert!(drain.until <= now && drain.choosing == chooses, "{life:?}");
            }
            DrainEnd::Stopped => assert_eq!(self.began, Some(now)),
            _ => panic!("{end:?}"),
        }
        self.end_drain(now, pid, end);
    }

    pub(super) fn end_drain(&mut self, now: Tick, pid: Pid, end: DrainEnd) {
        let life = self.lives.get_mut(&pid).unwrap();
        let drain = life.drain.take().unwrap();
        match drain.scrape {
            Scrape::Asked { until } => life.scraping = Some(until),
            Scrape::Done { .. } => life.scraped = true,
            Scrape::None => {}
        }
        let took = now.since(drain.since);
        let slot = id(life.slot);
        self.tally.drain(end);
        self.owed.push(Note::DrainEnded {
            slot,
            pid,
            end,
            took,
        });
    }
}
