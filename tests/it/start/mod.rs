//! What a worker starts with, and a start where something is missing.

mod shortages;
mod worker;
