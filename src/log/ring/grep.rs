//! A text that lines are searched for.

use memchr::memmem::Finder;

/// A text, and not a pattern: searching takes time in proportion to the line, whatever the text is.
#[derive(Clone, Debug)]
pub struct Grep(Finder<'static>);

impl Grep {
    /// Searches for this text, byte for byte.
    pub fn new(text: &str) -> Self {
        Self(Finder::new(text).into_owned())
    }

    /// Whether `line` has it.
    pub fn is_in(&self, line: &[u8]) -> bool {
        self.0.find(line).is_some()
    }
}
