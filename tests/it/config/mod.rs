//! Invalid configuration and its messages.

mod bad_input;
mod check;
