//! The handle of the event loop: sends messages to the gathering thread and asks it for pages.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use crate::app_metrics::AppTotals;
use crate::app_metrics::merge::{ProcessKey, Rules};
use crate::exposition::Page;
use crate::exposition::render::Answer;
use crate::model::MetricsScope;

use super::combine::refreshed;
use super::files::Files;
use super::results::ScrapeTarget;
use super::scraper::FindEndpoint;
use super::thread;
use crate::sys::thread::LateThread;

/// Where the workers' metrics come from.
pub enum ScrapeSource {
    /// No source: only the runtime's own metrics.
    Nothing,
    /// Each worker is asked for this path.
    Http {
        /// The path with its query.
        path: String,
        /// How to reach each worker.
        find_endpoint: FindEndpoint,
    },
    /// Files that the programs write.
    Files(Box<Files>),
}

/// Settings of the gathering.
pub struct GathererSettings {
    /// The source of metrics.
    pub source: ScrapeSource,
    /// How the pages are merged.
    pub rules: Rules,
    /// How often workers are asked if there is no scrape; `None`: only for scrapes.
    pub interval: Option<Duration>,
    /// The thread starts with the first message, because perhaps nobody ever asks.
    pub late: bool,
}

/// Builds the runtime's own page. It contains the state from when the closure was created, and the totals of the
/// gathering, which are passed in.
pub(super) type OwnPage = Box<dyn FnOnce(Option<AppTotals>) -> Page + Send>;

/// A callback that is called exactly once, on drop.
pub(super) struct Done(Option<Box<dyn FnOnce() + Send>>);

impl Drop for Done {
    fn drop(&mut self) {
        if let Some(done) = self.0.take() {
            done();
        }
    }
}

/// Messages to the thread.
pub(super) enum Message {
    Workers(Vec<ScrapeTarget>),
    WorkerEnded(ProcessKey),
    FinalScrape {
        process: ProcessKey,
        within: Duration,
        done: Done,
    },
    Page {
        scope: MetricsScope,
        own: OwnPage,
        accept: Option<String>,
        accept_encoding: Option<String>,
        within: Duration,
        reply: oneshot::Sender<Answer>,
    },
}

/// The last complete page; used if there are workers' metrics.
pub(super) type LastPage = Arc<Mutex<Arc<Page>>>;

/// The handle of the gathering. The thread ends when the last handle is dropped.
#[derive(Clone, Debug)]
pub struct Gatherer {
    messages: UnboundedSender<Message>,
    thread: Arc<LateThread>,
    /// `None`: there are no metrics except the runtime's.
    last: Option<LastPage>,
}

impl Gatherer {
    /// Starts the thread, unless it is to start late.
    pub fn start(settings: GathererSettings) -> nix::Result<Self> {
        let (messages, inbox) = unbounded_channel();
        let on = !matches!(settings.source, ScrapeSource::Nothing);
        let last = on.then(LastPage::default);
        let late = settings.late;
        let thread = Arc::new(thread::prepare(settings, inbox, last.clone()));
        if !late {
            thread.ensure()?;
        }
        Ok(Self {
            messages,
            thread,
            last,
        })
    }

    /// Returns a page at once, for callers that cannot wait for the thread: the runtime's own page `own` and the
    /// workers' metrics of the last complete page. So counters do not disappear for one scrape, and `process_*` does
    /// not change its meaning.
    pub fn known(&self, own: Page) -> Page {
        let Some(last) = &self.last else { return own };
        let last = Arc::clone(&last.lock().unwrap_or_else(PoisonError::into_inner));
        refreshed(own, &last)
    }

    /// From now on, asks only these workers.
    pub fn set_workers(&self, workers: Vec<ScrapeTarget>) {
        self.tell(Message::Workers(workers));
    }

    /// Reports that the process ended.
    pub fn worker_ended(&self, process: ProcessKey) {
        self.tell(Message::WorkerEnded(process));
    }

    /// Asks one worker once more before it is told to stop, and calls `done` afterwards in any case, after `within` at
    /// the latest (if the thread is not delayed).
    pub fn final_scrape(
        &self,
        process: ProcessKey,
        within: Duration,
        done: impl FnOnce() + Send + 'static,
    ) {
        let done = Done(Some(Box::new(done)));
        self.tell(Message::FinalScrape {
            process,
            within,
            done,
        });
    }

    /// A page in the form that these request headers ask for. Workers that do not answer within the time are shown
    /// without gauges. `None` if the thread has ended or cannot be started.
    pub async fn page(
        &self,
        scope: MetricsScope,
        own: impl FnOnce(Option<AppTotals>) -> Page + Send + 'static,
        (accept, accept_encoding): (Option<String>, Option<String>),
        within: Duration,
    ) -> Option<Answer> {
        let (reply, answer) = oneshot::channel();
        self.tell(Message::Page {
            scope,
            own: Box::new(own),
            accept,
            accept_encoding,
            within,
            reply,
        });
        answer.await.ok()
    }

    fn tell(&self, message: Message) {
        // If the thread has ended or cannot be started, dropping the message informs the caller. The next one tries again.
        if self.thread.ensure().is_ok() {
            let _ = self.messages.send(message);
        }
    }
}
