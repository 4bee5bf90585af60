//! The admin port: its answers, their form, and when they change.

mod endpoints;
mod formats;
