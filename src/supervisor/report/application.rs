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

    /// Starts to read, with `read`, which may take any time. Only one reading is under way.
    fn read(&mut self, read: impl FnOnce() -> AppInfo + Send + 'static) {
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
        let metrics = Arc::clone(&self.metrics);
        let body = move || {
            let told = read();
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

    fn read_files(&mut self) {
        let config = Arc::clone(&self.config);
        self.read(move || config.program.app(&revision::here()));
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
            Note::ReloadBegins { .. } => self.read_files(),
            Note::ReloadEnded {
                result: ReloadResult::Success,
                ..
            } => self.want(),
            Note::RestartRequested => {
                self.read_files();
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};
    use std::time::SystemTime;

    use super::*;
    use crate::config::testing::with;
    use crate::metrics::{CgroupCounters, Facts};
    use crate::model::HandoverInfo;
    use crate::sys::cgroup::Places;
    use crate::sys::proc::Proc;
    use crate::sys::testing::until;

    fn application() -> Application {
        let facts = Facts {
            version: "",
            revision: None,
            target: "",
            app: version("old"),
            handover: HandoverInfo {
                handover: "",
                steering: "",
                counts_connections: false,
                reason: String::new(),
            },
            wall_start: SystemTime::UNIX_EPOCH,
            cgroup: CgroupCounters::find(&Places::default()),
            worker_memory: None,
            proc: Proc::new("/nonexistent"),
        };
        let metrics = Arc::new(Metrics::new(1, facts).unwrap());
        Application::new(&Arc::new(with(&[])), &metrics)
    }

    fn version(text: &str) -> AppInfo {
        AppInfo {
            version: Some(text.to_owned()),
            ..AppInfo::default()
        }
    }

    /// Begins a reading that ends when something is sent.
    fn slow(application: &mut Application) -> Sender<AppInfo> {
        let (tell, told) = channel();
        application.read(move || told.recv().unwrap_or_default());
        tell
    }

    fn is_read(application: &Application) -> bool {
        !lock(&application.reading).runs
    }

    #[test]
    fn slow_files_are_waited_for_by_nobody_and_shown_when_they_are_read() {
        let mut application = application();
        let files = slow(&mut application);
        application.want();
        assert_eq!(application.metrics.app(), version("old"));
        // The next reload starts no second thread: its reading would be dropped, and nobody could tell it anything.
        let second = slow(&mut application);
        assert!(second.send(version("second")).is_err());
        application.want();
        assert_eq!(application.metrics.app(), version("old"));
        files.send(version("new")).unwrap();
        until("it is shown", || {
            application.metrics.app() == version("new")
        });
    }

    #[test]
    fn what_was_read_for_a_reload_that_failed_is_not_shown() {
        let mut application = application();
        slow(&mut application).send(version("bad")).unwrap();
        until("it is read", || is_read(&application));
        assert_eq!(application.metrics.app(), version("old"));
        slow(&mut application).send(version("good")).unwrap();
        until("it is read", || is_read(&application));
        application.want();
        assert_eq!(application.metrics.app(), version("good"));
    }
}
