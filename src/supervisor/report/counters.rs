//! Counts notes for `/metrics`.

use std::sync::Arc;

use crate::metrics::Metrics;
use crate::policy::{Next, Note};

use super::{Listener, Told};

#[derive(Debug)]
pub(super) struct Counters(Arc<Metrics>);

impl Counters {
    pub(super) fn new(metrics: &Arc<Metrics>) -> Self {
        Self(Arc::clone(metrics))
    }
}

impl Listener for Counters {
    fn hear(&mut self, told: &Told<'_>) {
        let metrics = &self.0;
        match told.note {
            Note::Ready { slot, after, .. } => metrics.worker_ready(slot, after),
            Note::Ended {
                slot,
                exit,
                cause,
                next,
                ..
            } => {
                metrics.worker_exited(slot, cause, exit);
                if matches!(next, Next::Restart { .. }) {
                    metrics.worker_restarted(slot);
                }
            }
            Note::ReloadEnded { result, took, .. } => {
                metrics.reload_ended(result, took, told.unix_seconds);
            }
            Note::DrainEnded { end, took, .. } => metrics.drain_ended(end, took),
            Note::Stranger { .. } => metrics.orphan_reaped(),
            _ => {}
        }
    }
}
