//! The control socket: how `rpmctl` speaks to a runtime. docs/control.md describes the protocol.
//!
//! `protocol` has the words, `place` and `find` the names of sockets, `rule` who may use one, `server` and `guests` the
//! connections, `stream` answers of many items. What a command does is decided by the supervisor.

use std::path::PathBuf;

mod closing;
mod find;
mod guests;
mod limits;
mod place;
pub mod protocol;
mod rule;
mod server;
mod stream;
mod trust;
mod turns;

pub use closing::Closing;
pub use find::{Address, Closed, Found, Open, Place, Search, connect, of_runtime};
pub use limits::Limits;
pub use place::{Held, Opened, open, socket_name};
pub use rule::{Rule, Why};
pub use server::{Answer, Obeyed, Service, serve};
pub use stream::{Items, Next, Page};

/// The directory of the sockets, if the runtime can write there.
const RUN: &str = "/run/rpm-runtime";

/// Begin of the directory that a user has otherwise; the number of the user follows.
const PRIVATE: &str = "/tmp/rpm-runtime-";

/// Begin of an abstract name; the name of the socket follows.
const ABSTRACT: &str = "rpm-runtime/";

/// End of the file name of a socket.
const SUFFIX: &str = ".sock";

/// The usual directories for the sockets of a user, the first one first.
fn homes(uid: u32) -> Vec<PathBuf> {
    vec![PathBuf::from(RUN), PathBuf::from(format!("{PRIVATE}{uid}"))]
}
