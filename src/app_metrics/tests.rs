//! Workers that are servers on loopback ports, and the merged result of their answers.

mod workers;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::Duration;

use crate::app_metrics::merge::{ProcessKey, Rules};
use crate::app_metrics::{AppScrape, AppTotals};
use crate::checks::Target;
use crate::exposition::Page;
use crate::model::{ListenerId, MetricsScope, Pid, SlotId};
use crate::sys::clock;

use super::{Endpoint, Gatherer, GathererSettings, ScrapeSource, ScrapeTarget};

/// Longer than any test may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A worker; the test decides what it does with a request.
struct Program {
    addr: SocketAddr,
    asked: Arc<AtomicUsize>,
    requests: Receiver<TcpStream>,
}

impl Program {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let (tell, requests): (Sender<TcpStream>, _) = channel();
        let count = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") {
                    if stream.read(&mut byte).unwrap_or(0) == 0 {
                        break;
                    }
                    head.push(byte[0]);
                }
                count.fetch_add(1, Ordering::SeqCst);
                if tell.send(stream).is_err() {
                    return;
                }
            }
        });
        Self {
            addr,
            asked,
            requests,
        }
    }

    /// The next request.
    fn question(&self) -> TcpStream {
        self.requests.recv_timeout(PATIENCE).unwrap()
    }

    fn answer(&self, body: &str) {
        answer(&mut self.question(), body);
    }
}

fn answer(stream: &mut TcpStream, body: &str) {
    let length = body.len();
    // The client may be gone.
    let _ = write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {length}\r\n\r\n{body}"
    );
}

fn gatherer(programs: &[&Program], interval: Option<Duration>) -> Gatherer {
    let addrs: Vec<SocketAddr> = programs.iter().map(|program| program.addr).collect();
    let find_endpoint = move |listener: ListenerId| {
        let addr = addrs.get(usize::from(listener.0))?;
        let target = Target {
            addr: *addr,
            source_port: 64_700 + listener.0,
        };
        Some(Endpoint {
            target,
            waiting: 9,
            inode: None,
        })
    };
    Gatherer::start(GathererSettings {
        source: ScrapeSource::Http {
            path: "/metrics".to_owned(),
            find_endpoint: Box::new(find_endpoint),
        },
        rules: Rules::default(),
        interval,
        late: false,
    })
    .unwrap()
}

fn worker(slot: u16, process: u64, listener: u16) -> ScrapeTarget {
    ScrapeTarget {
        process: ProcessKey(process),
        slot: SlotId(slot),
        pid: Pid::new(1000 + i32::from(slot)).unwrap(),
        listener: ListenerId(listener),
    }
}

/// The page, and the totals of the gathering.
fn page(gatherer: &Gatherer, scope: MetricsScope, within: Duration) -> (String, Option<AppTotals>) {
    let seen = Arc::new(Mutex::new(None));
    let note = Arc::clone(&seen);
    let own = move |app: Option<AppTotals>| {
        *note.lock().unwrap() = app;
        Page::default()
    };
    let answer = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(gatherer.page(scope, own, (None, None), within))
        .unwrap();
    let totals = seen.lock().unwrap().take();
    (String::from_utf8(answer.body).unwrap(), totals)
}

/// Only the samples.
fn samples(page: &str) -> Vec<&str> {
    page.lines().filter(|line| !line.starts_with('#')).collect()
}

/// Requests a page in a separate thread.
fn page_later(
    gatherer: &Gatherer,
    within: Duration,
) -> std::thread::JoinHandle<(String, Option<AppTotals>)> {
    let gatherer = gatherer.clone();
    std::thread::spawn(move || page(&gatherer, MetricsScope::All, within))
}

const COUNTED: &str = "# TYPE hits_total counter\nhits_total 10\n# TYPE heat gauge\nheat 3\n";

#[test]
fn every_worker_is_asked_and_the_answers_are_one_page() {
    let (one, two) = (Program::start(), Program::start());
    let gatherer = gatherer(&[&one, &two], None);
    gatherer.set_workers(vec![worker(0, 1, 0), worker(1, 2, 1)]);
    let scrape = page_later(&gatherer, PATIENCE);
    // The requests run in parallel.
    let (mut first, mut second) = (one.question(), two.question());
    answer(&mut second, "# TYPE hits_total counter\nhits_total 5\n");
    answer(&mut first, COUNTED);
    let (text, totals) = scrape.join().unwrap();
    assert_eq!(samples(&text), ["heat{worker=\"0\"} 3", "hits_total 15"]);
    let asked: Vec<(SlotId, bool)> = totals
        .unwrap()
        .workers
        .iter()
        .map(|worker| (worker.slot, worker.success))
        .collect();
    assert_eq!(asked, [(SlotId(0), true), (SlotId(1), true)]);
}

#[test]
fn scrapes_that_overlap_ask_once() {
    let one = Program::start();
    let gatherer = gatherer(&[&one], None);
    gatherer.set_workers(vec![worker(0, 1, 0)]);
    let scrape = || {
        gatherer.page(
            MetricsScope::All,
            |_| Page::default(),
            (None, None),
            PATIENCE,
        )
    };
    let mut scrapes: Vec<_> = (0..4).map(|_| Box::pin(scrape())).collect();
    // Polling each once sends its request.
    let mut looks = Context::from_waker(Waker::noop());
    for scrape in &mut scrapes {
        assert!(scrape.as_mut().poll(&mut looks).is_pending());
    }
    let mut question = one.question();
    // The thread processes requests in order, so it knows all four.
    page(&gatherer, MetricsScope::Runtime, PATIENCE);
    answer(&mut question, COUNTED);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    for scrape in scrapes {
        let text = runtime.block_on(scrape).unwrap().body;
        let text = String::from_utf8(text).unwrap();
        assert_eq!(samples(&text), ["heat{worker=\"0\"} 3", "hits_total 10"]);
    }
    assert_eq!(one.asked.load(Ordering::SeqCst), 1);
}

#[test]
fn a_late_worker_delays_nothing_beyond_the_deadline_and_counts_next_time() {
    let (quick, late) = (Program::start(), Program::start());
    let gatherer = gatherer(&[&quick, &late], None);
    gatherer.set_workers(vec![worker(0, 1, 0), worker(1, 2, 1)]);
    let first = page_later(&gatherer, PATIENCE);
    quick.answer(COUNTED);
    late.answer("# TYPE hits_total counter\nhits_total 7\n# TYPE heat gauge\nheat 9\n");
    let (text, _) = first.join().unwrap();
    assert_eq!(
        samples(&text),
        [
            "heat{worker=\"0\"} 3",
            "heat{worker=\"1\"} 9",
            "hits_total 17"
        ]
    );
    let limit = Duration::from_millis(300);
    let begun = clock::instant();
    let second = page_later(&gatherer, limit);
    quick.answer("# TYPE hits_total counter\nhits_total 12\n");
    let (text, totals) = second.join().unwrap();
    assert!(begun.elapsed() >= limit);
    // Its counters stay in the sum; its gauges are not shown.
    assert_eq!(samples(&text), ["hits_total 19"]);
    let workers = totals.unwrap().workers;
    assert_eq!(
        workers[1],
        AppScrape {
            slot: SlotId(1),
            success: false,
            took: workers[1].took,
        }
    );
    assert!(workers[1].took >= limit);
    assert!(workers[0].success);
}

#[test]
fn a_worker_that_says_nonsense_costs_the_others_nothing() {
    let (good, bad) = (Program::start(), Program::start());
    let gatherer = gatherer(&[&good, &bad], None);
    gatherer.set_workers(vec![worker(0, 1, 0), worker(1, 2, 1)]);
    let scrape = page_later(&gatherer, PATIENCE);
    good.answer(COUNTED);
    bad.answer("<html>not found</html>\n");
    let (text, totals) = scrape.join().unwrap();
    assert_eq!(samples(&text), ["heat{worker=\"0\"} 3", "hits_total 10"]);
    let success: Vec<bool> = totals
        .unwrap()
        .workers
        .iter()
        .map(|one| one.success)
        .collect();
    assert_eq!(success, [true, false]);
}
