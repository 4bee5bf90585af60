//! Workers that end unexpectedly: the effect on clients, what follows, and when the runtime gives up.

mod memory;
mod oom;
mod queue;
mod restarts;
