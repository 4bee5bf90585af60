//! Why a TLS connection cannot be used.

use std::fmt;

/// Why the worker does not speak TLS with the runtime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsFault {
    /// The answer is not TLS; contains its first bytes, escaped.
    NotTls(String),
    /// The server chose an older version.
    OldVersion,
    /// The server ended the connection with this alert (RFC 8446, 6).
    Alert(u8),
    /// The server wants to exchange keys on another curve.
    OtherCurve,
    /// The server closed the connection before the handshake was complete.
    Closed,
    /// The server sent too many bytes.
    TooLong,
    /// The server broke a rule of the protocol.
    Broken(&'static str),
}

/// What the runtime offers.
const OFFERED: &str = "TLS 1.3 with TLS_AES_128_GCM_SHA256 and P-256";

impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotTls(bytes) => write!(f, "the answer is not TLS: \"{bytes}\""),
            Self::OldVersion => f.write_str("the server did not agree to TLS 1.3"),
            Self::Alert(70) => {
                f.write_str("the server did not agree to TLS 1.3 (alert protocol_version)")
            }
            Self::Alert(number) => {
                let name = alert(*number);
                match *number {
                    40 | 71 => write!(
                        f,
                        "the server agreed to nothing that is offered, {OFFERED} (alert {name})"
                    ),
                    80 | 112 => write!(
                        f,
                        "it ended the TLS connection with the alert {name}; perhaps it has no certificate for the name \
                         localhost"
                    ),
                    116 => write!(f, "it demands a certificate of the client (alert {name})"),
                    120 => write!(f, "it does not speak HTTP/1.1 over TLS (alert {name})"),
                    _ if name.is_empty() => {
                        write!(f, "it ended the TLS connection with alert {number}")
                    }
                    _ => write!(f, "it ended the TLS connection with the alert {name}"),
                }
            }
            Self::OtherCurve => write!(
                f,
                "the server agreed to nothing that is offered, {OFFERED} (it wants another curve)"
            ),
            Self::Closed => f.write_str("it closed the connection during the TLS handshake"),
            Self::TooLong => f.write_str("no status in the first 256 KiB of TLS"),
            Self::Broken(what) => write!(f, "its TLS is faulty: {what}"),
        }
    }
}

/// The name of an alert; empty if it has none.
fn alert(number: u8) -> &'static str {
    match number {
        10 => "unexpected_message",
        20 => "bad_record_mac",
        22 => "record_overflow",
        40 => "handshake_failure",
        42 => "bad_certificate",
        43 => "unsupported_certificate",
        44 => "certificate_revoked",
        45 => "certificate_expired",
        46 => "certificate_unknown",
        47 => "illegal_parameter",
        48 => "unknown_ca",
        49 => "access_denied",
        50 => "decode_error",
        51 => "decrypt_error",
        71 => "insufficient_security",
        80 => "internal_error",
        90 => "user_canceled",
        109 => "missing_extension",
        110 => "unsupported_extension",
        112 => "unrecognized_name",
        116 => "certificate_required",
        120 => "no_application_protocol",
        _ => "",
    }
}
