//! Search for a program in PATH, and what may be written.

use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::unistd::{AccessFlags, eaccess};

use super::place;

/// Fails with EINVAL if `bytes` contains a NUL.
pub(super) fn c_string(bytes: &[u8]) -> nix::Result<CString> {
    CString::new(bytes).map_err(|_| Errno::EINVAL)
}

/// Whether the next path should be tried after this error, as execvp(3) does: the file does not exist, or its file
/// system is not available.
pub(super) fn is_absence(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::ENOENT | Errno::ENOTDIR | Errno::ESTALE | Errno::ENODEV | Errno::ETIMEDOUT
    )
}

/// The paths that a shell would try: the word itself if it contains a slash, else one path for each directory in the
/// worker's PATH.
pub(super) fn candidates(
    program: &OsStr,
    env: &[(OsString, OsString)],
) -> nix::Result<Vec<CString>> {
    /// The search path of execvp(3) and of shells without PATH.
    const DEFAULT: &[u8] = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    if program.as_bytes().contains(&b'/') {
        return Ok(vec![c_string(program.as_bytes())?]);
    }
    let path = env
        .iter()
        .find(|(name, _)| name == "PATH")
        .map_or(DEFAULT, |(_, value)| value.as_bytes());
    path.split(|byte| *byte == b':')
        .map(|dir| {
            let dir = if dir.is_empty() { b"." } else { dir };
            c_string(&[dir, b"/", program.as_bytes()].concat())
        })
        .collect()
}

/// Whether a shell would find the program: the same error as execve(2) has, if it is not there or not executable.
pub fn find(program: &OsStr, env: &[(OsString, OsString)]) -> nix::Result<()> {
    let mut refused = Errno::ENOENT;
    for path in candidates(program, env)? {
        let path = Path::new(OsStr::from_bytes(path.as_bytes()));
        let executable = || {
            if path.metadata().is_ok_and(|meta| meta.is_dir()) {
                return Err(Errno::EACCES);
            }
            eaccess(path, AccessFlags::X_OK)
        };
        match executable() {
            Ok(()) => return Ok(()),
            Err(errno) if is_absence(errno) => {}
            Err(errno) => refused = errno,
        }
    }
    Err(refused)
}

/// The first bytes of the program that a shell would find, at most `most`; `None` if it cannot be read.
pub fn head(program: &OsStr, env: &[(OsString, OsString)], most: usize) -> Option<Vec<u8>> {
    let found = candidates(program, env).ok()?.into_iter().find(|path| {
        let path = Path::new(OsStr::from_bytes(path.as_bytes()));
        path.is_file() && eaccess(path, AccessFlags::X_OK).is_ok()
    })?;
    place::read_head(Path::new(OsStr::from_bytes(found.as_bytes())), most).ok()
}

/// Whether this file can be written, or files can be made in this directory.
pub fn may_write(path: &Path) -> nix::Result<()> {
    let mut wanted = AccessFlags::W_OK;
    if path.is_dir() {
        wanted |= AccessFlags::X_OK;
    }
    eaccess(path, wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_on_a_lost_file_system_is_passed_over_and_other_failures_are_told() {
        for errno in [
            Errno::ENOENT,
            Errno::ESTALE,
            Errno::ENODEV,
            Errno::ETIMEDOUT,
        ] {
            assert!(is_absence(errno), "{errno}");
        }
        for errno in [Errno::ENOEXEC, Errno::E2BIG, Errno::ENOMEM, Errno::EIO] {
            assert!(!is_absence(errno), "{errno}");
        }
    }
}
