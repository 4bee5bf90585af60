//! What has followed limits of the container that have changed.

use std::sync::Mutex;

use prometheus::{IntCounterVec, Opts, Registry};

use super::page::{count, lock, register};
use crate::model::Followed;

#[derive(Debug)]
pub(super) struct Follows {
    changes: IntCounterVec,
    /// RPM_MAX_MEMORY for one worker, bytes.
    memory: Mutex<Option<u64>>,
}

impl Follows {
    pub(super) fn new(registry: &Registry, memory: Option<u64>) -> Result<Self, prometheus::Error> {
        let changes = register(
            registry,
            IntCounterVec::new(
                Opts::new(
                    "rpm_resizes_total",
                    "Changes of the container's limits that were followed, by what followed.",
                ),
                &["followed"],
            )?,
        )?;
        for followed in Followed::ALL {
            changes.get_metric_with_label_values(&[followed.label()])?;
        }
        let memory = Mutex::new(memory);
        Ok(Self { changes, memory })
    }

    pub(super) fn memory(&self) -> Option<u64> {
        *lock(&self.memory)
    }
}

impl super::Metrics {
    /// Something has followed limits of the container that have changed.
    pub fn followed(&self, what: Followed) {
        count(&self.follows.changes, what.label());
    }

    /// RPM_MAX_MEMORY for one worker is another one now, bytes.
    pub fn set_worker_memory(&self, bytes: u64) {
        *lock(&self.follows.memory) = Some(bytes);
    }
}
