//! Tests with real processes: the runtime as a binary, programs in many languages, clients, signals, containers.
//!
//! `kernels` is for machines of its own, with other kernels (`make kernels`).
//!
//! One binary, so that the harness is compiled and linked only once. The folders are themes, and three of them are
//! groups of nextest (.config/nextest.toml): `containers`, `load`, `stories`. `cargo nextest run reload::` runs one
//! theme.
#![allow(
    clippy::disallowed_methods,
    reason = "tests start, signal and await processes from outside"
)]
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what was counted, and the output of the runtime, is shown when a test fails"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends at the first surprise"
)]

mod harness;

mod admin;
mod chart;
mod config;
mod containers;
mod control;
mod crash;
mod examples;
mod health;
mod init;
mod kernels;
mod load;
mod logs;
mod metrics;
mod monit;
mod node;
mod packages;
mod pm2;
mod ports;
mod reload;
mod scale;
mod start;
mod stop;
mod stories;
