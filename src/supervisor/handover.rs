//! Selects how ports are handed over and what makes a worker ready, with the reasons.

use tracing::{debug, info};

use crate::config::{Config, Handover};
use crate::model::{HandoverInfo, Kernel, Word as _};
use crate::policy::handover::PortRule;
use crate::policy::kernel::replaces_programs_safely;
use crate::policy::steering::{Balance, longest};
use crate::ports::{self, Steering};
use crate::sys::intercept::{Extra, Filter};
use crate::sys::kernel;

use super::boot::{BootError, refused};

/// How a worker gets its listener.
pub(super) enum Means {
    /// No port is shared.
    Nothing,
    /// Its `bind` call is intercepted.
    Interception(Filter),
    /// Over its Node channel.
    Channel,
    /// Through LISTEN_FDS.
    Activation,
}

/// The selected handover, and its description for users.
pub(super) struct Chosen {
    pub(super) info: HandoverInfo,
    pub(super) steering: Option<Steering>,
    pub(super) handover: Means,
    /// Connections are not counted because of this kernel.
    unsafe_kernel: Option<Kernel>,
}

impl Chosen {
    /// Whether one worker can be reached over its own listener.
    pub(super) fn can_ask(&self) -> bool {
        self.steering
            .is_some_and(|steering| steering.probe.is_some())
    }

    /// Tells what was chosen and why.
    pub(super) fn tell(&self) {
        let info = &self.info;
        info!(handover = info.handover, steering = info.steering, reason = %info.reason, "ports");
        if let Some(kernel) = &self.unsafe_kernel {
            debug!(
                kernel = kernel.release,
                "RPM_BALANCE=adaptive does not count connections on this kernel: it would replace the steering program often, \
                 and the kernel is not known to have the fix of CVE-2026-52910. Update the kernel; RPM_BALANCE=least counts \
                 them on every kernel"
            );
        }
    }

    /// Why [`Self::can_ask`] is false.
    pub(super) fn why_not_asked(&self) -> &'static str {
        match (&self.handover, self.steering) {
            (Means::Nothing, _) => "no port is shared",
            (_, None) => "one common socket serves all workers",
            (_, Some(_)) => {
                "net.ipv4.ip_local_port_range leaves no source ports that clients do not use"
            }
        }
    }
}

/// Tries the mechanisms in order. The reasons of those that fail are part of the description.
/// `asks`: the program asks for its listeners over a Node channel. Without it RPM_HANDOVER=node was refused before.
pub(super) fn choose(config: &Config, asks: bool) -> Result<Chosen, BootError> {
    let unshared = |reason: String| Chosen {
        info: HandoverInfo {
            handover: "none",
            steering: "none",
            counts_connections: false,
            reason,
        },
        steering: None,
        handover: Means::Nothing,
        unsafe_kernel: None,
    };
    if !config.shares_ports() {
        let reason = if config.ports.shared == PortRule::Nothing {
            "RPM_PORTS=off"
        } else {
            "RPM_EXEC_MODE=fork"
        };
        return Ok(unshared(reason.to_owned()));
    }
    let several = config.program.instances.get() > 1;
    // Workers may remove the path of a unix socket that others serve.
    let filter = Filter::new(Extra {
        removals: config.ports.shared.shares_paths(),
        connects: false,
    });
    let intercepted = match config.ports.handover {
        Handover::Activation => Err("RPM_HANDOVER=activation".to_owned()),
        Handover::Node => Err("RPM_HANDOVER=node".to_owned()),
        Handover::Auto | Handover::Intercept => ports::interception(&filter).map_err(plainly),
    };
    let listed = matches!(config.ports.shared, PortRule::Listed(_));
    let (handover, name, mut reason) = match intercepted {
        Ok(()) => (
            Means::Interception(filter),
            "intercept",
            "bind is intercepted".to_owned(),
        ),
        Err(why) if asks && matches!(config.ports.handover, Handover::Auto | Handover::Node) => {
            (Means::Channel, "node", why)
        }
        Err(why) if config.ports.handover != Handover::Intercept && listed => {
            (Means::Activation, "activation", why)
        }
        Err(why) if several || config.ports.handover == Handover::Intercept => {
            let workers = config.program.instances;
            let (why, remedy) = match ports::obstacle() {
                Some((obstacle, remedy)) => (format!("{obstacle}: {why}"), remedy),
                None => (why, "Allow seccomp user notifications"),
            };
            return Err(refused(format!(
                "cannot share a port among {workers} workers: bind cannot be intercepted here ({why}), and \
                 RPM_HANDOVER=activation needs a program that takes LISTEN_FDS and a list in RPM_PORTS. \
                 {remedy}, or set RPM_INSTANCES=1, or RPM_EXEC_MODE=fork if the workers share no port"
            )));
        }
        Err(why) => return Ok(unshared(format!("bind cannot be intercepted here ({why})"))),
    };
    let n = config.program.instances.get();
    let members = n.saturating_add(config.reload.surge.of(n, true));
    let served: Vec<u16> = match &config.ports.shared {
        PortRule::Listed(list) => list.iter().map(|spec| spec.port.get()).collect(),
        PortRule::Any | PortRule::Nothing => Vec::new(),
    };
    let balance = config.ports.balance;
    // Who cannot name itself is not known.
    let kernel = kernel::running().unwrap_or_default();
    let safely = replaces_programs_safely(&kernel);
    let wanted = Steering {
        balance,
        follows: balance.follows(safely),
        probe: ports::probe_ports(members, &served),
    };
    let longest = longest(members, wanted.balance, wanted.probe).unwrap_or_default();
    let steering = match ports::steering(&longest) {
        Ok(()) => Some(wanted),
        Err(why) => {
            let why = match ports::obstacle() {
                Some((obstacle, remedy)) => format!("{obstacle} ({why}). {remedy}"),
                None => why,
            };
            reason = format!("{reason}; one common socket, because {why}");
            None
        }
    };
    let word = steering.map_or("none", |steering| steering.balance.word());
    let info = HandoverInfo {
        handover: name,
        steering: word,
        counts_connections: steering.is_some_and(|steering| steering.follows),
        reason,
    };
    let matters = steering.is_some() && balance == Balance::Adaptive && !safely;
    Ok(Chosen {
        info,
        steering,
        handover,
        unsafe_kernel: matters.then_some(kernel),
    })
}

/// Opens the unix paths of RPM_PORTS before the first worker.
pub(super) fn open_paths(config: &Config, server: &ports::BindServer, by_path: bool) {
    if by_path {
        server.open_paths();
    } else if config.ports.shared.shares_paths() {
        tracing::warn!(
            "RPM_HANDOVER=activation does not hand over unix paths; the paths of RPM_PORTS are not shared"
        );
    }
}

/// Explains the most common error, because the kernel's text does not: seccomp(2) returns EBUSY for a second notifier.
fn plainly(why: String) -> String {
    if why.ends_with(nix::errno::Errno::EBUSY.desc()) {
        format!(
            "{why}: another notifier is on this process already, of a nested runtime or a sandbox"
        )
    } else {
        why
    }
}
