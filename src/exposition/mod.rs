//! Reads the metrics pages of programs: the types for their content, and the parser.
//!
//! This module does not know which process a page comes from. Every value can be written safely: names are valid,
//! labels are escaped, sorted and unique.
//!
//! It reads text 0.0.4 and OpenMetrics 1.0. An invalid line or series is left out and counted, because one bad metric
//! must not hide the others. The whole page is refused only if it may be cut, has two ends, is too long, or has no
//! valid line.
//!
//! - Families may be interleaved in both formats; they are merged.
//! - Each sample name belongs to one family. A later `# TYPE` that claims the same name is invalid, and so are its
//!   samples.
//! - Text 0.0.4: extra blanks, tabs, empty lines, other comments and CRLF are accepted. OpenMetrics: exactly one blank,
//!   and none of these.
//! - Left out without counting: timestamps of samples, `_created`, labels with an empty value.

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
