//! What the tests of application metrics have in common: a program that counts exactly, a Prometheus, what it was given,
//! and those who judge that.

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

/// Workers of a service.
pub const WORKERS: usize = 4;

/// What the clients ask for, all workers together.
pub const REQUESTS: &str = "counting_requests_total{path=\"/\"}";

/// A number of the runtime's own. No worker is asked for it, so looking at it costs no test its meaning.
#[track_caller]
pub fn own(runtime: &Runtime, series: &str) -> u64 {
    let page = Page::read(&runtime.get("/metrics/runtime").text());
    let value = page.counted.get(series).or_else(|| page.other.get(series));
    whole(*value.unwrap_or_else(|| panic!("no {series}")))
}

/// Waits until so many workers are wanted and there, and no other.
#[track_caller]
pub fn wait_scale(runtime: &Runtime, wanted: usize) {
    until(&format!("{wanted} workers are wanted and ready"), || {
        own(runtime, "rpm_workers_desired") == wanted as u64
            && own(runtime, "rpm_workers{state=\"ready\"}") == wanted as u64
            && runtime.workers().len() == wanted
    });
}
