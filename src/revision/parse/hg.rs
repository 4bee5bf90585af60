//! The small files of a Mercurial repository.

use super::text::{hex, tidy};

/// The start of a dirstate of the second version, which has room for longer names of commits.
const VERSION_2: &[u8] = b"dirstate-v2\n";

/// Length of the name of a commit, bytes.
const COMMIT: usize = 20;

/// How much of a dirstate is needed, bytes.
pub const DIRSTATE: usize = VERSION_2.len() + COMMIT;

/// The first parent of the working directory, from the beginning of the dirstate; `None` if nothing is checked out.
pub fn parent(dirstate: &[u8]) -> Option<String> {
    let start = dirstate.strip_prefix(VERSION_2).unwrap_or(dirstate);
    let commit = start.get(..COMMIT)?;
    commit.iter().any(|byte| *byte != 0).then(|| hex(commit))
}

/// The name of the branch.
pub fn branch(bytes: &[u8]) -> Option<String> {
    tidy(&String::from_utf8_lossy(bytes))
}
