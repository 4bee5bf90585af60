//! Lines as JSON (RPM_LOG_FORMAT=json): each is exactly one object (RFC 8259, UTF-8) and one newline.
//!
//! - Text is wrapped: `{"time":…,"level":…,"app":…,"worker":…,"generation":…,"pid":…,"stream":…,"message":"…"}`.
//!   `level` is what the text itself names ([`super::level`]), otherwise absent. A byte that is not UTF-8 becomes
//!   `\xNN` in the text.
//! - A line that is a whole JSON object stays byte for byte. Before its last brace, the members above that it lacks are
//!   added, except `level` and `message`.
//! - A piece of a cut line is wrapped as text, with `partial_id`, `partial_ordinal` and `partial_last`.

pub(super) mod escape;
mod object;
mod own;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
mod worker;

pub use own::{OwnValue, own};
pub use worker::{Labels, Partial, line};
