//! What the balance may cost: a share of a CPU, however many connections arrive.

use std::time::Duration;

/// One part in so many of a CPU: 2 %.
const SHARE: u32 = 50;

/// Credit that is saved in quiet times, as CPU time: for some hundred choices in a row.
const MOST: Duration = Duration::from_millis(50);

/// From this credit on, each arrival leads to a choice.
const EXACT: Duration = Duration::from_millis(25);

/// From this credit on, each arrival is seen.
const ATTENTIVE: Duration = Duration::from_millis(2);

/// How closely arrivals are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
        self.debt = owed.saturating_sub(have);
    }

    /// What the credit allows, if so much is kept for what comes next.
    pub fn attention(&self, kept: Duration) -> Attention {
        match self.credit.saturating_sub(kept.min(MOST / 2)) {
            credit if credit >= EXACT => Attention::Exact,
            credit if credit >= ATTENTIVE => Attention::Counting,
            _ => Attention::Blind,
        }
    }

    /// Whether something that costs so much is within the credit, and arrivals can be seen after it.
    pub fn affords(&self, cost: Duration) -> bool {
        // What costs more than can ever be saved is done from a full credit.
        self.credit >= cost.saturating_add(ATTENTIVE).min(MOST)
    }

    /// Time until nothing is owed any more.
    pub fn owed(&self) -> Duration {
        self.debt.saturating_mul(SHARE)
    }

    /// Time until [`Self::affords`] says yes, if nothing is used meanwhile.
    pub fn until_affords(&self, cost: Duration) -> Duration {
        let wanted = cost.saturating_add(ATTENTIVE).min(MOST);
        let missing = wanted.saturating_sub(self.credit).saturating_add(self.debt);
        missing.saturating_mul(SHARE)
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
        let attention = |budget: &Budget| budget.attention(Duration::ZERO);
        assert_eq!(attention(&budget), Attention::Exact);
        budget.passed(MS * 50, MS * 26);
        assert_eq!(attention(&budget), Attention::Exact, "50 + 1 - 26");
        assert_eq!(budget.attention(MS), Attention::Counting, "a part is kept");
        budget.passed(Duration::ZERO, MS);
        assert_eq!(attention(&budget), Attention::Counting);
        budget.passed(Duration::ZERO, MS * 23);
        assert_eq!(attention(&budget), Attention::Blind);
        budget.passed(Duration::ZERO, MS * 4);
        budget.passed(MS * 150, Duration::ZERO);
        assert_eq!(
            attention(&budget),
            Attention::Blind,
            "what was owed is paid"
        );
        budget.passed(MS * 1_250, Duration::ZERO);
        assert_eq!(attention(&budget), Attention::Exact);
    }

    #[test]
    fn what_costs_more_than_can_be_saved_is_done_from_a_full_credit() {
        let mut budget = Budget::default();
        assert!(budget.affords(MS * 90) && budget.until_affords(MS * 90).is_zero());
        budget.passed(Duration::ZERO, MS * 90);
        assert!(!budget.affords(Duration::ZERO));
        assert_eq!(budget.until_affords(MS), MS * 50 * 43, "40 are owed");
        assert_eq!(budget.until_affords(MS * 90), MS * 50 * 90);
        budget.passed(budget.until_affords(MS), Duration::ZERO);
        assert!(budget.affords(MS) && !budget.affords(MS * 2));
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
