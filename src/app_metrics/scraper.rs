//! Asks workers, with at most one request to each at a time.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::{Mutex, watch};
use tokio::task::{AbortHandle, yield_now};
use tokio::time::{Instant, timeout_at};

use crate::app_metrics::merge::ProcessKey;
use crate::checks::{Failure, Target};
use crate::exposition::{PageLimits, Parsed, parse};
use crate::model::ListenerId;
use crate::sys::clock;

use super::acceptors::Acceptors;
use super::content_type::format_of;
use super::fetch::{FetchError, Fetched, page};
use super::results::{ScrapeResults, ScrapeTarget};

/// Memory for all pages that are being read, bytes; each page may have at least [`MIN_PAGE_MEMORY`].
/// [`MIN_PAGE_MEMORY`].
const MAX_PAGES_MEMORY: usize = 64 << 20;
const MIN_PAGE_MEMORY: usize = 512 << 10;

/// Number of consecutive unanswered requests that may be caused by a worker that is only busy.
const UNANSWERED: u32 = 8;
/// Number of consecutive attempts that may find no port of a young worker.
const YOUNG: u32 = 2;

/// Closes when the request is finished.
type Completion = watch::Receiver<()>;

/// How to reach a worker at this moment.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint {
    /// The target of the request.
    pub target: Target,
    /// Connections in the worker's queue.
    pub waiting: u32,
    /// The inode of the worker's listener.
    pub inode: Option<u64>,
}

/// Returns how to reach the worker of a listener; `None` if it is not reachable.
pub type FindEndpoint = Box<dyn Fn(ListenerId) -> Option<Endpoint> + Send>;

struct InFlight {
    completion: Completion,
    task: AbortHandle,
}

impl Drop for InFlight {
    /// Dropping the task also releases callers that wait for the answer.
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(super) struct Scraper {
    path: String,
    find_endpoint: FindEndpoint,
    results: Rc<RefCell<ScrapeResults>>,
    in_flight: RefCell<HashMap<ProcessKey, InFlight>>,
    /// Unanswered requests in a row, by worker.
    unanswered: RefCell<HashMap<ProcessKey, u32>>,
    /// Attempts in a row without a port, by worker.
    unreached: RefCell<HashMap<ProcessKey, u32>>,
    /// Number of answers, by worker.
    answers: RefCell<HashMap<ProcessKey, u32>>,
    acceptors: RefCell<Acceptors>,
    /// Held while a page is parsed, so that other tasks run between two pages.
    reading: Mutex<()>,
}

impl Scraper {
    pub(super) fn new(
        path: String,
        find_endpoint: FindEndpoint,
        results: Rc<RefCell<ScrapeResults>>,
    ) -> Self {
        Self {
            path,
            find_endpoint,
            results,
            in_flight: RefCell::default(),
            unanswered: RefCell::default(),
            unreached: RefCell::default(),
            answers: RefCell::default(),
            acceptors: RefCell::default(),
            reading: Mutex::new(()),
        }
    }

    /// Ends the requests to workers that are no longer asked: a draining worker would wait for them.
    pub(super) fn drop_others(&self) {
        let asked: HashSet<ProcessKey> = self
            .results
            .borrow()
            .workers()
            .map(|one| one.process)
            .collect();
        let stays = |process: &ProcessKey| asked.contains(process);
        self.in_flight
            .borrow_mut()
            .retain(|process, _| stays(process));
        self.unanswered
            .borrow_mut()
            .retain(|process, _| stays(process));
        self.unreached
            .borrow_mut()
            .retain(|process, _| stays(process));
        self.answers
            .borrow_mut()
            .retain(|process, _| stays(process));
    }

    /// Asks every worker. Returns when all have answered, or after `within`.
    pub(super) async fn scrape_all(self: &Rc<Self>, within: Duration) {
        let deadline = Instant::now() + within;
        let workers: Vec<ScrapeTarget> = self.results.borrow().workers().collect();
        let most = (MAX_PAGES_MEMORY / workers.len().max(1)).max(MIN_PAGE_MEMORY);
        let joined = self.round(&workers, deadline, most).await;
        // A request that another caller started with a shorter limit may have failed, so ask those workers again.
        let again = |worker: &ScrapeTarget| self.results.borrow().has_failed(worker.process);
        let again: Vec<ScrapeTarget> = joined.into_iter().filter(again).collect();
        self.round(&again, deadline, most).await;
    }

    /// Asks these workers, or waits for requests in progress. Returns the workers whose request was already in progress
    /// and finished.
    async fn round(
        self: &Rc<Self>,
        workers: &[ScrapeTarget],
        deadline: Instant,
        most: usize,
    ) -> Vec<ScrapeTarget> {
        // Rounded to whole milliseconds, because the log shows it.
        let left = deadline.saturating_duration_since(Instant::now()) + Duration::from_micros(500);
        let within = Duration::from_millis(u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
        let ask = |worker: &ScrapeTarget| {
            let joined = self.completion_of(worker.process);
            let completion = joined.clone();
            let completion = completion.unwrap_or_else(|| self.scrape(*worker, within, most));
            (*worker, completion, joined.is_some())
        };
        let scraper: Vec<(ScrapeTarget, Completion, bool)> = workers.iter().map(ask).collect();
        let mut ended_before = Vec::new();
        for (worker, mut completion, joined) in scraper {
            if timeout_at(deadline, ended(&mut completion)).await.is_err() {
                self.results.borrow_mut().timed_out(worker.process, within);
            } else if joined {
                ended_before.push(worker);
            }
        }
        ended_before
    }

    /// Asks one worker again. If a request is in progress, waits for it first, because its answer may be older than
    /// wanted.
    pub(super) async fn scrape_again(self: &Rc<Self>, process: ProcessKey, within: Duration) {
        let deadline = Instant::now() + within;
        let before = self.completion_of(process);
        if let Some(mut completion) = before
            && timeout_at(deadline, ended(&mut completion)).await.is_err()
        {
            return;
        }
        let Some(worker) = self.results.borrow().worker(process) else {
            return;
        };
        let mut completion = self.scrape(worker, within, MAX_PAGES_MEMORY);
        let _ = timeout_at(deadline, ended(&mut completion)).await;
    }

    /// Joins the request in progress, or starts one.
    fn scrape(self: &Rc<Self>, worker: ScrapeTarget, within: Duration, most: usize) -> Completion {
        if let Some(completion) = self.completion_of(worker.process) {
            return completion;
        }
        let (end, completion) = watch::channel(());
        let this = Rc::clone(self);
        let task = tokio::task::spawn_local(async move {
            let begun = clock::instant();
            let answer = match this.endpoint(worker) {
                Ok(Some(endpoint)) => this.fetch(worker, endpoint, within, most).await,
                Ok(None) => {
                    // The worker is ready and opens its port a moment later, as many programs do.
                    this.results
                        .borrow_mut()
                        .timed_out(worker.process, Duration::ZERO);
                    this.in_flight.borrow_mut().remove(&worker.process);
                    return;
                }
                Err(reason) => Err(reason),
            };
            let took = clock::instant().saturating_duration_since(begun);
            this.results.borrow_mut().answered(worker, answer, took);
            // The task is finished, so dropping the entry aborts nothing.
            this.in_flight.borrow_mut().remove(&worker.process);
            drop(end);
        });
        let in_flight = InFlight {
            completion: completion.clone(),
            task: task.abort_handle(),
        };
        self.in_flight
            .borrow_mut()
            .insert(worker.process, in_flight);
        completion
    }

    fn completion_of(&self, process: ProcessKey) -> Option<Completion> {
        let in_flight = self.in_flight.borrow();
        let completion = &in_flight.get(&process)?.completion;
        // The channel is closed if the task ended early.
        completion.has_changed().is_ok().then(|| completion.clone())
    }

    /// `None`: there is no port, and it is too early to report that.
    fn endpoint(&self, worker: ScrapeTarget) -> Result<Option<Endpoint>, String> {
        let mut unreached = self.unreached.borrow_mut();
        if let Some(endpoint) = (self.find_endpoint)(worker.listener) {
            unreached.remove(&worker.process);
            self.still_accepts(worker.process, endpoint.waiting)?;
            return Ok(Some(endpoint));
        }
        let times = unreached.entry(worker.process).or_default();
        *times += 1;
        if *times <= YOUNG {
            return Ok(None);
        }
        Err("it has no shared port on which it can be asked".to_owned())
    }

    async fn fetch(
        &self,
        worker: ScrapeTarget,
        endpoint: Endpoint,
        within: Duration,
        most: usize,
    ) -> Result<Parsed, String> {
        let limits = PageLimits::default();
        let most = most.min(limits.bytes);
        let fetched = page(endpoint.target, &self.path, within, most).await;
        self.count_unanswered(worker.process, &fetched);
        if fetched.is_ok() {
            self.count_answer(&worker, endpoint.inode);
        }
        let fetched = fetched.map_err(|fault| fault.to_string())?;
        let format = format_of(fetched.content_type.as_deref())?;
        let _reading = self.reading.lock().await;
        // Yield now, so that timers are checked before the parsing.
        yield_now().await;
        parse(&fetched.body, format, &limits).map_err(|refused| refused.to_string())
    }
}

impl Scraper {
    /// An abandoned connection stays in the queue until the worker accepts it. Without this check, the queue of a
    /// worker that does not accept would soon be full of our requests.
    fn still_accepts(&self, process: ProcessKey, waiting: u32) -> Result<(), String> {
        let unanswered = self.unanswered.borrow();
        match unanswered.get(&process) {
            Some(unanswered) if *unanswered > UNANSWERED && waiting >= *unanswered => Err(format!(
                "it has not accepted the last {unanswered} requests, and is asked again when it has accepted them"
            )),
            _ => Ok(()),
        }
    }

    fn count_answer(&self, worker: &ScrapeTarget, inode: Option<u64>) {
        let mut answers = self.answers.borrow_mut();
        let answers = answers.entry(worker.process).or_default();
        *answers = answers.saturating_add(1);
        let mut acceptors = self.acceptors.borrow_mut();
        acceptors.answered(worker, *answers, inode);
    }

    fn count_unanswered(&self, process: ProcessKey, fetched: &Result<Fetched, FetchError>) {
        let mut unanswered = self.unanswered.borrow_mut();
        if let Err(FetchError::Worker(Failure::TimedOut { .. })) = fetched {
            *unanswered.entry(process).or_default() += 1;
        } else {
            unanswered.remove(&process);
        }
    }
}

/// Waits until the sender is dropped; nothing is ever sent.
async fn ended(completion: &mut Completion) {
    while completion.changed().await.is_ok() {}
}
