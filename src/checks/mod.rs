//! Checks the state of one worker of an unmodified program.
//!
//! - [`http()`], [`tcp`] and [`accept`] make one check. A connection from a loopback address whose source port identifies
//!   a listener reaches exactly that listener (see [`crate::policy::steering`]), so it checks exactly one worker.
//! - [`until_http`] and [`until_accepts`] repeat a check until it passes: readiness.
//! - [`PeriodicCheck`] checks at intervals: health.

mod check;
pub(crate) mod client;
mod health;
mod http;
mod queue;
mod ready;
mod target;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub(crate) use check::NotPassed;
pub use check::{Check, Failure, Step};
pub use client::TlsFault;
pub use health::PeriodicCheck;
pub use http::http;
pub use queue::{accept, tcp};
pub use ready::{until_accepts, until_http};
pub use target::Target;
