//! Workers that read nothing from their channel.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::peer::Peer;
use super::thread::Thread;
use super::{Fault, NodeEvent, Said};

/// How long a worker may read nothing although something waits for it.
const PATIENCE: Duration = Duration::from_secs(30);

impl<F: Fn(NodeEvent)> Thread<F> {
    /// How long the thread may sleep until it must look at a worker that reads nothing.
    pub(super) fn until_look(&self) -> Option<Duration> {
        let now = self.clock.now();
        let stuck = self.peers.values().filter_map(Peer::look_at);
        stuck.min().map(|due| due.since(now))
    }

    /// Looks at the workers that read nothing: their channel may be closed, which the runtime does not see as long as it has
    /// a copy of their end.
    pub(super) fn look_at_stuck(&mut self) {
        let now = self.clock.now();
        let due = |peer: &&mut Peer| peer.look_at().is_some_and(|due| due <= now);
        let mut told = Vec::new();
        for peer in self.peers.values_mut().filter(due) {
            peer.let_end_be_seen(now);
            if peer.stuck_look().is_none_or(|look| look > now) {
                peer.watch(&self.poller);
                continue;
            }
            peer.looks += 1;
            let over = peer.stuck.is_some_and(|since| now.since(since) >= PATIENCE);
            if !peer.has_its_end() {
                peer.closed = true;
                told.push((peer.member, Said::Closed));
            } else if over && !peer.over {
                peer.over = true;
                peer.closed = true;
                self.counts.faults.fetch_add(1, Relaxed);
                told.push((peer.member, Said::Fault(Fault::ReadsNothing)));
            }
            peer.watch(&self.poller);
        }
        for (member, said) in told {
            self.say(member, said);
        }
    }
}
