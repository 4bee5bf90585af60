//! The environment of a worker at its start, and starts with something missing.

mod shortages;
mod worker;
