//! Shared by the tests of application metrics: a program that counts exactly, a Prometheus, the pages that it received,
//! and their checks.

mod counting;
mod hostile;
mod hostile_service;
mod judges;
mod page;
mod prometheus;
mod recorder;
mod totals;
mod workers;

use crate::harness::{Runtime, until};

pub use counting::{Clients, Counted, Counting};
pub use judges::{promtool, strict_reader};
pub use page::{Page, never_fall, whole};
pub use prometheus::{Point, Prometheus};
pub use recorder::{OPENMETRICS, Recorder, TEXT};

/// Number of workers of a service.
pub const WORKERS: usize = 4;

/// The requests of the clients, of all workers together.
pub const REQUESTS: &str = "counting_requests_total{path=\"/\"}";

/// A metric of the runtime's own. No worker is asked for it, so reading it does not disturb a test.
#[track_caller]
pub fn own(runtime: &Runtime, series: &str) -> u64 {
    let page = Page::read(&runtime.get("/metrics/runtime").text());
    let value = page.counted.get(series).or_else(|| page.other.get(series));
    whole(*value.unwrap_or_else(|| panic!("no {series}")))
}

/// Waits until exactly `wanted` workers are wanted and exist.
#[track_caller]
pub fn wait_scale(runtime: &Runtime, wanted: usize) {
    until(&format!("{wanted} workers are wanted and ready"), || {
        own(runtime, "rpm_workers_desired") == wanted as u64
            && own(runtime, "rpm_workers{state=\"ready\"}") == wanted as u64
            && runtime.workers().len() == wanted
    });
}
