//! Writes pages: selects the format for a client, and renders it.
//!
//! Both formats have the same sample lines; their metadata differ. Text 0.0.4 has fewer kinds of families; OpenMetrics
//! 1.0 is stricter about names and ends with `# EOF`.

mod answer;
mod format;
mod heads;
mod number;
mod write;

#[cfg(test)]
mod format_tests;
#[cfg(test)]
pub(crate) mod judges;
#[cfg(test)]
mod write_tests;

pub use answer::{Answer, answer};
pub use format::{Format, negotiate, takes_gzip};
pub use write::render;
