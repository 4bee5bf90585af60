//! Rolling reloads and their triggers.

mod address;
mod background;
mod hidden;
mod programs;
mod revision;
mod rolling;
mod triggers;
mod waiting;
mod watch;
