//! Rolling reloads and their triggers.

mod hidden;
mod programs;
mod rolling;
mod triggers;
mod watch;
