//! Random walks of `policy::Fleet` against a fake system. After each step the invariants are checked against
//! independent books, which are kept without the fleet's help. More than a million steps in all; `PROPTEST_CASES`
//! raises the number of walks.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]
#![allow(
    clippy::large_types_passed_by_value,
    reason = "a copy of a life is what it was"
)]

#[path = "fleet/books.rs"]
mod books;
#[path = "fleet/calm.rs"]
mod calm;
#[path = "fleet/chance.rs"]
mod chance;
#[path = "fleet/moves.rs"]
mod moves;
#[path = "fleet/system.rs"]
mod system;
#[path = "fleet/tally.rs"]
mod tally;
#[path = "fleet/turn.rs"]
mod turn;
#[path = "fleet/world.rs"]
mod world;

use std::cell::RefCell;

use proptest::test_runner::{Config, TestRunner};

use chance::{Mix, Walk};
use system::System;
use tally::{Tally, Totals};
use world::World;

/// Turns of the fleet in each of the four tests, with the usual number of walks.
const STEPS: u64 = 250_000;

/// Runs as many fleets, one after the other, as the moves allow.
fn walks(walk: Walk) -> (Tally, u64) {
    let mut tally = Tally::default();
    let mut steps = 0;
    let mut moves = walk.moves.into_iter().peekable();
    while moves.peek().is_some() {
        let system = System::new(walk.fates.clone());
        let params = walk.params.clone();
        let mut world = World::new(params, system, walk.sees_groups_end, walk.jitter.clone());
        while !world.finished()
            && let Some(step) = moves.next()
        {
            world.step(step);
        }
        world.end();
        steps += world.turns();
        tally.add(world.tally());
    }
    (tally, steps)
}

/// Runs walks of this kind. Each event of `least` must happen in at least its percentage of them: at least five standard
/// deviations below the usual share (15 points near 50 %), so that chance alone does not fail the test.
fn walk(mix: &Mix, least: &[(&str, u64)]) {
    let config = Config::with_source_file(file!());
    let usual = config.cases >= 256;
    let totals = RefCell::new(Totals::default());
    let mut runner = TestRunner::new(config);
    let result = runner.run(&chance::walk(mix), |walk| {
        let (tally, steps) = walks(walk);
        totals.borrow_mut().add(&tally, steps);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    let totals = totals.into_inner();
    if usual {
        assert!(totals.steps >= STEPS, "{} steps", totals.steps);
        totals.show(least);
    }
}

#[test]
fn whatever_happens_the_fleet_keeps_its_promises() {
    walk(
        &Mix::anything(),
        &[
            ("reload", 75),
            ("reload: success", 40),
            ("reload: failure", 60),
            ("reload: superseded", 45),
            ("remembered reload", 45),
            ("taken over", 30),
            ("taken away", 30),
            ("answered too late", 25),
            ("drain: empty", 25),
            ("drain: exited", 15),
            ("drain: timeout", 20),
            ("last scrape", 30),
            ("resumed", 5),
            ("drain before the stop", 25),
            ("scale up", 60),
            ("scale down", 60),
            ("scale down in a reload", 20),
            ("granted more", 42),
            ("granted less", 36),
            ("out of steering", 45),
            ("out of memory", 60),
            ("given up", 45),
            ("undead", 45),
            ("stale word", 70),
            ("started by hand", 10),
            ("halted", 60),
            ("halted in a reload", 12),
            ("halted, then started", 12),
            ("rest", 65),
        ],
    );
}

#[test]
fn a_program_that_mostly_works_is_replaced_while_it_serves() {
    walk(
        &Mix::works(),
        &[
            ("reload", 80),
            ("reload: success", 55),
            ("reload: failure half-way", 55),
            ("reload: superseded", 55),
            ("remembered reload", 60),
            ("successor", 45),
            ("successor ended", 15),
            ("successor cannot be forked", 15),
            ("taken over", 40),
            ("left first", 5),
            ("gave way", 2),
            ("replaced in its start", 5),
            ("drain: empty", 30),
            ("drain: chooses", 30),
            ("drain: quiet", 5),
            ("drain: timeout", 30),
            ("drain: exited", 8),
            ("drain: stopped", 2),
            ("last scrape", 30),
            ("scraped again", 1),
            ("resumed", 12),
            ("scale up", 70),
            ("scale down in a reload", 50),
            ("granted more", 64),
            ("granted less in a reload", 26),
            ("too large", 30),
            ("replaced by hand", 30),
            ("halted", 55),
            ("halted in a reload", 40),
            ("halted through a restart", 40),
            ("halted, then started", 25),
            ("rest", 65),
        ],
    );
}

#[test]
fn without_surge_no_more_are_missing_than_may_be() {
    walk(
        &Mix::no_surge(),
        &[
            ("reload: success", 55),
            ("reload: failure half-way", 60),
            ("reload: superseded", 55),
            ("taken away", 70),
            ("drain: empty", 30),
            ("drain: timeout", 30),
            ("scale down in a reload", 50),
            ("out of steering", 30),
            ("rest", 65),
        ],
    );
}

#[test]
fn workers_that_fail_their_checks_are_never_all_out_at_once() {
    walk(
        &Mix::sick(),
        &[
            ("reload: success", 40),
            ("reload: failure", 55),
            ("unhealthy", 70),
            ("out of steering", 65),
            ("got well", 35),
            ("too large", 50),
            ("not checked", 45),
            ("replacement tried again", 40),
            ("taken over", 35),
            ("taken away", 30),
            ("rest", 65),
        ],
    );
}
