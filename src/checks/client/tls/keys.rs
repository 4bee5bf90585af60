//! The keys of a connection (RFC 8446, 7) and the protection of records (5.2), with AES-128-GCM and SHA-256.

use aes_gcm::Aes128Gcm;
use aes_gcm::aead::{AeadInOut, KeyInit};
use hmac::{Hmac, Mac};
use sha2::digest::Key;
use sha2::{Digest, Sha256};

/// Length of the tag at the end of a protected record.
const TAG: usize = 16;

/// A secret or a hash.
pub(super) type Secret = [u8; 32];

/// HMAC of the parts; it is also HKDF-Extract with `key` as the salt.
pub(super) fn mac(key: &Secret, parts: &[&[u8]]) -> Secret {
    // A key that is shorter than a block is filled with zeros (RFC 2104).
    let mut block = Key::<Hmac<Sha256>>::default();
    for (to, from) in block.iter_mut().zip(key) {
        *to = *from;
    }
    let mut mac = <Hmac<Sha256> as KeyInit>::new(&block);
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// HKDF-Expand-Label; one block, as all of its results here are at most 32 bytes long.
fn expand<const N: usize>(secret: &Secret, label: &str, context: &[u8]) -> [u8; N] {
    let length = u16::try_from(N).unwrap_or_default().to_be_bytes();
    let short = |text: &[u8]| [u8::try_from(text.len()).unwrap_or_default()];
    let label = ["tls13 ", label].concat();
    let (label, of_label, of_context) = (label.as_bytes(), short(label.as_bytes()), short(context));
    let block = mac(
        secret,
        &[&length, &of_label, label, &of_context, context, &[1]],
    );
    let mut output = [0; N];
    for (to, from) in output.iter_mut().zip(block) {
        *to = from;
    }
    output
}

fn derive(secret: &Secret, label: &str, transcript: &Secret) -> Secret {
    expand(secret, label, transcript)
}

/// The secrets of both sides for one part of the connection, and that of the next part.
#[derive(Debug)]
pub(super) struct Schedule {
    pub client: Secret,
    pub server: Secret,
    next: Secret,
}

impl Schedule {
    /// Those of the handshake. `transcript`: hash up to the server's hello.
    pub fn handshake(shared: &[u8], transcript: &Secret) -> Self {
        let early = mac(&[0; 32], &[&[0; 32]]);
        Self::from(&mac(&salt(&early), &[shared]), "hs", transcript)
    }

    /// Those of the data. `transcript`: hash up to the server's last message.
    pub fn data(&self, transcript: &Secret) -> Self {
        Self::from(&mac(&self.next, &[&[0; 32]]), "ap", transcript)
    }

    fn from(secret: &Secret, part: &str, transcript: &Secret) -> Self {
        let side = |side| derive(secret, &format!("{side} {part} traffic"), transcript);
        Self {
            client: side("c"),
            server: side("s"),
            next: salt(secret),
        }
    }
}

/// The salt of the next secret.
fn salt(secret: &Secret) -> Secret {
    derive(secret, "derived", &Sha256::digest([]).into())
}

/// The content of a Finished message of the side with this secret.
pub(super) fn finished(secret: &Secret, transcript: &Secret) -> Secret {
    mac(&expand(secret, "finished", &[]), &[transcript])
}

/// The secret after a `KeyUpdate`.
pub(super) fn updated(secret: &Secret) -> Secret {
    expand(secret, "traffic upd", &[])
}

/// Protects the records of one direction.
pub(super) struct Protection {
    cipher: Aes128Gcm,
    iv: [u8; 12],
    records: u64,
}

impl std::fmt::Debug for Protection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Protection").finish_non_exhaustive()
    }
}

impl Protection {
    pub fn new(secret: &Secret) -> Self {
        let key: [u8; 16] = expand(secret, "key", &[]);
        Self {
            cipher: Aes128Gcm::new(&key.into()),
            iv: expand(secret, "iv", &[]),
            records: 0,
        }
    }

    /// The nonce of the next record.
    fn nonce(&mut self) -> [u8; 12] {
        let mut nonce = self.iv;
        let number = self.records.to_be_bytes();
        for (byte, number) in nonce.iter_mut().skip(4).zip(number) {
            *byte ^= number;
        }
        self.records += 1;
        nonce
    }

    /// A complete protected record. The text is shorter than a record may be.
    pub fn seal(&mut self, kind: u8, text: &[u8]) -> Vec<u8> {
        let mut inner = [text, &[kind]].concat();
        let length = u16::try_from(inner.len() + TAG).unwrap_or(u16::MAX);
        let [high, low] = length.to_be_bytes();
        let header = [super::DATA, 3, 3, high, low];
        let nonce = self.nonce();
        // It fails only for texts of many gigabytes.
        let tag = self
            .cipher
            .encrypt_inout_detached(&nonce.into(), &header, inner.as_mut_slice().into())
            .unwrap_or_default();
        [&header[..], &inner, &tag].concat()
    }

    /// The type and the text of a protected record; `None` if it was not made with the key of this direction.
    pub fn open(&mut self, header: [u8; 5], mut body: Vec<u8>) -> Option<(u8, Vec<u8>)> {
        let tag: [u8; TAG] = *body.last_chunk()?;
        body.truncate(body.len() - TAG);
        let nonce = self.nonce();
        self.cipher
            .decrypt_inout_detached(
                &nonce.into(),
                &header,
                body.as_mut_slice().into(),
                &tag.into(),
            )
            .ok()?;
        // Zeros behind the type are padding.
        while body.pop_if(|byte| *byte == 0).is_some() {}
        let kind = body.pop()?;
        Some((kind, body))
    }
}
