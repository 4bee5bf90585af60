//! Application metrics of workers that are stopped, crash or are replaced: what a scrape waits for, and what is lost.

use std::io::{self, Write};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::harness::load::{Load, Pace, Plan, Style};
use crate::harness::shared_port::{connect_to_slot, freeze, send, stop, v4, wait_ready, worker};
use crate::harness::{Connection, Runtime, Signal, until, until_some};
use crate::load::metrics::{
    Clients, Counted, Counting, Page, REQUESTS, WORKERS, never_fall, wait_scale,
};

/// The present page.
#[track_caller]
fn page(runtime: &Runtime) -> Page {
    Page::read(&runtime.get("/metrics").text())
}

/// A request for the page that was sent and is not answered yet.
#[track_caller]
fn ask(runtime: &Runtime, seconds: u64) -> Connection {
    let mut connection = Connection::open(runtime.admin()).unwrap();
    let head = format!(
        "GET /metrics HTTP/1.1\r\nHost: localhost\r\nX-Prometheus-Scrape-Timeout-Seconds: {seconds}\r\n\r\n"
    );
    connection.stream().write_all(head.as_bytes()).unwrap();
    connection
}

/// Whether no byte of the answer has arrived.
fn waits(connection: &mut Connection) -> bool {
    let stream = connection.stream();
    stream.set_nonblocking(true).unwrap();
    let peeked = stream.peek(&mut [0]);
    stream.set_nonblocking(false).unwrap();
    matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

/// Sends `count` requests to each of these slots, one after the other.
#[track_caller]
fn ask_slots(program: &Counting, slots: &[u16], count: u8) {
    for slot in slots {
        for nr in 1..=count {
            let mut connection: Connection = connect_to_slot(v4(program.port), *slot, nr).into();
            assert_eq!(connection.get("/?nonce=n1").unwrap().status, 200);
        }
    }
}

/// A page on which all workers have answered.
#[track_caller]
fn whole_page(runtime: &Runtime) -> Page {
    until_some("all workers answer", || {
        Some(page(runtime)).filter(|page| page.asked()[0].len() == WORKERS)
    })
}

#[test]
fn scrapes_that_overlap_ask_the_workers_once() {
    // As many as one client may have at the same time.
    const SCRAPES: usize = 8;
    const ROUNDS: usize = 10;
    let program = Counting::new("overlap");
    let runtime = program.workers(WORKERS).start();
    wait_ready(&runtime, WORKERS);
    let asked = |page: &Page| page.count("counting_requests_total{path=\"/metrics\"}");
    let before = asked(&whole_page(&runtime));
    let workers = runtime.wait_workers(WORKERS);
    for _ in 0..ROUNDS {
        // No worker answers until all scrapes have been requested.
        for worker in &workers {
            freeze(worker.pid);
        }
        let mut scrapes: Vec<Connection> = (0..SCRAPES).map(|_| ask(&runtime, 60)).collect();
        // This was requested later and is answered, so the others are in progress.
        assert_eq!(runtime.get("/metrics/runtime").status, 200);
        assert!(scrapes.iter_mut().all(waits));
        for worker in &workers {
            send(worker.pid, Signal::SIGCONT);
        }
        for mut scrape in scrapes {
            let reply = scrape.reply().unwrap();
            assert_eq!(reply.status, 200);
            let [answered, failed] = Page::read(&reply.text()).asked();
            assert_eq!((answered.len(), failed.len()), (WORKERS, 0));
        }
    }
    let after = asked(&whole_page(&runtime));
    let each = (after - before).div_ceil(WORKERS as u64);
    let scrapes = SCRAPES * ROUNDS;
    println!("{scrapes} scrapes asked each worker {each} times");
    // Once in each round, once for the last page, and sometimes without a scrape, which happens once a second.
    assert!(each <= scrapes as u64 / 4, "{each} for {scrapes}");
    stop(runtime);
}

#[test]
fn a_stopped_worker_delays_no_scrape_and_costs_its_own_gauges_only() {
    let program = Counting::new("stopped");
    let runtime = program.workers(WORKERS).start();
    wait_ready(&runtime, WORKERS);
    ask_slots(&program, &[0, 1, 2, 3], 10);
    let before = whole_page(&runtime);
    assert_eq!(before.count(REQUESTS), 40);
    let gauge = |page: &Page, slot: u16| {
        let series = format!("counting_connections{{worker=\"{slot}\"}}");
        page.other.contains_key(&series)
    };
    assert!((0..4).all(|slot| gauge(&before, slot)));
    let victim = worker(&runtime, 1);
    freeze(victim);
    ask_slots(&program, &[0, 2, 3], 10);
    let mut pages = vec![before];
    until("three scrapes are answered in time", || {
        let began = Instant::now();
        let mut scrape = ask(&runtime, 1);
        // Everything else is answered meanwhile.
        assert_eq!(runtime.get("/livez").status, 200);
        assert_eq!(runtime.get("/metrics/runtime").status, 200);
        let early = !waits(&mut scrape);
        let reply = scrape.reply().unwrap();
        let took = began.elapsed();
        assert_eq!(reply.status, 200);
        let page = Page::read(&reply.text());
        let [answered, failed] = page.asked();
        println!("answered after {took:?}, by {answered:?}");
        // On a busy machine the answer may be late, or contain only the runtime's page.
        if took >= Duration::from_secs(1) || answered.is_empty() {
            return false;
        }
        assert!(!early, "answered without waiting for the stopped worker");
        assert_eq!(answered, ["0", "2", "3"]);
        assert_eq!(failed, ["1"]);
        assert_eq!(page.count(REQUESTS), 70);
        assert_eq!(
            [0, 1, 2, 3].map(|slot| gauge(&page, slot)),
            [true, false, true, true]
        );
        // The runtime waited for it as long as Prometheus allows, minus the margin.
        let waited = page.other["rpm_metrics_worker_scrape_duration_seconds{worker=\"1\"}"];
        assert!(waited >= 0.9, "{waited}");
        pages.push(page);
        pages.len() == 4
    });
    send(victim, Signal::SIGCONT);
    let well = whole_page(&runtime);
    assert_eq!(well.count(REQUESTS), 70);
    assert!((0..4).all(|slot| gauge(&well, slot)));
    pages.push(well);
    ask_slots(&program, &[1], 10);
    let last = whole_page(&runtime);
    assert_eq!(last.count(REQUESTS), 80);
    pages.push(last);
    never_fall(&pages, |_| true);
    stop(runtime);
}

fn milliseconds() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_millis().try_into().unwrap()
}

/// What these processes have counted since they were last asked. That answer may have been in progress when they ended,
/// so the result is a minimum and a maximum.
fn untold<'a>(ended: impl Iterator<Item = &'a Counted>) -> (u64, u64) {
    ended.fold((0, 0), |(least, most), one| {
        let total = one.total();
        (least + total - one.told, most + total - one.told_before)
    })
}

/// There is no scrape, and the clients do not pause.
#[test]
fn crash_loses_at_most_one_interval() {
    let program = Counting::new("crash");
    let runtime = program.workers(WORKERS).start();
    wait_ready(&runtime, WORKERS);
    let clients = Clients::start(&program);
    let mut killed = Vec::new();
    for slot in 0..3 {
        let victim = worker(&runtime, slot);
        let seen = program.ledger(victim).pages;
        // As late as possible: the next request is about to come.
        until("the runtime asks by itself", || {
            let one = program.ledger(victim);
            one.pages > seen + 1 && milliseconds() - one.told_at > 900
        });
        let mark = runtime.mark();
        let at = milliseconds();
        send(victim, Signal::SIGKILL);
        runtime.wait_for_line_after(mark, |line| line.contains("worker ended"));
        killed.push((program.ledger(victim), at));
        wait_scale(&runtime, WORKERS);
        clients.are_answered();
    }
    let report = clients.stop();
    let shown = whole_page(&runtime).count(REQUESTS);
    let counted: u64 = program.requests().iter().sum();
    // A killed worker may have counted a request that it did not answer.
    let answered = report.answered..=report.requests();
    assert!(answered.contains(&counted), "{counted}: {report}");
    let lost = counted - shown;
    let (least, most) = untold(killed.iter().map(|(one, _)| one));
    println!(
        "{lost} of {counted} lost by {} kills, {least} since the last answers; {report}",
        killed.len()
    );
    assert!((least..=most).contains(&lost), "{lost}: {least} to {most}");
    // Otherwise nothing was tested.
    assert!(lost > 0);
    for (one, at) in &killed {
        let age = at.saturating_sub(one.told_at);
        println!("the last answer was {age} ms old");
    }
    stop(runtime);
}

/// Connections that never end last longer than every drain and get answers until the worker is told to stop. The counts
/// of that last time would be lost, but the worker is asked right before the stop signal.
#[test]
fn a_reload_loses_the_last_moments_only_of_connections_that_never_end() {
    const RELOADS: usize = 3;
    let program = Counting::new("kept");
    let runtime = program
        .workers(WORKERS)
        .env("RPM_DRAIN_TIMEOUT", "500ms")
        .start();
    wait_ready(&runtime, WORKERS);
    let think = Pace::Think(Duration::from_millis(20));
    let plan = Plan::new(v4(program.port), 16, Style::KeepAlive).pace(think);
    let clients = Load::run(plan);
    for _ in 0..RELOADS {
        clients.wait_answers(200);
        let mark = runtime.mark();
        runtime.signal(Signal::SIGHUP);
        runtime.wait_for_line_after(mark, |line| line.contains("reload finished"));
    }
    clients.wait_answers(200);
    let report = clients.stop();
    assert_eq!(report.lost(), 0, "{report}\n{}", runtime.shown());
    let alive: Vec<i32> = runtime
        .wait_workers(WORKERS)
        .iter()
        .map(|p| p.pid)
        .collect();
    let shown = whole_page(&runtime).count(REQUESTS);
    let ledgers = program.ledgers();
    let counted: u64 = ledgers.iter().map(Counted::total).sum();
    // A resent request may have been counted the first time.
    let answered = report.answered..=report.answered + report.resent;
    assert!(answered.contains(&counted), "{counted}: {report}");
    let lost = counted - shown;
    let ended = ledgers.iter().filter(|one| !alive.contains(&one.pid));
    assert_eq!(ended.clone().count(), WORKERS * RELOADS);
    let (least, most) = untold(ended);
    println!("{lost} of {counted} lost, {least} since the last answers; {report}");
    assert!((least..=most).contains(&lost), "{lost}: {least} to {most}");
    // In each reload, a quiet moment is awaited for half a second and more while the worker serves.
    assert!(lost * 20 < counted, "{lost} of {counted}");
    stop(runtime);
}
