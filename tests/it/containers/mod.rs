//! Containers without a registry and without a trace: podman with a store of its own below `target`.
#![allow(
    clippy::disallowed_methods,
    reason = "tests start, signal and await processes from outside"
)]
#![allow(
    clippy::print_stderr,
    reason = "the log of a container is shown when a test fails"
)]
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod engine;
mod image;

pub use engine::{Container, Engine};
pub use image::{Root, build_dockerfile, payloads};
