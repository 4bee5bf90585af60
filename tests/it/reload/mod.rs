//! Rolling reloads and their triggers.

mod programs;
mod rolling;
mod triggers;
mod watch;
