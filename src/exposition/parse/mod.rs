//! Parses pages: text 0.0.4 and OpenMetrics 1.0.
//!
//! An invalid line or series is left out and counted, without other consequences: one bad metric must not hide the
//! others. The whole page is refused only if it may be cut off, has two ends, is too long, or contains nothing
//! readable.
//!
//! - Families may be interleaved in both formats; they are put together.
//! - Each sample name belongs to one family. A later `# TYPE` that claims the name too is invalid, with its samples.
//! - Text 0.0.4: blanks, tabs, empty lines, other comments and CRLF are accepted. OpenMetrics: only single blanks.
//! - Left out and not counted: times of samples, `_created`, labels without a value.

mod comment;
mod families;
mod limits;
mod line;
mod normalize;
mod page;

#[cfg(test)]
mod tests;

pub(crate) use limits::DropReason;
pub use limits::{Dropped, PageLimits, ParseError, Parsed};
pub use page::parse;
