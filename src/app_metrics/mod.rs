//! Application metrics (RPM_APP_METRICS): reads the metrics of every worker and merges them.
//!
//! A scrape of a shared port reaches a different worker each time. Here the runtime asks every worker through its own
//! listener, all at once, and merges the answers with its own metrics into one page. Python programs may write files
//! instead (`PROMETHEUS_MULTIPROC_DIR`).
//!
//! All of this runs on a separate thread, including the reading of /proc for the runtime's own page. So a large,
//! invalid or late page does not delay the event loop. The loop sends messages to the thread and asks it for pages.
//!
//! - Each worker is asked only once at a time; a second caller waits for the same answer.
//! - Workers are asked for each scrape, regularly between scrapes, and once before they are told to stop.
//! - A page that comes too late for a scrape counts for the next one.

mod acceptors;
mod children;
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
pub use handle::{Gatherer, GathererSettings, ScrapeSource};
pub use multiproc_dir::MultiprocDir;
pub use results::{ScrapeTarget, process_key};
pub use scraper::{Endpoint, FindEndpoint};
pub use totals::{AppScrape, AppTotals};
