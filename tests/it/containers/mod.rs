//! Containers without a registry and without remains: podman with a store of its own below `target`.

mod engine;
mod examples;
mod image;
mod memory;
mod pod;
mod programs;
mod resize;
mod rpmctl;

pub use engine::{Container, Engine};
pub use image::{Root, build_dockerfile, payloads};
