//! What the operator asked for: arguments and `RPM_*` variables in, one checked `Config` or every fault at once out.
//! The environment, files and facts of the host are arguments; nothing here reads them by itself.

mod app_metrics;
mod check;
mod cli;
mod command;
mod distance;
mod draft;
mod env;
mod env_file;
mod faults;
mod file_name;
mod gauges;
mod health;
mod ignore;
mod levels;
mod logging;
mod multiline;
mod names;
mod open;
mod output;
mod output_rules;
mod output_variables;
mod parse;
mod ports;
mod reload;
mod resolve;
mod rules;
mod schedule;
mod show;
mod signals;
mod sizes;
mod timestamp;
mod types;
mod variables;

pub use crate::policy::MAX_INSTANCES;
pub use app_metrics::{AppMetrics, MULTIPROC_DIR, MetricsSource};
pub use check::table;
pub use cli::{Cli, Usage, help};
pub use env::Source;
pub use env_file::{BadLine, env_file};
pub use faults::{Fault, Faults};
pub use file_name::FileName;
pub use ignore::Ignore;
pub use levels::{Level, Levels};
pub use logging::{Every, Files, LogFormat, LogStderr, Logging, Overflow, Rotation};
pub use multiline::Multiline;
pub use names::{LATER, Preset, Setting, settings};
pub use open::{Opening, Said, open};
pub use resolve::{Input, Line, Resolved, admin_addr, resolve};
pub use schedule::Schedule;
pub use timestamp::Timestamp;
pub use types::{
    Balance, Config, ExecMode, Handover, Health, HealthCheck, PortRule, PortSpec, Ready, Restart,
    Scope, Watch,
};
pub use variables::GROUPS;

/// Exit code of bad configuration and bad usage (EX_USAGE of sysexits(3head)).
pub const EXIT_CONFIG: u8 = 64;
