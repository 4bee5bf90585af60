//! The log lines of a worker from its start until it is ready.

use tracing::{info, warn};

use crate::config::{Config, Ready};
use crate::policy::Note;

use super::{Told, human, missing};

/// Writes a note about a worker that is starting, or has just become ready.
pub(super) fn log(told: &Told<'_>, config: &Config) {
    match told.note {
        Note::Ready {
            slot,
            pid,
            after,
            by,
        } => {
            let (after, by) = (human(after), by.label());
            info!(slot = slot.0, pid = pid.get(), after, by, "worker ready");
        }
        Note::StillStarting {
            slot,
            pid,
            after,
            missing,
        } => {
            let (after, hint) = (human(after), missing::hint(missing, config));
            let missing = missing::words(missing, config, told);
            let limit = human(config.life.ready_timeout);
            info!(
                slot = slot.0,
                pid = pid.get(),
                after,
                missing,
                limit,
                hint,
                "worker is not ready yet, waiting up to RPM_READY_TIMEOUT"
            );
        }
        Note::ServesNoPort { slot, pid } => {
            let hint = "RPM_PORTS=off (or RPM_EXEC_MODE=fork) makes it ready after RPM_MIN_UPTIME";
            warn!(
                slot = slot.0,
                pid = pid.get(),
                hint,
                "worker has not listened on a port within RPM_READY_TIMEOUT: it counts as one that serves none, \
                 and so will the others"
            );
        }
        Note::NotReady {
            slot,
            pid,
            after,
            missing,
        } => {
            let grace = human(config.life.stop_timeout);
            let (after, hint) = (human(after), missing::hint(missing, config));
            let missing = missing::words(missing, config, told);
            warn!(
                slot = slot.0,
                pid = pid.get(),
                after,
                missing,
                hint,
                grace,
                "worker not ready within RPM_READY_TIMEOUT, stopping it"
            );
        }
        _ => ports(told, config),
    }
}

/// Ports that are used otherwise than expected.
fn ports(told: &Told<'_>, config: &Config) {
    match told.note {
        Note::PortUnused {
            slot,
            pid,
            port,
            listens,
        } => {
            let (port, listens) = (told.ports.name(port), told.ports.names(listens));
            let hint = "unset PORT, or list the ports in RPM_PORTS, and workers are ready at once";
            warn!(
                slot = slot.0,
                pid = pid.get(),
                port,
                listens,
                hint,
                "worker does not listen on the port that PORT names; it is not expected any more"
            );
        }
        Note::ListensLate {
            slot,
            pid,
            port,
            listens,
            after,
        } => {
            let (port, after) = (told.ports.name(port), human(after));
            let has_name = |name: &&str| !name.starts_with('(');
            if !has_name(&port) {
                return;
            }
            let names = listens.iter().map(|port| told.ports.name(port));
            let names: Vec<&str> = names.filter(has_name).collect();
            let hint = match config.life.ready {
                Ready::Notify | Ready::Message | Ready::Delay(_) => {
                    "RPM_READY=listen waits for it".to_owned()
                }
                _ => format!(
                    "if every worker has to listen there before it is ready: RPM_PORTS={}",
                    names.join(",")
                ),
            };
            warn!(
                slot = slot.0,
                pid = pid.get(),
                port,
                after,
                hint,
                "a port was opened only after the worker counted as ready"
            );
        }
        Note::LacksPorts {
            slot,
            pid,
            lacks,
            listens,
        } => {
            let (lacks, listens) = (told.ports.names(lacks), told.ports.names(listens));
            let hint = "if it must listen there, list all its ports in RPM_PORTS";
            warn!(
                slot = slot.0,
                pid = pid.get(),
                lacks,
                listens,
                hint,
                "worker does not listen on all ports on which others did within RPM_READY_TIMEOUT; it counts as ready, and they \
                 are not expected any more"
            );
        }
        _ => {}
    }
}
