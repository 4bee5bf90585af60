//! A proxy between Prometheus and the runtime that requests one format and keeps each page.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;

use super::page::Page;
use crate::harness::{Connection, Runtime, until_some, waited_for_cpu};

/// The Accept header of each format.
pub const OPENMETRICS: &str = "application/openmetrics-text;version=1.0.0";
pub const TEXT: &str = "text/plain;version=0.0.4";

/// One scrape.
#[derive(Clone, Debug)]
pub struct Scraped {
    pub began: Instant,
    /// Without the time in which the runtime's threads and this process waited for a CPU.
    pub took: Duration,
    /// The timeout of Prometheus.
    pub allowed: Duration,
    pub status: u16,
    pub content_type: String,
    /// The decompressed page.
    pub text: String,
}

/// The proxy; its threads end with the process.
pub struct Recorder {
    pub addr: SocketAddr,
    scrapes: Arc<Mutex<Vec<Scraped>>>,
}

impl Recorder {
    pub fn start(runtime: &Runtime, accept: &'static str) -> Self {
        let target = (runtime.admin(), runtime.pid());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let scrapes = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&scrapes);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, kept) = (stream.unwrap(), Arc::clone(&kept));
                thread::spawn(move || pass_on(&stream, target, accept, &kept));
            }
        });
        Self { addr, scrapes }
    }

    pub fn scrapes(&self) -> Vec<Scraped> {
        self.scrapes.lock().unwrap().clone()
    }

    /// Waits for `count` further scrapes.
    #[track_caller]
    pub fn wait_more(&self, count: usize) {
        let goal = self.scrapes.lock().unwrap().len() + count;
        crate::harness::until("Prometheus scrapes", || {
            self.scrapes.lock().unwrap().len() >= goal
        });
    }

    /// Waits for a page on which every value is newer than `since`: all workers have answered. The first scrape after
    /// that time may have joined a request that was already in progress.
    #[track_caller]
    pub fn wait_fresh(&self, since: Instant) -> Page {
        until_some("all workers answer a scrape", || {
            let scrapes = self.scrapes.lock().unwrap();
            let young = scrapes.iter().filter(|scraped| scraped.began > since);
            let pages = young.skip(1).map(|scraped| Page::read(&scraped.text));
            pages.into_iter().find(|page| page.asked()[1].is_empty())
        })
    }
}

/// Serves one connection until Prometheus closes it.
fn pass_on(
    stream: &TcpStream,
    (target, pid): (SocketAddr, i32),
    accept: &str,
    kept: &Mutex<Vec<Scraped>>,
) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let own = i32::try_from(std::process::id()).ok()?;
    let waited = || waited_for_cpu(pid) + waited_for_cpu(own);
    loop {
        let mut lines = reader.by_ref().lines().map_while(Result::ok);
        let first = lines.next()?;
        let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
        let value = |name: &str| {
            let mut headers = head.iter().filter_map(|line| line.split_once(':'));
            let found = headers.find(|(key, _)| key.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.trim().to_owned())
        };
        let seconds = value("x-prometheus-scrape-timeout-seconds").unwrap();
        let headers = [
            format!("Accept: {accept}"),
            format!("Accept-Encoding: {}", value("accept-encoding").unwrap()),
            format!("X-Prometheus-Scrape-Timeout-Seconds: {seconds}"),
        ];
        let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
        let path = first.split(' ').nth(1).unwrap();
        let (began, before) = (Instant::now(), waited());
        let reply = Connection::open(target).and_then(|mut to| to.request(path, &headers));
        let took = began.elapsed();
        let took = took.saturating_sub(waited().saturating_sub(before));
        // Prometheus then sees a closed connection and a failed scrape.
        let reply = reply.ok()?;
        let packed = reply.header("content-encoding") == Some("gzip");
        let content_type = reply.header("content-type").unwrap().to_owned();
        let mut text = String::new();
        if packed {
            let mut unpacked = GzDecoder::new(&reply.body[..]);
            unpacked.read_to_string(&mut text).unwrap();
        } else {
            text = reply.text();
        }
        kept.lock().unwrap().push(Scraped {
            began,
            took,
            allowed: Duration::from_secs_f64(seconds.parse().unwrap()),
            status: reply.status,
            content_type: content_type.clone(),
            text,
        });
        let encoding = if packed {
            "Content-Encoding: gzip\r\n"
        } else {
            ""
        };
        let head = format!(
            "HTTP/1.1 {} Passed On\r\nContent-Type: {content_type}\r\n{encoding}Content-Length: {}\r\n\r\n",
            reply.status,
            reply.body.len()
        );
        let mut writer = stream;
        writer
            .write_all(&[head.as_bytes(), &reply.body].concat())
            .ok()?;
    }
}
