//! The counters that users and tests see.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::{Arrivals, Seen};
use crate::model::Tick;

const NOW: Tick = Tick(Duration::from_secs(1));

#[test]
fn what_was_seen_is_told_only_when_a_choice_rests_on_it() {
    let mut arrivals = Arrivals::follow();
    arrivals.begin(0);
    arrivals.arrived(0, 2, NOW);
    assert_eq!(arrivals.told(), Seen::default());
    arrivals.chosen();
    let seen = |arrivals, counts| Seen { arrivals, counts };
    assert_eq!(arrivals.told(), seen(2, 0));
    let count = |arrivals: &mut Arrivals, exact| {
        let open = BTreeMap::from([(0, Some(2))]);
        arrivals.counted((NOW, Duration::ZERO), &open, exact);
    };
    count(&mut arrivals, true);
    assert_eq!(arrivals.told(), seen(2, 0));
    arrivals.arrived(0, 1, NOW);
    arrivals.chosen();
    assert_eq!(arrivals.told(), seen(3, 1));
    count(&mut arrivals, false);
    arrivals.chosen();
    assert_eq!(arrivals.told(), seen(3, 1), "a count that was not used");
}

#[test]
fn without_following_nothing_was_seen() {
    let mut arrivals = Arrivals::default();
    arrivals.arrived(0, 2, NOW);
    arrivals.chosen();
    assert_eq!(arrivals.told(), Seen::default());
}
