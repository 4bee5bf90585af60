//! What the fleet was asked to be.

use std::time::Duration;

use super::{Backoff, Share};

/// When a worker counts as ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadyRule {
    /// When it has been alive for so long.
    Alive(Duration),
    /// When [`super::Event::Ready`] says so, within the ready timeout.
    Told,
    /// What comes first of the two; but a slot whose earlier worker was told ready expects that of the next as well,
    /// so that a program that is slow to listen is not taken for ready before it does.
    Either(Duration),
}

/// After which ends a worker is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartRule {
    /// After every end.
    Always,
    /// Unless it ended with a success.
    OnFailure,
    /// Not at all.
    Never,
}

/// What the fleet was asked to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Params {
    /// Workers wanted.
    pub instances: u16,
    /// When a worker is ready.
    pub ready: ReadyRule,
    /// How long [`ReadyRule::Told`] may take.
    pub ready_timeout: Duration,
    /// After which ends a worker is started again.
    pub restart: RestartRule,
    /// Exit codes after which a slot stays empty.
    pub stop_exit_codes: Vec<u8>,
    /// Exit codes that count as 0 in the runtime's own.
    pub exit_ok: Vec<u8>,
    /// A life shorter than this counts to the streak.
    pub min_uptime: Duration,
    /// The streak at which the runtime gives up; `None`: never.
    pub max_restarts: Option<u32>,
    /// Delay by streak.
    pub backoff: Backoff,
    /// The grace: stop signal to SIGKILL.
    pub stop_timeout: Duration,
    /// From the first request to stop until the workers drain.
    pub shutdown_delay: Duration,
    /// How long a worker may finish what it has before it is told to stop; `None` where it cannot be kept from getting
    /// more.
    pub drain_timeout: Option<Duration>,
    /// Whether a worker's metrics are read a last time before its stop signal.
    pub last_scrape: bool,
    /// Workers above the wanted number while some are replaced; parts are rounded up.
    pub surge: Share,
    /// Workers below the wanted number while some are replaced; parts are rounded down.
    pub unavailable: Share,
    /// How long a new worker must have been ready before the one it replaces goes.
    pub min_ready: Duration,
    /// Checks in a row that a worker may fail; `None`: it is not checked.
    pub health_failures: Option<u32>,
}
