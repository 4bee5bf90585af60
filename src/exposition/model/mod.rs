//! The content of a page: families with a type, their samples, labels and numbers.

mod format;
mod labels;
mod number;
mod page;
mod sample_names;

pub use format::Format;
pub use labels::{Labels, is_label_name, is_metric_name};
pub(super) use labels::{begins_name, closing_quote, name_len, unescape};
pub(crate) use number::is_count;
pub use number::parse_number;
pub(super) use number::{canonical_number, is_amount, is_flag, write_number};
pub use page::{Exemplar, Family, MetricType, Page, Sample, Suffix};
pub use sample_names::{Claim, claims};
