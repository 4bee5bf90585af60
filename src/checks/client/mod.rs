//! A small HTTP/1 client: one connection and one request; it reads a limited part of the answer.

mod connection;
mod deadline;
mod exchange;
mod status;
mod tls;

pub(crate) use connection::Connection;
pub(crate) use deadline::Deadline;
pub(crate) use exchange::{USER_AGENT, escaped, exchange, get};
pub(crate) use status::{MOST_BYTES, StatusReader, shown};
pub use tls::TlsFault;
