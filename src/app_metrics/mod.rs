//! Application metrics: what every worker offers to Prometheus, gathered and merged (RPM_APP_METRICS).
//!
//! A scrape of a shared port reaches one worker, and each time another. Here every worker is asked through its own
//! listener, all at once, and what they say becomes one page with that of the runtime. Python programs may leave files
//! instead (`PROMETHEUS_MULTIPROC_DIR`).
//!
//! All of it runs on a thread of its own, the reading of /proc for the runtime's page too: a worker whose page is large,
//! wrong or late costs the loop nothing. What the thread has to know is sent to it; what it knows is asked for.
//!
//! - Nobody is asked twice at once: whoever needs a worker's answer while it is awaited waits for the same.
//! - Workers are asked for each scrape, regularly between scrapes, and once before they are told to stop.
//! - A page that comes too late for a scrape counts for the next one.

mod combine;
mod content_type;
mod fetch;
mod files;
mod handle;
pub mod merge;
pub mod multiproc;
mod multiproc_dir;
mod results;
mod scraper;
mod thread;
mod totals;

#[cfg(test)]
mod tests;

pub use files::Files;
pub use handle::{Gatherer, Means, Settings};
pub use multiproc_dir::Place;
pub use results::{Worker, life};
pub use scraper::{Reach, Way};
pub use totals::{AppScrape, AppTotals};
