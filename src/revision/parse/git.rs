//! The small files of a git repository.

use super::text::{digits, tidy};

/// What HEAD, or a ref, leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Head {
    /// A commit, in hexadecimal digits.
    Commit(String),
    /// Another ref.
    Ref(RefName),
    /// The refs are in a table in place of files.
    Reftable,
}

/// The full name of a ref, such as `refs/heads/main`. Each of its parts is the plain name of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefName(Vec<u8>);

impl RefName {
    /// `None` unless git accepts the name too (git-check-ref-format(1)).
    fn new(name: &[u8]) -> Option<Self> {
        let bad = |byte: &u8| *byte <= b' ' || b"\x7f~^:?*[\\".contains(byte);
        let good = |part: &[u8]| {
            !part.is_empty()
                && !part.starts_with(b".")
                && !part.ends_with(b".lock")
                && !part.windows(2).any(|pair| pair == b".." || pair == b"@{")
                && !part.iter().any(bad)
        };
        let accepted = name.starts_with(b"refs/")
            && !name.ends_with(b".")
            && name.split(|byte| *byte == b'/').all(good);
        accepted.then(|| Self(name.to_owned()))
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The names of the directories, and last that of the file.
    pub fn parts(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|byte| *byte == b'/')
    }

    /// The name of the branch, if it is one.
    pub fn branch(&self) -> Option<String> {
        let name = self.0.strip_prefix(b"refs/heads/")?;
        tidy(&String::from_utf8_lossy(name))
    }

    pub fn shown(&self) -> String {
        tidy(&String::from_utf8_lossy(&self.0)).unwrap_or_default()
    }

    /// Whether each worktree has this ref for itself (gitrepository-layout(5)).
    pub fn is_of_worktree(&self) -> bool {
        let own: [&[u8]; 3] = [b"refs/bisect/", b"refs/worktree/", b"refs/rewritten/"];
        own.iter().any(|start| self.0.starts_with(start))
    }
}

/// HEAD, or the file of a ref.
pub fn head(bytes: &[u8]) -> Option<Head> {
    let Some(name) = bytes.strip_prefix(b"ref:") else {
        let word = bytes.split(u8::is_ascii_whitespace).next()?;
        return commit(word).map(Head::Commit);
    };
    let name = name.trim_ascii();
    if name == b"refs/heads/.invalid" {
        return Some(Head::Reftable);
    }
    RefName::new(name).map(Head::Ref)
}

/// The name of a commit: a SHA-1 or a SHA-256.
pub(super) fn commit(word: &[u8]) -> Option<String> {
    let known = [40, 64].contains(&word.len());
    let zero = word.iter().all(|byte| *byte == b'0');
    known.then_some(word).filter(|_| !zero).and_then(digits)
}

/// The path in a file `.git`.
pub fn gitdir(bytes: &[u8]) -> Option<&[u8]> {
    let path = line(bytes.strip_prefix(b"gitdir: ")?);
    (!path.is_empty() && !path.contains(&0)).then_some(path)
}

/// The bytes without the end of the line.
pub fn line(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| !b"\r\n".contains(byte));
    bytes
        .get(..end.map_or(0, |end| end + 1))
        .unwrap_or_default()
}
