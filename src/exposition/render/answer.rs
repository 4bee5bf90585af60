//! A page in the form that a client requested.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::{negotiate, render, takes_gzip};
use crate::exposition::{Format, Page};

/// Pages up to this size, bytes, are not compressed: they fit into one or two packets.
const WORTH_PACKING: usize = 1024;

/// The body and the facts for its headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The format of the body.
    pub format: Format,
    /// Whether the body is compressed (`Content-Encoding: gzip`).
    pub gzip: bool,
    /// The body.
    pub body: Vec<u8>,
    /// Number of families that [`render`] left out.
    pub left_out: usize,
}

/// Renders the page as these request headers ask for it.
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

/// Compresses with the least effort: series repeat so much that more effort gains almost nothing, and the event loop
/// waits for it.
fn pack(body: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 8), Compression::fast());
    encoder.write_all(body).ok()?;
    encoder.finish().ok()
}
