//! The standard `process_*` metrics of the runtime itself.

use std::sync::OnceLock;
use std::time::Duration;

use crate::sys::proc::{Proc, ProcDir};

use super::family::{Family, number};

/// Boot time of the system, if known. Read only once, because reading /proc/stat makes the kernel sum up all interrupt
/// counters.
#[derive(Debug, Default)]
pub(super) struct Boot(OnceLock<Option<Duration>>);

/// Reads /proc/self. Unreadable and unlimited values are left out.
pub(super) fn families(proc: &Proc, boot: &Boot) -> [Family; 8] {
    let stat = proc.stat(ProcDir::Own).ok();
    let limits = proc.limits(ProcDir::Own).ok();
    // The counters of `stat` are loose: they were seen at an eighth of a small process.
    let exact = proc.memory(ProcDir::Own).ok().map(|memory| memory.resident);
    let resident = exact.or(stat.map(|stat| stat.resident_bytes));
    let boot = *boot.0.get_or_init(|| proc.boot_time().ok());
    [
        Family::counter(
            "process_cpu_seconds_total",
            "CPU time of the runtime itself, user and system.",
        )
        .only(stat.map(|stat| (stat.user + stat.system).as_secs_f64())),
        Family::gauge("process_open_fds", "Descriptors the runtime has open.")
            .only(proc.open_fds(ProcDir::Own).ok().map(number)),
        Family::gauge(
            "process_max_fds",
            "Most descriptors the runtime may have open.",
        )
        .only(limits.and_then(|limits| limits.open_files).map(number)),
        Family::gauge(
            "process_virtual_memory_bytes",
            "Address space of the runtime.",
        )
        .only(stat.map(|stat| number(stat.virtual_bytes))),
        Family::gauge(
            "process_virtual_memory_max_bytes",
            "Largest address space the runtime may have.",
        )
        .only(limits.and_then(|limits| limits.address_space).map(number)),
        Family::gauge(
            "process_resident_memory_bytes",
            "Resident memory of the runtime.",
        )
        .only(resident.map(number)),
        Family::gauge(
            "process_start_time_seconds",
            "When the runtime was started, in seconds since 1970.",
        )
        .only(
            stat.zip(boot)
                .map(|(stat, boot)| (boot + stat.started).as_secs_f64()),
        ),
        Family::gauge("process_threads", "Threads of the runtime.")
            .only(stat.map(|stat| number(stat.threads))),
    ]
}
