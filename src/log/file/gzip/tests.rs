use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use super::super::testing::{Dir, unpacked};
use super::*;

fn packed(dir: &Dir, content: &[u8]) -> Vec<u8> {
    let original = dir.path("a");
    fs::write(&original, content).unwrap();
    gzip(&original, &dir.path("a.gz.tmp"), &dir.path("a.gz")).unwrap();
    assert_eq!(dir.names(), ["a.gz"]);
    unpacked(&dir.path("a.gz"))
}

#[test]
fn what_is_packed_is_what_was_written() {
    let dir = Dir::new("gzip");
    let line = |number: u32| format!("line {}\n", number.wrapping_mul(0x9e37_79b1));
    let large: Vec<String> = (0..200_000).map(line).collect();
    let (large, exact) = (large.concat(), "x".repeat(BUFFER));
    for content in [large.as_bytes(), b"", b"\0\xff\n", exact.as_bytes()] {
        assert!(
            packed(&dir, content) == content,
            "{} bytes differ",
            content.len()
        );
    }
}

#[test]
fn mode_and_time_are_kept() {
    let dir = Dir::new("gzip-mode");
    let (original, packed) = (dir.path("a"), dir.path("a.gz"));
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_007);
    for mode in [0o640, 0o604, 0o400] {
        fs::write(&original, "line\n").unwrap();
        fs::set_permissions(&original, Permissions::from_mode(mode)).unwrap();
        let file = File::open(&original).unwrap();
        file.set_modified(time).unwrap();
        gzip(&original, &dir.path("tmp"), &packed).unwrap();
        let meta = fs::metadata(&packed).unwrap();
        assert_eq!(meta.permissions().mode() & 0o7777, mode);
        assert_eq!(meta.modified().unwrap(), time);
    }
}

#[test]
fn an_error_leaves_the_original() {
    let dir = Dir::new("gzip-error");
    let original = dir.path("a");
    let finished = dir.path("a.gz");
    fs::write(&original, "line\n").unwrap();
    // A file cannot replace a directory.
    fs::create_dir(&finished).unwrap();
    gzip(&original, &dir.path("a.gz.tmp"), &finished).unwrap_err();
    assert_eq!(dir.names(), ["a", "a.gz"]);
    fs::remove_dir(&finished).unwrap();
    // A file of somebody else is not overwritten either.
    let taken = dir.path("taken");
    std::os::unix::fs::symlink("/dev/null", &taken).unwrap();
    gzip(&original, &taken, &finished).unwrap_err();
    assert_eq!(dir.read("a"), "line\n");
}

#[test]
fn links_are_not_followed() {
    let dir = Dir::new("gzip-link");
    fs::write(dir.path("elsewhere"), "line\n").unwrap();
    std::os::unix::fs::symlink("elsewhere", dir.path("a")).unwrap();
    let done = gzip(&dir.path("a"), &dir.path("a.gz.tmp"), &dir.path("a.gz"));
    done.unwrap_err();
    assert_eq!(dir.names(), ["a", "elsewhere"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn any_bytes_come_back(content in prop::collection::vec(any::<u8>(), 0..5000), case in any::<u32>()) {
        let dir = Dir::new(&format!("gzip-any-{case}"));
        prop_assert_eq!(packed(&dir, &content), content);
    }
}
