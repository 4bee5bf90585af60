//! A page in the form that one client asked for.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::{Format, negotiate, render, takes_gzip};
use crate::exposition::Page;

/// Pages up to this size fit into a packet or two as they are.
const WORTH_PACKING: usize = 1024;

/// The body, and what its headers have to say of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// How it is written.
    pub format: Format,
    /// Whether it is packed, to be told as `Content-Encoding: gzip`.
    pub gzip: bool,
    /// It.
    pub body: Vec<u8>,
    /// Families that [`render`] left out.
    pub left_out: usize,
}

/// The page as these headers, as they were sent, wish to have it.
pub fn answer(page: &Page, accept: Option<&str>, accept_encoding: Option<&str>) -> Answer {
    let format = negotiate(accept);
    let mut body = Vec::new();
    let left_out = render(&page.families, format, &mut body);
    let packed = (body.len() > WORTH_PACKING && takes_gzip(accept_encoding))
        .then(|| pack(&body))
        .flatten();
    Answer {
        format,
        gzip: packed.is_some(),
        body: packed.unwrap_or(body),
        left_out,
    }
}

/// Series repeat themselves so much that more effort than the least gains next to nothing, and the loop waits.
fn pack(body: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 8), Compression::fast());
    encoder.write_all(body).ok()?;
    encoder.finish().ok()
}
