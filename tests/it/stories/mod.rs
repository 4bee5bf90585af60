//! Whole scenarios of programs with the most common metrics libraries. Each needs many processes: nextest runs two at a
//! time (.config/nextest.toml).

mod app_metrics;
mod manual;
mod multiproc;
