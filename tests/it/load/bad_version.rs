//! A new version that is broken in one of many ways: the reload fails and says why, the old workers continue to serve,
//! and no client notices.

use std::fs;
use std::path::PathBuf;

use super::{WORKERS, lost_nothing};
use crate::harness::load::{Load, Style};
use crate::harness::programs::Program;
use crate::harness::reloads::{pids, reload, reload_fails};
use crate::harness::shared_port::{stop, wait_ready, wait_rotation};
use crate::harness::{Runtime, free_port, scratch};

/// The error output of a broken version.
const COMPLAINT: &str = "no such table: accounts";

/// A service whose new workers have the version in the file.
struct Service {
    program: Program,
    version: PathBuf,
    runtime: Runtime,
}

impl Service {
    fn start(variables: &[(&str, &str)]) -> Self {
        let version = scratch("version").join("version");
        fs::write(&version, "good").unwrap();
        let program = Program::python("tests/payloads/versioned.py");
        let service = program.workers(WORKERS).env("VERSION", &version);
        let service = variables
            .iter()
            .fold(service, |service, (name, value)| service.env(name, value));
        let runtime = service.start();
        wait_ready(&runtime, WORKERS);
        Self {
            program,
            version,
            runtime,
        }
    }

    /// A reload to `version` fails twice, then one to a good version succeeds; all under load.
    fn survives(self, version: &str, names_why: impl Fn(&str) -> bool) {
        let Self {
            program, runtime, ..
        } = &self;
        let short = Load::run(program.plan(4, Style::Short).strict());
        let pooled = Load::run(program.plan(4, Style::Bounded(20)).strict());
        short.wait_answers(100);
        pooled.wait_answers(100);
        let old = pids(runtime);
        fs::write(&self.version, version).unwrap();
        for _ in 0..2 {
            let mark = runtime.mark();
            reload_fails(runtime);
            runtime.wait_for_line_after(mark, |line| {
                line.contains("did not come up") && names_why(line)
            });
            assert_eq!(runtime.get("/readyz").status, 200);
            short.wait_answers(100);
            pooled.wait_answers(100);
        }
        assert_eq!(pids(runtime), old);
        fs::write(&self.version, "good").unwrap();
        reload(runtime);
        short.wait_answers(100);
        pooled.wait_answers(100);
        lost_nothing("a connection each", &short.stop(), runtime);
        lost_nothing("kept connections", &pooled.stop(), runtime);
        stop(self.runtime);
    }
}

fn complains(line: &str) -> bool {
    line.contains(COMPLAINT)
}

#[test]
fn a_version_that_exits_at_its_start_leaves_the_old_one_serving() {
    Service::start(&[]).survives("exits", complains);
}

#[test]
fn a_version_that_never_listens_leaves_the_old_one_serving() {
    Service::start(&[("RPM_READY_TIMEOUT", "2s")]).survives("silent", complains);
}

/// It serves for a moment, so it may accept clients, which are lost when it dies. So it must get no connection before
/// it has been ready for RPM_MIN_READY.
#[test]
fn a_version_that_dies_after_a_moment_leaves_the_old_one_serving() {
    Service::start(&[]).survives("dies", complains);
}

#[test]
fn a_version_that_exits_between_its_ports_leaves_the_old_one_serving() {
    let metrics = free_port().to_string();
    let service = Service::start(&[("METRICS_PORT", &metrics), ("RPM_MIN_UPTIME", "10ms")]);
    service.survives("half", complains);
}

/// The connections that clients keep hold the drain up. When the new worker ends, what it has in hand is lost; all
/// later requests go to the old worker.
#[test]
fn a_version_that_dies_while_the_old_one_drains_gives_the_slot_back() {
    let Service {
        program,
        version,
        runtime,
    } = &Service::start(&[("RPM_DRAIN_TIMEOUT", "60s")]);
    let kept = Load::run(program.plan(16, Style::Bounded(1_000_000)));
    kept.wait_answers(100);
    let old = pids(runtime);
    fs::write(version, "lasts").unwrap();
    reload_fails(runtime);
    let texts = runtime.texts();
    let told = |what: &str| texts.iter().any(|line| line.contains(what));
    assert!(told("new worker took over"), "{texts:?}");
    assert!(told("the old one serves again"), "{texts:?}");
    assert_eq!(pids(runtime), old);
    let live: Vec<u16> = (0..).take(WORKERS).collect();
    wait_rotation(runtime, &live);
    kept.stop();
    let after = Load::run(program.plan(4, Style::Short).strict());
    after.wait_answers(500);
    lost_nothing("after the failure", &after.stop(), runtime);
}

#[test]
fn a_version_that_is_sick_leaves_the_old_one_serving() {
    let health = [
        ("RPM_HEALTH", "http:/health"),
        ("RPM_HEALTH_INTERVAL", "200ms"),
    ];
    Service::start(&health).survives("sick", |line| line.contains("check"));
}
