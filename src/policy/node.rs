//! What concerns programs that are Node: which command is one, and the messages between its workers.

mod program;

pub use program::{Program, program};
