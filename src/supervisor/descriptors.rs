//! The number of descriptors that the runtime needs.

use crate::config::Config;
use crate::control::Limits;
use crate::policy::handover::PortRule;

/// The number of descriptors that the runtime needs: for each worker two pipes, a notifier, those of a start, and a
/// connection for its metrics; a group of listeners for each shared port; twenty of its own; and the clients of the control
/// socket, as many as there may be within this limit. With `auto`, a program may bind more than one port, but the number is
/// unknown here.
pub(super) fn descriptors(config: &Config, limit: u64) -> u64 {
    let clients = Limits::within(limit).clients;
    let clients = if config.control.on { clients } else { 0 };
    let clients = u64::try_from(clients).unwrap_or(u64::MAX);
    let workers = u64::from(config.program.instances.get());
    let ports = match &config.ports.shared {
        _ if !config.shares_ports() => 0,
        PortRule::Listed(list) => list.ports.len() + list.paths.len(),
        PortRule::Any | PortRule::Nothing => 1,
    };
    let ports = u64::try_from(ports).unwrap_or(u64::MAX);
    let surge = u64::from(config.reload.surge.of(config.program.instances.get(), true));
    let each = 4 + u64::from(config.admin.app_metrics.source.is_some());
    20 + clients + (workers + surge) * each + ports.saturating_mul(workers + surge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_of_the_control_socket_are_among_the_descriptors_that_are_needed() {
        let needed = |control: &str, limit| {
            let config = crate::config::testing::with(&[("RPM_CONTROL", control)]);
            descriptors(&config, limit)
        };
        let without = needed("off", 1024);
        assert_eq!(needed("off", 64), without);
        assert_eq!(needed("on", 64), without + 4);
        assert_eq!(needed("on", 1024), without + 64);
        assert_eq!(needed("on", u64::MAX), without + 128);
    }
}
