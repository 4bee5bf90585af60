//! What the events of the shared ports mean for the fleet, and which of them are logged.

use std::fmt::Display;
use std::iter;
use std::mem::{Discriminant, discriminant};

use tracing::info;

use crate::model::Pid;
use crate::policy::handover::PortRule;
use crate::policy::paths::OWN_PATH;
use crate::policy::unix::Endpoint;
use crate::policy::{Event, Seldom};
use crate::ports::PortEvent;

use super::Supervisor;
use super::incoming::Incoming;
use super::port_lines::log_event;

/// Most lines of one kind about one port in a minute.
const MOST_OF_A_PORT: u32 = 5;

/// Most lines of one kind in a minute.
const MOST: u32 = 100;

/// Which of the lines are written that workers cause.
#[derive(Debug, Default)]
pub(super) struct Lines {
    of_ports: Seldom<(Discriminant<PortEvent>, String)>,
    of_kinds: Seldom<Discriminant<PortEvent>>,
}

/// The port of an event whose number a worker decides: it may bind and close, or shut its listener down, ten thousand
/// times a second. `None` for an event that is rare, or is not logged by default.
fn repeated(event: &PortEvent) -> Option<String> {
    let port: &dyn Display = match event {
        PortEvent::Opened { key, .. }
        | PortEvent::NotOpened { key, .. }
        | PortEvent::SteeringFailed { key, .. }
        | PortEvent::Left {
            key, last: true, ..
        } => key,
        PortEvent::Superseded { bound: key, .. }
        | PortEvent::Closed { key, .. }
        | PortEvent::Barred { key, .. }
        | PortEvent::Spoilt { key, .. }
        | PortEvent::Repaired { key, .. } => key,
        _ => return None,
    };
    Some(port.to_string())
}

impl Supervisor {
    /// Logs the event, unless there were many of its kind about its port in the last minute.
    fn log_seldom(&mut self, event: &PortEvent) {
        if let Some(port) = repeated(event)
            && let Some(sharing) = &mut self.sharing
        {
            let kind = discriminant(event);
            let lines = &mut sharing.lines;
            // A port with many lines must not use up those of the others.
            let own = lines
                .of_ports
                .write((kind, port.clone()), MOST_OF_A_PORT, self.now);
            let all = own.and_then(|_| lines.of_kinds.write(kind, MOST, self.now));
            let Some((all, own)) = all.zip(own) else {
                return;
            };
            let left_out = all.max(own);
            if left_out > 0 {
                info!(%port, left_out, "lines like the next one were left out, because there were many");
            }
        }
        log_event(event, self.config.admin.addr);
    }

    /// Handles an event of the shared ports.
    pub(super) fn port_event(&mut self, event: &PortEvent) -> Vec<Event> {
        if let PortEvent::Stranded { count, .. } = event {
            self.metrics.stranded(u64::from(*count));
            let sharing = self.sharing.as_mut();
            if sharing.is_some_and(|sharing| sharing.told_stranded_before(self.now)) {
                return Vec::new();
            }
        }
        self.log_seldom(event);
        let (worker, names) = match event {
            PortEvent::Listening { worker, key, .. } => (*worker, self.names_of(*worker, key)),
            PortEvent::ListensAlone { worker, .. } => (*worker, vec!["(not shared)".to_owned()]),
            PortEvent::Excludes { worker, .. } => {
                let known = self.workers.get(*worker);
                let excludes = known.map(|_| Event::Excludes { pid: *worker });
                return excludes.into_iter().collect();
            }
            PortEvent::Barred { worker, .. } => {
                if let Some(worker) = worker.and_then(|pid| self.workers.get_mut(pid)) {
                    worker.barred = true;
                }
                return Vec::new();
            }
            PortEvent::FoundInUse { worker } => {
                let known = self.workers.get(*worker);
                let found = known.map(|_| Event::FoundInUse { pid: *worker });
                return found.into_iter().collect();
            }
            _ => return Vec::new(),
        };
        // The worker may have ended since, and its PID must not be taken for its successor's.
        if self.workers.get(worker).is_none() {
            return Vec::new();
        }
        self.ask_if_ready(worker);
        let ports = names.iter().filter_map(|name| self.port_id(name));
        ports
            .map(|port| Event::Listens { pid: worker, port })
            .collect()
    }

    /// What the ready rules call the port or path at which a worker listens.
    fn names_of(&mut self, worker: Pid, key: &Endpoint) -> Vec<String> {
        let name = key.port_name();
        match (key, &self.config.ports.shared) {
            (Endpoint::Unix(path), PortRule::Any) => {
                let of_the_service = self.paths.bound(path, worker).then_some(name);
                // The second name too, because the first worker of this path has no other.
                let own = iter::once(OWN_PATH.to_owned());
                of_the_service.into_iter().chain(own).collect()
            }
            _ => vec![name],
        }
    }

    /// Logs what the hand-over thread reported before the end: it may say why the workers ended.
    pub(super) fn log_last_port_events(&mut self) {
        while let Ok(incoming) = self.inbox.try_recv() {
            if let Incoming::Port(event) = incoming {
                log_event(&event, self.config.admin.addr);
            }
        }
    }
}
