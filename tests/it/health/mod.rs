//! Readiness and health: how the runtime checks workers, and how workers report their own state.

mod checks;
mod https;
mod known_ports;
mod named_port;
mod notify;
mod notify_socket;
mod probes;
mod ready;
