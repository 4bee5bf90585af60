//! Collects the body of a page while it arrives.

use std::io::{self, ErrorKind, Write};

use flate2::write::MultiGzDecoder;
use tokio::task::yield_now;

use super::error::FetchError;

/// Takes the body of an answer piece by piece and keeps the decompressed page.
#[derive(Debug)]
pub(super) enum Unpacker {
    Plain(Bounded),
    Gzip(Box<MultiGzDecoder<Bounded>>),
}

impl Unpacker {
    /// For a page of at most `most` bytes.
    pub fn new(gzip: bool, most: usize) -> Self {
        let page = Bounded {
            page: Vec::new(),
            most,
        };
        if gzip {
            Self::Gzip(Box::new(MultiGzDecoder::new(page)))
        } else {
            Self::Plain(page)
        }
    }

    /// Takes the next bytes. Yields after each step, so that other tasks run.
    pub async fn take(&mut self, mut bytes: &[u8]) -> Result<(), FetchError> {
        let (decoder, most) = match self {
            Self::Plain(page) => return page.write_all(bytes).map_err(|_| page.too_long()),
            Self::Gzip(decoder) => {
                let most = decoder.get_ref().most;
                (decoder, most)
            }
        };
        while !bytes.is_empty() {
            // One `write` decompresses at most one buffer of the decoder.
            match decoder.write(bytes) {
                Ok(0) => return Err(FetchError::Packed("corrupt gzip stream".to_owned())),
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(error) => return Err(blame(&error, most)),
            }
            yield_now().await;
        }
        Ok(())
    }

    /// Ends the body and returns the page.
    pub fn finish(self) -> Result<Vec<u8>, FetchError> {
        match self {
            Self::Plain(page) => Ok(page.page),
            Self::Gzip(decoder) => {
                let most = decoder.get_ref().most;
                let finished = decoder.finish().map_err(|error| blame(&error, most));
                finished.map(|page| page.page)
            }
        }
    }
}

fn blame(error: &io::Error, most: usize) -> FetchError {
    match error.kind() {
        ErrorKind::FileTooLarge => FetchError::TooLong { most },
        ErrorKind::UnexpectedEof => FetchError::Cut,
        _ => FetchError::Packed(error.to_string()),
    }
}

/// A page with a limited length.
#[derive(Debug)]
pub(super) struct Bounded {
    page: Vec<u8>,
    most: usize,
}

impl Bounded {
    fn too_long(&self) -> FetchError {
        FetchError::TooLong { most: self.most }
    }
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.most.saturating_sub(self.page.len()) {
            return Err(ErrorKind::FileTooLarge.into());
        }
        self.page.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
