//! RPM_APP_METRICS with workers whose metrics are bad: the scrape is answered in time, the other workers' values are
//! exact, nothing can be injected, and the runtime's memory, log and other endpoints do not suffer.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::shared_port::{send, wait_ready};
use crate::harness::status::{status, wait_reload_ends, wait_status};
use crate::harness::{Connection, Signal, patience, scratch, until};
use crate::load::metrics::hostile_service::{Hostile, Page, service, strict_reader};

const REQUESTS: &str = "hostile_requests_total";

/// The expected result for a worker with one kind of fault next to three good ones.
struct Expected {
    success: bool,
    /// Requests for `/` in the sum: 15 of the good workers, 11 of its own.
    sum: f64,
    /// Parts of the log lines about it.
    told: &'static [&'static str],
}

fn unread(told: &'static [&'static str]) -> Expected {
    Expected {
        success: false,
        sum: 15.0,
        told,
    }
}

fn read(sum: f64, told: &'static [&'static str]) -> Expected {
    Expected {
        success: true,
        sum,
        told,
    }
}

/// It is refused for its length; or on a busy machine because it is not complete in time.
const TOO_MUCH: Expected = Expected {
    success: false,
    sum: 15.0,
    told: &["cannot read a worker's metrics"],
};

/// Every scrape is answered within two seconds with the sums of the good workers, and each problem is logged once.
#[track_caller]
fn one_beside_three(manner: &str, scrapes: usize, expected: &Expected) -> Page {
    let service = Hostile::start(&format!("good,good,good,{manner}"));
    for (slot, count) in [(0, 3), (1, 5), (2, 7), (3, 11)] {
        service.requests(slot, count);
    }
    let mut page = service.judged(2);
    let begun = Instant::now();
    for _ in 0..scrapes {
        page = service.scrape(2);
        let series = page.series();
        let expect = |name: &str, value: f64| assert_eq!(page.value(name), Some(value), "{name}");
        expect(REQUESTS, expected.sum);
        expect("hostile_seconds_bucket{le=\"0.1\"}", expected.sum);
        expect("hostile_seconds_count", expected.sum);
        for slot in 0..3 {
            expect(
                &format!("hostile_slot{{worker=\"{slot}\"}}"),
                f64::from(slot),
            );
        }
        assert_eq!(page.success(), [true, true, true, expected.success]);
        // Its counters stay, its gauges do not.
        if !expected.success {
            let of_it = |name: &&str| name.starts_with("hostile") && name.contains("worker=\"3\"");
            assert_eq!(series.keys().find(|name| of_it(name)), None);
        }
    }
    println!("{scrapes} scrapes: {:?}", begun.elapsed());
    let lines = service.end();
    assert_eq!(lines.len(), expected.told.len());
    for (line, part) in lines.iter().zip(expected.told) {
        assert!(line.contains(part), "{part}: {line}");
    }
    page
}

#[test]
fn good_ones_alone() {
    let page = one_beside_three("good", 10, &read(26.0, &[]));
    assert_eq!(page.value("hostile_slot{worker=\"3\"}"), Some(3.0));
}

#[test]
fn an_endless_page() {
    one_beside_three("endless", 10, &TOO_MUCH);
}

#[test]
fn a_page_of_a_million_series() {
    one_beside_three("million", 10, &TOO_MUCH);
}

#[test]
fn a_megabyte_that_unpacks_to_a_gigabyte() {
    one_beside_three("bomb", 10, &TOO_MUCH);
}

#[test]
fn a_late_answer() {
    one_beside_three("late", 3, &unread(&["no answer within 1.8s"]));
}

#[test]
fn an_answer_in_crumbs() {
    one_beside_three("crumbs", 3, &TOO_MUCH);
}

#[test]
fn a_reset_connection() {
    one_beside_three("reset", 10, &unread(&["reset the connection"]));
}

#[test]
fn half_a_page() {
    one_beside_three(
        "half",
        10,
        &unread(&["ended before its answer was complete"]),
    );
}

#[test]
fn a_web_page() {
    one_beside_three("html", 10, &unread(&["the answer is text/html"]));
}

#[test]
fn more_behind_the_end() {
    one_beside_three("eof", 10, &unread(&["continues after # EOF"]));
}

#[test]
fn times_are_left_out() {
    let page = one_beside_three("timestamps", 10, &read(26.0, &[]));
    assert!(!page.0.contains("1700000000000"), "{}", page.0);
}

#[test]
fn eight_megabytes_of_short_lines() {
    let page = one_beside_three("dense", 3, &read(15.0, &["too many", "they are invalid"]));
    // All series except one, in each of five scrapes.
    let dropped = page.dropped("limit") + page.dropped("invalid");
    println!("{dropped}");
    assert_eq!(dropped % (2_097_152 - 1), 0);
}

#[test]
fn types_that_are_not_those_of_the_first() {
    let service =
        Hostile::of(|port| service(port, "good,good,good,types").env("RPM_INSTANCES", "3"));
    for slot in 0..3 {
        service.requests(slot, 5);
    }
    service.judged(2);
    // Now the other workers are the first.
    service.runtime.signal(Signal::SIGTTIN);
    wait_status(&service.runtime, "four serve", |seen| seen.ready() == 4);
    for _ in 0..5 {
        let page = service.judged(2);
        assert_eq!(page.success(), [true; 4]);
        assert_eq!(page.value(REQUESTS), Some(15.0));
        assert_eq!(page.value("hostile_seconds_count"), Some(15.0));
        assert_eq!(page.value("hostile_slot{worker=\"3\"}"), None);
        assert_eq!(page.conflicts("type"), 3);
        assert!(page.0.contains(&format!("# TYPE {REQUESTS} counter\n")));
    }
    let lines = service.end();
    assert_eq!(lines.len(), 3, "{lines:#?}");
    for name in [REQUESTS, "hostile_slot", "hostile_seconds"] {
        let told = lines.iter().filter(|line| {
            line.contains("different types") && line.ends_with(&format!("name={name}"))
        });
        assert_eq!(told.count(), 1, "{name}");
    }
}

/// Values as the worker sent them, with the numbers of the valid ones.
const ODD: [(&str, u32); 8] = [
    ("a\nrpm_ready 0", 0),
    ("quote\"} 1\nrpm_ready{x=\"y", 1),
    ("backslash\\", 2),
    ("both\\\nrpm_workers 9", 3),
    ("unknown\\q", 4),
    ("next\u{85}line\u{2028}separator", 6),
    ("\u{1b}[2J\u{202e}", 7),
    ("{}#,=", 8),
];

#[test]
fn nothing_is_slipped_in() {
    let service = Hostile::start("good,good,good,inject");
    service.requests(3, 11);
    let before = service.runtime.get("/metrics/runtime").text();
    for _ in 0..5 {
        let page = service.judged(2);
        assert_eq!(page.success(), [true; 4]);
        assert_eq!(page.value(REQUESTS), Some(11.0));
        for ours in [
            "rpm_ready",
            "rpm_generation",
            "rpm_worker_restarts_total{worker=\"0\"}",
        ] {
            assert_eq!(page.value(ours), Page(before.clone()).value(ours), "{ours}");
            assert!(page.value(ours).is_some());
        }
        assert!(
            !page
                .series()
                .keys()
                .any(|name| name.starts_with("process_"))
        );
        let label = "hostile_worker{exported_worker=\"7\",instance=\"x\",job=\"y\",worker=\"3\"}";
        assert_eq!(page.value(label), Some(1.0));
        assert_eq!((page.conflicts("type"), page.conflicts("label")), (0, 1));
    }
    let open = service.open(2);
    let odd: BTreeSet<String> = strict_reader(&open.0)
        .into_iter()
        .filter(|(name, _)| name == "hostile_odd")
        .map(|(_, mut labels)| labels.remove("value").unwrap())
        .collect();
    let sent = ODD.iter().map(|(value, _)| (*value).to_owned());
    assert_eq!(odd, sent.collect());
    let lines = service.end();
    // One line about invalid series, and one about two help texts unless it was the first worker.
    assert!((1..=2).contains(&lines.len()), "{lines:#?}");
}

#[test]
fn one_that_comes_and_goes_is_not_told_of_each_time() {
    let service = Hostile::start("good,good,good,flap");
    let mut read = 0;
    for _ in 0..40 {
        let page = service.scrape(2);
        assert_eq!(&page.success()[..3], [true; 3]);
        read += usize::from(page.success()[3]);
    }
    assert_eq!(read, 20);
    let lines = service.end();
    assert!(lines.len() <= 3, "{lines:#?}");
}

/// The slowest of many answers of the other endpoints while `scrapes` are made one after the other.
fn slowest_while_scraped(service: &Hostile, scrapes: usize) -> Duration {
    let (mut asked, mut slowest) = (0, Duration::ZERO);
    thread::scope(|scope| {
        let scraping = scope.spawn(|| {
            for _ in 0..scrapes {
                service.scrape(5);
            }
        });
        while !scraping.is_finished() {
            for path in ["/livez", "/readyz"] {
                slowest = slowest.max(service.answers(path));
                asked += 1;
            }
        }
        scraping.join().unwrap();
    });
    println!("the slowest of {asked} answers took {slowest:?}");
    slowest
}

#[test]
fn probes_are_answered_while_all_pages_are_endless() {
    let service = Hostile::start("endless,endless,endless,endless");
    let slowest = slowest_while_scraped(&service, 5);
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    assert_eq!(service.end().len(), 4);
}

#[test]
fn probes_are_answered_while_all_pages_are_dense() {
    let service = Hostile::start("dense,dense,million,million");
    let slowest = slowest_while_scraped(&service, 5);
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    // Log lines: two about pages that are too long; for the other workers one about too many lines, and one about
    // duplicate series.
    assert_eq!(service.end().len(), 4);
}

/// No page is good; each fault is logged once, however often the worker is asked.
#[test]
fn all_hostile_at_once_each_in_its_way() {
    for (manners, success, lines) in [
        ("endless,million,bomb,late", [false; 4], 4),
        ("reset,half,html,eof", [false; 4], 4),
        (
            "inject,crumbs,dense,timestamps",
            [true, false, true, true],
            4,
        ),
    ] {
        let service = Hostile::start(manners);
        service.judged(5);
        for _ in 0..2 {
            assert_eq!(service.scrape(5).success(), success, "{manners}");
        }
        let told = service.end();
        assert!(told.len() <= lines, "{manners}");
    }
}

#[test]
fn a_reload_brings_a_good_one_in_place_of_a_late_one() {
    let file = scratch("hostile").join("variables");
    fs::write(&file, "MISBEHAVE=good,good,good,late\n").unwrap();
    let service =
        Hostile::of(|port| service(port, "good,good,good,good").env("RPM_ENV_FILE", &file));
    for slot in 0..4 {
        service.requests(slot, 2);
    }
    assert_eq!(service.scrape(2).success(), [true, true, true, false]);
    fs::write(&file, "MISBEHAVE=good\n").unwrap();
    let mark = service.runtime.mark();
    service.runtime.signal(Signal::SIGHUP);
    let line = wait_reload_ends(&service.runtime, mark);
    assert!(line.contains("result=success"), "{line}");
    until("nobody is left of the old", || {
        status(&service.runtime).processes() == 4
    });
    for _ in 0..10 {
        let page = service.judged(2);
        assert_eq!(page.success(), [true; 4]);
        assert_eq!(page.value(REQUESTS), Some(6.0));
    }
    let lines = service.end();
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(lines[0].contains("no answer within 1.8s"), "{lines:#?}");
    assert!(lines[1].contains("can be read again"), "{lines:#?}");
}

#[test]
fn more_series_than_one_worker_may_have() {
    let service = Hostile::of(|port| service(port, "good,good,good,many").env("SERIES", "30000"));
    for scrape in 1..=4 {
        let page = service.scrape(10);
        assert_eq!(page.success(), [true; 4]);
        let many = page.series().into_keys();
        let many = many
            .filter(|name| name.starts_with("hostile_many_total"))
            .count();
        assert_eq!(many, 10_000);
        assert_eq!(page.dropped("limit"), scrape * 20_000);
        for slot in 0..3 {
            let series = format!("hostile_slot{{worker=\"{slot}\"}}");
            assert_eq!(page.value(&series), Some(f64::from(slot)));
        }
        assert_eq!(page.dropped("invalid"), 0);
    }
    service.requests(3, 4);
    let page = service.scrape(10);
    let known = "hostile_many_total{number=\"9\",of=\"3\"}";
    assert_eq!(page.value(known), Some(4.0));
    assert_eq!(service.end().len(), 1);
}

/// 24 workers with 9000 series each, while 200 000 are allowed in all.
#[test]
fn more_series_than_all_workers_may_have() {
    let manners = vec!["many"; 24].join(",");
    let service = Hostile::start(&manners);
    let begun = Instant::now();
    let held = |page: &Page| page.count("rpm_metrics_series");
    let page = service.scrape(60);
    println!("the first scrape: {:?}", begun.elapsed());
    assert_eq!(page.success(), [true; 24]);
    assert_eq!(held(&page), 200_000);
    assert_eq!(page.dropped("limit"), 16_000);
    // Some series were there first; they continue, and no new ones are added.
    let named = |page: &Page| -> BTreeSet<String> {
        let names = page.series().into_keys();
        let names = names.filter(|name| name.starts_with("hostile_many_total"));
        names.map(str::to_owned).collect()
    };
    let before = named(&page);
    let slots = (0..24_u16).filter(|slot| {
        let of = format!("of=\"{slot}\"");
        before.iter().any(|name| name.contains(&of))
    });
    for slot in slots {
        service.requests(slot, 3);
    }
    let page = service.scrape(60);
    assert_eq!(named(&page), before);
    let series = page.series();
    assert!(before.iter().all(|name| series[name.as_str()] == "3"));
    assert_eq!(held(&page), 200_000);
    println!("{} bytes of page; {:?}", page.0.len(), begun.elapsed());
    assert_eq!(service.end().len(), 1);
}

/// Labels that never repeat fill the memory; the counters of a restarting worker still count.
#[test]
fn labels_without_end_do_not_cost_the_others_their_counters() {
    let manners = ["good"]
        .into_iter()
        .chain([("fresh"); 10])
        .collect::<Vec<_>>();
    let service = Hostile::start(&manners.join(","));
    service.requests(0, 5);
    let mut page = service.scrape(60);
    until("there is no room left", || {
        page = service.scrape(60);
        page.dropped("limit") > 0
    });
    assert_eq!(page.value(REQUESTS), Some(5.0));
    let old = status(&service.runtime).pid(0);
    send(old, Signal::SIGKILL);
    wait_ready(&service.runtime, 12);
    service.requests(0, 2);
    for _ in 0..2 {
        let page = service.scrape(60);
        assert_eq!(page.success(), [true; 11]);
        assert_eq!(page.value(REQUESTS), Some(7.0));
        assert_eq!(page.value("hostile_seconds_count"), Some(7.0));
        assert!(page.count("rpm_metrics_series") <= 200_000);
    }
    assert_eq!(service.end().len(), 1);
}

/// A client that has requested `/metrics`.
fn asking(service: &Hostile) -> TcpStream {
    let mut stream = TcpStream::connect(service.runtime.admin()).unwrap();
    let head = "GET /metrics HTTP/1.1\r\nHost: x\r\nX-Prometheus-Scrape-Timeout-Seconds: 2\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    stream.set_read_timeout(Some(patience())).unwrap();
    stream
}

/// Megabytes for each of a hundred clients that read none of it.
#[test]
fn clients_that_never_read() {
    let service = Hostile::start("many,many,many,many");
    let alone = service.scrape(30);
    let clients: Vec<TcpStream> = (0..100).map(|_| asking(&service)).collect();
    let begun = Instant::now();
    let slowest = (0..50).map(|_| service.answers("/livez"));
    let slowest = slowest.max().unwrap();
    // A place becomes free as soon as one of them exceeds its time.
    let mut page = None;
    until("a scrape is answered", || {
        let mut connection = Connection::open(service.runtime.admin()).unwrap();
        let reply = connection
            .request("/metrics", &["Accept: text/plain"])
            .unwrap();
        page = (reply.status == 200).then(|| Page(reply.text()));
        page.is_some()
    });
    let page = page.unwrap();
    println!(
        "{} bytes; the slowest probe took {slowest:?}, a scrape was answered after {:?}; {} MiB",
        alone.0.len(),
        begun.elapsed(),
        service.most_memory()
    );
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    assert_eq!(page.series().len(), alone.series().len());
    drop(clients);
    service.end();
}

/// The clients leave while a worker is awaited; later clients need not wait longer because of that.
#[test]
fn clients_that_go_in_the_middle() {
    let service = Hostile::start("good,good,good,late");
    service.requests(0, 3);
    for _ in 0..5 {
        let clients: Vec<TcpStream> = (0..10).map(|_| asking(&service)).collect();
        // All requests are received before any client leaves: a probe that came last is answered.
        service.runtime.get("/livez");
        drop(clients);
    }
    let page = service.scrape(2);
    assert_eq!(page.value(REQUESTS), Some(3.0));
    assert_eq!(page.success(), [true, true, true, false]);
    assert_eq!(service.end().len(), 1);
}
