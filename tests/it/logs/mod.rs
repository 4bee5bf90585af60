//! The merged log and the log files.

mod files;
mod flow;
mod formats;
mod levels;
mod line_levels;
mod merged;
mod own_file;
mod rate;
mod records;
mod traces;
