//! Shared unix sockets.
//!
//! The kernel has no SO_REUSEPORT for them, so steering is by name: each worker has a listener of its own, and the path
//! is moved from one to the next ([`names`]). The first worker that binds a path gets a listener at the path itself;
//! only when a second one binds it, the listeners get names in a directory `.rpm` beside the path. So a socket that
//! only one process uses looks as it does without the runtime.
//!
//! The hand-over thread alone touches files ([`server`], [`pointing`], [`removal`], [`clearing`]). The event loop only changes what
//! shall be ([`view`]).

mod asked;
mod clearing;
mod common;
mod group;
mod in_use;
mod join;
mod listed;
mod names;
mod pointing;
mod record;
mod removal;
mod rights;
mod server;
mod view;

pub(super) use removal::Removed;
pub(super) use server::{Caller, Left, Offered, UnixServer};
pub(super) use view::UnixSockets;
