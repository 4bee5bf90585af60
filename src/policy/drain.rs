//! When a worker has nothing left to lose: what one look at its connections means, and how many looks it takes.
//!
//! | it shall be | a look passes when |
//! |---|---|
//! | empty (a reload: it gets nothing new any more) | no connection waits, no handshake is under way, none is open |
//! | quiet (a stop: clients may keep theirs open) | no connection waits, none is at work |
//!
//! What cannot be told from outside: an answer that pauses between its parts for longer than [`SETTLE`] looks like one
//! that is over, and so does one of several requests that share a connection (HTTP/2, pipelining) once another one of
//! them was answered. A client that speaks last though nothing is owed to it (WebSocket, the frames by which HTTP/2
//! controls its flow) looks as if it waited, and its connection is cut by the drain's cap.

use std::cmp::Ordering;
use std::time::Duration;

use crate::model::Tick;

pub use super::moment::would_cost;

/// Between two looks at a worker that drains.
const PAUSE: Duration = Duration::from_millis(10);

/// Between two looks for a quiet moment.
const PAUSE_CHOOSING: Duration = Duration::from_millis(2);

/// Looks may take this part of the time, where there are so many connections that one look takes long.
const PART: u32 = 5;

/// How long a moment is awaited in which no connection has moved for [`SETTLE`]. Clients that ask again at once never
/// leave one; after that time a moment is enough at which the end costs no request.
const LULL: Duration = Duration::from_millis(500);

/// How long a moment is awaited for a program that catches the stop signal. It may finish its requests itself; but the
/// handlers that Node, Go and Java install by default only end the process.
const CATCHING: Duration = Duration::from_secs(2);

/// Looks in a row that must pass: a connection may be on its way from the queue to its worker, or be missed by the
/// kernel's walk through its tables, in one of them.
pub const ROW: u32 = 5;

/// How long such a row must be where the worker's connections cannot be seen: a client repeats the last step of its
/// handshake after that time, and most requests take less.
pub const BLIND: Duration = Duration::from_secs(1);

/// A connection on which anything moved so recently is at work: a program may write its answer in parts, and in the
/// middle of a TLS handshake it is the client's turn for as long as it calculates.
pub const SETTLE: Duration = Duration::from_millis(20);

/// A client that has connected and not spoken yet is about to. One that takes longer keeps a connection in reserve.
pub const NEWBORN: Duration = Duration::from_millis(100);

/// How long it is believed that a request came after the last answer, where both were within one step of the kernel's
/// clock and nothing shows which was first; see [`at_work`].
pub const DOUBT: Duration = Duration::from_millis(500);

/// Answers to its call that a client may leave unacknowledged until it is given up: the third would come 3 s after the
/// call, and who has not even taken the second is mostly gone (a scan, a telephone in a tunnel). Until the kernel gives
/// up, a minute passes, and no drain of a port that is open to the world would ever end before its cap.
const ANSWERS: u8 = 2;

/// What one look at a worker showed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Connections that wait in its listener's accept queue.
    pub queued: u32,
    /// Whether a handshake that began before it left the steering is still under way.
    pub handshakes: bool,
    /// Connections that it holds.
    pub open: u32,
    /// Those of them that are at work.
    pub busy: u32,
    /// Those of them on which the end of the worker would cost a request now, see [`would_cost`].
    pub costs: u32,
    /// Whether its connections could be seen. If not, `open` and `busy` count what was seen nevertheless.
    pub visible: bool,
}

impl Look {
    /// The worker has nothing to lose, and this was seen, not guessed.
    pub fn is_quiet(&self) -> bool {
        self.visible && Aim::Quiet.passes(self)
    }
}

/// What a drain waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aim {
    /// No connection is left.
    Empty,
    /// No connection is at work.
    Quiet,
    /// No connection would lose a request, as far as the kernel's counters tell of this very moment. Clients that ask
    /// again at once never leave a longer pause.
    Painless,
}

impl Aim {
    /// Where connections cannot be seen, none is counted, so that the queue and the handshakes alone decide.
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
    /// Until then only a moment will do in which nothing moves.
    settled_until: Tick,
    /// Then the wait is over.
    until: Tick,
}

impl Patience {
    /// For a worker that does `disposition` with its stop signal, from `now` to `limit` at most. `None`: the signal
    /// ends nothing, or nobody knows, so that no moment is better than another.
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

    /// When the wait is over.
    pub fn until(self) -> Tick {
        self.until
    }

    /// Which moment will do at `now`.
    pub fn aim(self, now: Tick) -> Aim {
        if self.settled_until > now {
            Aim::Quiet
        } else {
            Aim::Painless
        }
    }
}

/// How long to pause after a look that took `cost`; shorter while a quiet moment is looked for (`choosing`).
pub fn pause(choosing: bool, cost: Duration) -> Duration {
    let least = if choosing { PAUSE_CHOOSING } else { PAUSE };
    least.max(cost.saturating_mul(PART))
}

/// One worker's drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    aim: Aim,
    row: u32,
    /// When the row began.
    since: Tick,
    /// Whether the looks of the row saw the connections.
    visible: bool,
}

impl Drain {
    /// No look has passed yet.
    pub fn new(aim: Aim) -> Self {
        Self {
            aim,
            row: 0,
            since: Tick::default(),
            visible: false,
        }
    }

    /// Takes a look of that moment into account; true once [`ROW`] of one kind have passed in a row, and for as long as
    /// [`BLIND`] where the connections could not be seen.
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
        self.row >= ROW && (look.visible || now.since(self.since) >= BLIND)
    }
}

/// One connection that a worker holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Neither side has ended its half.
    pub established: bool,
    /// Bytes that the worker has not read.
    pub unread: u32,
    /// Bytes that the worker has written and the client has not acknowledged.
    pub unsent: u32,
    /// What went over it before; `None` if that cannot be told.
    pub past: Option<Past>,
}

/// What went over a connection. The times are ages in steps of the kernel's clock (up to 10 ms), all of one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Past {
    /// Since data was last sent; the age of the connection if none was.
    pub sent: Duration,
    /// Since data last came; the age of the connection if none did.
    pub received: Duration,
    /// Since the client last acknowledged something.
    pub acknowledged: Duration,
    /// Bytes that ever came, and bytes of ours that ever reached the client, if these are counted.
    pub bytes: Option<(u64, u64)>,
    /// Whether bytes that were written have not even been sent yet, if that is counted.
    pub waiting: Option<bool>,
}

/// Whether a request may be in work on a connection, so that the worker's end would cost it.
///
/// Data that came after the last data went out is a request without its answer, whole or in part. If both were within
/// one step of the clock, the order shows in what else is known. Nothing was ever sent: it is the first request. The
/// client has acknowledged something since: that was the answer, since a client that goes on at once acknowledges by
/// its next request. Otherwise either the client acknowledged the answer at once and went to sleep, or its next request
/// was as fast as that, which takes a client on the same machine or in the same rack; after [`DOUBT`] the former is
/// assumed, so that the latter is missed only if its request then takes longer than that.
///
/// Without a past every open connection counts as at work: the safe side, at the price of waiting for the cap where
/// clients keep theirs open.
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
        // The client never spoke. If the server did, it is the client's turn since then.
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

/// Whether a handshake may still become a connection, when the answer to its call was sent `again` so often.
pub fn may_complete(again: u8) -> bool {
    again < ANSWERS
}

#[cfg(test)]
#[path = "drain_tests.rs"]
mod tests;
