//! The configuration: its groups, in the order in which users see them.

use super::admin::{self, Admin};
use super::control::{self, Control};
use super::health::{self, Health};
use super::life::{self, Life};
use super::log::{self, Logging};
use super::node::{self, Node};
use super::ports::{self, Ports};
use super::program::{self, ExecMode, Program};
use super::reload::{self, Reload};
use super::setting::{Definition, Group};
use super::signals::{self, Signals};
use crate::policy::Restart;
use crate::policy::follow::FollowRule;
use crate::policy::handover::PortRule;

/// The variables of this version, by group.
pub const GROUPS: &[Group] = &[
    program::GROUP,
    ports::GROUP,
    node::GROUP,
    life::GROUP,
    reload::GROUP,
    health::GROUP,
    signals::GROUP,
    log::GROUP,
    admin::GROUP,
    control::GROUP,
];

/// The variables of this version, in order.
pub fn settings() -> impl Iterator<Item = &'static dyn Definition> {
    GROUPS
        .iter()
        .flat_map(|group| group.settings.iter().copied())
}

/// The whole checked configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The program and the environment of its workers.
    pub program: Program,
    /// What follows limits of the container that change while it runs; `None`: nothing.
    pub follow: Option<FollowRule>,
    /// Shared ports.
    pub ports: Ports,
    /// The channel of Node workers.
    pub node: Node,
    /// Start, end and restart of workers.
    pub life: Life,
    /// How workers are replaced, and the triggers.
    pub reload: Reload,
    /// Health checks.
    pub health: Health,
    /// Signals and exit codes.
    pub signals: Signals,
    /// RPM_LOG_*.
    pub log: Logging,
    /// The admin endpoints, the program's metrics, the file with the reason of the exit.
    pub admin: Admin,
    /// The control socket.
    pub control: Control,
}

impl Config {
    /// Whether the runtime is in the role of tini: one worker that is never restarted. Its exit status is the
    /// runtime's, and it inherits the runtime's stdin, terminal and other descriptors.
    pub fn one_shot(&self) -> bool {
        self.life.restart == Restart::Never && self.program.instances.get() == 1
    }

    /// Whether any port is shared: neither RPM_EXEC_MODE=fork nor RPM_PORTS=off.
    pub fn shares_ports(&self) -> bool {
        self.program.exec_mode == ExecMode::Cluster && self.ports.shared != PortRule::Nothing
    }
}
