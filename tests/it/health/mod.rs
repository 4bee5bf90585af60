//! Readiness and health: how the runtime asks workers, and what workers say of themselves.

mod checks;
mod notify;
mod notify_socket;
mod probes;
mod ready;
