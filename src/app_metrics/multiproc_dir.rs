//! The directory for metrics files of programs.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

/// Where to create a private directory: in memory if possible, because the files are written with each request and are
/// worthless afterwards.
const ROOMS: [&str; 3] = ["/dev/shm", "/run", "/tmp"];

/// Prefix (and below: suffix) of its name; a PID and a number stand between them.
const BEGIN: &str = "rpm-runtime-";
const END: &str = ".metrics";

/// Limit of directories of runtimes with the same PID: each container of a pod has a PID 1, and they may share
/// /dev/shm.
const NUMBERS: u32 = 1000;

/// Minimum size of a program's file, bytes. prometheus_client creates it sparse and maps it: without free space, the
/// program gets SIGBUS.
const ROOM: usize = 1 << 20;

/// The directory, for as long as the runtime runs.
#[derive(Debug)]
pub struct MultiprocDir {
    path: PathBuf,
    /// The lock, if the directory was created for this runtime.
    private: Option<File>,
}

impl MultiprocDir {
    /// Uses the directory that the user named, and creates it if it is missing; otherwise creates a private one. The
    /// error lists what was tried.
    pub fn find(wanted: Option<&Path>) -> Result<Self, String> {
        if let Some(path) = wanted {
            // Make the path absolute, because workers may have another working directory.
            let path = std::path::absolute(path)
                .and_then(|path| fs::create_dir_all(&path).map(|()| path))
                .and_then(|path| try_out(&path).map(|()| path))
                .map_err(|error| format!("{}: {error}", path.display()))?;
            return Ok(Self {
                path,
                private: None,
            });
        }
        let mut tried = Vec::new();
        for room in ROOMS {
            match make_private(Path::new(room)) {
                Ok((path, lock)) => {
                    let private = Some(lock);
                    return Ok(Self { path, private });
                }
                Err(error) => tried.push(format!("{room}: {error}")),
            }
        }
        Err(tried.join("; "))
    }

    /// The path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for MultiprocDir {
    fn drop(&mut self) {
        if self.private.is_some() {
            // The runtime is ending, so an error cannot be handled.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Creates a new directory and locks it. A locked directory has an owner, in whatever container (flock(2)).
fn make_private(room: &Path) -> io::Result<(PathBuf, File)> {
    sweep(room);
    for number in 0..NUMBERS {
        let path = room.join(format!("{BEGIN}{}-{number}{END}", std::process::id()));
        match DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
            other => other?,
        }
        let lock = open_directory(&path)?;
        // Another runtime may have removed it before it was locked.
        let locked = lock.try_lock().is_ok() && lock.metadata()?.nlink() > 0;
        if locked {
            if let Err(error) = try_out(&path) {
                let _ = fs::remove_dir(&path);
                return Err(error);
            }
            return Ok((path, lock));
        }
    }
    Err(io::Error::other("there are too many already"))
}

/// Removes directories of killed runtimes. Errors are ignored: such directories belong to somebody else.
fn sweep(room: &Path) {
    for entry in fs::read_dir(room).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let named = name
            .to_str()
            .is_some_and(|name| name.starts_with(BEGIN) && name.ends_with(END));
        // `metadata` of an entry does not follow symbolic links.
        let found = entry.metadata();
        if named
            && found.is_ok_and(|found| found.is_dir())
            && let Ok(lock) = open_directory(&entry.path())
            && lock.try_lock().is_ok()
        {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Opens a directory, and nothing else: others may write to the room, and exchange it for a FIFO, which would be waited
/// for.
fn open_directory(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits())
        .open(path)
}

/// Writes a file of the needed size. Never writes to an existing file or through a link.
fn try_out(path: &Path) -> io::Result<()> {
    let trial = path.join(format!(".rpm-runtime-{}", std::process::id()));
    let create = || OpenOptions::new().write(true).create_new(true).open(&trial);
    let file = create().or_else(|error| match error.kind() {
        // Left by a runtime that was killed at this point.
        ErrorKind::AlreadyExists => fs::remove_file(&trial).and_then(|()| create()),
        _ => Err(error),
    });
    let written = file?.write_all(&vec![0; ROOM]);
    fs::remove_file(&trial)?;
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_private_place_is_nobody_elses_and_goes_with_its_owner() {
        let (one, other) = (
            MultiprocDir::find(None).unwrap(),
            MultiprocDir::find(None).unwrap(),
        );
        assert_ne!(one.path(), other.path());
        let path = one.path().to_owned();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        fs::write(path.join("counter_1.db"), b"x").unwrap();
        drop(one);
        assert!(!path.exists() && other.path().exists());
    }

    #[test]
    fn only_a_directory_is_opened_and_nothing_is_waited_for() {
        let room = std::env::temp_dir().join(format!("rpm-room-kinds-{}", std::process::id()));
        fs::create_dir_all(&room).unwrap();
        let fifo = room.join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        std::os::unix::fs::symlink(".", room.join("link")).unwrap();
        assert!(open_directory(&room).is_ok());
        assert!(open_directory(&fifo).is_err());
        assert!(open_directory(&room.join("link")).is_err());
        fs::remove_dir_all(&room).unwrap();
    }

    #[test]
    fn what_a_killed_runtime_left_is_swept_and_nothing_else() {
        let room = std::env::temp_dir().join(format!("rpm-room-{}", std::process::id()));
        fs::create_dir_all(room.join("foreign")).unwrap();
        fs::create_dir(room.join("rpm-runtime-1-0.metrics")).unwrap();
        fs::write(room.join("rpm-runtime-1-0.metrics/counter_7.db"), b"x").unwrap();
        std::os::unix::fs::symlink("foreign", room.join("rpm-runtime-2-0.metrics")).unwrap();
        let (kept, lock) = make_private(&room).unwrap();
        let (second, _lock) = make_private(&room).unwrap();
        assert!(kept.exists() && second.exists());
        assert!(!room.join("rpm-runtime-1-0.metrics").exists());
        assert!(room.join("foreign").is_dir());
        // Its owner was killed.
        drop(lock);
        sweep(&room);
        assert!(!kept.exists() && second.exists());
        fs::remove_dir_all(&room).unwrap();
    }

    #[test]
    fn a_place_that_the_user_names_is_made_and_stays() {
        let root = std::env::temp_dir().join(format!("rpm-place-{}", std::process::id()));
        let wanted = root.join("a/b");
        let place = MultiprocDir::find(Some(&wanted)).unwrap();
        assert_eq!(place.path(), wanted);
        drop(place);
        assert!(wanted.is_dir());
        // Other users may write there; their links must not be followed.
        fs::write(root.join("file"), b"whole").unwrap();
        let name = format!(".rpm-runtime-{}", std::process::id());
        std::os::unix::fs::symlink(root.join("file"), wanted.join(name)).unwrap();
        drop(MultiprocDir::find(Some(&wanted)).unwrap());
        assert_eq!(fs::read(root.join("file")).unwrap(), b"whole");
        let error = MultiprocDir::find(Some(&root.join("file"))).unwrap_err();
        assert!(error.contains("/file: "), "{error}");
        fs::remove_dir_all(&root).unwrap();
    }
}
