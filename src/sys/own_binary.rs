//! The binary that this process was started from.

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The kernel's link to it (proc(5)): it leads there in a container without a PATH, and whatever the binary is called.
const OWN: &str = "/proc/self/exe";

/// Everybody may execute the copy: another container of the pod may have another user.
const MODE: u32 = 0o755;

/// The operator's tool, which is beside the binary in the image and in the packages.
const TOOL: &str = "rpmctl";

/// Writes a copy to the file `path`, which may exist. Whoever opens `path` meanwhile gets the old file or the whole new one.
/// If `rpmctl` is beside the binary, it gets a copy beside `path`.
pub fn copy_to(path: &Path) -> io::Result<()> {
    let own = fs::read_link(OWN);
    let tool = own.map(|own| own.with_file_name(TOOL));
    if let Some(tool) = tool.ok().filter(|tool| tool.is_file()) {
        copy(&tool, &path.with_file_name(TOOL))?;
    }
    // The runtime comes last, so that whoever waits for it finds both.
    copy(Path::new(OWN), path)
}

fn copy(from: &Path, path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let unfinished = unfinished(path);
    let copied = write(from, &unfinished).and_then(|()| fs::rename(&unfinished, path));
    if copied.is_err() {
        // The error that matters is the first one.
        let _ = fs::remove_file(&unfinished);
    }
    copied
}

/// Beside it: a rename does not cross file systems.
fn unfinished(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".new");
    name.into()
}

fn write(from: &Path, path: &Path) -> io::Result<()> {
    let mut copy = File::create(path)?;
    io::copy(&mut File::open(from)?, &mut copy)?;
    copy.set_permissions(Permissions::from_mode(MODE))?;
    copy.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("rpm-own-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn the_copy_is_the_same_and_everybody_may_execute_it() {
        let directory = scratch("copy");
        let path = directory.join("copy");
        for _ in 0..2 {
            copy_to(&path).unwrap();
            assert_eq!(fs::read(&path).unwrap(), fs::read(OWN).unwrap());
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, MODE);
            assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
        }
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_directory_is_not_a_place_for_it() {
        let directory = scratch("directory");
        let error = copy_to(&directory).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::IsADirectory);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
        fs::remove_dir_all(directory).unwrap();
    }
}
