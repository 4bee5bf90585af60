//! The parts of rpm-runtime, for its binary, its tests and its benches. Not a public API.
//!
//! ```text
//! main -> supervisor -> { log, metrics, control, gather, port, probe, drain, trigger } -> model
//!           |-> policy -> model     pure decisions
//!           `-> sys    -> model     the only unsafe
//! main -> config -> policy's parameter types
//! ```

pub mod config;
pub mod control;
pub mod drain;
pub mod gather;
pub mod log;
pub mod metrics;
pub mod model;
pub mod policy;
pub mod port;
pub mod probe;
pub mod supervisor;
pub mod sys;
pub mod trigger;
