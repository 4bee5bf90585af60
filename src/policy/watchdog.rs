//! Watches workers that promised regular watchdog messages.

use std::time::Duration;

use crate::model::Tick;

use super::notify::{FOR_EVER, Message, microseconds};

/// The watchdog of one worker (sd_watchdog_enabled(3)). It runs from READY=1 or the first WATCHDOG=1 on, as soon as a
/// timeout is known. Each WATCHDOG=1 moves the deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watchdog {
    timeout: Option<Duration>,
    running: bool,
    due: Option<Tick>,
    /// The worker reported that it is broken.
    triggered: bool,
}

impl Watchdog {
    /// Starts with the timeout that the worker finds as WATCHDOG_USEC in its environment (see [`preset`]). `None`:
    /// there is no watchdog unless the worker sends a timeout.
    pub fn new(timeout: Option<Duration>) -> Self {
        Self {
            timeout: timeout.filter(|timeout| !timeout.is_zero()),
            running: false,
            due: None,
            triggered: false,
        }
    }

    /// Processes a message of the worker.
    pub fn hear(&mut self, now: Tick, message: &Message) {
        match message {
            Message::Ready if self.running => {}
            Message::Ready | Message::Watchdog => self.rearm(now),
            Message::WatchdogTimeout(timeout) => {
                self.timeout = Some(*timeout).filter(|timeout| !timeout.is_zero());
                // A slow start is not a missing message.
                if self.running {
                    self.rearm(now);
                }
            }
            Message::WatchdogTrigger => self.triggered = true,
            Message::Stopping
            | Message::Reloading
            | Message::Status(_)
            | Message::ExtendTimeout(_) => {}
        }
    }

    fn rearm(&mut self, now: Tick) {
        self.running = true;
        self.due = self.timeout.map(|timeout| now.after(timeout));
    }

    /// When the watchdog expires without a further message; `None` if it does not run.
    pub fn deadline(&self) -> Option<Tick> {
        self.due
    }

    /// Whether the worker was silent for too long or reported that it is broken.
    pub fn expired(&self, now: Tick) -> bool {
        self.triggered || self.due.is_some_and(|due| due <= now)
    }
}

/// The timeout from WATCHDOG_USEC in the runtime's own environment (WatchdogSec= of systemd.service(5)). Invalid
/// numbers are ignored, as a program that reads the variable itself would do.
pub fn preset(usec: &str) -> Option<Duration> {
    let timeout = microseconds(usec.as_bytes())?;
    (!timeout.is_zero() && timeout != FOR_EVER).then_some(timeout)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tick(seconds: u64) -> Tick {
        Tick(Duration::from_secs(seconds))
    }

    const TEN: Duration = Duration::from_secs(10);

    #[test]
    fn it_runs_from_ready_on_and_each_ping_puts_it_off() {
        let mut watchdog = Watchdog::new(Some(TEN));
        assert_eq!(watchdog.deadline(), None);
        assert!(!watchdog.expired(tick(1000)));
        watchdog.hear(tick(5), &Message::Ready);
        assert_eq!(watchdog.deadline(), Some(tick(15)));
        watchdog.hear(tick(12), &Message::Watchdog);
        // Another READY=1, as after a reload of its own, does not count as a watchdog message.
        watchdog.hear(tick(13), &Message::Ready);
        assert_eq!(watchdog.deadline(), Some(tick(22)));
        assert!(!watchdog.expired(tick(21)));
        assert!(watchdog.expired(tick(22)));
    }

    #[test]
    fn a_timeout_alone_does_not_start_it() {
        let mut watchdog = Watchdog::new(None);
        watchdog.hear(tick(1), &Message::WatchdogTimeout(TEN));
        assert_eq!(watchdog.deadline(), None);
        watchdog.hear(tick(60), &Message::Watchdog);
        assert_eq!(watchdog.deadline(), Some(tick(70)));
    }

    #[test]
    fn the_worker_may_name_change_and_end_its_timeout() {
        let mut watchdog = Watchdog::new(None);
        for said in [Message::Ready, Message::Watchdog] {
            watchdog.hear(tick(1), &said);
            assert_eq!(watchdog.deadline(), None);
        }
        watchdog.hear(tick(2), &Message::WatchdogTimeout(TEN));
        assert_eq!(watchdog.deadline(), Some(tick(12)));
        watchdog.hear(tick(3), &Message::WatchdogTimeout(TEN * 2));
        assert_eq!(watchdog.deadline(), Some(tick(23)));
        watchdog.hear(tick(4), &Message::WatchdogTimeout(Duration::ZERO));
        watchdog.hear(tick(5), &Message::Watchdog);
        assert_eq!(watchdog.deadline(), None);
        assert!(!watchdog.expired(tick(1000)));
    }

    #[test]
    fn a_trigger_is_the_end_at_once() {
        let mut watchdog = Watchdog::new(None);
        watchdog.hear(tick(1), &Message::WatchdogTrigger);
        assert!(watchdog.expired(tick(1)));
        // Watchdog messages from another thread do not repair it.
        watchdog.hear(tick(2), &Message::Watchdog);
        assert!(watchdog.expired(tick(2)));
    }

    #[test]
    fn only_a_timeout_sets_it_up() {
        assert_eq!(preset("20000000"), Some(Duration::from_secs(20)));
        for none in [
            "",
            "0",
            "18446744073709551615",
            "18446744073709551616",
            "+5",
            "5s",
        ] {
            assert_eq!(preset(none), None, "{none}");
        }
    }
}
