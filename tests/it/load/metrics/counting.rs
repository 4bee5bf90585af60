//! `examples/counting_server.rs`: its workers, its clients, and its own counts.

use std::fs;
use std::path::PathBuf;

use crate::harness::load::{Load, Plan, Report, Style};
use crate::harness::{Builder, Runtime, example, free_port, scratch};

/// Number of clients of each kind.
const CLIENTS: u32 = 4;

/// The program on a port of its own, with a directory for its ledgers.
pub struct Counting {
    pub port: u16,
    ledgers: PathBuf,
}

/// The counts of one process, from its ledger.
#[derive(Clone, Debug)]
pub struct Counted {
    pub pid: i32,
    /// Requests by bucket, not cumulative.
    pub requests: [u64; 4],
    /// The request count on its last page, and (below) on the page before.
    pub told: u64,
    pub told_before: u64,
    /// When the last page was made, in milliseconds since 1970.
    pub told_at: u64,
    pub pages: u64,
}

impl Counted {
    pub fn total(&self) -> u64 {
        self.requests.iter().sum()
    }
}

impl Counting {
    pub fn new(name: &str) -> Self {
        Self {
            port: free_port(),
            ledgers: scratch(&format!("counted-{name}")),
        }
    }

    /// A runtime with `count` workers, which are asked every second if there is no scrape. A worker that was ready
    /// counts as started, however short it lived.
    pub fn workers(&self, count: usize) -> Builder {
        Runtime::builder()
            .env("RPM_INSTANCES", count.to_string())
            .env("RPM_READY", "listen")
            .env("PORT", self.port.to_string())
            .env("RPM_APP_METRICS", "/metrics")
            .env("RPM_APP_METRICS_INTERVAL", "1s")
            .env("RPM_MIN_UPTIME", "0s")
            .env("RPM_MAX_RESTARTS", "0")
            .program([example("counting_server")])
            .arg("--ledger")
            .arg(&self.ledgers)
    }

    fn plan(&self, style: Style) -> Plan {
        Plan::new(([127, 0, 0, 1], self.port), CLIENTS, style).strict()
    }

    /// The counts of all processes, ended ones included. Exact if no request is in progress.
    pub fn ledgers(&self) -> Vec<Counted> {
        let files = fs::read_dir(&self.ledgers).unwrap();
        let counted = files.map(|file| {
            let file = file.unwrap();
            let name = file.file_name().into_string().unwrap();
            let bytes = fs::read(file.path()).unwrap();
            let numbers = bytes.chunks_exact(8);
            let mut numbers = numbers.map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap()));
            // Created but still empty: nothing was counted.
            let mut next = || numbers.next().unwrap_or(0);
            Counted {
                pid: name.split('.').nth(1).unwrap().parse().unwrap(),
                requests: [next(), next(), next(), next()],
                told: next(),
                told_before: next(),
                told_at: next(),
                pages: next(),
            }
        });
        counted.collect()
    }

    /// The ledger of a living process.
    #[track_caller]
    pub fn ledger(&self, pid: i32) -> Counted {
        // A PID may be reused; the ledger that was written last belongs to the living process.
        let all = self.ledgers().into_iter();
        let its = all.filter(|counted| counted.pid == pid);
        its.max_by_key(|counted| counted.told_at)
            .unwrap_or_else(|| panic!("{pid} has no ledger"))
    }

    /// Requests of all processes by bucket, not cumulative.
    pub fn requests(&self) -> [u64; 4] {
        let all = self.ledgers().into_iter().map(|counted| counted.requests);
        all.fold([0; 4], |sum, one| {
            std::array::from_fn(|place| sum[place] + one[place])
        })
    }
}

/// Clients with a new connection for each request, and clients of a pool, both without pauses; none resends a request.
pub struct Clients {
    short: Load,
    pooled: Load,
}

impl Clients {
    pub fn start(program: &Counting) -> Self {
        Self {
            short: Load::run(program.plan(Style::Short)),
            pooled: Load::run(program.plan(Style::Bounded(20))),
        }
    }

    /// Waits until each kind has received some more answers.
    #[track_caller]
    pub fn are_answered(&self) {
        self.short.wait_answers(100);
        self.pooled.wait_answers(100);
    }

    /// Stops them, each after its present request.
    pub fn stop(self) -> Report {
        self.short.hold();
        self.pooled.hold();
        let mut report = self.short.stop();
        report.merge(self.pooled.stop());
        report
    }
}
