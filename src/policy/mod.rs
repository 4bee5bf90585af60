//! The decisions of the runtime: state and event in, actions out. No clock, no syscall, no log, no async.
//!
//! | slot | event | becomes | actions |
//! |---|---|---|---|
//! | Waiting | its time has come | Launching | Spawn |
//! | Launching | Spawned | Starting | - |
//! | Launching | SpawnFailed | Waiting (later), or the start has failed | Finish |
//! | Starting | Ready, or alive long enough | Ready | - |
//! | Starting | not ready in time | Held, the worker retires | Stop |
//! | Starting, Ready | Exited | Waiting (by streak), Stopped, or the runtime gives up | - |
//! | Starting, Ready | restart | Held, the worker retires | Stop |
//! | Held | its retiring worker exited, or cannot be killed | Waiting | - |
//! | any but Launching | stop, and the delay is over | Stopped, the worker retires | Stop |
//! | Launching, in the stop | Spawned, SpawnFailed | Stopped, the worker retires | Stop |
//!
//! A retiring worker gets SIGKILL when its grace is over. What a worker leaves in its process group is retiring too.
#![forbid(unsafe_code)]

mod backoff;
mod end;
mod event;
mod fleet;
pub mod handover;
mod instances;
mod params;
mod retire;
mod rotation;
mod signals;
mod slot;
mod start;
pub mod steering;
mod stop;
#[cfg(test)]
mod tests;
mod view;

pub use backoff::{Backoff, BackoffBounds};
pub use event::{Action, Event, Next, Note};
pub use fleet::Fleet;
pub use instances::{CpuBudget, Instances, MAX_INSTANCES};
pub use params::{Params, ReadyRule, RestartRule};
pub use retire::KILL_PATIENCE;
pub use rotation::Rotation;
pub use signals::{SignalAction, SignalTable};
