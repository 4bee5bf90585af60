//! What the loop holds of the gathering: a way to tell and to ask.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use crate::app_metrics::AppTotals;
use crate::app_metrics::merge::{Life, Rules};
use crate::exposition::Page;
use crate::exposition::render::Answer;
use crate::model::MetricsScope;

use super::combine::refreshed;
use super::files::Files;
use super::results::Worker;
use super::scraper::Reach;
use super::thread;

/// Where the workers' metrics come from.
pub enum Means {
    /// From nowhere: there is the runtime's page alone.
    Nothing,
    /// From each worker, asked for this path.
    Asked {
        /// The path, with its query.
        path: String,
        /// How each is reached.
        reach: Reach,
    },
    /// From files that the programs keep.
    Files(Box<Files>),
}

/// What it goes by.
pub struct Settings {
    /// The source.
    pub means: Means,
    /// How the pages are merged.
    pub rules: Rules,
    /// How often workers are asked while nobody scrapes; `None`: not then.
    pub interval: Option<Duration>,
}

/// Makes the runtime's own page: from what was known when it was made, and what is known of asking when it is called.
pub(super) type Own = Box<dyn FnOnce(Option<AppTotals>) -> Page + Send>;

/// Is called once, whatever happens to who holds it.
pub(super) struct Done(Option<Box<dyn FnOnce() + Send>>);

impl Drop for Done {
    fn drop(&mut self) {
        if let Some(done) = self.0.take() {
            done();
        }
    }
}

/// What the thread is told.
pub(super) enum Message {
    Workers(Vec<Worker>),
    Gone(Life),
    Look {
        life: Life,
        within: Duration,
        done: Done,
    },
    Page {
        scope: MetricsScope,
        own: Own,
        accept: Option<String>,
        accept_encoding: Option<String>,
        within: Duration,
        reply: oneshot::Sender<Answer>,
    },
}

/// The page that was made last for all, if there are workers' metrics.
pub(super) type Last = Arc<Mutex<Arc<Page>>>;

/// The gathering. Its thread ends when the last of these is dropped.
#[derive(Clone, Debug)]
pub struct Gatherer {
    messages: UnboundedSender<Message>,
    /// `None`: there are no metrics but the runtime's.
    last: Option<Last>,
}

impl Gatherer {
    /// Starts the thread. Fails where it cannot be started.
    pub fn start(settings: Settings) -> nix::Result<Self> {
        let (messages, inbox) = unbounded_channel();
        let on = !matches!(settings.means, Means::Nothing);
        let last = on.then(Last::default);
        thread::start(settings, inbox, last.clone())?;
        Ok(Self { messages, last })
    }

    /// What is known without the thread, for who cannot wait for it: `own`, which is the runtime's page, and what the
    /// workers said when a page was made the last time. Counters do not vanish for a scrape, nor `process_*` change sides.
    pub fn known(&self, own: Page) -> Page {
        let Some(last) = &self.last else { return own };
        let last = Arc::clone(&last.lock().unwrap_or_else(PoisonError::into_inner));
        refreshed(own, &last)
    }

    /// Asks these from now on, and nobody else.
    pub fn set_workers(&self, workers: Vec<Worker>) {
        self.tell(Message::Workers(workers));
    }

    /// The process ended.
    pub fn gone(&self, life: Life) {
        self.tell(Message::Gone(life));
    }

    /// Asks one worker once more, before it is told to stop, and calls `done` when that is over, in any case; after
    /// `within` at the latest, as far as the thread can.
    pub fn look(&self, life: Life, within: Duration, done: impl FnOnce() + Send + 'static) {
        let done = Done(Some(Box::new(done)));
        self.tell(Message::Look { life, within, done });
    }

    /// A page in the form that these headers wish for. Workers that do not answer `within` that time are left out as they
    /// are now. `None` if the thread is gone.
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
        // If the thread is gone, who waits is told by what is dropped.
        let _ = self.messages.send(message);
    }
}
