//! Metrics of reloads and drains: results and durations.

use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use crate::model::{DrainEnd, ReloadResult};

use super::page::{READY_BUCKETS, count, register};

#[derive(Debug)]
pub(super) struct Rolls {
    reloads: IntCounterVec,
    reload_duration: Histogram,
    last_successful: IntGauge,
    last_success: IntGauge,
    drains: IntCounterVec,
    drain_duration: Histogram,
    stranded: IntCounter,
    checks: IntCounterVec,
}

impl Rolls {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str, label: &str| {
            register(
                registry,
                IntCounterVec::new(Opts::new(name, help), &[label])?,
            )
        };
        let histogram = |name: &str, help: &str| {
            let options = HistogramOpts::new(name, help).buckets(READY_BUCKETS.into());
            register(registry, Histogram::with_opts(options)?)
        };
        let rolls = Self {
            reloads: counter(
                "rpm_reloads_total",
                "Reloads that ended, by result.",
                "result",
            )?,
            reload_duration: histogram(
                "rpm_reload_duration_seconds",
                "Time from the request of a reload until its end.",
            )?,
            last_successful: register(
                registry,
                IntGauge::new(
                    "rpm_config_last_reload_successful",
                    "Whether the last reload replaced every worker; 1 before the first.",
                )?,
            )?,
            last_success: register(
                registry,
                IntGauge::new(
                    "rpm_config_last_reload_success_timestamp_seconds",
                    "When the last successful reload, or the start, was, in seconds since 1970.",
                )?,
            )?,
            drains: counter(
                "rpm_drains_total",
                "Drains of workers that ended, by how: nothing was left, a quiet moment after the limit, the limit, \
                 the worker ended, the stop.",
                "result",
            )?,
            drain_duration: histogram(
                "rpm_worker_drain_duration_seconds",
                "Time from the last new connection of a worker until its stop signal.",
            )?,
            stranded: register(
                registry,
                IntCounter::new(
                    "rpm_stranded_connections_total",
                    "Connections found in the queue of a listener without a worker, and passed on by the runtime.",
                )?,
            )?,
            checks: counter(
                "rpm_health_checks_total",
                "Answers to RPM_HEALTH, by result.",
                "result",
            )?,
        };
        for result in ReloadResult::ALL {
            rolls
                .reloads
                .get_metric_with_label_values(&[result.label()])?;
        }
        for end in DrainEnd::ALL {
            rolls.drains.get_metric_with_label_values(&[end.label()])?;
        }
        for result in CHECKS {
            rolls.checks.get_metric_with_label_values(&[result])?;
        }
        rolls.last_successful.set(1);
        Ok(rolls)
    }
}

const CHECKS: [&str; 2] = ["pass", "fail"];

impl super::Metrics {
    /// A reload ended. `wall` is the present time in seconds since 1970.
    pub fn reload_ended(&self, result: ReloadResult, took: Duration, wall: u64) {
        let rolls = &self.rolls;
        count(&rolls.reloads, result.label());
        rolls.reload_duration.observe(took.as_secs_f64());
        match result {
            ReloadResult::Success => {
                rolls.last_successful.set(1);
                self.reload_is_current(wall);
            }
            ReloadResult::Failure => rolls.last_successful.set(0),
            ReloadResult::Superseded => {}
        }
    }

    /// Records the time from which the workers' present code and configuration are, in seconds since 1970.
    pub fn reload_is_current(&self, wall: u64) {
        self.rolls
            .last_success
            .set(i64::try_from(wall).unwrap_or(i64::MAX));
    }

    /// A worker's drain ended.
    pub fn drain_ended(&self, end: DrainEnd, took: Duration) {
        count(&self.rolls.drains, end.label());
        self.rolls.drain_duration.observe(took.as_secs_f64());
    }

    /// Connections were found on a listener without a worker.
    pub fn stranded(&self, count: u64) {
        self.rolls.stranded.inc_by(count);
    }

    /// A worker's health was checked.
    pub fn health_checked(&self, passed: bool) {
        let [pass, fail] = CHECKS;
        count(&self.rolls.checks, if passed { pass } else { fail });
    }
}
