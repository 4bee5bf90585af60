//! Small servers on the listeners of a real group with steering.

mod health;
mod http;
mod queue;
mod ready;
