//! Automatic triggers of reloads and replacements: a time of day, a changed file, a worker that uses too much memory,
//! changed limits. Also the counter of the kernel's OOM killer.

use std::sync::{Arc, PoisonError};

use tracing::{info, warn};

use crate::model::{Cause, Command, Exit, Pid, Sig, Trigger, WorkerState, WorkerView};
use crate::policy::{Event, Strikes};
use crate::sys::cgroup::{Oom, Places};
use crate::sys::clock;
use crate::sys::proc::Proc;
use crate::triggers::{self, Fired, WatchedPaths};

use super::{Incoming, Supervisor};

/// The number of kills by the kernel's OOM killer, as last read.
#[derive(Debug)]
pub(super) struct OomKills {
    oom: Oom,
    seen: Option<u64>,
    strikes: Strikes,
}

impl OomKills {
    /// Starts counting now.
    pub(super) fn find(places: &Places) -> Self {
        let oom = Oom::find(places);
        let seen = oom.kills().map(|kills| kills.processes);
        Self {
            oom,
            seen,
            strikes: Strikes::default(),
        }
    }

    /// Whether a kill of one worker ends the whole container.
    pub(super) fn takes_all(&self) -> bool {
        self.oom.takes_all()
    }

    /// Number of kills since the last call.
    fn more(&mut self) -> u64 {
        let now = self.oom.kills().map(|kills| kills.processes);
        let more = match (now, self.seen) {
            (Some(now), Some(seen)) => now.saturating_sub(seen),
            _ => 0,
        };
        self.seen = now.or(self.seen);
        more
    }
}

impl Supervisor {
    /// Starts the triggers of RPM_CRON_RELOAD, RPM_WATCH, RPM_MAX_MEMORY and RPM_INSTANCES_FOLLOW.
    pub(super) fn start_triggers(&self) {
        let outbox = self.outbox.clone();
        // The loop keeps the receiver as long as there is a sender.
        let tell = move |fired| drop(outbox.send(Incoming::Fired(fired)));
        let config = Arc::clone(&self.config);
        if let Some(schedule) = config.reload.cron.clone() {
            let next = move |after| schedule.next(after);
            tokio::spawn(triggers::schedule(next, clock::wall, tell.clone()));
        }
        self.start_following(tell.clone());
        if config.reload.max_memory.is_some() {
            let snapshot = Arc::clone(&self.snapshot);
            let workers = move || {
                let seen = snapshot.lock().unwrap_or_else(PoisonError::into_inner);
                // A worker that does not serve yet is not replaced, so a report about it would have no effect.
                let serves = |slot: &&WorkerView| slot.state == WorkerState::Ready;
                let slots = seen.slots.iter().filter(serves);
                slots.filter_map(|slot| slot.pid).collect()
            };
            tokio::spawn(triggers::memory(
                self.worker_memory.subscribe(),
                Proc::new("/proc"),
                workers,
                tell.clone(),
            ));
        }
        if !config.reload.watch.paths.is_empty() {
            let ignore = config.reload.watch.ignore.clone();
            let what = WatchedPaths {
                paths: config.reload.watch.paths.clone(),
                ignore: Box::new(move |path| ignore.covers(path)),
                delay: config.reload.watch.delay,
            };
            if let Err(error) = triggers::watch(what, tell) {
                warn!(%error, "RPM_WATCH: cannot watch for changes");
            }
        }
    }

    /// Handles an event of a trigger.
    pub(super) fn fired(&self, fired: Fired) -> Option<Event> {
        match fired {
            Fired::Schedule => Some(Event::Operator(Command::Reload(Trigger::Schedule))),
            Fired::Files { path } => {
                info!(path = %path.display(), "a watched file has changed");
                Some(Event::Operator(Command::Reload(Trigger::Files)))
            }
            Fired::Memory { pid, bytes, limit } => {
                warn!(pid = pid.get(), bytes, %limit, "worker uses more memory than RPM_MAX_MEMORY");
                let cause = Cause::MemoryLimit;
                Some(Event::Unfit { pid, cause })
            }
            Fired::Limits(step) => self.follow(step),
            Fired::Watching { watches } => {
                info!(watches, "watching files and directories (RPM_WATCH)");
                None
            }
            Fired::Unwatched { text } => {
                warn!("RPM_WATCH: {text}");
                None
            }
        }
    }

    /// Whether the kernel's OOM killer may have ended these processes. Its counter is read once per turn; the kernel
    /// increments it before the process has ended.
    pub(super) fn oom_struck(&mut self, ended: &[(Pid, Exit)]) -> bool {
        let killed = |(_, exit): &&(Pid, Exit)| *exit == Exit::Signal(Sig::KILL);
        let killed = ended.iter().filter(killed).count();
        if killed == 0 {
            return false;
        }
        let more = self.host.oom.more();
        let killed = u64::try_from(killed).unwrap_or(u64::MAX);
        self.host.oom.strikes.claim(self.now, more, killed)
    }
}
