//! The parts of rpm-runtime, for its binary, its tests and its benches. Not a public API.
//!
//! ```text
//! main -> supervisor -> { log, metrics, admin, app_metrics, ports, checks, drain, triggers } -> model
//!           |-> policy -> model     pure decisions
//!           `-> sys    -> model     the only unsafe
//! main -> config -> policy's parameter types
//! ```

pub mod admin;
pub mod app_metrics;
pub mod checks;
pub mod config;
pub mod drain;
pub mod exposition;
pub mod log;
pub mod metrics;
pub mod model;
pub mod policy;
pub mod ports;
pub mod supervisor;
pub mod sys;
pub mod triggers;
