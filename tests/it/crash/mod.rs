//! Workers that end by surprise: what it costs, what follows, and when the runtime gives up.

mod memory;
mod oom;
mod queue;
mod restarts;
