//! The parts of rpm-runtime, for its binary, its tests and its benches. Not a public API.
//!
//! ARCHITECTURE.md has the picture of these layers, the way of a signal, of a log line and of a scrape through them, and
//! where a new thing goes. tests/architecture holds what each layer may use.

#[forbid(unsafe_code)]
pub mod admin;
#[forbid(unsafe_code)]
pub mod app_metrics;
#[forbid(unsafe_code)]
pub mod checks;
#[forbid(unsafe_code)]
pub mod config;
#[forbid(unsafe_code)]
pub mod control;
#[forbid(unsafe_code)]
pub mod drain;
#[forbid(unsafe_code)]
pub mod exposition;
#[forbid(unsafe_code)]
pub mod log;
#[forbid(unsafe_code)]
pub mod metrics;
#[forbid(unsafe_code)]
pub mod model;
#[forbid(unsafe_code)]
pub mod node;
#[forbid(unsafe_code)]
pub mod notify;
#[forbid(unsafe_code)]
pub mod policy;
#[forbid(unsafe_code)]
pub mod ports;
#[forbid(unsafe_code)]
pub mod revision;
#[forbid(unsafe_code)]
pub mod supervisor;
pub mod sys;
#[forbid(unsafe_code)]
pub mod triggers;
