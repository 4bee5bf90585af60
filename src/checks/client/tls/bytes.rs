//! Reads the fields of TLS messages. `None`: the message is too short.

/// The rest of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bytes<'a>(pub &'a [u8]);

impl<'a> Bytes<'a> {
    pub fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    /// A field that begins with its length in one byte.
    pub fn short(&mut self) -> Option<&'a [u8]> {
        let length = self.u8()?;
        self.take(length.into())
    }

    /// A field that begins with its length in two bytes.
    pub fn long(&mut self) -> Option<&'a [u8]> {
        let length = self.u16()?;
        self.take(length.into())
    }

    /// A complete handshake message: its type, all its bytes, and its body. `None`: more bytes are needed.
    pub fn message(&mut self) -> Option<Message<'a>> {
        let mut rest = *self;
        let [kind, high, middle, low] = rest.array()?;
        let length = u32::from_be_bytes([0, high, middle, low]);
        let body = rest.take(usize::try_from(length).ok()?)?;
        let all = self.take(4 + body.len())?;
        Some(Message { kind, all, body })
    }
}

/// A handshake message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<'a> {
    pub kind: u8,
    /// With its type and its length.
    pub all: &'a [u8],
    pub body: &'a [u8],
}

/// Writes a field behind its length in two bytes. Only for the short fields of the runtime's own messages.
pub(super) fn with_length(field: &[u8]) -> Vec<u8> {
    let length = u16::try_from(field.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes(), field].concat()
}

/// Writes a handshake message of the runtime.
pub(super) fn handshake(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind, 0], with_length(body).as_slice()].concat()
}
