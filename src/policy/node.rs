//! What concerns programs that are Node: which commands they are, and the messages between their workers.

mod program;
mod relay;

pub use program::{Program, program};
pub use relay::{ENTRY, Losses, Lost, Member, Message, Parcel, Relay};
