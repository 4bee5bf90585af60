//! Log files: whole lines appended, rotated by size and by time, kept in number, packed in the background.
//!
//! A [`LogFile`] belongs to the thread that writes. It never fails for good: what goes wrong is told once ([`Note`]),
//! counted, and tried again with the lines that follow. A [`Keeper`] does what may take long (removing and packing
//! rotated files) on a thread of its own; all files share one.
//!
//! - `NAME` is renamed to `NAME.20261122T044012Z`, to `NAME.20261122T044012Z.1` and so on within one second, and packed
//!   to the same with `.gz`. Nothing else in the directory is touched.
//! - Lines go in whole. What a full disk tore off is taken back, or ended by a newline before the next line.

mod due;
#[cfg(test)]
mod full_tests;
mod gzip;
mod keeper;
mod log_file;
mod name;
mod note;
mod open;
#[cfg(test)]
mod rotate_tests;
mod rotation;
mod sweep;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use keeper::Keeper;
pub use log_file::{Counters, Failed, LogFile};
pub use name::expand;
pub use note::{Note, Why};
pub use rotation::{Every, Points, Rotation};
