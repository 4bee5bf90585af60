//! The client's side of TLS 1.3 (RFC 8446), for checks: it reads and returns bytes, and has no socket.
//!
//! It believes every certificate: the connection reaches the worker over a listener that the runtime holds, and programs
//! often have certificates for other names, or signed by themselves. It offers the one cipher suite and the one curve
//! that every server must have, continues no session, and sends one request. All that the worker sends is bounded.

mod bytes;
mod fault;
mod hello;
mod keys;
#[cfg(test)]
mod tests;

use p256::elliptic_curve::ecdh::diffie_hellman;
use p256::elliptic_curve::sec1::ToSec1Point;
use p256::{PublicKey, SecretKey};
use sha2::{Digest, Sha256};

use super::shown;
use bytes::{Bytes, Message, handshake};
use keys::{Protection, Schedule, Secret, finished, updated};

pub use fault::TlsFault;

/// Most bytes to read on one connection.
const MOST_BYTES: usize = 256 * 1024;

/// Longest content of a record (5.1, 5.2).
const LONGEST: usize = 16 * 1024 + 256;

/// Bytes to show of an answer that is not TLS.
const SHOWN: usize = 32;

/// Types of records.
const CHANGE_CIPHER: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const DATA: u8 = 23;

/// Types of handshake messages.
const SERVER_HELLO: u8 = 2;
const ENCRYPTED_EXTENSIONS: u8 = 8;
const CERTIFICATE: u8 = 11;
const CERTIFICATE_REQUEST: u8 = 13;
const CERTIFICATE_VERIFY: u8 = 15;
const FINISHED: u8 = 20;
const KEY_UPDATE: u8 = 24;

/// What is waited for.
#[derive(Debug)]
enum State {
    /// The server's hello.
    Hello(SecretKey),
    /// The rest of the server's handshake.
    Handshake {
        schedule: Schedule,
        /// The server wants to see a certificate of the client.
        asks: bool,
    },
    /// Data. Contains the secret of the server's side.
    Data(Secret),
    /// Nothing: the server will send no more.
    Closed,
}

/// A header and a content.
type Record = ([u8; 5], Vec<u8>);

/// One connection.
#[derive(Debug)]
pub(crate) struct Tls {
    state: State,
    transcript: Sha256,
    reads: Option<Protection>,
    writes: Option<Protection>,
    /// The begin of the next record.
    record: Vec<u8>,
    /// The begin of the next handshake message.
    message: Vec<u8>,
    /// To be sent.
    outgoing: Vec<u8>,
    /// Received data.
    text: Vec<u8>,
    total: usize,
}

impl Tls {
    /// A new connection. `None`: the random bytes are no key, which happens once in four thousand million times.
    pub fn start(random: &[u8; 32], secret: &[u8; 32]) -> Option<Self> {
        let secret = SecretKey::from_slice(secret).ok()?;
        let point = secret.public_key().to_sec1_point(false);
        let hello = hello::client(random, point.as_bytes());
        Some(Self {
            state: State::Hello(secret),
            transcript: Sha256::new_with_prefix(&hello),
            reads: None,
            writes: None,
            record: Vec::new(),
            message: Vec::new(),
            outgoing: plain_record(HANDSHAKE, &hello),
            text: Vec::new(),
            total: 0,
        })
    }

    /// Bytes to send to the server.
    pub fn outgoing(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.outgoing)
    }

    /// The handshake is complete.
    pub fn is_open(&self) -> bool {
        self.writes.is_some()
    }

    /// The server will send no more.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// Protects a short text for the server, once the handshake is complete.
    pub fn seal(&mut self, text: &[u8]) -> Vec<u8> {
        let writes = self.writes.as_mut();
        writes.map_or_else(Vec::new, |writes| writes.seal(DATA, text))
    }

    /// Moves received data to the buffer; 0 means that more bytes of the server are needed.
    pub fn take(&mut self, buffer: &mut [u8]) -> usize {
        let count = buffer.len().min(self.text.len());
        for (to, from) in buffer.iter_mut().zip(self.text.drain(..count)) {
            *to = from;
        }
        count
    }

    /// Processes the next bytes of the server.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), TlsFault> {
        self.total += bytes.len();
        if self.total > MOST_BYTES {
            return Err(TlsFault::TooLong);
        }
        self.record.extend_from_slice(bytes);
        while let Some((header, content)) = self.next_record()? {
            self.read_record(header, content)?;
        }
        Ok(())
    }

    fn next_record(&mut self) -> Result<Option<Record>, TlsFault> {
        let foreign = match self.record.as_slice() {
            [] => false,
            [kind] => !(CHANGE_CIPHER..=DATA).contains(kind),
            [kind, major, ..] => !(CHANGE_CIPHER..=DATA).contains(kind) || *major != 3,
        };
        if foreign && matches!(self.state, State::Hello(_)) {
            return Err(TlsFault::NotTls(shown(&self.record, SHOWN)));
        }
        if foreign {
            return Err(TlsFault::Broken("unknown kind of record"));
        }
        let mut rest = Bytes(&self.record);
        let Some(header) = rest.array::<5>() else {
            return Ok(None);
        };
        let [.., high, low] = header;
        let length = usize::from(u16::from_be_bytes([high, low]));
        if length > LONGEST {
            return Err(TlsFault::Broken("a record is too long"));
        }
        let Some(content) = rest.take(length) else {
            return Ok(None);
        };
        let content = content.to_vec();
        self.record.drain(..header.len() + length);
        Ok(Some((header, content)))
    }

    fn read_record(&mut self, header: [u8; 5], content: Vec<u8>) -> Result<(), TlsFault> {
        let [kind, ..] = header;
        match (kind, self.reads.as_mut()) {
            // It has no meaning in TLS 1.3; some servers send it for the sake of boxes on the way.
            (CHANGE_CIPHER, _) => Ok(()),
            (ALERT, _) => self.alert(&content),
            (HANDSHAKE, None) => self.handshake(&content),
            (DATA, Some(reads)) => {
                let opened = reads.open(header, content);
                match opened.ok_or(TlsFault::Broken("a record cannot be decrypted"))? {
                    (ALERT, content) => self.alert(&content),
                    (HANDSHAKE, content) => self.handshake(&content),
                    (DATA, content) if self.is_open() => {
                        self.text.extend_from_slice(&content);
                        Ok(())
                    }
                    _ => Err(TlsFault::Broken("a record at the wrong time")),
                }
            }
            _ => Err(TlsFault::Broken("a record at the wrong time")),
        }
    }

    fn alert(&mut self, content: &[u8]) -> Result<(), TlsFault> {
        match content {
            [_, 0] if self.is_open() => {
                self.state = State::Closed;
                Ok(())
            }
            [_, 0] => Err(TlsFault::Closed),
            [_, number] => Err(TlsFault::Alert(*number)),
            _ => Err(TlsFault::Broken("an alert is cut off")),
        }
    }

    /// Processes a part of the stream of handshake messages.
    fn handshake(&mut self, content: &[u8]) -> Result<(), TlsFault> {
        self.message.extend_from_slice(content);
        let stream = std::mem::take(&mut self.message);
        let mut rest = Bytes(&stream);
        while let Some(message) = rest.message() {
            self.read_message(message)?;
            // The keys change behind these two, which is at the end of a record.
            if matches!(message.kind, SERVER_HELLO | FINISHED) && !rest.0.is_empty() {
                return Err(TlsFault::Broken("a message at the wrong time"));
            }
        }
        self.message = rest.0.to_vec();
        Ok(())
    }

    fn read_message(&mut self, message: Message<'_>) -> Result<(), TlsFault> {
        match (&mut self.state, message.kind) {
            (State::Hello(secret), SERVER_HELLO) => {
                let point = hello::server(message.body)?;
                let wrong = TlsFault::Broken("its key is not on the curve");
                if point.len() != hello::POINT {
                    return Err(wrong);
                }
                let point = PublicKey::from_sec1_bytes(point).map_err(|_| wrong)?;
                let shared = diffie_hellman(secret.to_nonzero_scalar(), point.as_affine());
                self.transcript.update(message.all);
                let schedule =
                    Schedule::handshake(shared.raw_secret_bytes(), &hash(&self.transcript));
                self.reads = Some(Protection::new(&schedule.server));
                self.state = State::Handshake {
                    schedule,
                    asks: false,
                };
                Ok(())
            }
            (
                State::Handshake { asks, .. },
                ENCRYPTED_EXTENSIONS | CERTIFICATE | CERTIFICATE_REQUEST | CERTIFICATE_VERIFY,
            ) => {
                *asks |= message.kind == CERTIFICATE_REQUEST;
                self.transcript.update(message.all);
                Ok(())
            }
            (State::Handshake { schedule, asks }, FINISHED) => {
                if message.body != finished(&schedule.server, &hash(&self.transcript)) {
                    return Err(TlsFault::Broken("the end of its handshake is wrong"));
                }
                self.transcript.update(message.all);
                let data = schedule.data(&hash(&self.transcript));
                let mut writes = Protection::new(&schedule.client);
                if *asks {
                    // No context and no certificates.
                    let none = handshake(CERTIFICATE, &[0, 0, 0, 0]);
                    self.transcript.update(&none);
                    self.outgoing.extend(writes.seal(HANDSHAKE, &none));
                }
                let proof = finished(&schedule.client, &hash(&self.transcript));
                let last = handshake(FINISHED, &proof);
                self.outgoing.extend(writes.seal(HANDSHAKE, &last));
                self.reads = Some(Protection::new(&data.server));
                self.writes = Some(Protection::new(&data.client));
                self.state = State::Data(data.server);
                Ok(())
            }
            // The client's own keys need not follow, because it sends nothing any more.
            (State::Data(secret), KEY_UPDATE) => {
                *secret = updated(secret);
                self.reads = Some(Protection::new(secret));
                Ok(())
            }
            // Tickets for sessions that will not be continued.
            (State::Data(_), _) => Ok(()),
            _ => Err(TlsFault::Broken("a message at the wrong time")),
        }
    }
}

/// The hash of the messages so far.
fn hash(transcript: &Sha256) -> Secret {
    transcript.clone().finalize().into()
}

/// A record without protection.
fn plain_record(kind: u8, content: &[u8]) -> Vec<u8> {
    // The version of the first record (5.1).
    [&[kind, 3, 1], bytes::with_length(content).as_slice()].concat()
}
