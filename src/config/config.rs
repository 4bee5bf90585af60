//! The configuration: its groups, in the order in which users see them.

use super::admin::{self, Admin};
use super::health::{self, Health};
use super::life::{self, Life};
use super::log::{self, Logging};
use super::ports::{self, Ports};
use super::program::{self, ExecMode, Program};
use super::reload::{self, Reload};
use super::setting::{Definition, Group};
use super::signals::{self, Signals};
use crate::policy::Restart;
use crate::policy::handover::PortRule;

/// The variables of this version, by group.
pub const GROUPS: &[Group] = &[
    program::GROUP,
    ports::GROUP,
    life::GROUP,
    reload::GROUP,
    health::GROUP,
    signals::GROUP,
    log::GROUP,
    admin::GROUP,
];

/// The variables of this version, one after the other.
pub fn settings() -> impl Iterator<Item = &'static dyn Definition> {
    GROUPS
        .iter()
        .flat_map(|group| group.settings.iter().copied())
}

/// All that was asked of the runtime, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The program, and what its workers are given.
    pub program: Program,
    /// Shared ports.
    pub ports: Ports,
    /// Start, end and restart of workers.
    pub life: Life,
    /// How workers are replaced, and what causes it.
    pub reload: Reload,
    /// Health checks.
    pub health: Health,
    /// Signals and exit codes.
    pub signals: Signals,
    /// RPM_LOG_*.
    pub log: Logging,
    /// The admin endpoints, the metrics of the program, the reason of the end.
    pub admin: Admin,
}

impl Config {
    /// The role of tini: one worker, never started again. Its status is ours, and it gets what we got: stdin, terminal and
    /// inherited descriptors.
    pub fn one_shot(&self) -> bool {
        self.life.restart == Restart::Never && self.program.instances.get() == 1
    }

    /// Whether any port is shared: neither RPM_EXEC_MODE=fork nor RPM_PORTS=off.
    pub fn shares_ports(&self) -> bool {
        self.program.exec_mode == ExecMode::Cluster && self.ports.shared != PortRule::Nothing
    }
}
