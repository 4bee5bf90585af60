//! Reports decisions. Each [`Note`] of the policy goes to every [`Listener`], in order: counters, the history for the
//! termination log, the log, what is shown of the application, of the last reloads and events. Reports have no other effect: the consequences of a decision are actions.

mod application;
mod counters;
mod events;
mod history;
mod log_lines;
mod missing;
mod reloads;
mod starting;
mod termination;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tracing::info;

use crate::config::Config;
use crate::metrics::Metrics;
use crate::policy::{Note, PortTable};

use application::Application;
use counters::Counters;
use events::Recording;
use history::History;
use log_lines::LogLines;
use reloads::Listening;

pub(super) use events::Events;
pub(super) use reloads::{Reloads, current};
pub use termination::{Ending, write_termination_log};

/// A note, with data that the policy does not have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told<'a> {
    pub(super) note: Note,
    /// Wall time, seconds since 1970.
    pub(super) unix_seconds: u64,
    /// The names of ports.
    pub(super) ports: &'a PortTable,
    /// The last stderr lines of the worker that did not come up.
    pub(super) last_lines: &'a [String],
    /// How the check of RPM_READY failed last, if the note is about a worker that is not ready.
    pub(super) not_passed: Option<&'a str>,
    /// At the end of a drain, if some processes of the worker cannot be inspected: the connections that belong to no
    /// visible process and counted as the worker's.
    pub(super) unseen: Option<u32>,
    /// At the end of a drain: the kernel did not report connections, so only the queue decided.
    pub(super) blind: bool,
}

/// Receives every note. It must not change what the runtime does.
pub(super) trait Listener: fmt::Debug {
    fn hear(&mut self, told: &Told<'_>);
}

/// All receivers of notes.
#[derive(Debug)]
pub(super) struct Reporter {
    /// Apart from the others, because the end of the runtime reads it.
    history: History,
    listeners: Vec<Box<dyn Listener>>,
}

impl Reporter {
    /// `reloads` gets the last reloads, `events` what happened last.
    pub(super) fn new(
        config: &Arc<Config>,
        metrics: &Arc<Metrics>,
        reloads: &Reloads,
        events: &Events,
    ) -> Self {
        Self {
            history: History::new(config),
            listeners: vec![
                Box::new(Listening::new(config, reloads)),
                Box::new(Recording::new(config, events)),
                Box::new(Counters::new(metrics)),
                Box::new(LogLines::new(config)),
                Box::new(Application::new(config, metrics)),
            ],
        }
    }

    /// Passes a note to all receivers.
    pub(super) fn tell(&mut self, told: &Told<'_>) {
        self.history.hear(told);
        for listener in &mut self.listeners {
            listener.hear(told);
        }
    }

    /// Adds a line to the termination log that does not come from a note.
    pub(super) fn remember(&mut self, line: String) {
        self.history.push(line);
    }

    /// Ends the reports with this exit code: writes the last log line, and returns the ending for main.
    pub(super) fn ending(self, code: u8) -> Ending {
        let why = self.history.why(code);
        info!(code, "{why}");
        Ending {
            code,
            text: self
                .history
                .text(&format!("rpm-runtime: {why}, exit code {code}")),
        }
    }
}

/// Formats a duration for humans, to the millisecond.
pub(super) fn human(time: Duration) -> String {
    if time < Duration::from_secs(10) {
        format!("{}ms", time.as_millis())
    } else {
        format!("{}s", time.as_secs())
    }
}
