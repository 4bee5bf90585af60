//! Finds out from outside whether a worker has anything to lose. [`crate::policy::drain`] judges the results.

mod count;
mod freeze;
mod sight;
mod survey;
#[cfg(test)]
mod tests;

pub use freeze::Moment;
pub use sight::{Sight, Subject};
pub use survey::Handshakes;
