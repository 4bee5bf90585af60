//! What the files of the application tell of it: the version in package.json, the commit and the branch in `.git` or `.hg`.
//!
//! `parse` turns bytes into values and touches nothing. The rest opens the files: only regular ones, only up to a size,
//! never waiting for a writer, and nothing outside `.git`, the directories that it names, `.hg` and package.json. Whatever
//! is broken there costs the value and nothing else.

mod find;
mod git;
mod hg;
mod parse;

pub use find::{find, here};

#[cfg(test)]
mod tests;
