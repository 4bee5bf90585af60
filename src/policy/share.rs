//! A share of the workers: a number or a percentage.

use std::fmt;

use super::MAX_INSTANCES;

/// RPM_RELOAD_SURGE, RPM_RELOAD_UNAVAILABLE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// A number of workers.
    Number(u16),
    /// A percentage; may be above 100.
    Percent(u16),
}

impl Share {
    /// The number of workers for `n` workers in total; at most [`MAX_INSTANCES`].
    pub fn of(self, n: u16, round_up: bool) -> u16 {
        let count = match self {
            Self::Number(count) => u32::from(count),
            Self::Percent(percent) => {
                let hundredths = u32::from(n) * u32::from(percent);
                if round_up {
                    hundredths.div_ceil(100)
                } else {
                    hundredths / 100
                }
            }
        };
        u16::try_from(count)
            .unwrap_or(MAX_INSTANCES)
            .min(MAX_INSTANCES)
    }

    /// Whether it is zero for any number of workers.
    pub fn is_zero(self) -> bool {
        matches!(self, Self::Number(0) | Self::Percent(0))
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(count) => count.fmt(f),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

/// How many workers a reload of `n` workers may have in addition, and how many may be missing. The first is rounded up;
/// the second is rounded down and at most `n`. If both are 0, as for 10 % of 4, one worker may be missing, because a
/// reload must be able to continue.
pub fn allowance(surge: Share, unavailable: Share, n: u16) -> (u16, u16) {
    match (surge.of(n, true), unavailable.of(n, false).min(n)) {
        (0, 0) => (0, 1),
        both => both,
    }
}

#[cfg(test)]
mod tests {
    use super::Share::{Number, Percent};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn percentages_are_rounded_as_asked() {
        let table = [
            (Number(3), 2, 3, 3),
            (Percent(25), 4, 1, 1),
            (Percent(25), 5, 2, 1),
            (Percent(1), 1, 1, 0),
            (Percent(100), 512, 512, 512),
            (Percent(150), 3, 5, 4),
            (Percent(1000), 512, 512, 512),
            (Percent(0), 512, 0, 0),
            (Number(u16::MAX), 1, 512, 512),
        ];
        for (share, n, up, down) in table {
            assert_eq!(share.of(n, true), up, "{share:?} of {n}, up");
            assert_eq!(share.of(n, false), down, "{share:?} of {n}, down");
        }
    }

    #[test]
    fn a_reload_can_always_go_on() {
        assert_eq!(allowance(Number(1), Number(0), 4), (1, 0));
        assert_eq!(allowance(Number(0), Percent(50), 4), (0, 2));
        assert_eq!(allowance(Percent(25), Percent(25), 4), (1, 1));
        assert_eq!(allowance(Number(0), Percent(10), 4), (0, 1));
        assert_eq!(allowance(Number(0), Number(7), 4), (0, 4));
    }

    proptest! {
        #[test]
        fn an_allowance_has_bounds(a in 0_u16..2000, b in 0_u16..2000, percent: bool, n in 1_u16..=512) {
            let share = |part| if percent { Percent(part) } else { Number(part) };
            let (surge, unavailable) = allowance(share(a), share(b), n);
            prop_assert!(surge <= MAX_INSTANCES && unavailable <= n && surge + unavailable > 0);
        }
    }
}
