//! Rolling reloads and their triggers.

mod address;
mod background;
mod hidden;
mod in_use;
mod programs;
mod revision;
mod rolling;
mod triggers;
mod waiting;
mod watch;
