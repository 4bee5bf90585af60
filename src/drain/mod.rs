//! Finds out from outside whether a worker has anything to lose. [`crate::policy::drain`] judges the results.

mod count;
mod freeze;
mod inspector;
mod left;
mod sockets;
#[cfg(test)]
mod tests;

pub use freeze::{FreezeOutcome, Frozen};
pub use inspector::{Inspector, Subject};
pub use left::{Ended, Found, Search};
pub use sockets::{Existing, Handshakes};
