//! The duties of PID 1: signals, zombies, exit codes, the terminal.

mod freeze;
mod one_shot;
mod reap;
mod signals;
