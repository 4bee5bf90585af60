//! A page with all metrics, and its input.

use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::app_metrics::merge::Conflicts;
use crate::app_metrics::{AppScrape, AppTotals};
use crate::exposition::{Dropped, Format, Page, render};
use crate::metrics::{CgroupCounters, Facts, Metrics, Scrape};
use crate::model::{
    AppInfo, BalanceSample, Cause, Exit, Generation, HandoverInfo, LogTotals, NodeTotals, Pid,
    QueueKind, QueueSample, RunState, Sig, SlotId, Snapshot, Tick, WorkerState, WorkerView,
};
use crate::sys::cgroup::Places;
use crate::sys::proc::Proc;

use super::slots;

pub(super) fn facts(proc: impl AsRef<Path>) -> Facts {
    Facts {
        version: "0.1.0",
        revision: Some("abc123"),
        target: "x86_64-unknown-linux-musl",
        app: AppInfo {
            name: "shop".to_owned(),
            version: Some("1.2.3".to_owned()),
            revision: Some("abcdef0".to_owned()),
            branch: Some("main".to_owned()),
        },
        handover: HandoverInfo {
            handover: "intercept",
            steering: "random",
            counts_connections: false,
            reason: "a \"quoted\" reason\nof two lines \\".to_owned(),
        },
        wall_start: SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000),
        cgroup: CgroupCounters::find(&Places::find(&slots::cgroup_tree())),
        worker_memory: Some(128 << 20),
        proc: Proc::new(proc.as_ref()),
    }
}

pub(super) fn worker(slot: u16, state: WorkerState, pid: Option<i32>) -> WorkerView {
    WorkerView {
        pid: pid.and_then(Pid::new),
        started: pid.map(|_| Tick(Duration::from_millis(2500))),
        ..WorkerView::blank(slot, state)
    }
}

pub(super) fn snapshot(slots: Vec<WorkerView>, retiring: Vec<WorkerView>) -> Snapshot {
    Snapshot {
        state: RunState::Running,
        ready: true,
        started: true,
        desired: 2,
        generation: Generation(3),
        slots,
        rising: Vec::new(),
        retiring,
    }
}

pub(super) fn sample(
    listener: &str,
    worker: Option<u16>,
    length: u32,
    in_rotation: bool,
) -> QueueSample {
    QueueSample {
        listener: listener.to_owned(),
        worker: worker.map(SlotId),
        kind: QueueKind::Connections,
        length,
        limit: 100,
        in_rotation,
        held: true,
    }
}

pub(super) fn render(metrics: &Metrics, snapshot: &Snapshot, queues: Vec<QueueSample>) -> String {
    written(&page(metrics, snapshot, queues), Format::Text)
}

pub(super) fn written(page: &Page, format: Format) -> String {
    let mut out = Vec::new();
    assert_eq!(render::render(&page.families, format, &mut out), 0);
    String::from_utf8(out).unwrap()
}

pub(super) fn page(metrics: &Metrics, snapshot: &Snapshot, queues: Vec<QueueSample>) -> Page {
    metrics.page(&Scrape {
        snapshot,
        queues,
        connections: [(SlotId(0), 5), (SlotId(1), 0)].into(),
        balance: Some(BalanceSample {
            changes: 12,
            follows: true,
            arrivals: 34,
            counts: 5,
            passed_over: [(SlotId(0), false), (SlotId(1), true)].into(),
        }),
        log: LogTotals {
            lines: [1, 2, 3].into(),
            bytes: [10, 20, 30].into(),
            dropped: [[4, 0, 0, 0], [0, 5, 0, 0], [0, 0, 0, 6]].into(),
            workers: [(SlotId(0), [4, 5, 0, 0].into())].into(),
            split: 6,
            buffer: 7,
            buffer_limit: 8 << 20,
            blocked: Duration::from_millis(1500),
            files: [8, 9].into(),
            own_file: [12, 13].into(),
            rotations: [10, 11].into(),
        },
        node: Some(NodeTotals {
            relayed: 21,
            unaddressed: 22,
            faults: 23,
            lost_full: 24,
            lost_slot: 25,
            lost_closed: 26,
            held: 27,
        }),
        app: Some(AppTotals {
            workers: vec![AppScrape {
                slot: SlotId(0),
                success: true,
                took: Duration::from_millis(250),
            }],
            conflicts: Conflicts::default(),
            dropped: Dropped {
                limit: 3,
                invalid: 4,
            },
            series: 5,
        }),
    })
}

pub(super) fn full_page() -> String {
    written(&full(facts("/proc")), Format::Text)
}

/// A page on which every family has a series, except unlimited ones.
pub(super) fn full(facts: Facts) -> Page {
    let own = i32::try_from(std::process::id()).unwrap();
    let metrics = Metrics::new(2, facts).unwrap();
    metrics.worker_exited(SlotId(1), Cause::Signal, Exit::Signal(Sig::KILL));
    metrics.worker_restarted(SlotId(1));
    metrics.worker_ready(SlotId(0), Duration::from_millis(300));
    metrics.spawn_failed();
    metrics.orphan_reaped();
    metrics.notify_refused(4);
    metrics.signal_received(Sig::HUP);
    metrics.signal_received(Sig::parse("RTMIN+1").unwrap());
    page(
        &metrics,
        &snapshot(
            vec![
                worker(0, WorkerState::Ready, Some(own)),
                worker(1, WorkerState::Backoff, None),
            ],
            vec![worker(1, WorkerState::Retiring, Some(own))],
        ),
        vec![
            sample("[::]:3000", Some(0), 3, true),
            sample("0.0.0.0:3000", Some(0), 1, true),
            sample("[::]:3000", None, 1, false),
            sample("[::]:3000", Some(1), 0, false),
            sample("[::]:3000", None, 2, false),
            QueueSample {
                kind: QueueKind::Datagrams { dropped: 5 },
                ..sample("udp:[::]:8125", Some(0), 7, true)
            },
        ],
    )
}
