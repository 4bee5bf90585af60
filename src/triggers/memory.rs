//! RPM_MAX_MEMORY: measures the memory of the workers.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::watch;

use super::Fired;
use crate::model::Pid;
use crate::policy::{Bytes, MemoryGuard};
use crate::sys::proc::{Proc, ProcDir, ProcessStat};

/// Sends [`Fired::Memory`] for each worker above its limit, and measures more often while one is near it. A worker is
/// its leader and all processes of its group. `workers` returns the present leaders. A new `limit` is compared at once;
/// without one, nothing is too large. Never ends.
pub async fn memory(
    mut limit: watch::Receiver<Option<Bytes>>,
    proc: Proc,
    workers: impl Fn() -> Vec<Pid>,
    tell: impl Fn(Fired),
) {
    let mut guard = MemoryGuard::new(Bytes(u64::MAX));
    loop {
        let most = limit.borrow_and_update().unwrap_or(Bytes(u64::MAX));
        guard.set_limit(most);
        for (pid, bytes) in guard.look(&measure(&guard, &proc, &workers())) {
            let limit = most;
            tell(Fired::Memory { pid, bytes, limit });
        }
        sleep_or_change(guard.pause(), &mut limit).await;
    }
}

/// Waits for the next look: as long as `pause`, or until there is another limit.
async fn sleep_or_change(pause: Duration, limit: &mut watch::Receiver<Option<Bytes>>) {
    let mut sleep = pin!(tokio::time::sleep(pause));
    let mut changed = pin!(limit.changed());
    poll_fn(|context| match changed.as_mut().poll(context) {
        Poll::Ready(Ok(())) => Poll::Ready(()),
        Poll::Ready(Err(_)) | Poll::Pending => sleep.as_mut().poll(context),
    })
    .await;
}

/// Bytes per worker. The kernel's counters of resident memory are cheap to read, but loose, and shared pages count in each
/// forked process. So where they, with all doubt, are above the limit, the exact proportional size decides, which is more
/// expensive; or the counters, where it cannot be read.
fn measure(guard: &MemoryGuard, proc: &Proc, workers: &[Pid]) -> Vec<(Pid, u64)> {
    let mut members: BTreeMap<Pid, Vec<(Pid, ProcessStat)>> =
        workers.iter().map(|leader| (*leader, Vec::new())).collect();
    // Without /proc, nothing is measured.
    for pid in proc.pids().unwrap_or_default() {
        // The process may have ended meanwhile.
        let Ok(stat) = proc.stat(ProcDir::Of(pid)) else {
            continue;
        };
        // A leader may have moved to another group.
        let leader = if members.contains_key(&pid) {
            Some(pid)
        } else {
            stat.group
        };
        if let Some(worker) = leader.and_then(|leader| members.get_mut(&leader)) {
            worker.push((pid, stat));
        }
    }
    let of_worker = |(leader, processes): (Pid, Vec<(Pid, ProcessStat)>)| {
        let stats = processes.iter().map(|(_, stat)| stat);
        let (resident, most) = stats.fold((0_u64, 0_u64), |(sum, most), stat| {
            let bytes = stat.resident_bytes;
            let doubt = proc.resident_doubt(stat);
            (
                sum.saturating_add(bytes),
                most.saturating_add(bytes).saturating_add(doubt),
            )
        });
        if !guard.exceeds(most) {
            return (leader, resident);
        }
        let proportional = processes.iter().map(|(pid, stat)| {
            let memory = proc.memory(ProcDir::Of(*pid));
            memory.map_or(stat.resident_bytes, |memory| memory.proportional)
        });
        (leader, proportional.fold(0, u64::saturating_add))
    };
    members.into_iter().map(of_worker).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::{Path, PathBuf};

    fn pid(raw: i32) -> Pid {
        Pid::new(raw).unwrap()
    }

    /// A fake /proc. Each row is a process: PID, group, resident pages, and proportional kilobytes if they are
    /// readable.
    fn fake(name: &str, rows: &[(i32, i32, u64, Option<u64>)]) -> PathBuf {
        let root = std::env::temp_dir().join(format!("rpm-memory-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root); // left by an earlier process with our PID
        for (number, group, pages, proportional) in rows {
            let dir = root.join(number.to_string());
            fs::create_dir_all(&dir).unwrap();
            let stat = format!(
                "{number} (x) S 1 {group} 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 5 1000 {pages} 0 0"
            );
            fs::write(dir.join("stat"), stat).unwrap();
            if let Some(kilobytes) = proportional {
                let text = format!("0-1 [rollup]\nRss: 1 kB\nPss: {kilobytes} kB\n");
                fs::write(dir.join("smaps_rollup"), text).unwrap();
            }
        }
        root
    }

    /// The result in pages.
    fn measured(root: &Path, limit: u64, workers: &[i32]) -> Vec<(i32, u64)> {
        let page = page(root);
        let guard = MemoryGuard::new(Bytes(limit.saturating_mul(page)));
        let workers: Vec<Pid> = workers.iter().map(|raw| pid(*raw)).collect();
        let measured = measure(&guard, &Proc::new(root), &workers);
        measured
            .into_iter()
            .map(|(pid, bytes)| (pid.get(), bytes / page))
            .collect()
    }

    /// Size of a page, bytes: process 9 has one page.
    fn page(root: &Path) -> u64 {
        let stat = Proc::new(root).stat(ProcDir::Of(pid(9)));
        stat.map_or(1, |stat| stat.resident_bytes)
    }

    #[test]
    fn a_worker_is_its_leader_and_its_group() {
        let rows = [
            (9, 9, 1, None),
            (10, 10, 100, None),
            (11, 10, 20, None),
            (12, 99, 50, None),
            (20, 7, 30, None),
            (21, 20, 4, None),
        ];
        let root = fake("group", &rows);
        assert_eq!(measured(&root, u64::MAX, &[10, 20]), [(10, 120), (20, 34)]);
        assert_eq!(measured(&root, u64::MAX, &[33]), [(33, 0)]);
        assert_eq!(measured(Path::new("/nonexistent"), 0, &[10]), [(10, 0)]);
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn what_is_shared_counts_by_parts_once_the_limit_is_passed() {
        let root = fake("page", &[(9, 9, 1, None)]);
        let kilobytes = page(&root) / 1024;
        fs::remove_dir_all(root).unwrap();
        let rows = [
            (9, 9, 1, None),
            (10, 10, 100, Some(40 * kilobytes)),
            (11, 10, 100, Some(40 * kilobytes)),
            (20, 20, 300, None),
        ];
        let root = fake("shared", &rows);
        // Far enough below the limit, the counters are believed.
        let far = 200 + doubt(&root);
        assert_eq!(measured(&root, far, &[10, 20]), [(10, 200), (20, 300)]);
        assert_eq!(measured(&root, far - 1, &[10, 20]), [(10, 80), (20, 300)]);
        assert_eq!(measured(&root, 199, &[10, 20]), [(10, 80), (20, 300)]);
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn another_limit_ends_the_pause() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build();
        runtime.unwrap().block_on(async {
            let sender = watch::Sender::new(Some(Bytes(2)));
            let mut limit = sender.subscribe();
            let mut wait = pin!(sleep_or_change(Duration::from_hours(1), &mut limit));
            let mut ended = async || {
                poll_fn(|context| Poll::Ready(wait.as_mut().poll(context).is_ready())).await
            };
            assert!(!ended().await);
            sender.send_replace(Some(Bytes(1)));
            assert!(ended().await);
        });
    }

    /// How much more than their counters say the processes 10 and 11 may have, pages.
    fn doubt(root: &Path) -> u64 {
        let proc = Proc::new(root);
        let of = |raw| {
            let stat = proc.stat(ProcDir::Of(pid(raw))).unwrap();
            proc.resident_doubt(&stat)
        };
        (of(10) + of(11)) / page(root)
    }

    /// The counters of a young process may tell an eighth of what it has.
    #[test]
    fn what_the_counters_miss_near_the_limit_is_seen() {
        let root = fake("loose", &[(9, 9, 1, None)]);
        let kilobytes = page(&root) / 1024;
        fs::remove_dir_all(root).unwrap();
        let rows = [
            (9, 9, 1, None),
            (10, 10, 13, Some(110 * kilobytes)),
            (20, 20, 13, None),
        ];
        let root = fake("loose", &rows);
        assert_eq!(measured(&root, 100, &[10, 20]), [(10, 110), (20, 13)]);
        fs::remove_dir_all(root).unwrap();
    }
}
