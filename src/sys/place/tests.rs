//! What others may have put into a directory.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use nix::unistd::mkfifo;

use super::*;
use crate::sys::testing::as_nobody;

fn scratch(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("rpm-place-{name}-{}", std::process::id()));
    // Left by an earlier process with our PID.
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(path.join("in/sub")).unwrap();
    fs::write(path.join("in/file"), "inside").unwrap();
    symlink("file", path.join("in/link")).unwrap();
    symlink("sub", path.join("in/turn")).unwrap();
    symlink("loop", path.join("in/loop")).unwrap();
    mkfifo(&path.join("in/fifo"), Mode::S_IRWXU).unwrap();
    path
}

fn opened(place: &Place, name: &str, links: Links) -> Result<Vec<u8>, Errno> {
    let file = place.file(OsStr::new(name), links)?;
    read(file, 100)
}

#[test]
fn only_regular_files_are_opened_and_links_only_if_wanted() {
    let scratch = scratch("kinds");
    let place = Place::open(&scratch.join("in")).unwrap();
    for links in [Links::Follow, Links::Refuse] {
        assert_eq!(opened(&place, "file", links), Ok(b"inside".to_vec()));
        assert_eq!(opened(&place, "absent", links), Err(Errno::ENOENT));
        assert_eq!(opened(&place, "sub", links), Err(Errno::EISDIR));
        assert_eq!(opened(&place, "fifo", links), Err(Errno::EINVAL));
        assert_eq!(opened(&place, "loop", links), Err(Errno::ELOOP));
    }
    assert_eq!(opened(&place, "link", Links::Follow), Ok(b"inside".into()));
    assert_eq!(opened(&place, "link", Links::Refuse), Err(Errno::ELOOP));
    assert_eq!(place.link(OsStr::new("link")).unwrap(), "file");
    assert_eq!(place.link(OsStr::new("file")), Err(Errno::EINVAL));
    assert!(place.directory(Path::new("turn")).is_ok());
    assert!(place.step(OsStr::new("sub")).is_ok());
    assert!(place.step(OsStr::new("turn")).is_err());
    let device = place.device().unwrap();
    let proc = Place::open(Path::new("/proc")).unwrap();
    assert_ne!(device, proc.device().unwrap());
    fs::remove_dir_all(&scratch).unwrap();
}

#[test]
fn a_directory_that_cannot_be_listed_is_good_enough() {
    let scratch = scratch("search");
    let inside = scratch.join("in");
    fs::set_permissions(&inside, fs::Permissions::from_mode(0o711)).unwrap();
    fs::set_permissions(inside.join("file"), fs::Permissions::from_mode(0o644)).unwrap();
    let place = as_nobody(|| Place::open(&inside)).unwrap();
    assert_eq!(
        as_nobody(|| opened(&place, "file", Links::Refuse)),
        Ok(b"inside".into())
    );
    fs::remove_dir_all(&scratch).unwrap();
}

#[test]
fn reading_ends_at_the_limit() {
    let scratch = scratch("limit");
    let place = Place::open(&scratch.join("in")).unwrap();
    let file = || place.file(OsStr::new("file"), Links::Refuse).unwrap();
    assert_eq!(read(file(), 6), Ok(b"inside".into()));
    assert_eq!(read(file(), 5), Err(Errno::EFBIG));
    assert_eq!(read_start(file(), 2), Ok(b"in".into()));
    let mut seen = Vec::new();
    let mut keep = |piece: &[u8]| {
        seen.extend_from_slice(piece);
        true
    };
    assert_eq!(read_pieces(file(), 6, &mut keep), Ok(()));
    assert_eq!(read_pieces(file(), 5, &mut keep), Err(Errno::EFBIG));
    assert_eq!(seen, b"insideinside");
    assert_eq!(read_pieces(file(), 5, |_| false), Ok(()));
    fs::remove_dir_all(&scratch).unwrap();
}
