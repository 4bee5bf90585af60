//! Which version and commit of the application is shown. When a reload or a restart begins, the files are read again: by a
//! thread, because they may be slow. What they told is shown once the reload has succeeded; until then old workers serve.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::{info, warn};

use crate::config::Config;
use crate::metrics::Metrics;
use crate::model::{AppInfo, ReloadResult};
use crate::policy::Note;
use crate::revision;
use crate::sys::thread::{self, STACK};

use super::{Listener, Told};

#[derive(Debug)]
pub(super) struct Application {
    config: Arc<Config>,
    metrics: Arc<Metrics>,
    /// The last reading.
    reading: Arc<Mutex<Reading>>,
}

/// One reading of the files. It is shown when both are there: what they told, and the success of the reload.
#[derive(Debug, Default)]
struct Reading {
    /// The thread runs.
    runs: bool,
    told: Option<AppInfo>,
    wanted: bool,
}

impl Application {
    pub(super) fn new(config: &Arc<Config>, metrics: &Arc<Metrics>) -> Self {
        Self {
            config: Arc::clone(config),
            metrics: Arc::clone(metrics),
            reading: Arc::default(),
        }
    }

    fn read(&mut self) {
        if lock(&self.reading).runs {
            warn!(
                "the files that tell the version and revision of the application are still being read since the last reload; \
                 what is shown of it may be out of date"
            );
            return;
        }
        let reading = Arc::new(Mutex::new(Reading {
            runs: true,
            ..Reading::default()
        }));
        self.reading = Arc::clone(&reading);
        let (config, metrics) = (Arc::clone(&self.config), Arc::clone(&self.metrics));
        let body = move || {
            let told = config.program.app(&revision::here());
            let mut reading = lock(&reading);
            reading.runs = false;
            reading.told = Some(told);
            show(&mut reading, &metrics);
        };
        // package.json may be nested deeply.
        if let Err(errno) = thread::start("revision", 4 * STACK, body) {
            warn!(
                error = errno.desc(),
                "cannot start a thread that reads the version and revision of the application; they stay as they are"
            );
            lock(&self.reading).runs = false;
        }
    }

    fn want(&self) {
        let mut reading = lock(&self.reading);
        reading.wanted = true;
        show(&mut reading, &self.metrics);
    }
}

impl Listener for Application {
    fn hear(&mut self, told: &Told<'_>) {
        match told.note {
            Note::ReloadBegins { .. } => self.read(),
            Note::ReloadEnded {
                result: ReloadResult::Success,
                ..
            } => self.want(),
            Note::RestartRequested => {
                self.read();
                self.want();
            }
            _ => {}
        }
    }
}

fn show(reading: &mut Reading, metrics: &Metrics) {
    if !reading.wanted {
        return;
    }
    let Some(app) = reading.told.take() else {
        return;
    };
    if app != metrics.app() {
        info!(
            app_version = app.version,
            app_revision = app.revision,
            app_branch = app.branch,
            "the application has changed"
        );
        metrics.set_app(app);
    }
}

/// A panic elsewhere leaves every value valid.
fn lock(reading: &Mutex<Reading>) -> MutexGuard<'_, Reading> {
    reading.lock().unwrap_or_else(PoisonError::into_inner)
}
