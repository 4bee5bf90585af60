//! Wakes the driver, which waits for descriptors.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

/// Of the threads.
#[derive(Clone, Debug)]
pub struct Waker(Arc<UnixStream>);

impl Waker {
    /// A waker, and what becomes readable.
    pub fn new() -> io::Result<(Self, UnixStream)> {
        let (own, other) = UnixStream::pair()?;
        own.set_nonblocking(true)?;
        other.set_nonblocking(true)?;
        Ok((Self(Arc::new(own)), other))
    }

    pub fn wake(&self) {
        // If it is full, the driver will wake.
        let _ = (&*self.0).write(&[1]);
    }
}

/// Reads what woke the driver.
pub fn heard(mut woken: &UnixStream) {
    let mut bytes = [0; 64];
    while woken
        .read(&mut bytes)
        .is_ok_and(|count| count == bytes.len())
    {}
}
