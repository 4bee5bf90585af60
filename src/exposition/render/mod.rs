//! Pages as they leave the runtime: which format a client gets, and how it is written.
//!
//! Both formats write the same sample lines; they differ in what stands above them. Text 0.0.4 knows fewer kinds of
//! families, OpenMetrics 1.0 is stricter about names and ends with a mark.

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
