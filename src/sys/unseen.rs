//! Why a seccomp filter of ours does not see the calls of a process.

use std::fs::{self, File};
use std::io::Read;

use crate::model::Pid;

use super::proc::{Proc, ProcDir};

/// Why the calls of a process are not seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unseen {
    /// Its program is one of 32 bits.
    Narrow,
    /// It has an io_uring, whose operations are no system calls.
    IoUring,
    /// Neither: another process may have bound the socket.
    Unknown,
}

/// Finds out why. The process may have ended; then it is unknown.
pub fn why_unseen(proc: &Proc, pid: Pid) -> Unseen {
    // elf(5), EI_CLASS.
    const NARROW: u8 = 1;
    let mut head = [0; 5];
    let exe = File::open(proc.path(ProcDir::Of(pid), "exe"));
    if exe.and_then(|mut exe| exe.read_exact(&mut head)).is_ok()
        && head == [0x7f, b'E', b'L', b'F', NARROW]
    {
        return Unseen::Narrow;
    }
    let descriptors = fs::read_dir(proc.path(ProcDir::Of(pid), "fd"));
    let targets = descriptors.into_iter().flatten().flatten();
    let mut targets = targets.filter_map(|entry| fs::read_link(entry.path()).ok());
    if targets.any(|target| target.as_os_str() == "anon_inode:[io_uring]") {
        return Unseen::IoUring;
    }
    Unseen::Unknown
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn the_program_or_a_descriptor_says_why() {
        let root = std::env::temp_dir().join(format!("rpm-unseen-{}", std::process::id()));
        // Left by an earlier process with our PID.
        let _ = fs::remove_dir_all(&root);
        let proc = Proc::new(&root);
        for (pid, class, target, expected) in [
            (10, 1, "socket:[5]", Unseen::Narrow),
            (11, 2, "anon_inode:[io_uring]", Unseen::IoUring),
            (12, 2, "anon_inode:[eventpoll]", Unseen::Unknown),
        ] {
            let dir = root.join(pid.to_string());
            fs::create_dir_all(dir.join("fd")).unwrap();
            fs::write(dir.join("exe"), [0x7f, b'E', b'L', b'F', class, 1]).unwrap();
            symlink(target, dir.join("fd/3")).unwrap();
            assert_eq!(why_unseen(&proc, Pid::new(pid).unwrap()), expected);
        }
        assert_eq!(why_unseen(&proc, Pid::new(13).unwrap()), Unseen::Unknown);
        fs::remove_dir_all(root).unwrap();
    }
}
