//! The page of metrics: the runtime's own, and those of the program.

mod dashboards;
mod gauge_patterns;
mod merging_example;
mod page;
mod tls;
mod workers;
