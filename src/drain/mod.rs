//! How the runtime sees, from outside, whether a worker has anything to lose. What it sees, [`crate::policy::drain`]
//! judges.

mod count;
mod freeze;
mod sight;
mod survey;
#[cfg(test)]
mod tests;

pub use freeze::Moment;
pub use sight::{Disposition, Sight, Subject};
pub use survey::Handshakes;
