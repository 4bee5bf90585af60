//! The admin port: its answers, their form, and when they change.

mod addresses;
mod endpoints;
mod formats;
mod looks;
mod page;
mod pictures;
