//! Writes pages: selects the format for a client, and renders it.
//!
//! Both formats have the same sample lines; their metadata differ. Text 0.0.4 has fewer kinds of families; OpenMetrics
//! 1.0 is stricter about names and ends with `# EOF`.

mod answer;
mod head;
mod negotiate;
mod write;

#[cfg(test)]
pub(crate) mod judges;

pub use answer::{Answer, answer};
pub use negotiate::{negotiate, takes_gzip};
pub use write::render;
