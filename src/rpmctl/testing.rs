//! Answers for the tests.

use rpm_runtime::control::protocol::{Place, Worker};

/// A worker or an empty slot, of which nothing else is known.
pub fn worker(slot: u16, place: Place, state: &str, pid: Option<i32>) -> Worker {
    Worker {
        slot,
        place,
        pid,
        generation: 0,
        state: state.to_owned(),
        ready: state == "ready",
        uptime_seconds: None,
        restarts: 0,
        last_exit: None,
        last_cause: None,
        cpu_seconds: None,
        cpu_percent: None,
        memory_bytes: None,
        connections: None,
        queue: None,
        in_rotation: None,
        due_seconds: None,
        status: None,
    }
}
