//! Python programs that keep their metrics in files: exact to the last request however processes end, and nothing grows
//! without limit.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crate::harness::reloads::{pids, reload, wait_scale};
use crate::harness::scraping::{
    Counted, End, Page, Server, WORKERS, scrape, serving, while_scraped,
};
use crate::harness::shared_port::{field, send, stop, wait_rotation};
use crate::harness::status::{ask_slot, status};
use crate::harness::{Runtime, Signal, descendants, http_get, process, scratch, until};

const QUEUE: &str = "app_queue_length";

/// Kinds of metrics in the example program: each process has a file for each.
const KINDS: usize = 3;

fn bundled() -> Server {
    Server::multiproc("examples/python/multiproc.py")
}

/// The directory of the files, from the log.
#[track_caller]
fn directory(runtime: &Runtime) -> PathBuf {
    let line = runtime.wait_for_line(|line| line.contains("keep their metrics in"));
    field(&line, "dir").into()
}

fn names(directory: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// The processes that have files.
fn writers(directory: &Path) -> BTreeSet<i32> {
    let names = names(directory).into_iter();
    names
        .filter_map(|name| name.strip_suffix(".db")?.rsplit_once('_')?.1.parse().ok())
        .collect()
}

/// Kills the worker of a slot and waits for the next one; returns the killed PID.
#[track_caller]
fn crash(runtime: &Runtime, slot: u16, workers: u16) -> i32 {
    let mark = runtime.mark();
    let pid = status(runtime).pid(slot.into());
    send(pid, Signal::SIGKILL);
    runtime.wait_for_line_after(mark, |line| line.contains("worker ready"));
    wait_rotation(runtime, &(0..workers).collect::<Vec<u16>>());
    pid
}

/// The same scenario as for programs that are asked, but without any timing.
#[test]
fn a_program_that_tells_nothing_has_its_numbers_told() {
    let server = bundled();
    let runtime = serving(server.workers(WORKERS), WORKERS);
    let mut counted = Counted::new(&server, &runtime);
    for slot in 0..WORKERS {
        counted.send_to(slot, "/", u64::from(slot) + 2);
        counted.send_to(slot, "/add", u64::from(slot) + 1);
    }
    let page = counted.scrape();
    assert!((page.one(QUEUE, &[]) - 10.0).abs() < 0.1);
    // The library exports no `process_*` metrics in this mode.
    assert!(!page.names().any(|name| name.starts_with("process_")));
    counted.through(|| reload(&runtime));
    assert!(counted.scrape().one(QUEUE, &[]).abs() < 0.1);
    counted.send("/add", 41);
    let page = counted.scrape();
    assert!((page.one(QUEUE, &[]) - 41.0).abs() < 0.1);
    counted.send("/take", 41);
    assert!(counted.scrape().one(QUEUE, &[]).abs() < 0.1);
    counted.through(|| {
        runtime.signal(Signal::SIGTTIN);
        wait_scale(&runtime, 5);
        for wanted in [4, 3] {
            runtime.signal(Signal::SIGTTOU);
            wait_scale(&runtime, wanted);
        }
    });
    counted.send("/", 30);
    counted.scrape();
    stop(runtime);
}

/// With prometheus_client alone, a hundred crashes would leave `counter_*.db` files.
#[test]
fn crashes_and_reloads_lose_nothing_and_leave_nothing() {
    let server = bundled();
    let runtime = serving(server.workers(WORKERS), WORKERS);
    let directory = directory(&runtime);
    let mut counted = Counted::new(&server, &runtime);
    let mut all = BTreeSet::new();
    for round in 0..10 {
        let slot = round % WORKERS;
        counted.send_to(slot, "/", 3);
        counted.send("/add", 7);
        all.insert(crash(&runtime, slot, WORKERS));
    }
    assert!(writers(&directory).is_disjoint(&all), "{all:?}");
    for _ in 0..2 {
        counted.send("/", 9);
        reload(&runtime);
    }
    counted.send("/", 20);
    counted.scrape();
    let alive = pids(&runtime);
    assert_eq!(writers(&directory), alive);
    assert_eq!(names(&directory).len(), KINDS * alive.len());
    stop(runtime);
}

/// Nothing is lost between the last reading of a worker and its end.
#[test]
fn a_reload_under_load_loses_no_count() {
    let server = bundled();
    let runtime = serving(server.workers(2), 2);
    let mut counted = Counted::new(&server, &runtime);
    let over = AtomicBool::new(false);
    let answered = AtomicU64::new(0);
    let last = Mutex::new(0);
    let look = |page: &Page| {
        let mut last = last.lock().unwrap();
        let now = page.sum("app_requests_total", &[]);
        assert!(now >= *last, "{now} after {last}");
        *last = now;
    };
    thread::scope(|scope| {
        let client = || {
            while !over.load(Ordering::Relaxed) {
                assert_eq!(http_get(server.address(), "/").unwrap().status, 200);
                answered.fetch_add(1, Ordering::Relaxed);
            }
        };
        let end = End(&over);
        let clients = [scope.spawn(client), scope.spawn(client)];
        until("they are answered", || {
            answered.load(Ordering::Relaxed) > 100
        });
        while_scraped(&runtime, look, || reload(&runtime));
        drop(end);
        for client in clients {
            client.join().unwrap();
        }
    });
    counted.note("/", answered.into_inner());
    counted.scrape();
    stop(runtime);
}

#[test]
fn a_directory_of_our_own_is_nobody_elses_and_goes_with_us() {
    let server = bundled();
    let runtime = serving(server.workers(2), 2);
    let directory = directory(&runtime);
    let mode = fs::metadata(&directory).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o700);
    assert_eq!(writers(&directory), pids(&runtime));
    for pid in pids(&runtime) {
        let environment = fs::read_to_string(format!("/proc/{pid}/environ")).unwrap();
        let told = format!("PROMETHEUS_MULTIPROC_DIR={}", directory.display());
        assert!(environment.split('\0').any(|variable| variable == told));
    }
    stop(runtime);
    assert!(!directory.exists(), "{}", directory.display());
}

#[test]
fn a_directory_of_the_users_is_emptied_of_numbers_alone() {
    let server = bundled();
    let directory = scratch("multiproc-dir").join("numbers");
    let start = || {
        let builder = server.workers(2);
        let builder = builder.env("PROMETHEUS_MULTIPROC_DIR", &directory);
        serving(builder.allow_leftovers(), 2)
    };
    let mut killed = start();
    let mut counted = Counted::new(&server, &killed);
    counted.send("/", 20);
    counted.scrape();
    let old = writers(&directory);
    assert_eq!(old, pids(&killed));
    killed.signal(Signal::SIGKILL);
    killed.wait_exit();
    until("its workers are gone", || killed.alive().is_empty());
    assert_eq!(names(&directory).len(), KINDS * 2);
    for foreign in ["notes.txt", "mine.db", "counter_12.db.bak"] {
        fs::write(directory.join(foreign), "mine").unwrap();
    }
    fs::create_dir(directory.join("more")).unwrap();
    fs::write(directory.join("more/counter_12.db"), "mine").unwrap();

    let runtime = start();
    let mut counted = Counted::new(&server, &runtime);
    counted.send("/", 7);
    counted.scrape();
    assert_eq!(writers(&directory), pids(&runtime));
    let stay = ["counter_12.db.bak", "mine.db", "more", "notes.txt"];
    let found = names(&directory).into_iter();
    let found: Vec<String> = found.filter(|name| stay.contains(&name.as_str())).collect();
    assert_eq!(found, stay);
    stop(runtime);
    assert!(directory.join("more/counter_12.db").exists());
    assert_eq!(
        fs::read_to_string(directory.join("mine.db")).unwrap(),
        "mine"
    );
}

/// Requests something from the worker of a slot that it answers with a number.
#[track_caller]
fn number(server: &Server, slot: u16, path: &str) -> i32 {
    let reply = ask_slot(server.address(), slot, path);
    assert_eq!(reply.status, 200);
    reply.text().trim().parse().unwrap()
}

#[track_caller]
fn requests(page: &Page) -> [u64; 3] {
    ["/count", "/fork", "/multi"].map(|path| page.sum("app_requests_total", &[("path", path)]))
}

#[test]
fn what_a_worker_forks_counts_too_and_also_after_its_end() {
    let server = Server::multiproc("tests/payloads/forking.py");
    let runtime = serving(server.workers(2), 2);
    let directory = directory(&runtime);
    server.send("/count", 11);
    let children: Vec<i32> = (0..2).map(|slot| number(&server, slot, "/fork")).collect();
    assert_eq!(requests(&scrape(&runtime)), [11, 20, 0]);
    let of_both: BTreeSet<i32> = pids(&runtime).into_iter().chain(children.clone()).collect();
    assert_eq!(writers(&directory), of_both);

    // They came and went between two scrapes.
    for slot in [0, 1, 1] {
        assert_eq!(number(&server, slot, "/multi"), 0);
    }
    assert_eq!(requests(&scrape(&runtime)), [11, 20, 15]);
    assert_eq!(writers(&directory), of_both);

    // A child that was seen ends.
    assert_eq!(number(&server, 0, "/leave"), 1);
    assert_eq!(requests(&scrape(&runtime)), [11, 20, 15]);
    let left: BTreeSet<i32> = pids(&runtime).into_iter().chain([children[1]]).collect();
    assert_eq!(writers(&directory), left);

    // A child ends with its worker.
    number(&server, 1, "/multi");
    crash(&runtime, 1, 2);
    until("the child is gone", || process(children[1]).is_none());
    assert_eq!(requests(&scrape(&runtime)), [11, 20, 20]);
    assert_eq!(writers(&directory), pids(&runtime));

    number(&server, 0, "/fork");
    number(&server, 1, "/fork");
    reload(&runtime);
    server.send("/count", 5);
    until("their children are gone", || runtime.alive().len() == 3);
    assert_eq!(requests(&scrape(&runtime)), [16, 40, 20]);
    assert_eq!(writers(&directory), pids(&runtime));
    stop(runtime);
}

/// A child in the process group of its worker, or outside of it.
#[test]
fn what_a_worker_forks_is_in_its_slot_as_long_as_it_lives() {
    let server = Server::multiproc("tests/payloads/forking.py");
    let runtime = serving(server.workers(2), 2);
    let expect = |count: u64, all: [f64; 2], sum: f64| {
        let page = scrape(&runtime);
        assert_eq!(page.sum("app_requests_total", &[]), count);
        let all: BTreeMap<u16, f64> = (0..).zip(all).collect();
        assert_eq!(page.by_worker("app_all"), all);
        assert!((page.one("app_livesum", &[]) - sum).abs() < 0.1);
    };
    server.send_to(0, "/set/1", 1);
    server.send_to(1, "/set/2", 1);
    expect(0, [1., 2.], 3.);
    number(&server, 0, "/fork");
    expect(10, [101., 2.], 103.);
    let apart = number(&server, 1, "/session");
    assert_eq!(process(apart).unwrap().group, apart);
    expect(20, [101., 102.], 203.);
    // Dead, and not reaped.
    send(apart, Signal::SIGKILL);
    until("it is dead", || {
        process(apart).is_some_and(|child| child.is_zombie())
    });
    expect(20, [101., 2.], 103.);
    assert_eq!(number(&server, 1, "/leave"), 1);
    assert_eq!(number(&server, 0, "/leave"), 1);
    expect(20, [1., 2.], 3.);
    stop(runtime);
}

#[test]
fn the_modes_of_gauges_are_respected() {
    let server = Server::multiproc("tests/payloads/forking.py");
    let builder = server.workers(WORKERS);
    let runtime = serving(
        builder.env("RPM_APP_METRICS_GAUGES", "app_livemin=sum"),
        WORKERS,
    );
    for (slot, value) in [(0, 3), (1, 1), (2, 4), (3, 2)] {
        server.send_to(slot, &format!("/set/{value}"), 1);
    }
    let same = |page: &Page, all: [f64; 4], [sum, max, min, recent]: [f64; 4]| {
        let all: BTreeMap<u16, f64> = (0..).zip(all).collect();
        assert_eq!(page.by_worker("app_all"), all);
        assert_eq!(page.by_worker("app_liveall"), all);
        for (mode, expected) in [
            ("sum", sum),
            ("livesum", sum),
            ("max", max),
            ("livemax", max),
            ("min", min),
            ("mostrecent", recent),
            ("livemostrecent", recent),
            // Set differently by the user.
            ("livemin", sum),
        ] {
            let found = page.one(&format!("app_{mode}"), &[]);
            assert!((found - expected).abs() < 0.1, "{mode}: {found}");
        }
    };
    same(&scrape(&runtime), [3., 1., 4., 2.], [10., 4., 1., 2.]);
    crash(&runtime, 2, WORKERS);
    // Its gauges are removed, and those of its successor start anew.
    same(&scrape(&runtime), [3., 1., 0., 2.], [6., 3., 0., 2.]);
    stop(runtime);
}

/// gunicorn with two workers of its own in each of ours.
fn forks_by_itself(server: &Server) {
    const OURS: u16 = 2;
    let runtime = serving(server.workers(OURS), OURS);
    let directory = directory(&runtime);
    let serving = || -> BTreeSet<i32> {
        let own = pids(&runtime);
        let below = own.iter().flat_map(|worker| descendants(*worker));
        let below = below.filter(|process| !process.is_zombie());
        below.map(|process| process.pid).collect()
    };
    // All of them answer in turn.
    let all_answer = || {
        let mut seen = BTreeSet::new();
        until("four processes answer", || {
            let reply = http_get(server.address(), "/pid").unwrap();
            seen.insert(reply.text().trim().parse::<i32>().unwrap());
            seen == serving() && seen.len() == 4
        });
        seen
    };
    let answering = all_answer();
    let mut counted = Counted::new(server, &runtime);
    counted.send("/", 60);
    counted.send("/add", 12);
    let page = counted.scrape();
    assert!((page.one(QUEUE, &[]) - 12.0).abs() < 0.1);

    // gunicorn replaces it.
    let killed = *answering.first().unwrap();
    send(killed, Signal::SIGKILL);
    until("gunicorn has seen it", || process(killed).is_none());
    counted.scrape();
    all_answer();
    counted.send("/", 40);
    counted.scrape();

    counted.through(|| reload(&runtime));
    let page = counted.scrape();
    assert!(page.one(QUEUE, &[]).abs() < 0.1);
    let answering = all_answer();
    counted.send("/", 40);
    counted.scrape();
    let writers = writers(&directory);
    assert!(writers.is_superset(&answering), "{writers:?}");
    let alive = answering.union(&pids(&runtime)).copied().collect();
    assert!(writers.is_subset(&alive), "{writers:?} {alive:?}");
    stop(runtime);
}

#[test]
fn gunicorn_with_workers_of_its_own() {
    let server = Server::gunicorn(2, "tests/payloads", "counting:application");
    forks_by_itself(&server);
}

/// The metrics are created before it forks.
#[test]
fn gunicorn_that_loads_the_application_first() {
    let server = Server::gunicorn(2, "tests/payloads", "counting:application");
    forks_by_itself(&server.with_argument("--preload"));
}
