//! Reads facts about processes from /proc (proc(5)).

mod memory;

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use nix::unistd::{SysconfVar, sysconf};

use crate::model::Pid;

pub use memory::ProcessMemory;

/// Size of the read buffer, bytes. /proc/PID/stat (a name and about fifty numbers of at most twenty digits) and
/// smaps_rollup (about twenty lines) are always shorter.
const MOST: usize = 2048;

/// The process whose files are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcDir {
    /// The runtime's own.
    Own,
    /// The process with this PID.
    Of(Pid),
    /// The process with this number, which may be PID 1.
    Any(u32),
}

/// The content of /proc/PID/stat, in common units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessStat {
    /// The leader of its process group, which may have ended. `None` if that is us, init, or a process outside of our
    /// namespace.
    pub group: Option<Pid>,
    /// CPU time in user mode, all threads.
    pub user: Duration,
    /// CPU time in kernel mode, all threads.
    pub system: Duration,
    /// Threads.
    pub threads: u64,
    /// Start of the process, counted from the start of the system. PID and start together identify one process, even if
    /// the PID is reused.
    pub started: Duration,
    /// Size of the address space.
    pub virtual_bytes: u64,
    /// Resident memory.
    pub resident_bytes: u64,
}

/// Soft limits of /proc/PID/limits; `None` is unlimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessLimits {
    /// RLIMIT_NOFILE.
    pub open_files: Option<u64>,
    /// RLIMIT_AS.
    pub address_space: Option<u64>,
}

/// A mounted proc filesystem. Every read may fail: not mounted, not permitted, or the process is gone.
#[derive(Debug)]
pub struct Proc {
    root: PathBuf,
    /// Found out at the first use, as below.
    units: OnceLock<Units>,
    fd_size_counts: OnceLock<bool>,
}

#[derive(Clone, Copy, Debug)]
struct Units {
    ticks_per_second: u64,
    page_size: u64,
    /// CPUs of the machine.
    cpus: u64,
}

impl Proc {
    /// Uses the proc filesystem at `root`: `/proc`, or a fixture in tests. Never fails; the reads may.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            units: OnceLock::new(),
            fd_size_counts: OnceLock::new(),
        }
    }

    fn units(&self) -> Units {
        *self.units.get_or_init(|| Units {
            ticks_per_second: setting(SysconfVar::CLK_TCK).unwrap_or(100),
            page_size: setting(SysconfVar::PAGE_SIZE).unwrap_or(4096),
            cpus: setting(SysconfVar::_NPROCESSORS_CONF).unwrap_or(1),
        })
    }

    /// Since Linux 6.2 the size of an fd directory is its number of entries, so it need not be listed. Elsewhere the size
    /// may mean anything, so trust it only if it agrees once with our own count and is not 0.
    fn fd_size_counts(&self) -> bool {
        *self.fd_size_counts.get_or_init(|| {
            let (size, listed) = (self.fd_size(ProcDir::Own), self.list_fds(ProcDir::Own));
            matches!((size, listed), (Ok(size @ 1..), Ok(listed)) if size == listed)
        })
    }

    /// CPU time, memory, threads and start of a process.
    pub fn stat(&self, dir: ProcDir) -> io::Result<ProcessStat> {
        let mut line = [0; MOST];
        let text = self.read(dir, "stat", &mut line)?;
        parse_stat(text, self.units()).ok_or_else(|| malformed("stat"))
    }

    /// The PIDs of all visible processes, except our own and init.
    pub fn pids(&self) -> io::Result<Vec<Pid>> {
        let own = i32::try_from(std::process::id()).ok();
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.root)? {
            let number = entry?
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok());
            found.extend(number.filter(|raw| Some(*raw) != own).and_then(Pid::new));
        }
        Ok(found)
    }

    /// The name of a process (`comm`): the first 15 bytes of its program's file name, unless it chose another.
    pub fn name(&self, pid: Pid) -> io::Result<String> {
        let name = fs::read(self.path(ProcDir::Of(pid), "comm"))?;
        Ok(String::from_utf8_lossy(&name).trim_end().to_owned())
    }

    /// How many descriptors a process has open.
    pub fn open_fds(&self, dir: ProcDir) -> io::Result<u64> {
        if self.fd_size_counts() {
            return self.fd_size(dir);
        }
        self.list_fds(dir)
    }

    fn list_fds(&self, dir: ProcDir) -> io::Result<u64> {
        let mut count = 0;
        for entry in fs::read_dir(self.path(dir, "fd"))? {
            entry?;
            count += 1;
        }
        // One descriptor is the directory that was just listed.
        Ok(match dir {
            ProcDir::Own => u64::saturating_sub(count, 1),
            ProcDir::Of(_) | ProcDir::Any(_) => count,
        })
    }

    /// Soft limits of a process.
    pub fn limits(&self, dir: ProcDir) -> io::Result<ProcessLimits> {
        fs::read_to_string(self.path(dir, "limits")).map(|text| parse_limits(&text))
    }

    /// When the system started, counted from 1970 (`btime` of /proc/stat); whole seconds.
    pub fn boot_time(&self) -> io::Result<Duration> {
        let text = fs::read_to_string(self.root.join("stat"))?;
        parse_boot_time(&text).ok_or_else(|| malformed("btime"))
    }

    /// Reads a file that the kernel returns in one read. A scrape reads hundreds of such files, so one read must do.
    fn read<'a>(&self, dir: ProcDir, name: &str, room: &'a mut [u8; MOST]) -> io::Result<&'a [u8]> {
        let length = fs::File::open(self.path(dir, name))?.read(room)?;
        Ok(room.get(..length).unwrap_or_default())
    }

    fn fd_size(&self, dir: ProcDir) -> io::Result<u64> {
        fs::metadata(self.path(dir, "fd")).map(|directory| directory.len())
    }

    /// Opens a table of the network namespace of the runtime.
    pub(super) fn net(&self, table: &str) -> io::Result<fs::File> {
        fs::File::open(self.root.join("net").join(table))
    }

    /// The root of this proc filesystem.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Path of a file of a process.
    pub(super) fn path(&self, dir: ProcDir, file: &str) -> PathBuf {
        let mut path = self.root.clone();
        match dir {
            ProcDir::Own => path.push("self"),
            ProcDir::Of(pid) => path.push(pid.to_string()),
            ProcDir::Any(pid) => path.push(pid.to_string()),
        }
        path.push(file);
        path
    }
}

fn setting(name: SysconfVar) -> Option<u64> {
    let value = sysconf(name).ok().flatten()?;
    u64::try_from(value).ok().filter(|value| *value > 0)
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("{what} has an unknown form"),
    )
}

/// The second field is the command in parentheses. It may contain spaces, parentheses and bytes that are not UTF-8, so
/// fields are counted from the last closing parenthesis.
fn parse_stat(text: &[u8], units: Units) -> Option<ProcessStat> {
    let end = text.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(text.get(end + 1..)?).ok()?;
    // `rest` starts with field 3.
    let field = |number: usize| rest.split_ascii_whitespace().nth(number - 3);
    let whole = |number: usize| field(number)?.parse::<u64>().ok();
    let time = |number: usize| {
        let ticks = whole(number)?;
        Some(Duration::from_nanos(
            ticks.saturating_mul(1_000_000_000 / units.ticks_per_second),
        ))
    };
    // The kernel prints resident pages as a signed number.
    let pages = field(24)?.parse::<i64>().ok()?;
    Some(ProcessStat {
        group: Pid::new(field(5)?.parse().ok()?),
        user: time(14)?,
        system: time(15)?,
        threads: whole(20)?,
        started: time(22)?,
        virtual_bytes: whole(23)?,
        resident_bytes: u64::try_from(pages)
            .unwrap_or(0)
            .saturating_mul(units.page_size),
    })
}

fn parse_limits(text: &str) -> ProcessLimits {
    let soft = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name))
            .and_then(|rest| rest.split_ascii_whitespace().next())
            .and_then(|value| value.parse().ok())
    };
    ProcessLimits {
        open_files: soft("Max open files"),
        address_space: soft("Max address space"),
    }
}

fn parse_boot_time(text: &str) -> Option<Duration> {
    let seconds = text.lines().find_map(|line| line.strip_prefix("btime "))?;
    seconds.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNITS: Units = Units {
        ticks_per_second: 100,
        page_size: 4096,
        cpus: 2,
    };

    fn stat_line(command: &[u8]) -> Vec<u8> {
        let mut line = b"77 (".to_vec();
        line.extend_from_slice(command);
        line.extend_from_slice(
            b") S 1 77 77 0 -1 4194560 1 2 3 4 150 25 9 9 20 0 7 0 12345 1000000 50 18446744073709551615 1 1\n",
        );
        line
    }

    #[test]
    fn a_command_may_hold_spaces_parentheses_and_any_byte() {
        for command in [
            b"node".as_slice(),
            b"a b",
            b") R 1 (x",
            b"((",
            b"",
            b"\xff\xfe\n",
        ] {
            assert_eq!(
                parse_stat(&stat_line(command), UNITS),
                Some(ProcessStat {
                    group: Pid::new(77),
                    user: Duration::from_millis(1500),
                    system: Duration::from_millis(250),
                    threads: 7,
                    started: Duration::from_millis(123_450),
                    virtual_bytes: 1_000_000,
                    resident_bytes: 50 * 4096,
                }),
                "{command:?}"
            );
        }
    }

    #[test]
    fn a_cut_or_foreign_stat_is_no_stat() {
        let line = stat_line(b"node");
        for end in 0..60 {
            assert_eq!(parse_stat(&line[..end], UNITS), None, "{end}");
        }
        assert_eq!(parse_stat(b"no parenthesis", UNITS), None);
        assert_eq!(parse_stat(b"1 (x) \xff", UNITS), None);
    }

    #[test]
    fn unlimited_is_no_limit() {
        let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
                    Max open files            1024                 524288               files     \n\
                    Max address space         unlimited            unlimited            bytes     \n";
        assert_eq!(
            parse_limits(text),
            ProcessLimits {
                open_files: Some(1024),
                address_space: None
            }
        );
        assert_eq!(parse_limits(""), ProcessLimits::default());
    }

    #[test]
    fn the_boot_time_is_found_among_the_counters() {
        let text = "cpu  1 2 3\nctxt 5\nbtime 1700000000\nprocesses 9\n";
        assert_eq!(
            parse_boot_time(text),
            Some(Duration::from_secs(1_700_000_000))
        );
        assert_eq!(parse_boot_time("cpu 1\n"), None);
    }

    #[test]
    fn our_own_files_can_be_read() {
        let proc = Proc::new("/proc");
        let stat = proc.stat(ProcDir::Own).unwrap();
        assert!(stat.threads >= 1 && stat.resident_bytes > 0);
        assert!(proc.open_fds(ProcDir::Own).unwrap() >= 3);
        assert!(proc.boot_time().unwrap() > Duration::from_secs(1_000_000_000));
        proc.limits(ProcDir::Own).unwrap();
        let memory = proc.memory(ProcDir::Own).unwrap();
        assert!(memory.proportional <= memory.resident);
    }

    #[test]
    fn processes_are_all_but_us_and_init() {
        let dir = std::env::temp_dir().join(format!("rpm-proc-{}", std::process::id()));
        let own = std::process::id().to_string();
        for name in ["1", "17", "self", "99x", "4", &own] {
            fs::create_dir_all(dir.join(name)).unwrap();
        }
        let mut found = Proc::new(&dir).pids().unwrap();
        found.sort_unstable();
        assert_eq!(found, [4, 17].map(|raw| Pid::new(raw).unwrap()));
        fs::remove_dir_all(&dir).unwrap();
        assert!(Proc::new(&dir).pids().is_err());
    }

    #[test]
    fn an_absent_proc_is_an_error_of_the_read_only() {
        let proc = Proc::new("/nonexistent");
        let pid = ProcDir::Of(Pid::new(2).unwrap());
        for dir in [ProcDir::Own, pid] {
            assert_eq!(proc.stat(dir).unwrap_err().kind(), io::ErrorKind::NotFound);
            assert!(proc.open_fds(dir).is_err() && proc.limits(dir).is_err());
        }
        assert!(proc.boot_time().is_err());
    }
}
