//! Finding out how one worker of an unmodified program does: by asking it, and by listening to it.
//!
//! - [`http`], [`tcp`], [`accept`] ask once. A connection from a loopback address whose source port names a listener
//!   reaches that listener and nobody else's (see [`crate::policy::steering`]), so it asks exactly one worker.
//! - [`page`] fetches what it tells of itself: its metrics.
//! - [`until_http`], [`until_accepts`] ask until the answer is yes: readiness.
//! - [`Watch`] asks regularly: health.
//! - [`Notify`] is the other direction, what the worker says by sd_notify(3).

mod answer;
mod check;
mod connection;
mod deadline;
mod health;
mod http;
mod notify;
mod page;
mod page_fault;
mod queue;
mod ready;
mod target;
#[cfg(test)]
mod tests;
mod unpack;
mod wire;

pub use check::{Check, Failure, Step};
pub use health::{Kind, Watch};
pub use http::http;
pub use notify::Notify;
pub use page::{Fetched, page};
pub use page_fault::PageFault;
pub use queue::{accept, tcp};
pub use ready::{until_accepts, until_http};
pub use target::Target;
