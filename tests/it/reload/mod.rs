//! Rolling reloads, and what starts them.

mod programs;
mod rolling;
mod triggers;
mod watch;
