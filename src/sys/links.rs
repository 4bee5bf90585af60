//! Symbolic links that may be followed.
#![expect(unsafe_code, reason = "geteuid(2)")]

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, readlinkat};

/// Most links in a row, as the kernel has it (path_resolution(7), "Length of a chain").
const MOST: usize = 40;

/// Why a path was not resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkError {
    /// An error of the kernel.
    Os(Errno),
    /// A link was made by this user, who is neither root nor ourselves.
    Foreign(u32),
}

impl From<Errno> for LinkError {
    fn from(errno: Errno) -> Self {
        Self::Os(errno)
    }
}

impl From<io::Error> for LinkError {
    fn from(error: io::Error) -> Self {
        Self::Os(error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))
    }
}

/// The path to which `path` leads if its last component is a link, which need not be there. Only links of root and of
/// the effective user are followed. Owner and target are read through one descriptor, so a link that is exchanged
/// meanwhile gains nothing; open the result with O_NOFOLLOW. The directories of the path, and of a target, are not looked at.
pub fn resolve(path: &Path) -> Result<PathBuf, LinkError> {
    resolve_as(path, effective_user())
}

fn resolve_as(path: &Path, user: u32) -> Result<PathBuf, LinkError> {
    let mut path = path.to_owned();
    for _ in 0..MOST {
        let found = OpenOptions::new()
            .read(true)
            .custom_flags((OFlag::O_PATH | OFlag::O_NOFOLLOW).bits())
            .open(&path);
        let link = match found {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(path),
            other => other?,
        };
        let meta = link.metadata()?;
        if !meta.is_symlink() {
            return Ok(path);
        }
        if ![0, user].contains(&meta.uid()) {
            return Err(LinkError::Foreign(meta.uid()));
        }
        // An empty path means the descriptor itself (readlink(2), "readlinkat()").
        let target = readlinkat(&link, "")?;
        path = path.parent().unwrap_or(Path::new("")).join(target);
    }
    Err(LinkError::Os(Errno::ELOOP))
}

/// The user that we act as.
pub fn effective_user() -> u32 {
    // SAFETY: geteuid(2) takes nothing, touches no memory and always succeeds.
    unsafe { libc::geteuid() }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{lchown, symlink};

    use super::*;

    #[test]
    fn only_links_of_root_and_of_ourselves_are_followed() {
        let dir = std::env::temp_dir().join(format!("rpm-links-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir(&dir).unwrap();
        let path = |name: &str| dir.join(name);
        fs::write(path("file"), "").unwrap();
        symlink("file", path("near")).unwrap();
        symlink(path("near"), path("far")).unwrap();
        symlink("nothing", path("dangling")).unwrap();
        symlink("loop", path("loop")).unwrap();
        for (name, leads_to) in [
            ("file", "file"),
            ("near", "file"),
            ("far", "file"),
            ("dangling", "nothing"),
            ("missing", "missing"),
        ] {
            assert_eq!(resolve(&path(name)), Ok(path(leads_to)), "{name}");
        }
        assert_eq!(resolve(&path("loop")), Err(LinkError::Os(Errno::ELOOP)));
        assert_eq!(
            resolve(&path("file").join("below")),
            Err(LinkError::Os(Errno::ENOTDIR))
        );
        // Tests run as root, as those of the log files do.
        lchown(path("near"), Some(1234), None).unwrap();
        for name in ["near", "far"] {
            assert_eq!(resolve(&path(name)), Err(LinkError::Foreign(1234)));
        }
        assert_eq!(resolve_as(&path("near"), 1234), Ok(path("file")));
        // What docs/logging.md says is not guarded.
        symlink(&dir, path("directory")).unwrap();
        lchown(path("directory"), Some(1234), None).unwrap();
        let below = path("directory").join("file");
        assert_eq!(resolve(&below), Ok(below));
        fs::remove_dir_all(&dir).unwrap();
    }
}
