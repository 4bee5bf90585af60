//! The number of workers: more, fewer, very many.

mod many;
mod workers;
