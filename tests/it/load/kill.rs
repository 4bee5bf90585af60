//! Workers are killed at random under load: a client loses at most the request that the killed process had accepted, no
//! client is refused, and clients that were not accepted yet are served.
//!
//! `RPM_TEST_SEED` repeats a run. The tests named `soak` are the long form; `make soak` runs them.

use std::collections::BTreeSet;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use super::{WORKERS, lost_nothing, not_cut};
use crate::harness::load::{Load, Plan, Style};
use crate::harness::programs::Program;
use crate::harness::reloads::pids;
use crate::harness::shared_port::{freeze, send, stop, wait_ready};
use crate::harness::{self, Builder, Runtime, Signal, patience};

const CLIENTS: u32 = 8;

/// A worker that was ready counts as started, however short it lived; the pauses after many deaths stay short.
pub(super) fn enduring(builder: Builder) -> Builder {
    builder
        .env("RPM_MIN_UPTIME", "0s")
        .env("RPM_BACKOFF_MAX", "200ms")
        .env("RPM_MAX_RESTARTS", "0")
}

fn service(program: &Program) -> Builder {
    enduring(program.workers(WORKERS))
}

/// A generator that gives the same numbers for the same seed (splitmix64).
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new() -> Self {
        let told = std::env::var("RPM_TEST_SEED").ok();
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let seed = told.map_or_else(
            || u64::from(now().subsec_nanos()),
            |seed| seed.parse().unwrap(),
        );
        println!("RPM_TEST_SEED={seed}");
        Self(seed)
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) >> 32).unwrap() % bound
    }

    /// One worker; once in eight times all of them.
    fn victims(&mut self, runtime: &Runtime) -> Vec<i32> {
        let workers = runtime.wait_workers(WORKERS);
        let all: Vec<i32> = workers.iter().map(|process| process.pid).collect();
        if self.below(8) == 0 {
            return all;
        }
        vec![all[self.below(all.len())]]
    }
}

/// The IPv4 connections of some processes with a port of this machine.
#[derive(Default)]
pub(super) struct Connections {
    /// Ports of the clients whose connections they have accepted.
    pub(super) accepted: BTreeSet<u16>,
    /// Their own ports, where they are the client.
    pub(super) opened: BTreeSet<u16>,
}

pub(super) fn connections(pids: &[i32], port: u16) -> Connections {
    let files = pids
        .iter()
        .flat_map(|pid| fs::read_dir(format!("/proc/{pid}/fd")).unwrap());
    let inodes: BTreeSet<String> = files
        .filter_map(|file| {
            let target = fs::read_link(file.unwrap().path()).ok()?;
            let inode = target.to_str()?.strip_prefix("socket:[")?;
            Some(inode.trim_end_matches(']').to_owned())
        })
        .collect();
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let at = |end: &str| u16::from_str_radix(end.split_once(':')?.1, 16).ok();
    let mut found = Connections::default();
    for row in table.lines().skip(1) {
        let fields: Vec<&str> = row.split_ascii_whitespace().collect();
        let (Some(here), Some(there)) = (at(fields[1]), at(fields[2])) else {
            continue;
        };
        // A listener has no other end.
        if there == 0 || !inodes.contains(fields[9]) {
            continue;
        }
        if here == port {
            found.accepted.insert(there);
        } else if there == port {
            found.opened.insert(here);
        }
    }
    found
}

fn wait_again(runtime: &Runtime, deaths: usize, loads: &[&Load]) {
    wait_ready(runtime, WORKERS + deaths);
    for load in loads {
        load.wait_answers(100);
    }
}

/// Each victim is stopped while its connections are read: a failed request must be on one of them.
fn only_the_accepted_are_lost(rounds: usize) {
    let mut random = Random::new();
    let program = Program::rust();
    let runtime = service(&program).start();
    wait_ready(&runtime, WORKERS);
    // Nothing in TIME_WAIT, so that the table of connections is read quickly; and patience with a victim that is
    // stopped for longer anyway.
    let plan = |style| Plan {
        patience: patience(),
        ..program.plan(CLIENTS, style).strict().abrupt()
    };
    let short = Load::run(plan(Style::Bounded(1)));
    let kept = Load::run(plan(Style::KeepAlive));
    let loads = [&short, &kept];
    wait_again(&runtime, 0, &loads);
    let (mut inside, mut deaths) = (BTreeSet::new(), 0);
    let (mut relayed, mut relays) = (BTreeSet::new(), 0);
    for _ in 0..rounds {
        let victims = random.victims(&runtime);
        deaths += victims.len();
        for victim in &victims {
            freeze(*victim);
        }
        let accepted = connections(&victims, program.port).accepted;
        // While a listener has no worker, the runtime accepts its clients and passes them on to a live worker: that
        // worker accepts the runtime, not the client.
        let runtimes = connections(&[runtime.pid()], program.port);
        relays += accepted.intersection(&runtimes.opened).count();
        relayed.extend(runtimes.accepted);
        inside.extend(accepted);
        for victim in victims {
            send(victim, Signal::SIGKILL);
        }
        wait_again(&runtime, deaths, &loads);
    }
    let mut report = short.stop();
    report.merge(kept.stop());
    println!(
        "{deaths} killed with {} connections: {report}",
        inside.len()
    );
    assert_eq!(not_cut(&report), 0, "{report}\n{}", runtime.shown());
    assert_eq!(report.failures.len() as u64, report.lost());
    let mut lost_behind_relays = 0;
    for failure in &report.failures {
        let client = failure.client.unwrap().port();
        if !inside.contains(&client) {
            assert!(relayed.contains(&client), "never accepted: {failure:?}");
            lost_behind_relays += 1;
        }
    }
    assert!(
        lost_behind_relays <= relays,
        "{lost_behind_relays} lost of {relays} relayed: {report}"
    );
    // Otherwise the test has tested nothing.
    assert!(report.lost() > 0, "{report}");
    stop(runtime);
}

/// No worker is stopped first: a kill may cost each client the one request in progress, and no more.
fn at_most_what_was_in_work_is_lost(program: &Program, rounds: usize) {
    let mut random = Random::new();
    let runtime = service(program).start();
    wait_ready(&runtime, WORKERS);
    let short = Load::run(program.plan(CLIENTS, Style::Short).strict());
    let kept = Load::run(program.plan(CLIENTS, Style::Bounded(50)).strict());
    let loads = [&short, &kept];
    wait_again(&runtime, 0, &loads);
    let mut deaths = 0;
    for _ in 0..rounds {
        let victims = random.victims(&runtime);
        deaths += victims.len();
        for victim in victims {
            send(victim, Signal::SIGKILL);
        }
        wait_again(&runtime, deaths, &loads);
    }
    for (what, load) in [("a connection each", short), ("kept connections", kept)] {
        let report = load.stop();
        println!("{deaths} killed, {what}: {report}");
        assert_eq!(not_cut(&report), 0, "{report}\n{}", runtime.shown());
        let most = u64::from(CLIENTS) * deaths as u64;
        assert!(report.lost() <= most, "{report}\n{}", runtime.shown());
    }
    stop(runtime);
}

#[test]
fn every_request_that_a_kill_costs_had_been_accepted_by_the_killed() {
    only_the_accepted_are_lost(20);
}

#[test]
fn a_kill_costs_each_client_at_most_its_request_in_work() {
    at_most_what_was_in_work_is_lost(&Program::node(), 20);
}

/// The queue of dead workers is served by their successors: clients that come while no worker lives wait and lose
/// nothing.
#[test]
fn who_comes_while_all_are_dead_waits_and_is_served() {
    let program = Program::rust();
    let runtime = service(&program).start();
    wait_ready(&runtime, WORKERS);
    for round in 1..=5 {
        for pid in pids(&runtime) {
            freeze(pid);
        }
        // All of these wait, because no worker accepts.
        let load = Load::run(program.plan(CLIENTS, Style::Short).strict());
        let connected = || {
            let table = fs::read_to_string("/proc/net/tcp").unwrap();
            let own = format!("0100007F:{:04X} ", program.port);
            let rows = table.lines().filter(|row| {
                let mut fields = row.split_whitespace();
                // ESTABLISHED, at the server's end.
                row.contains(&format!(": {own}")) && fields.nth(3) == Some("01")
            });
            rows.count()
        };
        harness::until("all clients wait", || connected() == CLIENTS as usize);
        for pid in pids(&runtime) {
            send(pid, Signal::SIGKILL);
        }
        wait_again(&runtime, round * WORKERS, &[&load]);
        lost_nothing("clients of the dead", &load.stop(), &runtime);
    }
    stop(runtime);
}

#[test]
#[ignore = "long: make soak"]
fn soak_every_request_that_a_kill_costs_had_been_accepted_by_the_killed() {
    only_the_accepted_are_lost(200);
}

#[test]
#[ignore = "long: make soak"]
fn soak_a_kill_costs_each_client_at_most_its_request_in_work() {
    at_most_what_was_in_work_is_lost(&Program::node(), 200);
}
