//! The pages that programs offer to Prometheus, as values: what a page holds, and how one is read.
//!
//! Nothing here knows whose page it is or writes one. A value that exists is safe to write: names are names, labels are
//! escaped and sorted, none is there twice.
//!
//! What is read: text 0.0.4 and OpenMetrics 1.0. A line or series that is wrong is left out and counted, and costs
//! nothing else: one bad metric must not hide the others. The page as a whole is refused only if it may be cut off, has
//! two ends, is too long, or holds nothing that can be read.
//!
//! - Families may be interleaved, in both formats: they are put together.
//! - Each name of a sample belongs to one family; a later `# TYPE` that claims it as well is invalid, with its samples.
//! - Text 0.0.4: blanks, tabs, empty lines, other comments and CRLF are let pass. OpenMetrics: one blank, none of these.
//! - Left out and not counted: times of samples, `_created`, labels without a value.

mod claims;
mod collect;
mod declare;
mod labels;
mod limits;
mod line;
mod number;
mod parse;
pub mod render;
mod settle;
mod types;

#[cfg(test)]
mod labels_tests;
#[cfg(test)]
mod tests;

pub use claims::{Claim, claims};
pub use labels::{Labels, is_label_name, is_metric_name};
pub(crate) use limits::Fault;
pub use limits::{Dropped, Format, Limits, Parsed, Refused};
pub(crate) use number::is_count;
pub use number::number;
pub use parse::parse;
pub use types::{Exemplar, Family, Kind, Page, Sample, Suffix};
