//! Reads what git has checked out, without git.
//!
//! Symbolic links: `.git` may be one, since it then names the repository as the `gitdir:` of a file does; HEAD may be one
//! to `refs/`, as old versions of git made it. All others are refused.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use nix::errno::Errno;

use super::find::{unread, why};
use super::parse::git::{self, Head, RefName};
use super::parse::packed::PackedRefs;
use crate::model::Checkout;
use crate::sys::place::{Links, Place, read, read_pieces};

/// Maximal size of a file that holds one name or one path, bytes.
const SMALL: usize = 8 * 1024;

/// Maximal size of packed-refs, bytes: some 400 000 names.
const PACKED: usize = 32 * 1024 * 1024;

/// Most refs that lead to one another, as in git.
const MOST_REFS: usize = 5;

/// The directories of a repository. They differ for a worktree, which has a HEAD of its own.
struct Repository {
    own: Place,
    common: Option<Place>,
}

/// What is checked out, if there is a repository in this directory.
pub(super) fn checkout(above: &Place, path: &Path) -> Option<Checkout> {
    let mut checkout = unread(&path.join(".git"));
    let result = match above.directory(Path::new(".git")) {
        Ok(own) => {
            // An empty directory, such as one that is mounted to hide the repository. As in git, it does not count.
            if let Err(Errno::ENOENT) = own.file(OsStr::new("HEAD"), Links::Refuse) {
                return None;
            }
            open(own)
        }
        Err(Errno::ENOENT) => return None,
        Err(Errno::ENOTDIR) => elsewhere(above).and_then(open),
        Err(errno) => Err(why(".git", errno)),
    };
    let result = result.and_then(|repository| repository.resolve(&mut checkout));
    checkout.fault = result.err();
    Some(checkout)
}

/// The directory that the file `.git` names: of a worktree or a submodule.
fn elsewhere(above: &Place) -> Result<Place, String> {
    let bytes = small(above, ".git").map_err(|errno| why(".git", errno))?;
    let path = git::gitdir(&bytes).ok_or_else(|| ".git names no directory".to_owned())?;
    above
        .directory(Path::new(OsStr::from_bytes(path)))
        .map_err(|errno| format!("the directory that .git names: {}", errno.desc()))
}

fn open(own: Place) -> Result<Repository, String> {
    let common = match small(&own, "commondir") {
        Ok(bytes) => {
            let path = Path::new(OsStr::from_bytes(git::line(&bytes)));
            let common = own.directory(path);
            Some(common.map_err(|errno| why("the directory of commondir", errno))?)
        }
        Err(Errno::ENOENT) => None,
        Err(errno) => return Err(why("commondir", errno)),
    };
    Ok(Repository { own, common })
}

impl Repository {
    /// Follows HEAD to a commit.
    fn resolve(&self, checkout: &mut Checkout) -> Result<(), String> {
        let mut place = "HEAD".to_owned();
        let mut bytes = self.head().map_err(|errno| why("HEAD", errno))?;
        for _ in 0..=MOST_REFS {
            let name = match git::head(&bytes) {
                Some(Head::Commit(commit)) => {
                    checkout.revision = Some(commit);
                    return Ok(());
                }
                Some(Head::Ref(name)) => name,
                Some(Head::Reftable) => {
                    return Err("its refs are in a reftable, which is not read".to_owned());
                }
                None => return Err(format!("{place} holds neither a commit nor a branch")),
            };
            checkout.branch = name.branch();
            place = name.shown();
            let side = match &self.common {
                Some(common) if !name.is_of_worktree() => common,
                _ => &self.own,
            };
            match loose(side, &name) {
                Ok(Some(next)) => bytes = next,
                Ok(None) => {
                    checkout.revision = packed(side, &name)?;
                    let nothing = || format!("{place} has no commit yet");
                    return checkout
                        .revision
                        .is_some()
                        .then_some(())
                        .ok_or_else(nothing);
                }
                Err(errno) => return Err(why(&place, errno)),
            }
        }
        Err("too many refs lead to one another".to_owned())
    }

    fn head(&self) -> nix::Result<Vec<u8>> {
        match small(&self.own, "HEAD") {
            Err(Errno::ELOOP) => {
                let target = self.own.link(OsStr::new("HEAD"))?.into_vec();
                Ok([b"ref: ".as_slice(), &target].concat())
            }
            other => other,
        }
    }
}

/// The content of the file of a ref; `None` if it has none.
fn loose(side: &Place, name: &RefName) -> nix::Result<Option<Vec<u8>>> {
    let absent = |errno| match errno {
        // Directories of branches that were packed may stay behind.
        Errno::ENOENT | Errno::ENOTDIR | Errno::EISDIR => Ok(None),
        other => Err(other),
    };
    let mut parts = name.parts().peekable();
    let mut place: Option<Place> = None;
    while let Some(part) = parts.next() {
        let here = place.as_ref().unwrap_or(side);
        let part = OsStr::from_bytes(part);
        if parts.peek().is_none() {
            let file = here.file(part, Links::Refuse);
            return file
                .and_then(|file| read(file, SMALL))
                .map_or_else(absent, |bytes| Ok(Some(bytes)));
        }
        place = match here.step(part) {
            Ok(next) => Some(next),
            Err(errno) => return absent(errno),
        };
    }
    Ok(None)
}

/// The commit of a ref in packed-refs.
fn packed(side: &Place, name: &RefName) -> Result<Option<String>, String> {
    const FILE: &str = "packed-refs";
    let file = match side.file(OsStr::new(FILE), Links::Refuse) {
        Ok(file) => file,
        Err(Errno::ENOENT) => return Ok(None),
        Err(errno) => return Err(why(FILE, errno)),
    };
    let mut refs = PackedRefs::new(name);
    read_pieces(file, PACKED, |piece| refs.take(piece)).map_err(|errno| why(FILE, errno))?;
    Ok(refs.end())
}

fn small(place: &Place, name: &str) -> nix::Result<Vec<u8>> {
    let name = OsString::from(name);
    read(place.file(&name, Links::Refuse)?, SMALL)
}
