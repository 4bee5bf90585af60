//! Asks workers, with at most one request to each at a time.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::{Mutex, watch};
use tokio::task::{AbortHandle, yield_now};
use tokio::time::{Instant, timeout_at};

use crate::app_metrics::merge::Life;
use crate::checks::{Failure, Target};
use crate::exposition::{PageLimits, Parsed, parse};
use crate::model::ListenerId;
use crate::sys::clock;

use super::content_type::format;
use super::fetch::{Fetched, PageFault, page};
use super::results::{Keeper, Worker};

/// Memory for all pages that are being read, bytes; each page may have at least [`LEAST`].
const ALL: usize = 64 << 20;
const LEAST: usize = 512 << 10;

/// Number of consecutive unanswered requests that may be caused by a worker that is only busy.
const UNANSWERED: u32 = 8;
/// Number of consecutive attempts that may find no port of a young worker.
const YOUNG: u32 = 2;

/// Closes when the request is finished.
type Over = watch::Receiver<()>;

/// How to reach a worker at this moment.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// The target of the request.
    pub target: Target,
    /// Connections in the worker's queue.
    pub waiting: u32,
}

/// Returns how to reach the worker of a listener; `None` if it is not reachable.
pub type Reach = Box<dyn Fn(ListenerId) -> Option<Way> + Send>;

struct UnderWay {
    over: Over,
    task: AbortHandle,
}

impl Drop for UnderWay {
    /// Dropping the task also releases callers that wait for the answer.
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(super) struct Questions {
    path: String,
    reach: Reach,
    keeper: Rc<RefCell<Keeper>>,
    under_way: RefCell<HashMap<Life, UnderWay>>,
    /// Unanswered requests in a row, by worker.
    unanswered: RefCell<HashMap<Life, u32>>,
    /// Attempts in a row without a port, by worker.
    unreached: RefCell<HashMap<Life, u32>>,
    /// Held while a page is parsed, so that other tasks run between two pages.
    reading: Mutex<()>,
}

impl Questions {
    pub(super) fn new(path: String, reach: Reach, keeper: Rc<RefCell<Keeper>>) -> Self {
        Self {
            path,
            reach,
            keeper,
            under_way: RefCell::default(),
            unanswered: RefCell::default(),
            unreached: RefCell::default(),
            reading: Mutex::new(()),
        }
    }

    /// Ends the requests to workers that are no longer asked: a draining worker would wait for them.
    pub(super) fn drop_others(&self) {
        let asked: HashSet<Life> = self.keeper.borrow().workers().map(|one| one.life).collect();
        let stays = |life: &Life| asked.contains(life);
        self.under_way.borrow_mut().retain(|life, _| stays(life));
        self.unanswered.borrow_mut().retain(|life, _| stays(life));
        self.unreached.borrow_mut().retain(|life, _| stays(life));
    }

    /// Asks every worker. Returns when all have answered, or after `within`.
    pub(super) async fn all(self: &Rc<Self>, within: Duration) {
        let deadline = Instant::now() + within;
        let workers: Vec<Worker> = self.keeper.borrow().workers().collect();
        let most = (ALL / workers.len().max(1)).max(LEAST);
        let joined = self.round(&workers, deadline, most).await;
        // A request that another caller started with a shorter limit may have failed, so ask those workers again.
        let again = |worker: &Worker| self.keeper.borrow().has_failed(worker.life);
        let again: Vec<Worker> = joined.into_iter().filter(again).collect();
        self.round(&again, deadline, most).await;
    }

    /// Asks these workers, or waits for requests in progress. Returns the workers whose request was already in progress
    /// and finished.
    async fn round(
        self: &Rc<Self>,
        workers: &[Worker],
        deadline: Instant,
        most: usize,
    ) -> Vec<Worker> {
        // Rounded to whole milliseconds, because the log shows it.
        let left = deadline.saturating_duration_since(Instant::now()) + Duration::from_micros(500);
        let within = Duration::from_millis(u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
        let ask = |worker: &Worker| {
            let joined = self.over(worker.life);
            let over = joined.clone();
            let over = over.unwrap_or_else(|| self.ask(*worker, within, most));
            (*worker, over, joined.is_some())
        };
        let questions: Vec<(Worker, Over, bool)> = workers.iter().map(ask).collect();
        let mut ended_before = Vec::new();
        for (worker, mut over, joined) in questions {
            if timeout_at(deadline, ended(&mut over)).await.is_err() {
                self.keeper.borrow_mut().overdue(worker.life, within);
            } else if joined {
                ended_before.push(worker);
            }
        }
        ended_before
    }

    /// Asks one worker again. If a request is in progress, waits for it first, because its answer may be older than
    /// wanted.
    pub(super) async fn one(self: &Rc<Self>, life: Life, within: Duration) {
        let deadline = Instant::now() + within;
        let before = self.over(life);
        if let Some(mut over) = before
            && timeout_at(deadline, ended(&mut over)).await.is_err()
        {
            return;
        }
        let Some(worker) = self.keeper.borrow().worker(life) else {
            return;
        };
        let mut over = self.ask(worker, within, ALL);
        let _ = timeout_at(deadline, ended(&mut over)).await;
    }

    /// Joins the request in progress, or starts one.
    fn ask(self: &Rc<Self>, worker: Worker, within: Duration, most: usize) -> Over {
        if let Some(over) = self.over(worker.life) {
            return over;
        }
        let (end, over) = watch::channel(());
        let this = Rc::clone(self);
        let task = tokio::task::spawn_local(async move {
            let begun = clock::instant();
            let answer = match this.way(worker) {
                Ok(Some(way)) => this.fetch(worker, way, within, most).await,
                Ok(None) => {
                    // The worker is ready and opens its port a moment later, as many programs do.
                    this.keeper
                        .borrow_mut()
                        .overdue(worker.life, Duration::ZERO);
                    this.under_way.borrow_mut().remove(&worker.life);
                    return;
                }
                Err(reason) => Err(reason),
            };
            let took = clock::instant().saturating_duration_since(begun);
            this.keeper.borrow_mut().answered(worker, answer, took);
            // The task is finished, so dropping the entry aborts nothing.
            this.under_way.borrow_mut().remove(&worker.life);
            drop(end);
        });
        let under_way = UnderWay {
            over: over.clone(),
            task: task.abort_handle(),
        };
        self.under_way.borrow_mut().insert(worker.life, under_way);
        over
    }

    fn over(&self, life: Life) -> Option<Over> {
        let under_way = self.under_way.borrow();
        let over = &under_way.get(&life)?.over;
        // The channel is closed if the task ended early.
        over.has_changed().is_ok().then(|| over.clone())
    }

    /// `None`: there is no port, and it is too early to report that.
    fn way(&self, worker: Worker) -> Result<Option<Way>, String> {
        let mut unreached = self.unreached.borrow_mut();
        if let Some(way) = (self.reach)(worker.listener) {
            unreached.remove(&worker.life);
            self.still_accepts(worker.life, way.waiting)?;
            return Ok(Some(way));
        }
        let times = unreached.entry(worker.life).or_default();
        *times += 1;
        if *times <= YOUNG {
            return Ok(None);
        }
        Err("it has no shared port on which it can be asked".to_owned())
    }

    async fn fetch(
        &self,
        worker: Worker,
        way: Way,
        within: Duration,
        most: usize,
    ) -> Result<Parsed, String> {
        let limits = PageLimits::default();
        let most = most.min(limits.bytes);
        let fetched = page(way.target, &self.path, within, most).await;
        self.note(worker.life, &fetched);
        let fetched = fetched.map_err(|fault| fault.to_string())?;
        let format = format(fetched.content_type.as_deref())?;
        let _reading = self.reading.lock().await;
        // Yield now, so that timers are checked before the parsing.
        yield_now().await;
        parse(&fetched.body, format, &limits).map_err(|refused| refused.to_string())
    }
}

impl Questions {
    /// An abandoned connection stays in the queue until the worker accepts it. Without this check, the queue of a
    /// worker that does not accept would soon be full of our requests.
    fn still_accepts(&self, life: Life, waiting: u32) -> Result<(), String> {
        let unanswered = self.unanswered.borrow();
        match unanswered.get(&life) {
            Some(unanswered) if *unanswered > UNANSWERED && waiting >= *unanswered => Err(format!(
                "it has not accepted the last {unanswered} requests, and is asked again when it has accepted them"
            )),
            _ => Ok(()),
        }
    }

    fn note(&self, life: Life, fetched: &Result<Fetched, PageFault>) {
        let mut unanswered = self.unanswered.borrow_mut();
        if let Err(PageFault::Worker(Failure::TimedOut { .. })) = fetched {
            *unanswered.entry(life).or_default() += 1;
        } else {
            unanswered.remove(&life);
        }
    }
}

/// Waits until the sender is dropped; nothing is ever sent.
async fn ended(over: &mut Over) {
    while over.changed().await.is_ok() {}
}
