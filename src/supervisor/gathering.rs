//! What is read of the workers when somebody looks (`rpmctl list`, `/status`): a file of /proc for each process, and the
//! connections from the kernel. It takes milliseconds, so a thread reads it and not the loop, and all who ask at about the
//! same time get the same. Nothing is read while nobody asks.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex, OwnedMutexGuard, oneshot};
use tokio::time::{Instant, timeout_at};
use tracing::debug;

use crate::admin::LONGEST_LOOK;
use crate::model::{
    Look, Pid, QueueKind, QueueSample, SlotId, Snapshot, Tick, WorkerFigures, WorkerView,
};
use crate::ports::SharedPorts;
use crate::sys::clock::Clock;
use crate::sys::proc::{Proc, ProcDir};
use crate::sys::thread::{STACK, start};

use super::connections::Connections;
use super::report::Reloads;

/// What was read is given again for so long, unless the published state has changed.
const FRESH: Duration = Duration::from_millis(200);

/// The kernel has to answer in this time.
const PATIENCE: Duration = LONGEST_LOOK;

/// One answer for all who ask.
#[derive(Debug)]
pub(super) struct OneForAll<K, T>(Mutex<Option<(K, Tick, T)>>);

impl<K: PartialEq, T: Clone> OneForAll<K, T> {
    pub(super) fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// The last answer, if it is of this `key` and [`FRESH`], or else what `make` gives. Others wait meanwhile. What fails
    /// is not kept.
    pub(super) async fn get<E>(
        &self,
        key: impl Fn() -> K,
        now: impl Fn() -> Tick,
        make: impl AsyncFnOnce(&K) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut last = self.0.lock().await;
        let key = key();
        if let Some((of, at, answer)) = &*last
            && *of == key
            && now().since(*at) < FRESH
        {
            return Ok(answer.clone());
        }
        let answer = make(&key).await?;
        *last = Some((key, now(), answer.clone()));
        Ok(answer)
    }
}

/// The system did not answer in [`PATIENCE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Late;

/// Reads for all who look.
#[derive(Debug)]
pub(super) struct Gathering {
    snapshot: Arc<StdMutex<Snapshot>>,
    reloads: Reloads,
    clock: Clock,
    ports: Option<SharedPorts>,
    /// A thread that reads has them.
    means: Arc<Mutex<Means>>,
    /// When the last reading began.
    began: Cell<Option<Instant>>,
    answer: OneForAll<Snapshot, Arc<Figures>>,
}

#[derive(Debug)]
struct Means {
    connections: Option<Connections>,
    proc: Proc,
}

/// What one reading gave.
#[derive(Debug, Default)]
struct Figures {
    at: Tick,
    processes: BTreeMap<Pid, Process>,
    connections: BTreeMap<SlotId, u64>,
}

#[derive(Clone, Copy, Debug)]
struct Process {
    cpu: Duration,
    resident: u64,
}

impl Gathering {
    pub(super) fn new(
        snapshot: &Arc<StdMutex<Snapshot>>,
        reloads: &Reloads,
        clock: &Clock,
        ports: Option<SharedPorts>,
    ) -> Self {
        let means = Means {
            connections: ports.as_ref().map(Connections::on),
            proc: Proc::new("/proc"),
        };
        Self {
            snapshot: Arc::clone(snapshot),
            reloads: reloads.clone(),
            clock: clock.clone(),
            ports,
            means: Arc::new(Mutex::new(means)),
            began: Cell::default(),
            answer: OneForAll::new(),
        }
    }

    /// The published state.
    pub(super) fn snapshot(&self) -> Snapshot {
        let seen = self.snapshot.lock();
        seen.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The last reloads.
    pub(super) fn reloads(&self) -> &Reloads {
        &self.reloads
    }

    /// The time of the loop.
    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The present state with what was read of the workers. If the system does not answer, it has no figures of them.
    pub(super) async fn look(&self) -> (Look, Result<(), Late>) {
        let now = || self.clock.now();
        let make = async |seen: &Snapshot| self.read(seen.clone(), now()).await;
        let figures = self.answer.get(|| self.snapshot(), now, make).await;
        let outcome = figures.as_ref().map(|_| ()).map_err(|late| *late);
        // The state may have changed meanwhile.
        let snapshot = self.snapshot();
        let queues = self.ports.as_ref().map(SharedPorts::queues);
        let queues = queues.unwrap_or_default();
        let figures = figures.unwrap_or_default();
        let look = Look {
            figures: of_workers(&snapshot, &figures, &queues),
            reloads: self.reloads.views(&snapshot, self.clock.unix_seconds()),
            now: now(),
            snapshot,
            queues,
            balance: self.ports.as_ref().and_then(SharedPorts::balance),
        };
        (look, outcome)
    }

    async fn read(&self, seen: Snapshot, at: Tick) -> Result<Arc<Figures>, Late> {
        let until = self.until(Instant::now());
        // A thread that nobody waits for any more may still read.
        let means = timeout_at(until, Arc::clone(&self.means).lock_owned()).await;
        let means: OwnedMutexGuard<Means> = means.map_err(|_| Late)?;
        let began = Instant::now();
        self.began.set(Some(began));
        let (tell, told) = oneshot::channel();
        let seen = Arc::new(seen);
        let again = Arc::clone(&seen);
        let job = move || {
            let figures = means.read(&seen, at);
            // Before the answer: the next question may come at once.
            drop(means);
            // Nobody may wait any more.
            let _ = tell.send(figures);
        };
        if start("workers", STACK, job).is_err() {
            // No further thread is allowed here (RLIMIT_NPROC, pids.max), so the loop has to do it; this is seldom enough.
            // The failed thread has let go of the means.
            return Ok(Arc::new(self.means.lock().await.read(&again, at)));
        }
        match timeout_at(began + PATIENCE, told).await {
            Ok(Ok(figures)) => Ok(Arc::new(figures)),
            Ok(Err(_)) | Err(_) => Err(Late),
        }
    }

    /// How long to wait for a thread that reads already: nobody waits again for one that hangs.
    fn until(&self, now: Instant) -> Instant {
        match self.began.get() {
            Some(began) if self.means.try_lock().is_err() => began + PATIENCE,
            Some(_) | None => now + PATIENCE,
        }
    }
}

impl Means {
    fn read(&self, seen: &Snapshot, at: Tick) -> Figures {
        let connections = self.connections.as_ref();
        let connections = connections.and_then(|connections| connections.count(seen));
        let process = |view: &WorkerView| {
            let pid = view.pid?;
            let stat = self.proc.stat(ProcDir::Of(pid)).ok()?;
            let process = Process {
                cpu: stat.user + stat.system,
                resident: stat.resident_bytes,
            };
            Some((pid, process))
        };
        debug!("read the workers' processes and connections for somebody who looks");
        Figures {
            at,
            processes: seen.workers().filter_map(process).collect(),
            connections: connections.unwrap_or_default(),
        }
    }
}

fn of_workers(
    snapshot: &Snapshot,
    figures: &Figures,
    queues: &[QueueSample],
) -> Vec<WorkerFigures> {
    let waiting = of_slots(queues);
    let of_process = |view: &WorkerView| {
        let process = view.pid.and_then(|pid| figures.processes.get(&pid));
        let life = view.started.map(|started| figures.at.since(started));
        WorkerFigures {
            cpu: process.map(|process| process.cpu),
            cpu_percent: process
                .zip(life)
                .map(|(process, life)| percent(process.cpu, life)),
            memory: process.map(|process| process.resident),
            ..WorkerFigures::default()
        }
    };
    let slots = snapshot.slots.iter().map(|view| {
        let (queue, in_rotation) = match waiting.get(&view.slot) {
            Some(own) => (own.waiting, Some(own.in_rotation)),
            None => (None, None),
        };
        WorkerFigures {
            connections: figures.connections.get(&view.slot).copied(),
            queue,
            in_rotation,
            ..of_process(view)
        }
    });
    let others = snapshot.rising.iter().chain(&snapshot.retiring);
    slots.chain(others.map(of_process)).collect()
}

/// CPU time as a share of a life, in percent with one digit.
fn percent(cpu: Duration, life: Duration) -> f64 {
    let share = cpu.as_secs_f64() / life.as_secs_f64().max(0.01);
    (share * 1000.0).round() / 10.0
}

/// The queues of one slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Waiting {
    /// Connections in them.
    waiting: Option<u64>,
    /// Whether any of them gets new connections.
    in_rotation: bool,
}

fn of_slots(queues: &[QueueSample]) -> BTreeMap<SlotId, Waiting> {
    let mut slots: BTreeMap<SlotId, Waiting> = BTreeMap::new();
    for queue in queues {
        let Some(slot) = queue.worker else {
            continue;
        };
        let own = slots.entry(slot).or_default();
        own.in_rotation |= queue.in_rotation;
        if queue.kind == QueueKind::Connections {
            *own.waiting.get_or_insert_default() += u64::from(queue.length);
        }
    }
    slots
}

#[cfg(test)]
mod tests;
