//! From bytes to values. Whatever the bytes are, nothing here fails but by returning nothing.

pub(super) mod git;
pub(super) mod hg;
pub(super) mod package;
pub(super) mod packed;
pub(super) mod text;

#[cfg(test)]
mod tests;
