//! Finds out the state of one worker of an unmodified program, by checks and by its own notifications.
//!
//! - [`http`], [`tcp`] and [`accept`] make one check. A connection from a loopback address whose source port identifies
//!   a listener reaches exactly that listener (see [`crate::policy::steering`]), so it checks exactly one worker.
//! - [`page`] fetches the metrics of a worker.
//! - [`until_http`] and [`until_accepts`] repeat a check until it passes: readiness.
//! - [`Watch`] checks at intervals: health.
//! - [`Notify`] receives what the worker sends by sd_notify(3).

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

pub(crate) use check::Fault;
pub use check::{Check, Failure, Step};
pub use health::{Kind, Watch};
pub use http::http;
pub use queue::{accept, tcp};
pub use ready::{until_accepts, until_http};
pub use target::Target;
