//! How a process is related to a worker.

/// What the process that sent a message is to the worker that it speaks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kinship {
    /// The worker's leader, a process of its group, or a descendant of one of those.
    Own,
    /// A process that has lost its parents, as daemons do, and has the environment of the worker.
    Adopted,
    /// The process has ended, or is hidden from us.
    Gone,
    /// None of those, or a process of another PID namespace.
    Foreign,
}
