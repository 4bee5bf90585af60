//! Shows others what the hand-over thread does.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::policy::heartbeat::Beat;

const ENDED: u64 = u64::MAX;

/// Counts how often the thread begins to work and to rest: the number is odd while it works.
#[derive(Clone, Debug, Default)]
pub(super) struct Pulse(Arc<AtomicU64>);

impl Pulse {
    pub(super) fn works(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn rests(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn beat(&self) -> Beat {
        match self.0.load(Ordering::Relaxed) {
            ENDED => Beat::Ended,
            round if round % 2 == 1 => Beat::Works(round),
            _ => Beat::Rests,
        }
    }

    /// To be dropped when the thread ends, for whatever reason. Then calls `tell`.
    pub(super) fn end(&self, tell: impl Fn() + Send + 'static) -> End {
        End {
            pulse: self.clone(),
            tell: Box::new(tell),
        }
    }
}

/// The thread lives as long as this.
pub(super) struct End {
    pulse: Pulse,
    tell: Box<dyn Fn() + Send>,
}

impl fmt::Debug for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("End").finish_non_exhaustive()
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.pulse.0.store(ENDED, Ordering::Relaxed);
        (self.tell)();
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;
    use std::sync::mpsc::channel;

    use nix::sys::socket::{Shutdown, shutdown};

    use super::*;
    use crate::policy::steering::Balance;
    use crate::ports::testing::{PATIENCE, open};
    use crate::ports::{BindServer, PortEvent};

    #[test]
    fn a_thread_shows_whether_it_works() {
        let pulse = Pulse::default();
        assert_eq!(pulse.beat(), Beat::Rests);
        pulse.works();
        assert_eq!(pulse.beat(), Beat::Works(1));
        pulse.rests();
        assert_eq!(pulse.beat(), Beat::Rests);
        pulse.works();
        assert_eq!(pulse.beat(), Beat::Works(3));
    }

    #[test]
    fn the_end_of_the_thread_is_told_whatever_ends_it() {
        let (ports, key) = open(41, 1, Balance::Random, 1024);
        let (tell, told) = channel();
        let server = BindServer::start(ports.clone(), std::time::Duration::ZERO, move |event| {
            assert!(!matches!(event, PortEvent::Repaired { .. }), "made up");
            tell.send(event).unwrap();
        });
        let server = server.unwrap();
        ports.each_listener(key, |fd| {
            // The spare does not listen.
            let _ = shutdown(fd.as_raw_fd(), Shutdown::Read);
        });
        assert_eq!(told.recv_timeout(PATIENCE), Ok(PortEvent::ServerEnded));
        assert_eq!(server.beat(), Beat::Ended);
    }
}
