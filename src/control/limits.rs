//! Limits on what clients can take from the runtime.

use std::time::Duration;

/// Limits on what clients can take from the runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Clients at the same time. For a further one, one that waits has to leave.
    pub clients: usize,
    /// So many of them are for root only.
    pub root: usize,
    /// Bytes of a request.
    pub line: usize,
    /// Time for a request to arrive, and so the longest pause between two.
    pub request: Duration,
    /// Time for a client to take its answer.
    pub answer: Duration,
    /// Requests that a client may send as fast as they are answered. Before each further one there is a pause.
    pub burst: u32,
    /// That pause.
    pub pause: Duration,
    /// The same for all clients together.
    pub burst_of_all: u32,
    /// That pause.
    pub pause_of_all: Duration,
    /// Bytes of a stream that are sent together.
    pub page: usize,
    /// Memory of the kernel for what the client of a stream has not taken yet, bytes.
    pub held: usize,
    /// So many pages of all streams go out as fast as they are taken. Before each further one there is a pause.
    pub burst_of_pages: u32,
    /// That pause.
    pub pause_of_pages: Duration,
    /// Time for new items of a stream to gather before they are sent.
    pub gather: Duration,
    /// Peers that are refused as fast as they come. After each further one, nobody is accepted for a pause.
    pub refusals: u32,
    /// That pause.
    pub refusal_pause: Duration,
    /// Pause after a failed accept.
    pub accept_retry: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            clients: 128,
            root: 16,
            line: 16 << 10,
            request: Duration::from_secs(10),
            answer: Duration::from_secs(5),
            burst: 32,
            pause: Duration::from_millis(50),
            burst_of_all: 256,
            pause_of_all: Duration::from_millis(5),
            page: 8 << 10,
            held: 64 << 10,
            burst_of_pages: 64,
            pause_of_pages: Duration::from_millis(1),
            gather: Duration::from_millis(20),
            refusals: 100,
            refusal_pause: Duration::from_millis(10),
            accept_retry: Duration::from_millis(200),
        }
    }
}

impl Limits {
    /// The default limits, or fewer clients where only this many descriptors can be open: not more than a sixteenth of
    /// them, because the workers need descriptors too.
    pub fn within(descriptors: u64) -> Self {
        let limits = Self::default();
        let most = usize::try_from(descriptors / 16).unwrap_or(usize::MAX);
        let clients = limits.clients.min(most.max(4));
        let root = limits.root.min(clients / 4);
        Self {
            clients,
            root,
            ..limits
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_descriptors_leave_few_places_and_root_has_some_of_them() {
        let places = |files| {
            let limits = Limits::within(files);
            (limits.clients, limits.root)
        };
        assert_eq!(places(u64::MAX), (128, 16));
        assert_eq!(places(2048), (128, 16));
        assert_eq!(places(1024), (64, 16));
        assert_eq!(places(256), (16, 4));
        assert_eq!(places(0), (4, 1));
    }
}
