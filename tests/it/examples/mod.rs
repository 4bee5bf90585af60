//! The folders of `examples` with a Dockerfile. What serves is run by `load::examples`.

mod batch;
mod folders;
