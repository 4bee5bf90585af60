//! Counts what was sent to a program and must appear on the page.

use std::collections::BTreeMap;

use crate::harness::Runtime;

use super::page::while_scraped;
use super::{Page, Server, scrape};

const BOUNDS: [f64; 5] = [0.001, 0.01, 0.1, 1.0, 10.0];

/// Requests to one program, by path.
pub struct Counted<'a> {
    server: &'a Server,
    runtime: &'a Runtime,
    sent: BTreeMap<&'static str, u64>,
}

impl<'a> Counted<'a> {
    pub fn new(server: &'a Server, runtime: &'a Runtime) -> Self {
        Self {
            server,
            runtime,
            sent: BTreeMap::new(),
        }
    }

    /// Sends `count` requests to any worker.
    #[track_caller]
    pub fn send(&mut self, path: &'static str, count: u64) {
        self.server.send(path, count);
        self.note(path, count);
    }

    /// Sends `count` requests to one worker; see [`Server::send_to`].
    #[track_caller]
    pub fn send_to(&mut self, slot: u16, path: &'static str, count: u64) {
        self.server.send_to(slot, path, count);
        self.note(path, count);
    }

    /// Records requests that were sent by other means.
    pub fn note(&mut self, path: &'static str, count: u64) {
        *self.sent.entry(path).or_default() += count;
    }

    pub fn total(&self) -> u64 {
        self.sent.values().sum()
    }

    /// Checks that exactly these were counted.
    #[track_caller]
    pub fn found_on(&self, page: &Page) {
        for (path, sent) in &self.sent {
            let labels = [("path", *path)];
            assert_eq!(page.sum("app_requests_total", &labels), *sent, "{path}");
            page.one("app_requests_total", &labels);
        }
        assert_eq!(page.sum("app_requests_total", &[]), self.total());
        assert_eq!(page.kind("app_requests_total"), Some("counter"));
        assert_eq!(
            page.histogram("app_request_duration_seconds", &BOUNDS),
            self.total()
        );
    }

    /// The present page, which must contain them.
    #[track_caller]
    pub fn scrape(&self) -> Page {
        let page = scrape(self.runtime);
        self.found_on(&page);
        page
    }

    /// Performs `action` while scraping; each scrape must find exactly these.
    #[track_caller]
    pub fn through<T>(&self, action: impl FnOnce() -> T) -> T {
        while_scraped(self.runtime, |page| self.found_on(page), action)
    }
}
