//! What may happen and how often: settings, processes, moves.
#![forbid(unsafe_code)]

use std::ops::Range;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use rpm_runtime::model::{Exit, PortId, Sig};
use rpm_runtime::policy::{Backoff, Params, ReadyRule, Restart, Share};

use crate::moves::{Move, Weights, moves};
use crate::system::{Fate, OnStop, Start};

/// A walk to be made.
#[derive(Clone, Debug)]
pub struct Walk {
    pub params: Params,
    pub fates: Vec<Fate>,
    pub sees_groups_end: bool,
    pub moves: Vec<Move>,
    pub jitter: Vec<u16>,
}

/// The focus of a kind of walk.
#[derive(Clone, Debug)]
pub struct Mix {
    /// The most moves of a walk; on average there are half as many.
    moves: usize,
    weights: Weights,
    surge: BoxedStrategy<Share>,
    unavailable: BoxedStrategy<Share>,
    ready: BoxedStrategy<ReadyRule>,
    restart: BoxedStrategy<Restart>,
    failures: BoxedStrategy<Option<u32>>,
    most: BoxedStrategy<Option<u32>>,
}

impl Mix {
    /// Everything with equal weight.
    pub fn anything() -> Self {
        Self {
            moves: 1700,
            weights: Weights {
                harm: 6,
                health: 3,
                sick: 4,
                roll: 1,
            },
            surge: share().boxed(),
            unavailable: share().boxed(),
            ready: ready_rule().boxed(),
            restart: restart_rule().boxed(),
            failures: failures().boxed(),
            most: most(3).boxed(),
        }
    }

    /// Few exits, many reloads.
    pub fn works() -> Self {
        Self {
            moves: 1100,
            weights: Weights {
                harm: 1,
                health: 2,
                sick: 1,
                roll: 2,
            },
            ready: prop_oneof![
                2 => Just(ReadyRule::Told),
                1 => Just(ReadyRule::Listens {
                    or_alive: Some(Duration::from_secs(1))
                }),
            ]
            .boxed(),
            restart: mostly_always().boxed(),
            most: most(1).boxed(),
            ..Self::anything()
        }
    }

    /// Never more workers than wanted.
    pub fn no_surge() -> Self {
        Self {
            surge: prop_oneof![Just(Share::Number(0)), Just(Share::Percent(0))].boxed(),
            ..Self::works()
        }
    }

    /// Health checks, many of which fail.
    pub fn sick() -> Self {
        Self {
            moves: 1100,
            weights: Weights {
                harm: 1,
                health: 10,
                sick: 5,
                roll: 1,
            },
            failures: (1_u32..4).prop_map(Some).boxed(),
            restart: mostly_always().boxed(),
            most: most(1).boxed(),
            ..Self::anything()
        }
    }
}

fn ms(range: Range<u64>) -> impl Strategy<Value = Duration> {
    range.prop_map(Duration::from_millis)
}

/// Few different codes, so that the lists of codes match them often.
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
        Just(ReadyRule::Asked),
        ms(0..3000).prop_map(|wait| ReadyRule::Listens {
            or_alive: Some(wait)
        }),
        ms(0..3000).prop_map(|wait| ReadyRule::Listens {
            or_alive: Some(wait)
        }),
        Just(ReadyRule::Listens { or_alive: None }),
    ]
}

fn restart_rule() -> impl Strategy<Value = Restart> {
    prop_oneof![
        3 => Just(Restart::Always),
        2 => Just(Restart::OnFailure),
        2 => Just(Restart::Never),
    ]
}

fn mostly_always() -> impl Strategy<Value = Restart> {
    prop_oneof![8 => Just(Restart::Always), 1 => restart_rule()]
}

/// RPM_MAX_RESTARTS; it is set in `of_five` of five cases.
fn most(of_five: u32) -> impl Strategy<Value = Option<u32>> {
    prop_oneof![5 - of_five => Just(None), of_five => (1_u32..6).prop_map(Some)]
}

fn share() -> impl Strategy<Value = Share> {
    let percent = prop_oneof![Just(0), Just(10), Just(25), Just(50), Just(100), Just(150)];
    prop_oneof![
        (0_u16..4).prop_map(Share::Number),
        percent.prop_map(Share::Percent),
    ]
}

fn failures() -> impl Strategy<Value = Option<u32>> {
    prop_oneof![Just(None), (1_u32..4).prop_map(Some)]
}

fn maybe(range: Range<u64>) -> impl Strategy<Value = Duration> {
    prop_oneof![1 => Just(Duration::ZERO), 3 => ms(range)]
}

fn params(mix: &Mix) -> impl Strategy<Value = Params> + use<> {
    let times = (
        prop_oneof![3 => ms(1..4000), 1 => ms(4000..8000)],
        ms(0..2000),
        ms(1..400),
        ms(0..5000),
        ms(0..4000),
        maybe(1..3000),
    );
    let roll = (
        prop_oneof![1 => Just(None), 3 => maybe(1..4000).prop_map(Some)],
        mix.surge.clone(),
        mix.unavailable.clone(),
        maybe(1..2000),
        mix.failures.clone(),
        any::<[bool; 2]>(),
    );
    let rules = (mix.ready.clone(), mix.restart.clone());
    let lists = (vec(code(), 0..3), vec(code(), 0..2));
    let most = mix.most.clone();
    // Three of four services list no ports.
    let listed = prop_oneof![3 => Just(0_u8), 1 => 1_u8..8];
    (1_u16..=6, rules, lists, (most, listed), times, roll).prop_map(
        |(instances, (ready, restart), lists, (max_restarts, listed), times, roll)| {
            let ports = (0..3).filter(|number| listed >> number & 1 == 1);
            let (ready_timeout, min_uptime, least, more, stop_timeout, shutdown_delay) = times;
            let (drain_timeout, surge, unavailable, min_ready, health_failures, flags) = roll;
            let [last_scrape, stop_message] = flags;
            let (stop_exit_codes, exit_ok) = lists;
            Params {
                instances,
                ready,
                ready_timeout,
                waits_apart: last_scrape,
                ports: ports.filter_map(PortId::new).collect(),
                restart,
                stop_exit_codes,
                exit_ok,
                min_uptime,
                max_restarts,
                backoff: Backoff::new(least, least + more).unwrap(),
                stop_timeout,
                shutdown_delay,
                drain_timeout,
                surge,
                unavailable,
                min_ready,
                health_failures,
                last_scrape,
                stop_message,
            }
        },
    )
}

fn fate(mix: &Mix) -> impl Strategy<Value = Fate> + use<> {
    let harm = mix.weights.harm;
    let start = prop_oneof![
        120 => Just(Start::Runs),
        harm => Just(Start::Fails(126)),
        harm => Just(Start::Fails(127)),
        harm => Just(Start::Starves),
        harm => Just(Start::Silent),
    ];
    let on_stop = prop_oneof![
        30 => (exit(), ms(0..3000)).prop_map(|(exit, after)| OnStop::Ends { exit, after }),
        harm => Just(OnStop::Ignores),
        harm => Just(OnStop::Undying),
    ];
    let members = prop_oneof![3 => Just(0_u8), 1 => 1_u8..3];
    (start, on_stop, members, any::<[bool; 2]>(), ms(0..300)).prop_map(
        |(start, on_stop, members, [members_ignore, reads], dies_within)| Fate {
            start,
            on_stop,
            reads,
            members,
            members_ignore,
            dies_within,
        },
    )
}

pub fn walk(mix: &Mix) -> impl Strategy<Value = Walk> + use<> {
    (
        params(mix),
        vec(fate(mix), 1..24),
        any::<bool>(),
        vec(moves(mix.weights), 1..mix.moves),
        vec(any::<u16>(), 1..8),
    )
        .prop_map(|(params, fates, sees_groups_end, moves, jitter)| Walk {
            params,
            fates,
            sees_groups_end,
            moves,
            jitter,
        })
}
