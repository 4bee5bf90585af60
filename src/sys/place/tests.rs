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

#[test]
fn a_path_of_the_configuration_is_read_only_if_it_is_a_regular_file_of_bounded_size() {
    let scratch = scratch("path");
    let inside = scratch.join("in");
    let read = |name: &str| read_path(&inside.join(name), 6).map_err(|error| error.to_string());
    let refused = |what: &str| Err(format!("it is {what}, and only a regular file is read"));
    assert_eq!(read("file"), Ok(b"inside".to_vec()));
    assert_eq!(read("link"), Ok(b"inside".to_vec()));
    assert_eq!(read("sub"), refused("a directory"));
    assert_eq!(read("fifo"), refused("a FIFO"));
    assert_eq!(read("/dev/zero"), refused("a device"));
    let _socket = std::os::unix::net::UnixListener::bind(inside.join("socket")).unwrap();
    assert_eq!(read("socket"), refused("a socket"));
    assert!(read("absent").unwrap_err().starts_with("No such file"));
    assert!(read("loop").unwrap_err().contains("symbolic links"));
    // A size that no memory could hold; nothing of it is read.
    let large = fs::File::create(inside.join("large")).unwrap();
    large.set_len(1 << 40).unwrap();
    let too_large = Err("it holds more than 6 bytes".to_owned());
    assert_eq!(read("large"), too_large);
    // Files of /proc have no size that could be looked at before.
    assert_eq!(read("/proc/self/status"), too_large);
    assert_eq!(read_head(&inside.join("link"), 2), Ok(b"in".to_vec()));
    assert_eq!(read_head(&inside.join("fifo"), 2), Err(Errno::EINVAL));
    fs::remove_dir_all(&scratch).unwrap();
}

/// As a ConfigMap or a Secret shows a file: a link into a directory that is itself a link.
#[test]
fn a_path_through_the_links_of_a_config_map_is_read() {
    let scratch = scratch("config-map");
    fs::create_dir(scratch.join("..2026")).unwrap();
    fs::write(scratch.join("..2026/env"), "A=1").unwrap();
    symlink("..2026", scratch.join("..data")).unwrap();
    symlink("..data/env", scratch.join("env")).unwrap();
    assert_eq!(read_path(&scratch.join("env"), SETTINGS).unwrap(), b"A=1");
    fs::remove_dir_all(&scratch).unwrap();
}

/// The look at the name and its opening are two steps.
#[test]
fn a_file_that_another_replaces_between_the_look_and_the_opening_does_not_hang_it() {
    let scratch = scratch("replaced");
    let fifo = scratch.join("in/fifo");
    let opened = open_at(AT_FDCWD, fifo.as_os_str(), OFlag::empty());
    assert_eq!(opened.map(drop), Err(Errno::EINVAL));
    fs::remove_dir_all(&scratch).unwrap();
}

#[test]
fn a_file_that_grows_while_it_is_read_is_read_up_to_the_limit() {
    let scratch = scratch("grows");
    let path = scratch.join("in/file");
    let file = open_at(AT_FDCWD, path.as_os_str(), OFlag::empty()).unwrap();
    let before = file.metadata().unwrap().len();
    fs::write(&path, vec![b'x'; 4096]).unwrap();
    assert!(before <= 100);
    assert_eq!(super::read(file, 100), Err(Errno::EFBIG));
    fs::remove_dir_all(&scratch).unwrap();
}
