//! Reads pages: text 0.0.4 and OpenMetrics 1.0.
//!
//! A line or series that is wrong is left out and counted, and costs nothing else: one bad metric must not hide the
//! others. The page as a whole is refused only if it may be cut off, has two ends, is too long, or holds nothing that can
//! be read.
//!
//! - Families may be interleaved, in both formats: they are put together.
//! - Each name of a sample belongs to one family; a later `# TYPE` that claims it as well is invalid, with its samples.
//! - Text 0.0.4: blanks, tabs, empty lines, other comments and CRLF are accepted. OpenMetrics: one blank, none of these.
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
