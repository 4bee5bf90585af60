//! The number of workers: more, fewer, very many.

mod limits;
mod many;
mod workers;
