//! The admin endpoints. Read-only: nothing here changes the state of the runtime.
//!
//! | path | answer |
//! |---|---|
//! | `/` | the status page: `/status` for people |
//! | `/livez` | 200: this answer was given by the loop that does everything else |
//! | `/readyz` | 200 or 503, and why |
//! | `/startupz` | 200 once all workers were ready the first time |
//! | `/status` | everything, as JSON |
//! | `/metrics`, `/metrics/runtime` | Prometheus text 0.0.4 or OpenMetrics 1.0, by Accept; gzip |

mod connections;
mod healthcheck;
mod negotiation;
mod page;
mod places;
mod routes;
mod server;
mod status;
mod throttle;

#[cfg(test)]
mod tests;

pub use healthcheck::healthcheck;
pub use negotiation::{MetricsPage, PendingPage, ScrapeRequest};
pub use routes::{LONGEST_LOOK, PendingLook, View};
pub use server::{ConnectionLimits, serve};
pub use status::About;
