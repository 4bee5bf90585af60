//! Fetches the page of metrics that one worker serves.

mod error;
mod page;
mod redirect;
#[cfg(test)]
mod tests;
mod unpack;
mod wire;

pub(super) use error::FetchError;
pub(super) use page::{Fetched, page};
