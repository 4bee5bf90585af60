//! Decides when a worker has finished: how to judge one look at its connections, and how many looks are needed.
//!
//! | state to reach | a look passes if |
//! |---|---|
//! | empty (reload: no new connections come) | no connection waits, no handshake is in progress, none is open |
//! | quiet (stop: clients may keep connections open) | no connection waits, none has a request in progress |
//!
//! Some cases cannot be distinguished from outside. An answer that pauses between its parts for longer than [`SETTLE`]
//! looks finished. So do several requests on one connection (HTTP/2, pipelining) when one of them has been answered. If
//! the client sends last but expects no answer (WebSocket, HTTP/2 flow control), it looks as if it waited, so its
//! connection is cut at the drain timeout.

use std::cmp::Ordering;
use std::time::Duration;

use crate::model::Tick;

pub use super::moment::would_cost;

/// Time between two looks at a worker that drains.
const PAUSE: Duration = Duration::from_millis(10);

/// Time between two looks while waiting for a quiet moment.
const PAUSE_CHOOSING: Duration = Duration::from_millis(2);

/// The pause is at least this multiple of the cost of a look, so that many connections do not keep a CPU busy.
const PART: u32 = 5;

/// The pause is no longer than this, or than a look that costs more.
const LONGEST: Duration = Duration::from_millis(100);

/// How long to wait for a moment at which no connection has moved for [`SETTLE`]. Clients that send the next request at
/// once never leave such a pause; after this time, a moment is enough at which the stop costs no request.
const LULL: Duration = Duration::from_millis(500);

/// How long to wait for a quiet moment if the program catches the stop signal. The program may finish its requests
/// itself, but the default handlers of Node, Go and Java only end the process.
const CATCHING: Duration = Duration::from_secs(2);

/// Number of looks in a row that must pass. In a single look, a connection may be on its way from the queue to the
/// worker, or be missed by the kernel's walk through its tables.
pub const ROW: u32 = 5;

/// Minimal duration of such a row if the connections are not visible: a client repeats the last step of its
/// handshake after this time, and most requests are shorter.
pub const BLIND: Duration = Duration::from_secs(1);

/// A connection with traffic in this last period is busy: a program may write its answer in parts, and in the middle of
/// a TLS handshake the client may need time to calculate.
pub const SETTLE: Duration = Duration::from_millis(20);

/// A client that has connected but sent nothing within this time keeps the connection in reserve; before, it is about
/// to send a request.
pub const NEWBORN: Duration = Duration::from_millis(100);

/// If a request and the last answer lie within one step of the kernel's clock and nothing shows which came first, the
/// request is assumed to be later for this time; see [`at_work`].
pub const DOUBT: Duration = Duration::from_millis(500);

/// SYN-ACKs that a client may leave unacknowledged before its handshake is given up. The third would be sent 3 s after
/// the SYN, and a client that has not acknowledged the second is mostly gone (a port scan, a phone without network).
/// The kernel gives up only after a minute, so the drain of a public port would always last until its timeout.
const ANSWERS: u8 = 2;

/// The result of one look at a worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Connections that wait in its listener's accept queue, and UDP sockets in which datagrams wait.
    pub queued: u32,
    /// Whether a handshake is still in progress that began before new connections were steered away from the worker.
    pub handshakes: bool,
    /// Connections that the worker holds.
    pub open: u32,
    /// Held connections that are busy.
    pub busy: u32,
    /// Held connections on which the end of the worker would cost a request now, see [`would_cost`].
    pub costs: u32,
    /// Whether the kernel reported all connections. If not, `open` and `busy` count those that were seen anyway.
    pub visible: bool,
    /// Whether some process of the worker cannot be inspected, so that `open`, `busy` and `costs` take in the connections
    /// whose process cannot be seen.
    pub hidden: bool,
    /// How many connections that are.
    pub unseen: u32,
    /// How long the row of passed looks must be at least: the worker may work at something that cannot be seen from
    /// outside. A datagram leaves the queue when the program reads it, before it is answered.
    pub least: Duration,
}

impl Look {
    /// The worker is verifiably quiet: nothing would be lost.
    pub fn is_quiet(&self) -> bool {
        self.visible && Aim::Quiet.passes(self)
    }
}

/// The state that a drain waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aim {
    /// No connection is left.
    Empty,
    /// No connection is busy.
    Quiet,
    /// No connection would lose a request at this moment, according to the kernel's counters. Clients that send the
    /// next request at once never leave a longer pause.
    Painless,
}

impl Aim {
    /// Whether the look shows this state. If the connections are not visible, only the queue and the handshakes decide.
    pub fn passes(self, look: &Look) -> bool {
        let nothing = match self {
            Self::Empty => !look.handshakes && look.open == 0,
            Self::Quiet => look.busy == 0,
            Self::Painless => look.costs == 0,
        };
        look.queued == 0 && nothing
    }
}

/// How a worker handles its stop signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// A handler runs, or the program fetches the signal itself (sigwait(3), signalfd(2)).
    Caught,
    /// The signal is ignored.
    Ignored,
    /// The default action of signal(7); for most signals it ends the process at once.
    Default,
    /// The disposition cannot be read.
    Unknown,
}

/// How long to wait for a moment at which the end of a worker costs no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Until then, only a moment without any traffic is accepted.
    settled_until: Tick,
    /// The end of the wait.
    until: Tick,
}

impl Patience {
    /// For a worker that handles its stop signal with `disposition`, from `now` to `limit` at most. `None` if the
    /// signal does not end the process or if that is unknown, because then no moment is better than another.
    pub fn new(disposition: Disposition, now: Tick, limit: Tick) -> Option<Self> {
        let until = match disposition {
            Disposition::Default => limit,
            Disposition::Caught => now.after(CATCHING).min(limit),
            Disposition::Ignored | Disposition::Unknown => return None,
        };
        Some(Self {
            settled_until: now.after(LULL),
            until,
        })
    }

    /// The end of the wait.
    pub fn until(self) -> Tick {
        self.until
    }

    /// The state that is required at `now`.
    pub fn aim(self, now: Tick) -> Aim {
        if self.settled_until > now {
            Aim::Quiet
        } else {
            Aim::Painless
        }
    }
}

/// Returns the pause after a look that cost so much CPU time. It is shorter while waiting for a quiet moment
/// (`choosing`). A row of looks lasts no longer than the drain deserves: the pause is bounded, but looks take no more
/// than half of the time.
pub fn pause(choosing: bool, cost: Duration) -> Duration {
    let least = if choosing { PAUSE_CHOOSING } else { PAUSE };
    let most = LONGEST.max(cost);
    least.max(cost.saturating_mul(PART).min(most))
}

/// The drain of one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    aim: Aim,
    row: u32,
    /// Start of the current row of passed looks.
    since: Tick,
    /// Whether the connections were visible in the looks of the row.
    visible: bool,
}

impl Drain {
    /// Starts with no passed look.
    pub fn new(aim: Aim) -> Self {
        Self {
            aim,
            row: 0,
            since: Tick::default(),
            visible: false,
        }
    }

    /// Records a look at `now`. Returns true once [`ROW`] looks of one kind have passed in a row, for at least the time
    /// that the look names, and for at least [`BLIND`] if the connections are not visible.
    pub fn look(&mut self, now: Tick, look: &Look) -> bool {
        if !self.aim.passes(look) || look.visible != self.visible {
            self.row = 0;
        }
        self.visible = look.visible;
        if self.aim.passes(look) {
            if self.row == 0 {
                self.since = now;
            }
            self.row = self.row.saturating_add(1);
        }
        let lasted = now.since(self.since);
        self.row >= ROW && lasted >= look.least && (look.visible || lasted >= BLIND)
    }
}

/// One connection that a worker holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Neither side has closed its sending direction.
    pub established: bool,
    /// Bytes that the worker has not read.
    pub unread: u32,
    /// Bytes that the worker has written and the client has not acknowledged.
    pub unsent: u32,
    /// The traffic so far; `None` if unknown.
    pub past: Option<Past>,
}

/// The traffic of a connection. The times are ages in steps of the kernel's clock (up to 10 ms), all measured at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Past {
    /// Time since data was last sent; the age of the connection if none was sent.
    pub sent: Duration,
    /// Time since data was last received; the age of the connection if none was received.
    pub received: Duration,
    /// Time since the last acknowledgement by the client.
    pub acknowledged: Duration,
    /// Total bytes received, and total bytes acknowledged by the client; `None` if the kernel does not count them.
    pub bytes: Option<(u64, u64)>,
    /// Whether some written bytes have not been sent yet; `None` if the kernel does not count them.
    pub waiting: Option<bool>,
}

/// Whether a request may be in progress on a connection, so that the worker's end would lose it.
///
/// Data that was received after the last sent data is a request without its answer, in whole or in part. If both are
/// within one step of the clock, other facts show the order. If nothing was ever sent, it is the first request. If the
/// client has acknowledged data since, that was the answer, because a client that continues at once acknowledges with
/// its next request. Otherwise, either the client acknowledged the answer at once and is idle now, or its next request
/// was as fast, which needs a client on the same machine or in the same rack. After [`DOUBT`] the former is assumed, so
/// the latter is missed only if its request takes longer than that.
///
/// Without traffic data every open connection counts as busy. This is safe, but the drain lasts until its timeout if
/// clients keep connections open.
pub fn at_work(connection: &Connection) -> bool {
    if !connection.established || connection.unread > 0 || connection.unsent > 0 {
        return true;
    }
    let Some(past) = connection.past else {
        return true;
    };
    let exchanged = past.sent.min(past.received);
    if exchanged.min(past.acknowledged) < SETTLE {
        return true;
    }
    match past.bytes {
        // The client never sent anything. If the server did, it is the client's turn since then.
        Some((0, _)) => return exchanged < NEWBORN,
        Some((_, 0)) => return true,
        Some(_) | None => {}
    }
    match past.received.cmp(&past.sent) {
        Ordering::Less => true,
        Ordering::Greater => false,
        Ordering::Equal => past.acknowledged >= past.received && past.received < DOUBT,
    }
}

/// Whether a handshake may still become a connection, after its SYN-ACK was repeated `again` times.
pub fn may_complete(again: u8) -> bool {
    again < ANSWERS
}

#[cfg(test)]
mod tests;
