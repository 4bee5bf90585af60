//! The first message of each side (RFC 8446, 4.1).

use super::bytes::{Bytes, handshake, with_length};
use super::fault::TlsFault;

/// Length of a point on the curve, uncompressed.
pub(super) const POINT: usize = 65;

const CLIENT_HELLO: u8 = 1;
const TLS_1_2: [u8; 2] = [3, 3];
const TLS_1_3: [u8; 2] = [3, 4];
const AES_128_GCM_SHA256: [u8; 2] = [0x13, 0x01];
const P_256: [u8; 2] = [0x00, 0x17];

const SERVER_NAME: u16 = 0;
const SUPPORTED_GROUPS: u16 = 10;
const SIGNATURE_ALGORITHMS: u16 = 13;
const PROTOCOLS: u16 = 16;
const SUPPORTED_VERSIONS: u16 = 43;
const KEY_SHARE: u16 = 51;

/// All algorithms that servers sign with, as no signature is checked: ECDSA, RSA-PSS, EdDSA, ML-DSA, and RSA for certificates.
const SIGNATURES: [[u8; 2]; 18] = [
    [4, 3],
    [5, 3],
    [6, 3],
    [8, 4],
    [8, 5],
    [8, 6],
    [8, 7],
    [8, 8],
    [8, 9],
    [8, 10],
    [8, 11],
    [9, 4],
    [9, 5],
    [9, 6],
    [4, 1],
    [5, 1],
    [6, 1],
    [2, 3],
];

/// The random value of a hello that asks for another hello: the SHA-256 of `HelloRetryRequest`.
const RETRY: [u8; 32] = [
    0xCF, 0x21, 0xAD, 0x74, 0xE5, 0x9A, 0x61, 0x11, 0xBE, 0x1D, 0x8C, 0x02, 0x1E, 0x65, 0xB8, 0x91,
    0xC2, 0xA2, 0x11, 0x16, 0x7A, 0xBB, 0x8C, 0x5E, 0x07, 0x9E, 0x09, 0xE2, 0xC8, 0xA8, 0x33, 0x9C,
];

fn extension(number: u16, content: &[u8]) -> Vec<u8> {
    [&number.to_be_bytes(), with_length(content).as_slice()].concat()
}

/// The client's hello for the name `localhost` and HTTP/1.1. It offers what every TLS 1.3 server must have (9.1).
pub(super) fn client(random: &[u8; 32], point: &[u8]) -> Vec<u8> {
    let name = [&[0], with_length(b"localhost").as_slice()].concat();
    let share = [&P_256, with_length(point).as_slice()].concat();
    let extensions = [
        extension(SERVER_NAME, &with_length(&name)),
        extension(SUPPORTED_GROUPS, &with_length(&P_256)),
        extension(
            SIGNATURE_ALGORITHMS,
            &with_length(SIGNATURES.as_flattened()),
        ),
        extension(PROTOCOLS, &with_length(b"\x08http/1.1")),
        extension(SUPPORTED_VERSIONS, &[&[2], &TLS_1_3[..]].concat()),
        extension(KEY_SHARE, &with_length(&share)),
    ];
    let body = [
        &TLS_1_2[..],
        random,
        // No session to continue.
        &[0],
        &with_length(&AES_128_GCM_SHA256),
        // No compression.
        &[1, 0],
        &with_length(&extensions.concat()),
    ];
    handshake(CLIENT_HELLO, &body.concat())
}

/// Reads the body of the server's hello. Returns the server's point.
pub(super) fn server(body: &[u8]) -> Result<&[u8], TlsFault> {
    read(body).unwrap_or(Err(TlsFault::Broken("its hello is cut off")))
}

fn read(body: &[u8]) -> Option<Result<&[u8], TlsFault>> {
    let mut rest = Bytes(body);
    let version: [u8; 2] = rest.array()?;
    let random: [u8; 32] = rest.array()?;
    let session = rest.short()?;
    let suite: [u8; 2] = rest.array()?;
    rest.u8()?;
    let (mut chosen, mut share) = (None, None);
    if !rest.0.is_empty() {
        let mut extensions = Bytes(rest.long()?);
        while !extensions.0.is_empty() {
            let number = extensions.u16()?;
            let content = extensions.long()?;
            match number {
                SUPPORTED_VERSIONS => chosen = Some(content),
                KEY_SHARE => share = Some(content),
                _ => {}
            }
        }
    }
    if version != TLS_1_2 || chosen != Some(&TLS_1_3) {
        return Some(Err(TlsFault::OldVersion));
    }
    if random == RETRY {
        return Some(Err(TlsFault::OtherCurve));
    }
    if suite != AES_128_GCM_SHA256 || !session.is_empty() {
        return Some(Err(TlsFault::Broken("it chose what was not offered")));
    }
    let mut share = Bytes(share?);
    if share.array() != Some(P_256) {
        return Some(Err(TlsFault::Broken(
            "it chose a curve that was not offered",
        )));
    }
    share.long().map(Ok)
}
