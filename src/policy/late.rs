//! What a wake-up that comes late says: the runtime was frozen, or it waited for a CPU.

use std::time::Duration;

/// A wake-up that is not later than this is in time.
const MUCH: Duration = Duration::from_secs(1);

/// Why a wake-up came late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Late {
    /// It did not.
    No,
    /// The runtime was suspended for so long (SIGSTOP, a paused container), and so were its workers: a deadline that
    /// passed meanwhile says nothing about them.
    Frozen(Duration),
    /// The runtime was ready to run and waited for a CPU, or worked: a CPU limit, a busy machine. The workers ran in
    /// this time as far as they got a CPU, and whoever stops the container counts it, so the deadlines hold.
    Starved(Duration),
}

impl Late {
    /// Judges a wake-up that came `late`. `active` is the time in which the thread ran or waited for a CPU since it last
    /// read the clock; `None` if the kernel does not tell, and then late is frozen.
    pub fn judge(late: Duration, active: Option<Duration>) -> Self {
        let frozen = late.saturating_sub(active.unwrap_or_default());
        if late <= MUCH {
            Self::No
        } else if frozen > MUCH {
            Self::Frozen(frozen)
        } else {
            Self::Starved(late)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn what_is_late_and_did_nothing_was_frozen() {
        assert_eq!(Late::judge(ms(1000), Some(ms(0))), Late::No);
        assert_eq!(Late::judge(ms(1001), Some(ms(0))), Late::Frozen(ms(1001)));
        // It was frozen, and then it waited for a CPU.
        assert_eq!(Late::judge(ms(9000), Some(ms(500))), Late::Frozen(ms(8500)));
    }

    #[test]
    fn what_waited_for_a_cpu_was_not_frozen() {
        assert_eq!(Late::judge(ms(900), Some(ms(900))), Late::No);
        assert_eq!(
            Late::judge(ms(3000), Some(ms(3000))),
            Late::Starved(ms(3000))
        );
        assert_eq!(
            Late::judge(ms(3000), Some(ms(2000))),
            Late::Starved(ms(3000))
        );
        // The clock was read before the turn, and the turn waited too.
        assert_eq!(
            Late::judge(ms(3000), Some(ms(3400))),
            Late::Starved(ms(3000))
        );
    }

    #[test]
    fn where_waiting_is_not_told_late_is_frozen() {
        assert_eq!(Late::judge(ms(3000), None), Late::Frozen(ms(3000)));
        assert_eq!(Late::judge(ms(300), None), Late::No);
    }
}
