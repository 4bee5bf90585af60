//! Reads what Mercurial has checked out, without Mercurial. A share (`hg share`) has these files too, in its own `.hg`.

use std::ffi::OsStr;
use std::path::Path;

use nix::errno::Errno;

use super::find::{unread, why};
use super::parse::hg;
use crate::model::Checkout;
use crate::sys::place::{Links, Place, read_start};

/// Maximal length of the name of a branch, bytes.
const BRANCH: usize = 1024;

/// What is checked out, if there is a repository in this directory.
pub(super) fn checkout(above: &Place, path: &Path) -> Option<Checkout> {
    let place = above.step(OsStr::new(".hg")).ok()?;
    let mut checkout = unread(&path.join(".hg"));
    let start = |name: &str, most| {
        let file = place.file(OsStr::new(name), Links::Refuse);
        file.and_then(|file| read_start(file, most))
    };
    match start("dirstate", hg::DIRSTATE) {
        Ok(bytes) => checkout.revision = hg::parent(&bytes),
        // Nothing was checked out yet.
        Err(Errno::ENOENT) => {}
        Err(errno) => checkout.fault = Some(why("dirstate", errno)),
    }
    if checkout.revision.is_none() {
        let nothing = || "nothing is checked out".to_owned();
        checkout.fault.get_or_insert_with(nothing);
    }
    checkout.branch = match start("branch", BRANCH) {
        Ok(bytes) => hg::branch(&bytes),
        Err(Errno::ENOENT) => Some("default".to_owned()),
        Err(_) => None,
    };
    Some(checkout)
}
