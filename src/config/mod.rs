//! The configuration: takes arguments and `RPM_*` variables, and returns one checked [`Config`] or all errors at once.
//! The environment, files and facts of the host are arguments; nothing here reads them by itself.
//!
//! Each group of settings is a module: `program`, `ports`, `life`, `reload`, `health`, `signals`, `log`, `admin`, `control`. It
//! contains the definition of each of its settings ([`Setting`]: name, default, help, documentation, and the
//! conversions from text and to text), the type for their values, the rules between its settings, and their tests. **To
//! add a variable**, write its definition in the module of its group, add it to `GROUP`, and read it in `read` into a
//! field of the type. Then `make reference` writes it into docs/configuration.md. The help text, `--check`, `NAME_FILE`
//! and the search for misspelt names need no change.
//!
//! Dependencies between modules go in one direction: `open` (what main does next) and `cli`, `check`, `reference`
//! (texts about settings) -> `resolve` -> `rules` (between groups) and `config` -> the groups -> `reader`,
//! `environment` and the grammar of values -> `setting` and `faults`.

mod admin;
mod check;
mod cli;
#[expect(clippy::module_inception, reason = "it holds the type of that name")]
mod config;
mod control;
mod env_file;
mod environment;
mod faults;
mod grammar;
mod health;
mod life;
mod log;
mod nearest;
mod node;
mod open;
mod ports;
mod program;
mod reader;
mod reference;
mod reload;
mod resolve;
mod rules;
mod schedule;
mod setting;
mod show;
mod signals;
mod sizes;
#[cfg(test)]
pub mod testing;

pub use crate::policy::MAX_INSTANCES;
pub use admin::{Admin, AppMetrics, MetricsSource};
pub use check::{stop_budget, table};
pub use cli::{Cli, Usage, help};
pub use config::{Config, GROUPS, settings};
pub use control::Control;
pub use env_file::{BadLine, BadLines, env_file};
pub use environment::{Input, Source};
pub use faults::{Fault, Faults, Wrong};
pub use grammar::duration as parse_duration;
pub use health::Health;
pub use life::{Life, Ready};
pub use log::{
    Every, FileName, Files, Level, Levels, LogFormat, LogStderr, Logging, Multiline, Own, OwnLines,
    Rotation, from_dayjs,
};
pub use nearest::nearest;
pub use node::{ForDrain, ForNode, Node};
pub use open::{Opening, Said, open, warnings};
pub use ports::{Handover, Ports};
pub use program::{ExecMode, Program};
pub use reader::Line;
pub use reference::reference;
pub use reload::{Ignore, Reload, Watch};
pub use resolve::{Resolved, admin_addr, resolve};
pub use schedule::Schedule;
pub use setting::{Definition, Group, Preset, Setting};
pub use signals::{Scope, Signals};

/// Exit code for invalid configuration and usage (EX_USAGE of sysexits(3head)).
pub const EXIT_CONFIG: u8 = 64;
