//! What looks and choices may cost: a share of a CPU, however many connections arrive. Counts have their own share.

use std::time::Duration;

/// One part in so many of a CPU: 1.5 %.
const SHARE: u32 = 67;

/// Credit that is saved in quiet times, as CPU time: for some hundred choices in a row.
const MOST: Duration = Duration::from_millis(50);

/// What is owed beyond this is forgotten: one slow look must not silence the balance for long. It is paid in a second.
const MOST_DEBT: Duration = Duration::from_millis(15);

/// From this credit on, each arrival leads to a choice.
const EXACT: Duration = Duration::from_millis(25);

/// From this credit on, each arrival is seen.
const ATTENTIVE: Duration = Duration::from_millis(2);

/// How closely arrivals are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attention {
    /// Some arrivals are missed, and choices come at intervals.
    Blind,
    /// Each arrival is counted, and choices come at intervals.
    Counting,
    /// Each arrival leads to a choice.
    Exact,
}

/// CPU time that may be used. It grows with time and shrinks with use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    credit: Duration,
    /// Used beyond the credit.
    debt: Duration,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            credit: MOST,
            debt: Duration::ZERO,
        }
    }
}

impl Budget {
    /// So much time has passed, and so much CPU time was used in it.
    pub fn passed(&mut self, time: Duration, used: Duration) {
        let have = self.credit.saturating_add(time / SHARE);
        let owed = self.debt.saturating_add(used);
        self.credit = have.saturating_sub(owed).min(MOST);
        self.debt = owed.saturating_sub(have).min(MOST_DEBT);
    }

    /// What the credit allows.
    pub fn attention(&self) -> Attention {
        match self.credit {
            credit if credit >= EXACT => Attention::Exact,
            credit if credit >= ATTENTIVE => Attention::Counting,
            _ => Attention::Blind,
        }
    }

    /// Time until nothing is owed any more.
    pub fn owed(&self) -> Duration {
        self.debt.saturating_mul(SHARE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn credit_is_used_up_and_comes_back_with_time() {
        let mut budget = Budget::default();
        assert_eq!(budget.attention(), Attention::Exact);
        budget.passed(MS * SHARE, MS * 26);
        assert_eq!(budget.attention(), Attention::Exact, "50 + 1 - 26");
        budget.passed(Duration::ZERO, MS);
        assert_eq!(budget.attention(), Attention::Counting);
        budget.passed(Duration::ZERO, MS * 23);
        assert_eq!(budget.attention(), Attention::Blind);
        assert!(budget.owed().is_zero());
        budget.passed(Duration::ZERO, MS * 4);
        assert_eq!(budget.owed(), MS * 3 * SHARE);
        budget.passed(MS * 3 * SHARE, Duration::ZERO);
        assert!(budget.owed().is_zero());
        assert_eq!(budget.attention(), Attention::Blind, "no more than paid");
        budget.passed(MS * 25 * SHARE, Duration::ZERO);
        assert_eq!(budget.attention(), Attention::Exact);
    }

    proptest! {
        /// Whoever uses CPU only while nothing is owed uses at most the share and what was saved, beside its last use.
        #[test]
        fn the_share_is_kept(steps in prop::collection::vec((0_u64..5_000, 0_u64..2_000), 1..400)) {
            let mut budget = Budget::default();
            let (mut time, mut used, mut last) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
            for (pause, cost) in steps {
                let pause = Duration::from_micros(pause).max(budget.owed());
                budget.passed(pause, Duration::ZERO);
                last = Duration::from_micros(cost);
                budget.passed(Duration::ZERO, last);
                time += pause;
                used += last;
            }
            prop_assert!(used <= time / SHARE + MOST + last + Duration::from_micros(1), "{used:?} {time:?}");
        }
    }
}
