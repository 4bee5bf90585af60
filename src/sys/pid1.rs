//! What a process owes as init: being the one that orphans come to, and the limits it starts with.

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};

/// Where we stand in the process tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// PID 1 of its namespace.
    Init,
    /// Somebody else is; orphans of our workers come to us all the same (PR_SET_CHILD_SUBREAPER).
    Subreaper,
    /// Somebody else is, and orphans go there.
    Bystander(Errno),
}

/// Becomes a subreaper where we are not PID 1.
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

/// The limit of open descriptors as it was, and as it is for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileLimit {
    /// What we were started with (soft, hard); workers get it back.
    pub original: (rlim_t, rlim_t),
    /// What we have now.
    pub current: rlim_t,
}

/// Raises our soft limit of open descriptors to the hard one: 512 workers need some thousands.
pub fn raise_file_limit() -> nix::Result<FileLimit> {
    let original = getrlimit(Resource::RLIMIT_NOFILE)?;
    let current = match setrlimit(Resource::RLIMIT_NOFILE, original.1, original.1) {
        Ok(()) => original.1,
        Err(_) => original.0,
    };
    Ok(FileLimit { original, current })
}

/// The limit as it is now: somebody may have changed it from outside (prlimit(2)).
pub fn file_limit() -> nix::Result<rlim_t> {
    getrlimit(Resource::RLIMIT_NOFILE).map(|(soft, _)| soft)
}
