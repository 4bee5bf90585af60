//! Application metrics in a real Prometheus: whatever happens to the workers, it counts exactly what the clients sent.
//!
//! The test named `soak` is the long form; `make soak` runs it.

use std::time::{Duration, Instant};

use crate::harness::load::Report;
use crate::harness::shared_port::{send, stop, wait_ready, worker};
use crate::harness::{Runtime, Signal};
use crate::load::metrics::{
    Clients, Counting, OPENMETRICS, Page, Point, Prometheus, REQUESTS, Recorder, TEXT, WORKERS,
    never_fall, own, promtool, strict_reader, wait_scale, whole,
};

/// Performs reloads, scaling and kills in turn while clients send requests.
struct Operator<'a> {
    program: &'a Counting,
    runtime: &'a Runtime,
    jobs: &'a [Recorder; 2],
    clients: Option<Clients>,
    /// The results of all clients so far.
    report: Report,
    rounds: usize,
}

impl Operator<'_> {
    #[track_caller]
    fn clients(&self) -> &Clients {
        self.clients.as_ref().unwrap()
    }

    fn round(&mut self) {
        let mark = self.runtime.mark();
        self.runtime.signal(Signal::SIGHUP);
        self.runtime
            .wait_for_line_after(mark, |line| line.contains("reload finished"));
        self.clients().are_answered();
        self.runtime.signal(Signal::SIGTTIN);
        wait_scale(self.runtime, WORKERS + 1);
        self.clients().are_answered();
        self.runtime.signal(Signal::SIGTTOU);
        wait_scale(self.runtime, WORKERS);
        self.clients().are_answered();
        // What a worker has counted since it was last asked is lost with it. So the clients pause for the kill, which
        // happens after all their answered requests have been collected.
        self.rest();
        let mark = self.runtime.mark();
        let slot = u16::try_from(self.rounds % WORKERS).unwrap();
        send(worker(self.runtime, slot), Signal::SIGKILL);
        // Until then it may still accept a connection.
        self.runtime
            .wait_for_line_after(mark, |line| line.contains("worker ended"));
        self.clients = Some(Clients::start(self.program));
        self.runtime
            .wait_for_line_after(mark, |line| line.contains("worker ready"));
        wait_scale(self.runtime, WORKERS);
        self.clients().are_answered();
        self.rounds += 1;
    }

    /// Stops the clients: none has lost anything, and the next page of each job contains exactly the number of answered
    /// requests.
    fn rest(&mut self) {
        let report = self.clients.take().unwrap().stop();
        assert_eq!(report.lost(), 0, "{report}\n{}", self.runtime.shown());
        self.report.merge(report);
        let answered = self.report.answered;
        let now = Instant::now();
        for job in self.jobs {
            let counted = job.wait_fresh(now).count(REQUESTS);
            assert_eq!(
                counted,
                answered,
                "round {}: {:#?}\n{}",
                self.rounds,
                self.program.ledgers(),
                self.runtime.shown()
            );
        }
    }
}

/// The data that Prometheus has for one job, between its first and its last sample.
struct Judge<'a> {
    prometheus: &'a Prometheus,
    job: &'a str,
    from: u64,
    to: u64,
}

impl<'a> Judge<'a> {
    fn new(prometheus: &'a Prometheus, job: &'a str) -> (Self, Vec<Point>) {
        let selector = format!("counting_requests_total{{path=\"/\",job=\"{job}\"}}");
        let points = prometheus.samples(&selector);
        let judge = Self {
            prometheus,
            job,
            from: points[0].at,
            to: points[points.len() - 1].at,
        };
        (judge, points)
    }

    /// `FUNCTION(NAME{LABELS}[all that was scraped])` at the time of the last sample.
    fn query(&self, function: &str, name: &str, labels: &str) -> String {
        let range = self.to - self.from;
        let Self { job, .. } = self;
        format!("{function}({name}{{job=\"{job}\"{labels}}}[{range}ms])")
    }

    #[track_caller]
    fn value(&self, function: &str, name: &str, labels: &str) -> f64 {
        let query = self.query(function, name, labels);
        self.prometheus.one(&query, self.to)
    }

    #[track_caller]
    fn count(&self, function: &str, name: &str, labels: &str) -> u64 {
        whole(self.value(function, name, labels))
    }

    /// Checks that no counter was seen to restart. Returns the number of counters.
    #[track_caller]
    fn never_reset(&self) -> usize {
        let Self { job, .. } = self;
        let range = self.to - self.from;
        let ends = "__name__=~\".+(_total|_count|_bucket|_sum)\"";
        let names =
            format!("count by (__name__) (last_over_time({{job=\"{job}\",{ends}}}[{range}ms]))");
        let mut series = 0;
        for (family, size) in self.prometheus.all(&names, self.to) {
            let name = family["__name__"].as_str().unwrap();
            let found = self
                .prometheus
                .all(&self.query("resets", name, ""), self.to);
            assert_eq!(found.len() as u64, whole(size), "{name}");
            for (labels, resets) in found {
                assert_eq!(whole(resets), 0, "{name}{labels}");
                series += 1;
            }
        }
        series
    }
}

/// `increase()` extrapolates the line through the first and the last sample to the ends of the window. So it is exact
/// if the window ends on a sample, and begins on one or the first value is 0.
fn is_exact(judge: &Judge, points: &[Point], program: &Counting, answered: u64) {
    assert_eq!(whole(points[0].value), 0);
    assert!(points.windows(2).all(|pair| pair[0].value <= pair[1].value));
    let requests = |function| judge.count(function, "counting_requests_total", ",path=\"/\"");
    assert_eq!(requests("max_over_time"), answered);
    assert_eq!(requests("last_over_time"), answered);
    assert_eq!(requests("increase"), answered);
    assert_eq!(requests("resets"), 0);
    assert_eq!(requests("count_over_time"), points.len() as u64);
    // A window as people choose it: it ends between two samples while there are no requests, so the result is too large
    // by at most the rate of one interval.
    let after = judge.to + 500;
    let query = format!(
        "increase(counting_requests_total{{path=\"/\",job=\"{}\"}}[1h])",
        judge.job
    );
    let drawn = judge.prometheus.one(&query, after);
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    let (answered, length) = (answered as f64, (judge.to - judge.from) as f64);
    let most = answered * (1.0 + 1_000.0 / length);
    assert!(
        (answered..=most).contains(&drawn),
        "{drawn}: {answered} to {most}"
    );

    let buckets = program.requests();
    let mut below = 0;
    for (bucket, bound) in buckets.iter().zip(["0.25", "0.5", "0.75", "+Inf"]) {
        below += bucket;
        let label = format!(",le=\"{bound}\"");
        let name = "counting_work_seconds_bucket";
        assert_eq!(judge.count("increase", name, &label), below, "{bound}");
    }
    assert_eq!(
        judge.count("increase", "counting_work_seconds_count", ""),
        below
    );
    let eighths = (1..)
        .step_by(2)
        .zip(buckets)
        .map(|(work, count): (u64, _)| work * count);
    let sum = judge.value("increase", "counting_work_seconds_sum", "");
    assert_eq!(whole(sum * 8.0), eighths.sum::<u64>());
}

/// Every page that Prometheus received, in order.
fn pages_are_clean(job: &Recorder, format: &str) -> Vec<Page> {
    let scrapes = job.scrapes();
    for scraped in &scrapes {
        assert_eq!(scraped.status, 200);
        assert!(scraped.took < scraped.allowed, "{:?}", scraped.took);
        assert!(
            scraped.content_type.starts_with(format),
            "{}",
            scraped.content_type
        );
    }
    let texts: Vec<&str> = scrapes
        .iter()
        .map(|scraped| scraped.text.as_str())
        .collect();
    let pages: Vec<Page> = texts.iter().map(|text| Page::read(text)).collect();
    if format == "text/plain" {
        promtool(&texts);
    } else {
        let sizes: Vec<usize> = pages.iter().map(Page::len).collect();
        assert_eq!(strict_reader(&texts), sizes);
        let last = texts.last().unwrap();
        assert!(last.contains(" # {nonce=\"n"), "no exemplar: {last}");
    }
    // The runtime's own metrics of a slot end with it. The program's metrics stay.
    let scaled = format!("worker=\"{WORKERS}\"");
    never_fall(&pages, |series| !series.contains(&scaled));
    pages
}

fn counts_what_was_sent(length: Duration) {
    let program = Counting::new("sent");
    let runtime = program.workers(WORKERS).start();
    wait_ready(&runtime, WORKERS);
    let jobs = [OPENMETRICS, TEXT].map(|accept| Recorder::start(&runtime, accept));
    let prometheus = Prometheus::start(&[("openmetrics", jobs[0].addr), ("text", jobs[1].addr)]);
    // No requests for a few scrapes, at the begin and at the end.
    let quiet = || jobs.iter().for_each(|job| job.wait_more(3));
    quiet();
    let mut operator = Operator {
        program: &program,
        runtime: &runtime,
        jobs: &jobs,
        clients: Some(Clients::start(&program)),
        report: Report::default(),
        rounds: 0,
    };
    let began = Instant::now();
    while began.elapsed() < length {
        operator.round();
    }
    operator.rest();
    let Operator { report, rounds, .. } = operator;
    println!("{rounds} rounds: {report}");
    assert!(rounds > 1, "{rounds}");
    for (series, each) in [
        ("rpm_reloads_total{result=\"success\"}", 1),
        ("rpm_reloads_total{result=\"failure\"}", 0),
        ("rpm_worker_exits_total{cause=\"signal\"}", 1),
        ("rpm_worker_exits_total{cause=\"reload\"}", WORKERS),
        ("rpm_worker_exits_total{cause=\"scale\"}", 1),
    ] {
        assert_eq!(own(&runtime, series), (each * rounds) as u64, "{series}");
    }
    quiet();

    for (job, name) in jobs.iter().zip(["openmetrics", "text"]) {
        let (judge, points) = Judge::new(&prometheus, name);
        is_exact(&judge, &points, &program, report.answered);
        assert_eq!(whole(judge.value("min_over_time", "up", "")), 1);
        let longest = judge.value("max_over_time", "scrape_duration_seconds", "");
        // Its scrape timeout is a second.
        assert!(longest < 1.0, "{longest}");
        let series = judge.never_reset();
        println!(
            "{name}: {} scrapes, the longest {longest} s; {series} series that count",
            points.len()
        );
        let texts = job.scrapes();
        assert!(texts.len() >= points.len());
        // Each page was stored.
        let seen = points.iter().map(|point| whole(point.value));
        let given = texts
            .iter()
            .map(|scraped| Page::read(&scraped.text).count(REQUESTS));
        assert!(seen.eq(given.take(points.len())));
    }
    let refused = prometheus.page();
    let refused = refused
        .lines()
        .filter(|line| line.starts_with("prometheus_target_scrapes_"));
    assert!(refused.clone().count() > 3);
    for line in refused {
        assert!(line.ends_with(" 0"), "{line}");
    }
    assert_eq!(prometheus.complaints(), [""; 0]);
    drop(prometheus);
    for (job, format) in jobs
        .iter()
        .zip(["application/openmetrics-text", "text/plain"])
    {
        pages_are_clean(job, format);
    }
    stop(runtime);
}

#[test]
fn prometheus_counts_what_was_sent_through_reloads_kills_and_scale() {
    counts_what_was_sent(Duration::from_secs(45));
}

#[test]
#[ignore = "long: make soak"]
fn soak_prometheus_counts_what_was_sent_through_reloads_kills_and_scale() {
    counts_what_was_sent(Duration::from_mins(10));
}
