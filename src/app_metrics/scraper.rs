//! Asking workers: at most one question to each at a time.

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

/// All pages that are under way at once may take so much memory, in bytes, as long as each has [`LEAST`].
const ALL: usize = 64 << 20;
const LEAST: usize = 512 << 10;

/// So many questions in a row that nobody answered are no sign of more than a busy worker.
const UNANSWERED: u32 = 8;
/// So often in a row there is no port while a worker is young.
const YOUNG: u32 = 2;

/// Closes when the question is over.
type Over = watch::Receiver<()>;

/// How a worker is reached at this moment.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// Where it is asked.
    pub target: Target,
    /// Connections that it has not accepted yet.
    pub waiting: u32,
}

/// Says how the worker that has a listener is reached; `None`: it cannot be.
pub type Reach = Box<dyn Fn(ListenerId) -> Option<Way> + Send>;

struct UnderWay {
    over: Over,
    task: AbortHandle,
}

impl Drop for UnderWay {
    /// Whoever waits for the answer goes on without.
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(super) struct Questions {
    path: String,
    reach: Reach,
    keeper: Rc<RefCell<Keeper>>,
    under_way: RefCell<HashMap<Life, UnderWay>>,
    /// Questions in a row that nobody answered in time.
    unanswered: RefCell<HashMap<Life, u32>>,
    /// Times in a row that there was no port.
    unreached: RefCell<HashMap<Life, u32>>,
    /// Held by the one whose page is read: between two of them everything else has its turn.
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

    /// Ends the questions to those who are asked no more: a worker that finishes what it has would wait for them.
    pub(super) fn drop_others(&self) {
        let asked: HashSet<Life> = self.keeper.borrow().workers().map(|one| one.life).collect();
        let stays = |life: &Life| asked.contains(life);
        self.under_way.borrow_mut().retain(|life, _| stays(life));
        self.unanswered.borrow_mut().retain(|life, _| stays(life));
        self.unreached.borrow_mut().retain(|life, _| stays(life));
    }

    /// Asks every worker and returns when all have answered, or after `within`.
    pub(super) async fn all(self: &Rc<Self>, within: Duration) {
        let deadline = Instant::now() + within;
        let workers: Vec<Worker> = self.keeper.borrow().workers().collect();
        let most = (ALL / workers.len().max(1)).max(LEAST);
        let joined = self.round(&workers, deadline, most).await;
        // Who was asked before by somebody with less patience, and did not answer, has another chance.
        let again = |worker: &Worker| self.keeper.borrow().has_failed(worker.life);
        let again: Vec<Worker> = joined.into_iter().filter(again).collect();
        self.round(&again, deadline, most).await;
    }

    /// Asks these, or waits for the questions that are under way; those of the latter who were waited for to their end.
    async fn round(
        self: &Rc<Self>,
        workers: &[Worker],
        deadline: Instant,
        most: usize,
    ) -> Vec<Worker> {
        // Whole milliseconds: the log tells of it.
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

    /// Asks one worker anew, also if a question is under way: its answer may be older than what is wanted.
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

    /// Joins the question that is under way, or begins one.
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
                    // It is ready and opens its port a moment later, as many do.
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
            // It is over, so nothing is left to abort.
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
        // It would be closed if the task had ended without a word.
        over.has_changed().is_ok().then(|| over.clone())
    }

    /// `None`: there is none, and it is too early to say so.
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
        // Not a moment later than that: the timers are looked at.
        yield_now().await;
        parse(&fetched.body, format, &limits).map_err(|refused| refused.to_string())
    }
}

impl Questions {
    /// A connection that was given up stays in the queue until it is accepted. A worker that stands still would soon have
    /// its queue full of questions.
    fn still_accepts(&self, life: Life, waiting: u32) -> Result<(), String> {
        let unanswered = self.unanswered.borrow();
        match unanswered.get(&life) {
            Some(unanswered) if *unanswered > UNANSWERED && waiting >= *unanswered => Err(format!(
                "it has not accepted the last {unanswered} questions, and is not asked again before"
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

/// Nothing is ever sent: that the sender is gone is the end.
async fn ended(over: &mut Over) {
    while over.changed().await.is_ok() {}
}
