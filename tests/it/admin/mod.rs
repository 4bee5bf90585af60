//! The admin port: what it answers, in which form, and when.

mod endpoints;
mod formats;
