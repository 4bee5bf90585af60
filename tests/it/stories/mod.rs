//! Whole stories of programs with the metrics libraries that are used most. Each takes many processes: nextest runs two
//! at a time (.config/nextest.toml).

mod app_metrics;
mod manual;
mod multiproc;
