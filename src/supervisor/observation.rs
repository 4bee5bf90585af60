//! What can be observed of single workers here. Decided once, at the start, and used for readiness, health checks,
//! metrics and /status.

use tracing::warn;

use crate::config::{Config, MetricsSource, Ready};
use crate::model::{ObservationInfo, Page, ReadyBy, Scheme};
use crate::policy::ReadyRule;
use crate::policy::handover::PortRule;

use super::handover::{Chosen, Means};

/// What a starting worker is asked over its own listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// This page.
    Http(Page),
    /// To accept a connection.
    Tcp,
}

impl Question {
    /// What a worker that passed it is ready by.
    pub(super) fn by(&self) -> ReadyBy {
        match self {
            Self::Http(page) => match page.scheme {
                Scheme::Http => ReadyBy::Http,
                Scheme::Https => ReadyBy::Https,
            },
            Self::Tcp => ReadyBy::Tcp,
        }
    }
}

/// What can be observed of single workers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub(super) struct Observation {
    /// When a worker is ready.
    pub(super) ready: ReadyRule,
    /// Clients wait in a queue of their own until a worker is ready: it is known when that is.
    pub(super) waits_apart: bool,
    /// It is less than RPM_READY says.
    falls_short: bool,
    /// What it is asked before.
    pub(super) question: Option<Question>,
    /// Its `listen` calls are seen.
    pub(super) sees_listen: bool,
    /// RPM_HEALTH can be checked.
    pub(super) health: bool,
    /// RPM_APP_METRICS can be asked for over the listeners of workers.
    pub(super) app_metrics: bool,
    /// The same for /status.
    pub(super) info: ObservationInfo,
}

impl Observation {
    pub(super) fn of(config: &Config, chosen: &Chosen) -> Self {
        let sees_listen = matches!(chosen.handover, Means::Interception(_) | Means::Channel);
        let can_ask = chosen.can_ask();
        let (ready, question, falls_short) = ready(config, sees_listen, can_ask);
        let health = config.health.check.is_some();
        let path = matches!(
            config.admin.app_metrics.source,
            Some(MetricsSource::Path { .. })
        );
        let word = |wanted: bool| match (wanted, can_ask) {
            (false, _) => "off",
            (true, true) => "on",
            (true, false) => "unavailable",
        };
        let unreachable = !can_ask && (health || path || falls_short);
        let by = match (&question, ready) {
            (Some(question), _) => question.by(),
            (None, _) if config.life.ready == Ready::Message => ReadyBy::Message,
            (None, ReadyRule::Told | ReadyRule::Asked) => ReadyBy::Notify,
            (None, ReadyRule::Listens { .. }) => ReadyBy::Listen,
            (None, ReadyRule::Alive(_)) => ReadyBy::Age,
        };
        Self {
            ready,
            falls_short,
            // An age that nobody asked for is a guess.
            waits_apart: !matches!(ready, ReadyRule::Alive(_))
                || matches!(config.life.ready, Ready::Delay(_)),
            question,
            sees_listen,
            health: health && can_ask,
            app_metrics: path && can_ask,
            info: ObservationInfo {
                ready: by.label(),
                health: word(health),
                app_metrics: match &config.admin.app_metrics.source {
                    Some(MetricsSource::Multiproc { .. }) => "files",
                    _ => word(path),
                },
                reason: unreachable.then(|| chosen.why_not_asked().to_owned()),
            },
        }
    }

    /// Whether a worker may listen, and so accept, before it is ready.
    pub(super) fn listens_first(&self) -> bool {
        self.waits_apart && !matches!(self.ready, ReadyRule::Listens { .. })
    }

    /// Warns of each setting that has less effect here than it says.
    pub(super) fn warn(&self) {
        let reason = self.info.reason.as_deref().unwrap_or_default();
        if self.info.health == "unavailable" {
            warn!(
                reason,
                "RPM_HEALTH: single workers cannot be reached here; no worker is checked"
            );
        }
        if self.info.app_metrics == "unavailable" {
            warn!(
                reason,
                "RPM_APP_METRICS: single workers cannot be reached here; no metrics of workers are read"
            );
        }
        match self.ready {
            ReadyRule::Listens { .. } if self.falls_short => warn!(
                reason,
                "RPM_READY: single workers cannot be reached here; a worker is ready when it listens"
            ),
            ReadyRule::Alive(uptime) if self.falls_short => warn!(
                reason,
                ?uptime,
                "RPM_READY cannot be observed here; a worker is ready when it has been alive for RPM_MIN_UPTIME"
            ),
            _ => {}
        }
    }
}

/// The rule, the question, and whether it is less than RPM_READY says.
fn ready(config: &Config, sees_listen: bool, can_ask: bool) -> (ReadyRule, Option<Question>, bool) {
    let min_uptime = config.life.min_uptime;
    let listed = matches!(config.ports.shared, PortRule::Listed(_));
    let must_listen = ReadyRule::Listens { or_alive: None };
    // Without interception the ports of a worker are unknown.
    let asked = if sees_listen {
        ReadyRule::Asked
    } else {
        ReadyRule::Told
    };
    match &config.life.ready {
        Ready::Delay(time) => (ReadyRule::Alive(*time), None, false),
        Ready::Notify | Ready::Message => (ReadyRule::Told, None, false),
        Ready::Auto if sees_listen => {
            let or_alive = Some(min_uptime).filter(|_| !listed);
            (ReadyRule::Listens { or_alive }, None, false)
        }
        Ready::Auto => (ReadyRule::Alive(min_uptime), None, false),
        Ready::Listen if sees_listen => (must_listen, None, false),
        Ready::Http(page) if can_ask => (asked, Some(Question::Http(page.clone())), false),
        Ready::Listen | Ready::Tcp if can_ask => (asked, Some(Question::Tcp), false),
        Ready::Tcp | Ready::Http(_) if sees_listen => (must_listen, None, true),
        Ready::Listen | Ready::Tcp | Ready::Http(_) => (ReadyRule::Alive(min_uptime), None, true),
    }
}
