//! What users are told about the channels of Node workers.

use std::ffi::OsString;

use tracing::{info, warn};

use crate::config::{Config, ForDrain, Handover, Ready};
use crate::model::{Pid, SlotId};
use crate::policy::node::Program;
use crate::supervisor::Supervisor;

/// Whether workers ask for their listeners over the channel, or why not. `kind`: what [`super::decide`] said.
pub(in crate::supervisor) fn asks(kind: Result<Program, &'static str>) -> Result<(), &'static str> {
    match kind {
        Ok(Program::Script) => Ok(()),
        Ok(_) => Err("Node runs no script, so nothing asks for a listener over its channel"),
        Err(why) => Err(why),
    }
}

/// What needs the channel and cannot have it, in words. `kind`: what [`super::decide`] said.
pub(in crate::supervisor) fn refusal(
    config: &Config,
    kind: Result<Program, &'static str>,
) -> Option<String> {
    let (setting, why) = if config.life.ready == Ready::Message && kind.is_err() {
        ("RPM_READY=message", kind.err())
    } else if config.shares_ports() && config.ports.handover == Handover::Node {
        ("RPM_HANDOVER=node", asks(kind).err())
    } else {
        return None;
    };
    why.map(|why| format!("{setting}: {why}"))
}

/// Says what becomes of Node's own choice of the worker of a connection, if the user has set it.
pub(in crate::supervisor) fn tell_of_scheduling(env: &[(OsString, OsString)]) {
    let set = env
        .iter()
        .find(|(name, _)| name == "NODE_CLUSTER_SCHED_POLICY");
    if let Some((_, policy)) = set {
        let policy = policy.to_string_lossy();
        info!(
            %policy,
            "NODE_CLUSTER_SCHED_POLICY has no effect: the kernel chooses the worker of each connection, by RPM_BALANCE"
        );
    }
}

/// Whether a line of stderr is Node's complaint that a cluster worker cannot start workers.
fn is_own_primary(line: &str) -> bool {
    const ONLY_OF_A_PRIMARY: [&str; 3] = ["fork", "setupPrimary", "setupMaster"];
    let lacks = |name: &str| line.contains(&format!("{name} is not a function"));
    line.contains("cluster") && ONLY_OF_A_PRIMARY.into_iter().any(lacks)
}

/// Says that RPM_NODE_DRAIN has no effect. `why_none`: why the workers get no channel, if so.
pub(in crate::supervisor) fn warn_of_no_drain(config: &Config, why_none: Option<&str>) {
    if config.node.drain == ForDrain::Close
        && let Some(why) = why_none
    {
        warn!(
            why,
            "RPM_NODE_DRAIN=close has no effect: workers get no Node channel"
        );
    }
}

impl Supervisor {
    /// A worker has ended. If it ended because it tried to start workers of its own, says so once.
    pub(in crate::supervisor) fn tell_of_own_primary(&mut self, slot: SlotId, pid: Pid) {
        let Some(node) = self
            .node
            .as_mut()
            .filter(|node| node.cluster && !node.told_primary)
        else {
            return;
        };
        let lines = self.workers.tail(pid).map(|tail| tail.kept(true));
        if lines.is_some_and(|lines| lines.iter().any(|line| is_own_primary(line))) {
            node.told_primary = true;
            let hint = "set RPM_NODE=off and RPM_INSTANCES=1 if the program is to fork by itself; or let it fork only if cluster.isPrimary";
            warn!(
                slot = slot.0,
                pid = pid.get(),
                hint,
                "the program starts cluster workers without asking whether it is the primary, and here it is a worker (RPM_NODE)"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::with;

    #[test]
    fn a_worker_that_forks_is_known_by_what_node_says() {
        for (line, expected) in [
            ("TypeError: cluster.fork is not a function", true),
            ("TypeError: cluster_1.default.fork is not a function", true),
            ("TypeError: cluster.setupPrimary is not a function", true),
            ("TypeError: cluster.setupMaster is not a function", true),
            ("TypeError: utils.fork is not a function", false),
            ("cluster.fork();", false),
        ] {
            assert_eq!(is_own_primary(line), expected, "{line}");
        }
    }

    #[test]
    fn what_needs_a_channel_is_refused_without_one() {
        let of = |vars: &[(&str, &str)], kind| refusal(&with(vars), kind);
        let (message, handover) = (("RPM_READY", "message"), ("RPM_HANDOVER", "node"));
        let none = Err("it is not Node");
        let told = |text: &str| Some(text.to_owned());
        assert_eq!(
            of(&[message], none),
            told("RPM_READY=message: it is not Node")
        );
        assert_eq!(
            of(&[handover], none),
            told("RPM_HANDOVER=node: it is not Node")
        );
        assert_eq!(of(&[message, handover], Ok(Program::Script)), None);
        assert_eq!(of(&[("RPM_READY", "notify")], none), None);
        // Such a program can say `ready`, but asks for no listener.
        assert_eq!(of(&[message], Ok(Program::NoScript)), None);
        let asks = of(&[message, handover], Ok(Program::NoScript)).unwrap();
        assert!(asks.starts_with("RPM_HANDOVER=node: Node runs no script"));
    }
}
