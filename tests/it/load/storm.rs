//! Everything at once: reloads, kills, stops, changes of scale, a worker gone wrong and hostile clients of the admin
//! port. No request is refused, and each lost one had been accepted by a process that was killed. Afterwards the runtime
//! is what it was: no descriptor, thread or memory is left behind.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::ptrace;
use nix::sys::signal::kill;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::kill::{Random, connections, enduring};
use super::{WORKERS, not_cut};
use crate::harness::load::{Load, Plan, Style};

use crate::harness::programs::Program;
use crate::harness::reloads::{pids, reload, wait_scale};
use crate::harness::shared_port::{send, stop, wait_ready};
use crate::harness::{
    Builder, Runtime, SetOnDrop, Signal, example, http_get, patience, process, source, until,
};

const CLIENTS: u32 = 8;

/// Connections of the admin port that send requests and read no answer.
const SILENT: usize = 50;

/// How long a worker stands still.
const STANDS: Duration = Duration::from_millis(100);

/// What a storm has done.
#[derive(Debug, Default)]
struct Deeds {
    over: AtomicBool,
    reloads: AtomicUsize,
    kills: AtomicUsize,
    stops: AtomicUsize,
    scales: AtomicUsize,
    probes: AtomicUsize,
}

impl Deeds {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn done(counter: &AtomicUsize) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn count(counter: &AtomicUsize) -> usize {
        counter.load(Ordering::Relaxed)
    }
}

/// The second worker has a process beside it that does what it can to spoil the listener.
fn with_sidekick(program: &Program) -> Builder {
    let script = format!(
        "if [ \"$RPM_INSTANCE\" = 1 ]; then /usr/bin/python3 '{}' $$ & fi; exec '{}'",
        source("tests/payloads/sidekick.py").display(),
        example("echo_server").display()
    );
    let builder = Runtime::builder()
        .env("RPM_INSTANCES", WORKERS.to_string())
        .env("RPM_READY", "listen")
        .env("RPM_MIN_READY", "0s")
        .env("PORT", program.port.to_string());
    enduring(builder).program(["sh", "-c", &script])
}

/// Stops a worker by SIGSTOP. False if it has ended, or if the runtime lets it go on.
fn stands_still(pid: i32) -> bool {
    if kill(Pid::from_raw(pid), Signal::SIGSTOP).is_err() {
        return false;
    }
    let mut stopped = false;
    until("the worker stands still or has ended", || {
        let state = process(pid).map(|one| one.state);
        stopped = state == Some('T');
        !matches!(state, Some('R' | 'S' | 'D'))
    });
    stopped
}

/// A kill, and the clients' ports that may lose a request by it.
#[derive(Debug)]
struct Kill {
    at: Instant,
    #[expect(dead_code, reason = "for the person who reads it")]
    pid: Pid,
    /// Their connection was accepted by the killed worker.
    inside: BTreeSet<u16>,
    /// The runtime had accepted them for a slot without a worker, and passed them on.
    relayed: BTreeSet<u16>,
}

impl Kill {
    /// Whether it explains that this client lost a request at `moment`. A port is used again by other clients later.
    fn explains(&self, client: u16, moment: Instant) -> bool {
        // Where a client waits for a CPU, it sees the end of its connection late. The load began a little after the time from
        // which `moment` is counted.
        let near = self.at <= moment + patience() && moment <= self.at + patience();
        near && (self.inside.contains(&client) || self.relayed.contains(&client))
    }
}

/// What happened in the half second around `moment`, for a person to read.
fn around(runtime: &Runtime, kills: &[Kill], moment: Instant) -> String {
    const NEAR: Duration = Duration::from_millis(500);
    let near = |at: Instant| at + NEAR > moment && at < moment + NEAR;
    let beside = |at: Instant| (at + NEAR).saturating_duration_since(moment).as_micros();
    let lines = runtime.lines().into_iter();
    let lines = lines.filter(|line| near(line.came));
    let mut all: Vec<(u128, String)> = lines.map(|line| (beside(line.came), line.text)).collect();
    let kills = kills.iter().filter(|kill| near(kill.at));
    all.extend(kills.map(|kill| (beside(kill.at), format!("{kill:?}"))));
    all.push((NEAR.as_micros(), "the request was lost".into()));
    all.sort();
    let lines = all.iter().map(|(at, text)| format!("{at:>7} us: {text}\n"));
    lines.collect()
}

/// Kills one worker, and notes whose connections it had. `None` if it has ended before.
///
/// It is traced meanwhile: the runtime sends SIGCONT with its stop signal, and that wakes a worker which stands still by
/// SIGSTOP, but not one in a stop of ptrace(2). A zombie that is traced stays until its tracer has waited for it, so the
/// signal cannot meet another process.
fn kill_one(runtime: &Runtime, victim: i32, port: u16) -> Option<Kill> {
    let victim = Pid::from_raw(victim);
    // The main thread is the one that accepts; the others answer.
    if ptrace::seize(victim, ptrace::Options::empty()).is_err() {
        return None;
    }
    let wait = || waitpid(victim, Some(WaitPidFlag::__WALL)).unwrap();
    let ended = |status| matches!(status, WaitStatus::Exited(..) | WaitStatus::Signaled(..));
    // It fails for one that has just ended.
    let _ = ptrace::interrupt(victim);
    if ended(wait()) {
        return None;
    }
    let inside = connections(&[victim.as_raw()], port).accepted;
    let relayed = connections(&[runtime.pid()], port).accepted;
    let at = Instant::now();
    kill(victim, Signal::SIGKILL).unwrap();
    while !ended(wait()) {}
    Some(Kill {
        at,
        pid: victim,
        inside,
        relayed,
    })
}

fn one_of(random: &mut Random, runtime: &Runtime) -> Option<i32> {
    let all: Vec<i32> = pids(runtime).into_iter().collect();
    (!all.is_empty()).then(|| all[random.below(all.len())])
}

/// Kills and stops workers, one after the other: a stopped one that goes on in the middle would accept more clients than
/// were noted.
fn strike(runtime: &Runtime, port: u16, deeds: &Deeds, load: &Load) -> Vec<Kill> {
    let mut random = Random::new();
    let mut kills = Vec::new();
    while !deeds.is_over() {
        load.wait_answers(100);
        let Some(victim) = one_of(&mut random, runtime) else {
            continue;
        };
        if random.below(3) == 0 {
            if stands_still(victim) {
                // The others serve meanwhile. Every client may have met this one by then, so nothing is waited for.
                thread::sleep(STANDS);
                let _ = kill(Pid::from_raw(victim), Signal::SIGCONT);
                Deeds::done(&deeds.stops);
            }
        } else if let Some(kill) = kill_one(runtime, victim, port) {
            kills.push(kill);
            Deeds::done(&deeds.kills);
        }
    }
    kills
}

/// Requests reloads without a pause. Some fail, because a new worker is killed.
fn reload_again_and_again(runtime: &Runtime, deeds: &Deeds) {
    while !deeds.is_over() {
        let mark = runtime.mark();
        runtime.signal(Signal::SIGHUP);
        runtime.wait_for_line_after(mark, |line| {
            line.contains("reload finished") || line.contains("reload failed")
        });
        Deeds::done(&deeds.reloads);
    }
}

fn scale_up_and_down(runtime: &Runtime, deeds: &Deeds, load: &Load) {
    while !deeds.is_over() {
        for (signal, words) in [(Signal::SIGTTIN, "to=5"), (Signal::SIGTTOU, "to=4")] {
            let mark = runtime.mark();
            runtime.signal(signal);
            runtime.wait_for_line_after(mark, |line| {
                line.contains("number of workers changed") && line.contains(words)
            });
            load.wait_answers(200);
            Deeds::done(&deeds.scales);
        }
    }
}

/// Keeps [`SILENT`] connections that ask and read nothing.
fn be_silent(admin: SocketAddr, deeds: &Deeds) {
    let open = || {
        let mut client = TcpStream::connect_timeout(&admin, patience()).ok()?;
        client.set_nonblocking(true).ok()?;
        // The connection may be closed already.
        let _ = client.write(&b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n".repeat(10));
        Some(client)
    };
    let mut kept = Vec::new();
    while !deeds.is_over() {
        if kept.len() == SILENT {
            kept.remove(0);
        }
        kept.extend(open());
        thread::sleep(Duration::from_millis(50));
    }
}

/// The runtime answers probes all the time. How fast, [`super::admin`] shows.
fn probe(runtime: &Runtime, deeds: &Deeds) {
    while !deeds.is_over() {
        until("a probe is answered", || {
            http_get(runtime.admin(), "/livez").is_ok_and(|reply| reply.status == 200)
        });
        Deeds::done(&deeds.probes);
        thread::sleep(Duration::from_millis(20));
    }
}

/// Until there were so many reloads, kills, stops and changes of scale.
fn storm(rounds: usize) {
    let program = Program::rust();
    let runtime = with_sidekick(&program).start();
    wait_ready(&runtime, WORKERS);
    runtime.wait_for_line(|line| line == "sidekick works");
    // Nothing in TIME_WAIT, so that the table of connections is read quickly; and patience with a worker that stands
    // still.
    let plan = |style| Plan {
        patience: patience(),
        ..program.plan(CLIENTS, style).abrupt()
    };
    let began = Instant::now();
    let short = Load::run(plan(Style::Bounded(1)).strict());
    // They send again what met the end of a kept connection, as every client does: the runtime may have passed the
    // connection on, and its other end is not to be seen in the list of the killed.
    let kept = Load::run(plan(Style::Bounded(50)));
    let deeds = Deeds::default();
    let kills = thread::scope(|scope| {
        let ending = SetOnDrop(&deeds.over);
        scope.spawn(|| reload_again_and_again(&runtime, &deeds));
        scope.spawn(|| scale_up_and_down(&runtime, &deeds, &short));
        scope.spawn(|| be_silent(runtime.admin(), &deeds));
        scope.spawn(|| probe(&runtime, &deeds));
        let strikes = scope.spawn(|| strike(&runtime, program.port, &deeds, &short));
        let all = [
            &deeds.reloads,
            &deeds.kills,
            &deeds.stops,
            &deeds.scales,
            &deeds.probes,
        ];
        let mut before = 0;
        // Each step is waited for with patience, and not the whole storm.
        while !strikes.is_finished() && all.iter().any(|one| Deeds::count(one) < rounds) {
            until("the storm goes on", || {
                let now = all.iter().map(|one| Deeds::count(one).min(rounds)).sum();
                let more = now > before;
                before = now;
                more || strikes.is_finished()
            });
        }
        drop(ending);
        strikes.join().unwrap()
    });
    wait_scale(&runtime, 4);
    short.wait_answers(100);
    kept.wait_answers(100);
    let mut report = short.stop();
    report.merge(kept.stop());
    println!("{deeds:?}: {report}");
    assert_eq!(not_cut(&report), 0, "{report}\n{}", runtime.shown());
    assert_eq!(report.failures.len() as u64, report.lost());
    for failure in &report.failures {
        let (client, moment) = (failure.client.unwrap().port(), began + failure.at);
        assert!(
            kills.iter().any(|kill| kill.explains(client, moment)),
            "no killed worker had accepted it: {failure:?}\n{}",
            around(&runtime, &kills, moment)
        );
    }
    until("no zombie is left", || runtime.zombies() == 0);
    stop(runtime);
}

/// What the runtime holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Holds {
    descriptors: usize,
    threads: usize,
}

fn holds(runtime: &Runtime) -> Holds {
    let count = |what: &str| {
        let path = format!("/proc/{}/{what}", runtime.pid());
        fs::read_dir(path).unwrap().count()
    };
    Holds {
        descriptors: count("fd"),
        threads: count("task"),
    }
}

/// Resident memory, kB. It is counted page by page; VmRSS of `status` lags behind by what each thread has not added yet.
fn resident(runtime: &Runtime) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", runtime.pid())).unwrap();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Rss:"));
    let value = line.unwrap().trim().trim_end_matches(" kB");
    value.parse().unwrap()
}

fn nothing_is_left(rounds: usize) {
    let program = Program::rust();
    let runtime = enduring(program.workers(WORKERS))
        .env("RPM_MIN_READY", "0s")
        .start();
    wait_ready(&runtime, WORKERS);
    let turn = || {
        reload(&runtime);
        let victim = *pids(&runtime).first().unwrap();
        send(victim, Signal::SIGKILL);
        until("the killed worker has a successor", || {
            let now = pids(&runtime);
            now.len() == WORKERS && !now.contains(&victim)
        });
        wait_scale(&runtime, 4);
    };
    // What is made at the first reload and the first kill stays.
    for _ in 0..5 {
        turn();
    }
    let (before, memory) = (holds(&runtime), resident(&runtime));
    for _ in 0..rounds {
        turn();
    }
    // A thread that asks about processes ends when there is nothing to ask.
    until("it holds no more than before", || {
        let now = holds(&runtime);
        now.descriptors <= before.descriptors && now.threads <= before.threads
    });
    let grown = resident(&runtime).saturating_sub(memory);
    println!("after {rounds} reloads and kills: {before:?}, {memory} kB, {grown} kB more");
    assert!(grown < 1024, "{grown} kB more: {}", runtime.shown());
    stop(runtime);
}

#[test]
fn in_a_storm_no_request_is_refused_and_each_lost_one_had_been_accepted_by_a_killed_worker() {
    storm(10);
}

#[test]
fn reloads_and_kills_leave_no_descriptor_and_no_thread_behind() {
    nothing_is_left(15);
}

#[test]
#[ignore = "long: make soak"]
fn soak_a_storm_of_hundreds_of_reloads_kills_and_stops() {
    storm(400);
}

#[test]
#[ignore = "long: make soak"]
fn soak_two_hundred_reloads_and_kills_leave_nothing_behind() {
    nothing_is_left(200);
}
