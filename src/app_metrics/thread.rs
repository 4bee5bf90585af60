//! The thread that gathers the metrics.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::LocalSet;
use tokio::time::{Instant, timeout_at};

use crate::app_metrics::merge::ProcessKey;
use crate::exposition::Page;
use crate::exposition::render;
use crate::model::MetricsScope;
use crate::sys::thread::LateThread;

use super::combine::combine;
use super::files::Files;
use super::handle::{GathererSettings, LastPage, Message, OwnPage, ScrapeSource};
use super::results::{ScrapeResults, ScrapeTarget};
use super::scraper::Scraper;

/// Stack size, bytes. Pages are on the heap; compression needs some stack.
const STACK: usize = 512 * 1024;

/// Time limit for asking workers if no scrape waits.
const UNHURRIED: Duration = Duration::from_secs(5);

pub(super) fn prepare(
    settings: GathererSettings,
    inbox: UnboundedReceiver<Message>,
    last: Option<LastPage>,
) -> LateThread {
    let body = move || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_time();
        if matches!(settings.source, ScrapeSource::Http { .. }) {
            // I/O needs descriptors, which may be scarce.
            runtime.enable_io();
        }
        // Parsing a page may take long, so check timers after each task.
        let runtime = runtime.event_interval(1).build();
        if let Ok(runtime) = runtime {
            LocalSet::new().block_on(&runtime, serve(settings, inbox, last));
        }
    };
    LateThread::new("metrics", STACK, body)
}

/// The source of pages of the running thread.
enum Source {
    Nothing,
    Http(Rc<Scraper>),
    Files(Rc<RefCell<Box<Files>>>),
}

#[derive(Clone)]
struct Gathering {
    source: Rc<Source>,
    results: Rc<RefCell<ScrapeResults>>,
    last: Option<LastPage>,
}

async fn serve(
    settings: GathererSettings,
    mut inbox: UnboundedReceiver<Message>,
    last: Option<LastPage>,
) {
    let results = Rc::new(RefCell::new(ScrapeResults::new(settings.rules)));
    let source = match settings.source {
        ScrapeSource::Nothing => Source::Nothing,
        ScrapeSource::Http {
            path,
            find_endpoint,
        } => {
            let scraper = Scraper::new(path, find_endpoint, Rc::clone(&results));
            Source::Http(Rc::new(scraper))
        }
        ScrapeSource::Files(files) => Source::Files(Rc::new(RefCell::new(files))),
    };
    let interval = settings.interval;
    let interval = interval.filter(|_| !matches!(source, Source::Nothing));
    let from_now = || interval.and_then(|interval| Instant::now().checked_add(interval));
    let gathering = Gathering {
        source: Rc::new(source),
        results,
        last,
    };
    let mut next = from_now();
    loop {
        let somebody = gathering.results.borrow().workers().next().is_some();
        let message = match next.filter(|_| somebody) {
            Some(next) => timeout_at(next, inbox.recv()).await,
            None => Ok(inbox.recv().await),
        };
        match message {
            Ok(Some(message)) => {
                if let Message::Page {
                    scope: MetricsScope::All,
                    ..
                } = message
                {
                    next = from_now();
                }
                gathering.told(message);
            }
            Ok(None) => return,
            Err(_) => {
                next = from_now();
                let gathering = gathering.clone();
                tokio::task::spawn_local(async move { gathering.gather(UNHURRIED).await });
            }
        }
    }
}

impl Gathering {
    fn told(&self, message: Message) {
        match message {
            Message::Workers(workers) => self.set_workers(&workers),
            Message::WorkerEnded(process) => self.worker_ended(process),
            Message::FinalScrape {
                process,
                within,
                done,
            } => {
                let this = self.clone();
                tokio::task::spawn_local(async move {
                    if let Source::Http(scraper) = &*this.source {
                        scraper.scrape_again(process, within).await;
                    }
                    drop(done);
                });
            }
            Message::Page {
                scope,
                own,
                accept,
                accept_encoding,
                within,
                reply,
            } => {
                let this = self.clone();
                tokio::task::spawn_local(async move {
                    if scope == MetricsScope::All {
                        this.gather(within).await;
                    }
                    // The caller may be gone, and a page may be large.
                    if reply.is_closed() {
                        return;
                    }
                    let page = this.page(scope, own);
                    let answer =
                        render::answer(&page, accept.as_deref(), accept_encoding.as_deref());
                    let _ = reply.send(answer);
                });
            }
        }
    }

    fn set_workers(&self, workers: &[ScrapeTarget]) {
        self.results.borrow_mut().set_workers(workers);
        self.drop_questions();
    }

    fn drop_questions(&self) {
        if let Source::Http(scraper) = &*self.source {
            scraper.drop_others();
        }
    }

    fn worker_ended(&self, process: ProcessKey) {
        let mut results = self.results.borrow_mut();
        if let (Source::Files(files), Some(worker)) = (&*self.source, results.worker(process)) {
            files.borrow_mut().ended(&mut results, worker);
        }
        results.process_ended(process);
        drop(results);
        self.drop_questions();
    }

    /// Reads all metrics, as far as workers answer in time.
    async fn gather(&self, within: Duration) {
        match &*self.source {
            Source::Nothing => {}
            Source::Http(scraper) => scraper.scrape_all(within).await,
            Source::Files(files) => files.borrow_mut().read(&mut self.results.borrow_mut()),
        }
    }

    fn page(&self, scope: MetricsScope, own: OwnPage) -> Arc<Page> {
        let results = self.results.borrow();
        let own = own(self.last.as_ref().map(|_| results.totals()));
        match &self.last {
            Some(last) if scope == MetricsScope::All => {
                let page = Arc::new(combine(own, results.merged()));
                *last.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&page);
                page
            }
            _ => Arc::new(own),
        }
    }
}
