//! How exact the kernel's numbers about memory are.

use std::io;

use super::{MOST, Proc, ProcDir, ProcessStat, malformed};

impl ProcessStat {
    /// How much higher resident memory may be than the kernel's counters say, bytes. The kernel adds up what each thread
    /// has counted only after 64 pages (before Linux 6.2), or what each CPU has counted after a batch; it counts
    /// anonymous, file and shared pages separately.
    fn resident_doubt(&self, cpus: u64, page_size: u64) -> u64 {
        let batch = cpus.saturating_mul(2).max(32);
        let pages = cpus
            .saturating_mul(batch)
            .max(self.threads.saturating_mul(64));
        pages.saturating_mul(3).saturating_mul(page_size)
    }
}

/// Exact memory of a process, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessMemory {
    /// Resident memory (RSS).
    pub resident: u64,
    /// Proportional memory (PSS): each shared page is divided by the number of its users.
    pub proportional: u64,
}

impl Proc {
    /// The exact memory of a process (proc_pid_smaps(5)). The kernel walks all of it for that.
    pub fn memory(&self, dir: ProcDir) -> io::Result<ProcessMemory> {
        let mut lines = [0; MOST];
        let text = self.read(dir, "smaps_rollup", &mut lines)?;
        let text = std::str::from_utf8(text).ok();
        text.and_then(parse_rollup)
            .ok_or_else(|| malformed("smaps_rollup"))
    }

    /// How much higher the resident memory of a process may be than its `stat` says, bytes.
    pub fn resident_doubt(&self, stat: &ProcessStat) -> u64 {
        stat.resident_doubt(self.units().cpus, self.units().page_size)
    }
}

fn parse_rollup(text: &str) -> Option<ProcessMemory> {
    let bytes = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
        Some(kilobytes.saturating_mul(1024))
    };
    Some(ProcessMemory {
        resident: bytes("Rss:")?,
        proportional: bytes("Pss:")?,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn exact_memory_is_found_among_the_sums() {
        let text = "55d0-7ffc ---p 0 0:0 0   [rollup]\nRss:  9000 kB\nPss:        1234 kB\nPss_Anon: 5 kB\n";
        let found = ProcessMemory {
            resident: 9000 * 1024,
            proportional: 1234 * 1024,
        };
        assert_eq!(parse_rollup(text), Some(found));
        assert_eq!(parse_rollup("Rss: 1 kB\nPss_Dirty: 1 kB\n"), None);
        assert_eq!(parse_rollup("Rss: 1 kB\nPss: x kB\n"), None);
    }

    #[test]
    fn the_doubt_about_resident_memory_grows_with_threads_and_cpus() {
        let stat = |threads| ProcessStat {
            group: None,
            user: Duration::ZERO,
            system: Duration::ZERO,
            threads,
            started: Duration::ZERO,
            virtual_bytes: 0,
            resident_bytes: 0,
        };
        for (threads, cpus, pages) in [
            (1, 1, 3 * 64),
            (100, 2, 3 * 6400),
            (1, 4, 3 * 128),
            (1, 64, 3 * 8192),
        ] {
            assert_eq!(
                stat(threads).resident_doubt(cpus, 4096),
                pages * 4096,
                "{threads} {cpus}"
            );
        }
    }
}
