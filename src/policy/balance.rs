//! Which listeners get the next connections: not those whose queues are long or do not move, and of the others those of the
//! workers with the fewest connections.

mod arrivals;
mod budget;
mod flow;
mod loads;
mod pace;
mod queues;

pub use arrivals::{Arrivals, Seen};
pub use pace::{Hearing, Pace, Plan};
pub use queues::{Queue, held_back};
