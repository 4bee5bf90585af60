//! The decisions of the runtime: state and event in, actions out. No clock, no system call, no log, no async code.
//!
//! | slot | event | new state | actions |
//! |---|---|---|---|
//! | Waiting | its start time is reached | Launching | Spawn |
//! | Launching | Spawned | Starting | - |
//! | Launching | SpawnFailed | Waiting (later), or the start has failed | Finish |
//! | Starting | Ready, or alive long enough | Ready | - |
//! | Starting | not ready in time | Held, the worker retires | Stop |
//! | Starting, Ready | Exited | Waiting (by streak), Stopped, or the runtime gives up | - |
//! | Starting, Ready | restart | Held, the worker retires | Stop |
//! | Held | its retiring worker exited, or cannot be killed | Waiting | - |
//! | Ready | reload, unfit: a successor is requested on a spare listener | Ready | Spawn |
//! | Ready | its successor has been ready and fit for long enough | Ready (the successor) | -, the worker drains |
//! | Ready | reload with no surge left | Held, the worker drains | - |
//! | Ready, with a successor | Exited, restart | as without a successor; the successor retires | Stop |
//! | any | halt | Stopped, the worker drains | - |
//! | Stopped, Waiting | start | Waiting (now), or Held | - |
//! | any | scale-down, or the limits grant fewer | removed, the worker drains | - |
//! | any but Launching | stop, and the delay is over | Stopped, the worker retires | Stop |
//! | Launching, in the stop | Spawned, SpawnFailed | Stopped, the worker retires | Stop |
//!
//! A draining worker gets its stop signal when it has no connections left, or after the drain timeout at the moment
//! that costs the fewest requests. With RPM_STOP_MESSAGE a message comes first: Message is the action instead of Stop, and
//! Stop follows when half of the grace is over. A retiring worker gets SIGKILL when its grace is over. Processes that a worker
//! leaves in its process group retire too.

mod allowance;
mod backoff;
pub mod balance;
mod bytes;
mod debounce;
pub mod drain;
mod draining;
mod end;
pub mod epoll_sets;
mod event;
mod excludes;
mod expected;
mod fleet;
pub mod follow;
mod give_back;
mod halt;
pub mod handover;
pub mod health;
pub mod heartbeat;
mod in_use;
mod instances;
pub mod kernel;
mod late;
mod members;
mod memory;
mod moment;
mod motion;
pub mod node;
mod note;
pub mod notify;
mod oom;
mod params;
pub mod paths;
mod port_table;
mod queries;
mod rate;
pub mod ready;
mod reload;
mod replace;
mod retire;
pub mod rights;
mod roll;
mod rotation;
mod scale;
mod scrape;
mod seldom;
mod share;
mod shuts;
mod signals;
mod slot;
mod spare;
mod stall;
mod standstill;
mod start;
pub mod steering;
mod stop;
#[cfg(test)]
mod tests;
mod turn;
mod unclaimed;
pub mod unix;
mod view;
pub mod watchdog;

pub use allowance::Allowance;
pub use backoff::{Backoff, BackoffBounds};
pub use bytes::Bytes;
pub use debounce::Debounce;
pub use event::{Action, Event};
pub use fleet::{Checked, Drains, Fleet, Seek};
pub use instances::{CpuBudget, Instances, MAX_INSTANCES, MemoryBudget};
pub use late::Late;
pub use members::Members;
pub use memory::{LEAST_MEMORY, MemoryGuard, share_of_limit};
pub use motion::Motion;
pub use note::{Missing, Next, NotUp, Note};
pub use oom::Strikes;
pub use params::{Params, ReadyRule, Restart};
pub use port_table::PortTable;
pub use rate::{Bucket, Rate};
pub use retire::KILL_PATIENCE;
pub use rotation::{Apart, Rotation};
pub use scrape::limit as last_scrape_limit;
pub use seldom::Seldom;
pub use share::{Share, allowance};
pub use shuts::Shuts;
pub use signals::{SignalAction, SignalTable};
pub use stall::Stall;
pub use standstill::Standstill;
