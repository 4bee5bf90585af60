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

mod model;
mod parse;
pub mod render;

pub(crate) use model::is_count;
pub use model::{
    Claim, Exemplar, Family, Format, Labels, MetricType, Page, Sample, Suffix, claims,
    is_label_name, is_metric_name, parse_number,
};
pub(crate) use parse::DropReason;
pub use parse::{Dropped, PageLimits, ParseError, Parsed, parse};
