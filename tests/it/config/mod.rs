//! Configuration that is wrong, and what is said of it.

mod bad_input;
