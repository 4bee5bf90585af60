//! The search from the working directory upwards.

use std::ffi::OsStr;
use std::path::Path;

use nix::errno::Errno;

use super::{git, hg, parse};
use crate::model::{Checkout, Found, Package};
use crate::sys::place::{Links, Place, read};

/// Most directories that are looked into.
const MOST_LEVELS: usize = 64;

/// Maximal size of a package.json, bytes. Real ones have a few thousand.
const PACKAGE_BYTES: usize = 512 * 1024;

/// Looks into the working directory, and upwards.
pub fn here() -> Found {
    // The directory may have been removed.
    let from = std::env::current_dir();
    from.map_or_else(|_| Found::default(), |from| find(&from))
}

/// Looks into the directory `from` and those above it. As in git, the search ends at the border of a file system. The
/// nearest package.json with a name or a version counts, and the nearest repository.
pub fn find(from: &Path) -> Found {
    let mut found = Found::default();
    let mut device = None;
    for path in from.ancestors().take(MOST_LEVELS) {
        let Ok(place) = Place::open(path) else {
            break;
        };
        let Ok(here) = place.device() else {
            break;
        };
        if *device.get_or_insert(here) != here {
            break;
        }
        if found.package.is_none() {
            found.package = package(&place, path);
        }
        if found.checkout.is_none() {
            found.checkout = git::checkout(&place, path).or_else(|| hg::checkout(&place, path));
        }
        if found.package.is_some() && found.checkout.is_some() {
            break;
        }
    }
    found
}

fn package(place: &Place, path: &Path) -> Option<Package> {
    const FILE: &str = "package.json";
    // A link is followed as Node does it: a ConfigMap shows its files as links.
    let file = place.file(OsStr::new(FILE), Links::Follow).ok()?;
    let bytes = read(file, PACKAGE_BYTES).ok()?;
    let (name, version) = parse::package::parse(&bytes)?;
    Some(Package {
        file: shown(&path.join(FILE)),
        name,
        version,
    })
}

/// What is known of the repository in `place` before anything of it was read.
pub(super) fn unread(place: &Path) -> Checkout {
    Checkout {
        place: shown(place),
        revision: None,
        branch: None,
        fault: None,
    }
}

fn shown(path: &Path) -> String {
    parse::text::tidy(&path.to_string_lossy()).unwrap_or_default()
}

/// Why a file cannot be read, in words.
pub(super) fn why(file: &str, errno: Errno) -> String {
    let why = match errno {
        Errno::EFBIG => "too large",
        Errno::EINVAL => "not a regular file",
        other => other.desc(),
    };
    format!("{file} cannot be read: {why}")
}
