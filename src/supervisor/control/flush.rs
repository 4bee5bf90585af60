//! `flush`: empties the log files.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::control::protocol::{Emptied, Refusal};
use crate::log;
use crate::supervisor::Supervisor;

use super::orders::Later;
use super::written;

/// How long the threads of the log may take until the client is told that they have not come to it.
const PATIENCE: Duration = Duration::from_secs(5);

impl Supervisor {
    /// The answer comes when all files are done.
    pub(super) fn empty_logs(&self) -> Result<Later, Refusal> {
        let memory = self.log.ring().is_some();
        let logging = &self.config.log;
        if !logging.files.any() && logging.own.file.is_none() && !memory {
            return Err(Refusal::refused(
                "there are no log files (RPM_LOG_FILE, RPM_LOG_ERROR_FILE, RPM_LOG_OWN_FILE)",
            ));
        }
        let (told, emptied) = oneshot::channel();
        self.log.empty(move |emptied| {
            // The client was told already that it takes long.
            let _ = told.send(emptied);
        });
        Ok(Box::pin(async move {
            let Ok(Ok(log::Emptied { files, left })) = timeout(PATIENCE, emptied).await else {
                return Err(Refusal::refused(
                    "the log has not come to it yet, because an output is stuck; the files are emptied as soon as it goes on",
                ));
            };
            if files == 0 && !left.is_empty() {
                return Err(Refusal::refused(format!(
                    "no log file was emptied: {}",
                    left.join("; ")
                )));
            }
            written(&Emptied {
                files,
                left,
                memory,
            })
        }))
    }
}
