//! Log files: append whole lines, rotate by size and time, limit the number of rotated files, compress them in the
//! background.
//!
//! A [`LogFile`] belongs to the writing thread. It never fails permanently: a problem is reported once ([`FileEvent`]),
//! counted, and the write is tried again with the next lines. A [`Sweeper`] removes and compresses rotated files on a
//! thread of its own, because that may take long; all files share one.
//!
//! - `NAME` is renamed to `NAME.20261122T044012Z`; further rotations in the same second get `.1` and so on; compressed
//!   files get `.gz`. Nothing else in the directory is touched.
//! - Lines are written completely. If a full disk cut a line, the part is removed, or ended by a newline before the
//!   next line.

mod due;
mod event;
mod gzip;
mod log_file;
mod name;
mod open;
mod rotation;
mod sweep;
mod sweeper;
#[cfg(test)]
pub(super) mod testing;
#[cfg(test)]
mod tests;

pub use event::{FileError, FileEvent};
pub use log_file::{Counters, Failed, LogFile};
pub use name::expand;
pub use rotation::{Every, Points, Rotation};
pub use sweeper::Sweeper;
