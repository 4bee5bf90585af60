//! Escapes bytes for a JSON string.

/// Number of bytes that are checked together: two or more vector registers on every machine.
const STEP: usize = 32;

const HEX: [u8; 16] = *b"0123456789abcdef";

/// Appends `bytes` as text. Bytes that are not UTF-8 become the text `\xNN`.
pub fn bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    if let Ok(whole) = str::from_utf8(bytes) {
        text(out, whole);
        return;
    }
    for chunk in bytes.utf8_chunks() {
        text(out, chunk.valid());
        for byte in chunk.invalid() {
            out.extend_from_slice(b"\\\\x");
            out.extend_from_slice(&hex(*byte));
        }
    }
}

/// Appends `text`.
pub fn text(out: &mut Vec<u8>, text: &str) {
    let mut rest = text.as_bytes();
    while let Some((run, &byte, after)) = cut(rest) {
        out.extend_from_slice(run);
        escaped(out, byte);
        rest = after;
    }
    out.extend_from_slice(rest);
}

/// Splits at the first byte that must be escaped: the bytes before it, the byte, and the bytes after it.
fn cut(bytes: &[u8]) -> Option<(&[u8], &u8, &[u8])> {
    let (steps, _) = bytes.as_chunks::<STEP>();
    // No branch inside a step, so that the compiler uses vector instructions.
    let plain = |step: &&[u8; STEP]| !step.iter().fold(false, |any, byte| any | is_special(*byte));
    let skipped = STEP * steps.iter().take_while(plain).count();
    let (_, rest) = bytes.split_at_checked(skipped)?;
    let at = skipped + rest.iter().position(|byte| is_special(*byte))?;
    let (run, rest) = bytes.split_at_checked(at)?;
    let (byte, after) = rest.split_first()?;
    Some((run, byte, after))
}

/// RFC 8259, section 7: "characters that MUST be escaped".
fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

fn escaped(out: &mut Vec<u8>, byte: u8) {
    let letter = match byte {
        0x08 => b'b',
        b'\t' => b't',
        b'\n' => b'n',
        0x0c => b'f',
        b'\r' => b'r',
        b'"' | b'\\' => byte,
        _ => {
            out.extend_from_slice(b"\\u00");
            out.extend_from_slice(&hex(byte));
            return;
        }
    };
    out.extend_from_slice(&[b'\\', letter]);
}

fn hex(byte: u8) -> [u8; 2] {
    [byte >> 4, byte & 15].map(|digit| HEX.get(usize::from(digit)).copied().unwrap_or(b'0'))
}
