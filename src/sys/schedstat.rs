//! How long a thread ran and waited for a CPU, as the scheduler counts it (sched-stats of the kernel's documentation).

use std::cell::OnceCell;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Duration;

/// The time in which one thread was active: it ran, or it was ready to run and waited for a CPU. This does not grow
/// while the thread sleeps or is suspended.
#[derive(Debug, Default)]
pub struct Activity {
    /// `None` if the kernel does not count it. Opened at the first use.
    file: OnceCell<Option<File>>,
}

impl Activity {
    /// The activity so far, of the thread that asked first; `None` if the kernel does not tell.
    pub fn so_far(&self) -> Option<Duration> {
        let open = || File::open("/proc/thread-self/schedstat").ok();
        let mut text = [0; 128];
        let file = self.file.get_or_init(open).as_ref()?;
        let length = file.read_at(&mut text, 0).ok()?;
        sum(text.get(..length)?)
    }
}

/// Adds the first two numbers: ns on a CPU, and ns on a run queue.
fn sum(text: &[u8]) -> Option<Duration> {
    let mut numbers = std::str::from_utf8(text).ok()?.split_ascii_whitespace();
    let mut next = || numbers.next()?.parse::<u64>().ok();
    let (ran, waited) = (next()?, next()?);
    Some(Duration::from_nanos(ran).saturating_add(Duration::from_nanos(waited)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::clock::Clock;
    use crate::sys::testing::until;

    #[test]
    fn the_first_two_numbers_are_the_activity() {
        assert_eq!(sum(b"1500 2500 7\n"), Some(Duration::from_micros(4)));
        // Without CONFIG_SCHED_INFO there are zeros.
        assert_eq!(sum(b"0 0 0\n"), Some(Duration::ZERO));
        for odd in [&b""[..], b"1", b"x 2 3", b"\xff 1 1"] {
            assert_eq!(sum(odd), None);
        }
    }

    #[test]
    fn sleep_is_no_activity() {
        let activity = Activity::default();
        let begin = activity.so_far().unwrap();
        until("work is counted", || activity.so_far().unwrap() > begin);
        // The clock runs first, so that a wait for a CPU between the two is no activity.
        let clock = Clock::start();
        let before = activity.so_far().unwrap();
        let (_tell, told) = std::sync::mpsc::channel::<()>();
        let wait = Duration::from_millis(200);
        assert!(told.recv_timeout(wait).is_err());
        let active = activity.so_far().unwrap().saturating_sub(before);
        let slept = clock.now().0;
        assert!(slept >= wait);
        assert!(active + wait / 2 <= slept, "{active:?} of {slept:?}");
    }
}
