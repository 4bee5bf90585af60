//! Duties of an init process: adopting orphans, and the limits that it starts with.
#![expect(unsafe_code, reason = "prctl(2)")]

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};

/// Our place in the process tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// PID 1 of its namespace.
    Init,
    /// Another process is PID 1, but orphans of our workers are reparented to us (PR_SET_CHILD_SUBREAPER).
    Subreaper,
    /// Another process is PID 1, and orphans are reparented to it.
    Bystander(Errno),
}

/// Becomes a subreaper if we are not PID 1.
pub fn settle() -> Role {
    if std::process::id() == 1 {
        return Role::Init;
    }
    // SAFETY: prctl with integer arguments only.
    match Errno::result(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }) {
        Ok(_) => Role::Subreaper,
        Err(errno) => Role::Bystander(errno),
    }
}

/// The limit of open descriptors, original and current.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileLimit {
    /// The limit that we were started with (soft, hard). Workers get it back.
    pub original: (rlim_t, rlim_t),
    /// The current soft limit.
    pub current: rlim_t,
}

/// Raises our soft limit of open descriptors to the hard limit: 512 workers need some thousands.
pub fn raise_file_limit() -> nix::Result<FileLimit> {
    let original = getrlimit(Resource::RLIMIT_NOFILE)?;
    let current = match setrlimit(Resource::RLIMIT_NOFILE, original.1, original.1) {
        Ok(()) => original.1,
        Err(_) => original.0,
    };
    Ok(FileLimit { original, current })
}

/// The current soft limit. Another process may have changed it (prlimit(2)).
pub fn file_limit() -> nix::Result<rlim_t> {
    getrlimit(Resource::RLIMIT_NOFILE).map(|(soft, _)| soft)
}

/// How much higher the OOM score of a worker is than the runtime's. The kernel should kill a worker first: it can be
/// replaced, while PID 1 takes the whole container with it.
const OOM_STEP: i32 = 100;
/// The highest OOM score adjustment (proc_pid_oom_score_adj(5)).
const OOM_MOST: i32 = 1000;

/// The value of [`super::spawn::Plan::oom_score_adj`] for workers, derived from our own score; `None` if ours cannot be
/// read.
pub fn worker_oom_score_adj() -> Option<i32> {
    let own = std::fs::read_to_string("/proc/self/oom_score_adj").ok()?;
    worker_score(&own)
}

fn worker_score(own: &str) -> Option<i32> {
    let own: i32 = own.trim().parse().ok()?;
    Some(own.saturating_add(OOM_STEP).min(OOM_MOST))
}

#[cfg(test)]
mod tests {
    use super::worker_score;

    #[test]
    fn a_worker_is_killed_before_us() {
        for (own, score) in [
            ("0\n", 100),
            ("-998\n", -898),
            ("950", 1000),
            ("1000\n", 1000),
        ] {
            assert_eq!(worker_score(own), Some(score), "{own}");
        }
        assert_eq!(worker_score(""), None);
    }
}
