//! The metrics page: the runtime's own metrics, and those of the program.

mod dashboards;
mod gauge_patterns;
mod merging_example;
mod mounted;
mod page;
mod tls;
mod workers;
