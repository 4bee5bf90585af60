//! The end of a worker and of the runtime: drain, stop signal, grace, SIGKILL.

mod drain;
mod grace;
