//! Lines as JSON (RPM_LOG_FORMAT=json): each exactly one object (RFC 8259, UTF-8) and one newline.
//!
//! - Text is wrapped: `{"time":…,"level":…,"app":…,"worker":…,"generation":…,"pid":…,"stream":…,"message":"…"}`. `level`
//!   is `info` for stdout and `error` for stderr; a byte that is not UTF-8 is `\xNN` in the text.
//! - A line that is a whole JSON object stays as it is, byte for byte, and gets those of the members above, before its
//!   last brace, that it has none of itself; `level` and `message` are its own business.
//! - A piece of a line that was cut is text, and says which: `partial_id`, `partial_ordinal`, `partial_last`.

mod escape;
mod object;
mod own;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
mod worker;

pub use own::{OwnValue, own};
pub use worker::{Labels, Partial, line};
