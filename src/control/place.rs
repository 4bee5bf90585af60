//! Opens the control socket of a runtime where it can be written.
//!
//! A socket gets its name only once it listens: it is bound under another name and renamed. So nobody listens at a socket
//! with the name of a runtime only if that runtime has ended, and it may be removed.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::find::{Address, of_runtime};
use super::{ABSTRACT, SUFFIX, homes};
use crate::sys::deserted::is_deserted;
use crate::sys::unix::listen_privately;

/// Most sockets of other runtimes that are looked at before the start.
const NEIGHBOURS: usize = 64;

/// Most files among which they are looked for.
const FILES: usize = 4096;

/// An open control socket.
#[derive(Debug)]
pub struct Opened {
    /// Listens.
    pub listener: UnixListener,
    /// Its name.
    pub held: Held,
    /// Why it has an abstract name and is in no directory.
    pub trouble: Option<String>,
    /// Who else can change what is in its directory.
    pub exposed: Option<String>,
    /// Sockets of ended runtimes that were removed.
    pub stale: usize,
}

/// The name of an open control socket. Dropping it removes the file.
#[derive(Debug)]
pub struct Held(Address);

impl Held {
    /// The name.
    pub fn address(&self) -> &Address {
        &self.0
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Address::Path(path) = &self.0 {
            // It may be gone with its directory.
            let _ = fs::remove_file(path);
        }
    }
}

/// The name of a runtime's socket: its pid, and its start since the boot of the system in milliseconds, because pids are
/// used again.
pub fn socket_name(pid: u32, started: Duration) -> String {
    format!("{pid}-{}", started.as_millis())
}

/// Opens the socket `name` in the directory `home`, or in the first usual one that can be written, or else under an
/// abstract name. Fails if that is impossible too, as without unix sockets.
pub fn open(home: Option<&Path>, uid: u32, name: &str) -> io::Result<Opened> {
    let homes = home.map_or_else(|| homes(uid), |home| vec![home.to_owned()]);
    let mut troubles = Vec::new();
    for path in homes {
        let ready = if home.is_some() {
            given(&path)
        } else {
            private(&path, uid)
        };
        match ready.and_then(|()| in_directory(&path, name)) {
            Ok(mut opened) => {
                opened.stale = remove_stale(&path);
                opened.exposed = exposed(&path, uid);
                return Ok(opened);
            }
            Err(error) => troubles.push(format!("{} cannot be used: {error}", path.display())),
        }
    }
    let name = format!("{ABSTRACT}{name}");
    let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name)?)?;
    Ok(Opened {
        listener,
        held: Held(Address::Abstract(name)),
        trouble: Some(troubles.join("; ")),
        exposed: None,
        stale: 0,
    })
}

/// Who else can remove the socket from the directory and put another one there: its owner, and everybody whom its mode
/// lets write, unless it is sticky.
fn exposed(home: &Path, uid: u32) -> Option<String> {
    let seen = fs::metadata(home).ok()?;
    let (mode, owner) = (seen.mode() & 0o7777, seen.uid());
    if mode & 0o022 != 0 && mode & 0o1000 == 0 {
        return Some(format!("its mode is {mode:04o}, without the sticky bit"));
    }
    (owner != 0 && owner != uid).then(|| format!("its owner is user {owner}"))
}

/// Makes the directory that the user has named, if it is not there. Its rights are the user's choice; the socket has its
/// own, and each peer is checked.
fn given(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Makes a directory that only we can enter, or makes sure that it is one. In /tmp, somebody else may have made it first.
fn private(path: &Path, uid: u32) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    let seen = fs::symlink_metadata(path)?;
    if seen.is_dir() && seen.uid() == uid && seen.mode() & 0o777 == 0o700 {
        Ok(())
    } else {
        Err(io::Error::other(
            "it is not a private directory of this user",
        ))
    }
}

fn in_directory(home: &Path, name: &str) -> io::Result<Opened> {
    let path = home.join(format!("{name}{SUFFIX}"));
    let new = home.join(format!("{name}.new"));
    // Left by a runtime of the same name that was killed just there.
    let _ = fs::remove_file(&new);
    let listener = listen_privately(&new)?;
    if let Err(error) = fs::rename(&new, &path) {
        let _ = fs::remove_file(&new);
        return Err(error);
    }
    Ok(Opened {
        listener,
        held: Held(Address::Path(path)),
        trouble: None,
        exposed: None,
        stale: 0,
    })
}

/// Removes the sockets of runtimes that have ended. Returns how many. The first worker waits for it, so it looks at a
/// limited number and waits for no neighbour.
fn remove_stale(home: &Path) -> usize {
    let entries = fs::read_dir(home).into_iter().flatten().take(FILES);
    let paths = entries.filter_map(Result::ok).map(|entry| entry.path());
    let sockets = paths.filter(|path| of_runtime(&Address::Path(path.clone())).is_some());
    let dead = |path: &PathBuf| is_deserted(path) && fs::remove_file(path).is_ok();
    sockets.take(NEIGHBOURS).filter(dead).count()
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("rpm-place-{name}-{}", std::process::id()));
        // Left by an earlier process with our PID.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        path
    }

    fn own_uid() -> u32 {
        crate::sys::links::effective_user()
    }

    #[test]
    fn the_directory_and_the_socket_are_private_and_the_socket_goes_with_its_runtime() {
        let scratch = scratch("private");
        let home = scratch.join("deep/home");
        let opened = open(Some(&home), own_uid(), "1-5").unwrap();
        let mode = |path: &Path| fs::symlink_metadata(path).unwrap().mode() & 0o777;
        assert_eq!(mode(&home), 0o700);
        let path = home.join("1-5.sock");
        assert_eq!(*opened.held.address(), Address::Path(path.clone()));
        assert_eq!(mode(&path), 0o600);
        drop(opened);
        assert!(!path.exists());
        fs::remove_dir_all(&scratch).unwrap();
    }

    #[test]
    fn sockets_of_ended_runtimes_are_removed_and_nothing_else_is() {
        let scratch = scratch("stale");
        let alive = open(Some(&scratch), own_uid(), "2-6").unwrap();
        drop(UnixListener::bind(scratch.join("3-7.sock")).unwrap());
        drop(UnixListener::bind(scratch.join("other.sock")).unwrap());
        fs::write(scratch.join("note"), "").unwrap();
        let opened = open(Some(&scratch), own_uid(), "1-5").unwrap();
        assert_eq!(opened.stale, 1);
        let mut left: Vec<_> = fs::read_dir(&scratch)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        left.sort();
        assert_eq!(left, ["1-5.sock", "2-6.sock", "note", "other.sock"]);
        drop(alive);
        fs::remove_dir_all(&scratch).unwrap();
    }

    #[test]
    fn a_directory_that_others_can_change_is_told() {
        let scratch = scratch("exposed");
        let with = |mode| {
            fs::set_permissions(&scratch, Permissions::from_mode(mode)).unwrap();
            open(Some(&scratch), own_uid(), "1-5").unwrap().exposed
        };
        assert_eq!(with(0o700), None);
        assert_eq!(with(0o755), None);
        assert_eq!(with(0o1777), None);
        for mode in [0o777, 0o775] {
            let told = with(mode).unwrap();
            assert!(told.contains(&format!("{mode:04o}")), "{told}");
        }
        fs::set_permissions(&scratch, Permissions::from_mode(0o700)).unwrap();
        assert_eq!(
            exposed(Path::new("/proc/self"), own_uid() + 1),
            (own_uid() != 0).then(|| format!("its owner is user {}", own_uid()))
        );
        fs::remove_dir_all(&scratch).unwrap();
    }

    #[test]
    fn a_link_in_the_place_of_the_socket_is_not_followed() {
        let scratch = scratch("link");
        let target = scratch.join("target");
        fs::write(&target, "").unwrap();
        fs::set_permissions(&target, Permissions::from_mode(0o644)).unwrap();
        for name in ["1-5.new", "1-5.sock"] {
            symlink(&target, scratch.join(name)).unwrap();
        }
        // As one who is faster than the removal of what is there.
        assert!(listen_privately(&scratch.join("1-5.new")).is_err());
        let opened = open(Some(&scratch), own_uid(), "1-5").unwrap();
        assert_eq!(fs::metadata(&target).unwrap().mode() & 0o777, 0o644);
        let seen = fs::symlink_metadata(scratch.join("1-5.sock")).unwrap();
        assert_eq!(seen.mode() & 0o777, 0o600);
        assert!(!seen.is_symlink());
        drop(opened);
        fs::remove_dir_all(&scratch).unwrap();
    }

    #[test]
    fn a_limited_number_of_neighbours_is_looked_at() {
        let scratch = scratch("neighbours");
        for pid in 0..NEIGHBOURS + 9 {
            drop(UnixListener::bind(scratch.join(format!("{pid}-7.sock"))).unwrap());
        }
        assert_eq!(remove_stale(&scratch), NEIGHBOURS);
        assert_eq!(remove_stale(&scratch), 9);
        fs::remove_dir_all(&scratch).unwrap();
    }

    #[test]
    fn a_directory_that_others_made_or_may_enter_is_not_taken_for_private() {
        let scratch = scratch("foreign");
        let open_to_all = scratch.join("open");
        fs::create_dir(&open_to_all).unwrap();
        fs::set_permissions(&open_to_all, Permissions::from_mode(0o755)).unwrap();
        assert!(private(&open_to_all, own_uid()).is_err());
        let link = scratch.join("link");
        symlink(&scratch, &link).unwrap();
        assert!(private(&link, own_uid()).is_err());
        let own = scratch.join("own");
        private(&own, own_uid()).unwrap();
        private(&own, own_uid()).unwrap();
        assert!(private(&own, own_uid() + 1).is_err());
        fs::remove_dir_all(&scratch).unwrap();
    }

    #[test]
    fn where_no_file_can_be_made_the_name_is_abstract_and_the_reason_is_told() {
        let scratch = scratch("abstract");
        let file = scratch.join("file");
        fs::write(&file, "").unwrap();
        let name = format!("{}-1", std::process::id());
        let opened = open(Some(&file.join("home")), own_uid(), &name).unwrap();
        assert_eq!(
            *opened.held.address(),
            Address::Abstract(format!("rpm-runtime/{name}"))
        );
        assert!(opened.trouble.as_ref().unwrap().contains("cannot be used"));
        crate::control::connect(opened.held.address()).unwrap();
        drop(opened);
        fs::remove_dir_all(&scratch).unwrap();
    }
}
