//! Random walks of `policy::Fleet` against a fake system. After each step what must always hold is checked against the
//! system's own books, which are kept without the fleet's help. `PROPTEST_CASES` raises the number of walks.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "fleet/books.rs"]
mod books;
#[path = "fleet/system.rs"]
mod system;
#[path = "fleet/world.rs"]
mod world;

use std::time::Duration;

use proptest::prelude::*;
use rpm_runtime::model::{Command, Exit, Sig};
use rpm_runtime::policy::{Backoff, Params, ReadyRule, RestartRule};

use system::{Fate, OnStop, Start};
use world::{Move, World};

fn ms(range: std::ops::Range<u64>) -> impl Strategy<Value = Duration> {
    range.prop_map(Duration::from_millis)
}

/// Few codes, so that the lists of codes meet them.
fn code() -> impl Strategy<Value = u8> {
    prop_oneof![4 => Just(0), 4 => Just(1), 2 => Just(3), 1 => Just(143), 1 => any::<u8>()]
}

fn exit() -> impl Strategy<Value = Exit> {
    prop_oneof![
        3 => code().prop_map(Exit::Code),
        1 => prop_oneof![Just(Sig::TERM), Just(Sig::KILL), Just(Sig::HUP)].prop_map(Exit::Signal),
    ]
}

fn ready_rule() -> impl Strategy<Value = ReadyRule> {
    prop_oneof![
        ms(0..3000).prop_map(ReadyRule::Alive),
        Just(ReadyRule::Told),
        ms(0..3000).prop_map(ReadyRule::Either),
    ]
}

fn restart_rule() -> impl Strategy<Value = RestartRule> {
    prop_oneof![
        3 => Just(RestartRule::Always),
        2 => Just(RestartRule::OnFailure),
        2 => Just(RestartRule::Never),
    ]
}

fn params() -> impl Strategy<Value = Params> {
    let times = (
        ms(1..4000),
        ms(0..2000),
        ms(1..400),
        ms(0..5000),
        ms(0..4000),
        prop_oneof![Just(Duration::ZERO), ms(1..3000)],
    );
    let lists = (
        prop::collection::vec(code(), 0..3),
        prop::collection::vec(code(), 0..2),
    );
    let most = prop_oneof![2 => Just(None), 3 => (1_u32..6).prop_map(Some)];
    (1_u16..=8, ready_rule(), restart_rule(), lists, most, times).prop_map(
        |(instances, ready, restart, (stop_exit_codes, exit_ok), max_restarts, times)| {
            let (ready_timeout, min_uptime, least, more, stop_timeout, shutdown_delay) = times;
            Params {
                instances,
                ready,
                ready_timeout,
                restart,
                stop_exit_codes,
                exit_ok,
                min_uptime,
                max_restarts,
                backoff: Backoff::new(least, least + more).unwrap(),
                stop_timeout,
                shutdown_delay,
            }
        },
    )
}

fn fate() -> impl Strategy<Value = Fate> {
    let start = prop_oneof![
        12 => Just(Start::Runs),
        1 => Just(Start::Fails(126)),
        1 => Just(Start::Fails(127)),
        1 => Just(Start::Starves),
        1 => Just(Start::Silent),
    ];
    let on_stop = prop_oneof![
        4 => (exit(), ms(0..3000)).prop_map(|(exit, after)| OnStop::Ends { exit, after }),
        1 => Just(OnStop::Ignores),
        1 => Just(OnStop::Undying),
    ];
    let members = prop_oneof![3 => Just(0_u8), 1 => 1_u8..3];
    (start, on_stop, members, any::<bool>(), ms(0..300)).prop_map(
        |(start, on_stop, members, members_ignore, dies_within)| Fate {
            start,
            on_stop,
            members,
            members_ignore,
            dies_within,
        },
    )
}

fn moves() -> impl Strategy<Value = Move> {
    let who = any::<prop::sample::Index>;
    prop_oneof![
        6 => ms(0..4000).prop_map(Move::Wait),
        4 => Just(Move::Deadline),
        1 => ms(0..20_000).prop_map(Move::Jump),
        6 => (who(), exit()).prop_map(|(who, exit)| Move::Ends(who, exit)),
        3 => prop::collection::vec((who(), exit()), 2..9).prop_map(Move::EndTogether),
        6 => who().prop_map(Move::Ready),
        1 => who().prop_map(Move::MemberEnds),
        1 => who().prop_map(Move::Thaws),
        2 => (1_u8..4).prop_map(Move::Shortage),
        2 => Just(Move::Asks(Command::Restart)),
        1 => Just(Move::Asks(Command::Stop)),
        1 => prop_oneof![Just(Command::Restart), Just(Command::Stop)].prop_map(Move::AsksAmid),
        1 => exit().prop_map(Move::Stranger),
    ]
}

fn walk() -> impl Strategy<Value = (Params, Vec<Fate>, bool, Vec<Move>, Vec<u16>)> {
    (
        params(),
        prop::collection::vec(fate(), 1..24),
        any::<bool>(),
        prop::collection::vec(moves(), 1..120),
        prop::collection::vec(any::<u16>(), 1..8),
    )
}

proptest! {
    #[test]
    fn whatever_happens_the_fleet_keeps_its_promises(
        (params, fates, sees_groups_end, moves, jitter) in walk()
    ) {
        let mut world = World::new(params, fates, sees_groups_end, jitter);
        for step in moves {
            world.step(step);
        }
        world.end();
    }
}
