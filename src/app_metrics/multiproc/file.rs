//! Parses the bytes of one file.
//!
//! Numbers are in the machine's byte order. The file begins with the number of used bytes (four bytes; four more are
//! unused). Entries follow, each at a multiple of eight: the length of the key (four bytes), the key, one to eight
//! blanks up to the next multiple of eight, the value (a double), and since prometheus_client 0.18 the time at which it
//! was set (another double).
//!
//! The first entry shows whether there is a time: the used part ends, or another entry begins (a length, an opening
//! bracket, a closing bracket at the end of the key, blanks), either after the value or after the time. Only one of
//! them is possible: without times, the second place is inside the next key, whose characters would be a length far
//! beyond the file; with times, the time would have to look like a length and a bracket.
//!
//! The writer writes an entry before it counts it as used, and writes a value or a time in one aligned store of eight
//! bytes. So used entries are complete if the reader reads the number of used bytes first. If a file is cut, or if the
//! writer's stores are seen in another order, only incomplete entries are lost.

/// Bytes before the first entry.
pub(super) const HEAD: usize = 8;

/// Size of a number, bytes.
const NUMBER: usize = 8;

/// One number and its key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Entry<'a> {
    /// JSON text.
    pub(super) key: &'a [u8],
    pub(super) value: f64,
    /// When it was set, in seconds since 1970; 0 if unknown.
    pub(super) time: f64,
}

/// An invalid entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken;

/// Number of used bytes of a file, including the given head; `None` if it is not such a file.
pub(super) fn used(head: &[u8]) -> Option<usize> {
    match length(head, 0).unwrap_or_default() {
        // The file was created just now.
        0 => Some(0),
        used => usize::try_from(used).ok().filter(|used| *used >= HEAD),
    }
}

/// The entries of a file that may be cut anywhere; none if it is not such a file.
pub(super) fn entries(bytes: &[u8]) -> Entries<'_> {
    let used = used(bytes).unwrap_or_default();
    Entries {
        bytes,
        used,
        at: HEAD,
        layout: Layout::of(bytes, used),
    }
}

/// See [`entries`].
#[derive(Debug)]
pub(super) struct Entries<'a> {
    bytes: &'a [u8],
    used: usize,
    at: usize,
    /// `None` if it is unknown.
    layout: Option<Layout>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    Value,
    ValueAndTime,
}

impl Layout {
    fn of(bytes: &[u8], used: usize) -> Option<Self> {
        let (_, value) = key(bytes, HEAD, used)?;
        let fits = |layout: &Self| {
            let next = value + layout.len();
            next == used || key(bytes, next, used).is_some()
        };
        [Self::ValueAndTime, Self::Value].into_iter().find(fits)
    }

    fn len(self) -> usize {
        match self {
            Self::Value => NUMBER,
            Self::ValueAndTime => 2 * NUMBER,
        }
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<Entry<'a>, Broken>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.used {
            return None;
        }
        let (bytes, used, at) = (self.bytes, self.used, self.at);
        // If the end of this entry is unknown, the begin of the next is unknown too.
        self.at = used;
        let Some((layout, value)) = self.layout.zip(value_at(bytes, at, used)) else {
            return Some(Err(Broken));
        };
        let end = value + layout.len();
        if end > used || end > bytes.len() {
            return Some(Err(Broken));
        }
        self.at = end;
        let entry = || {
            let time = match layout {
                Layout::Value => 0.0,
                Layout::ValueAndTime => number(bytes, value + NUMBER)?,
            };
            Some(Entry {
                key: key(bytes, at, used)?.0,
                value: number(bytes, value)?,
                time,
            })
        };
        Some(entry().ok_or(Broken))
    }
}

/// The key of the entry at `at`, if it looks like one, and the position of its value.
fn key(bytes: &[u8], at: usize, used: usize) -> Option<(&[u8], usize)> {
    let value = value_at(bytes, at, used)?;
    let start = at + 4;
    let end = start + usize::try_from(length(bytes, at)?).ok()?;
    let key = bytes.get(start..end)?;
    let rest = bytes.get(end..value)?;
    let is_list = key.starts_with(b"[") && key.ends_with(b"]");
    (is_list && rest.iter().all(|byte| *byte == b' ')).then_some((key, value))
}

/// The position of the value of the entry at `at`, if its length is plausible.
fn value_at(bytes: &[u8], at: usize, used: usize) -> Option<usize> {
    let key = usize::try_from(length(bytes, at)?).ok()?;
    let room = used.checked_sub(at)?;
    // Includes the length field and at least one blank.
    (key > 0 && key < room).then_some(at + (4 + key) / 8 * 8 + 8)
}

fn length(bytes: &[u8], at: usize) -> Option<i32> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(i32::from_ne_bytes(*bytes))
}

fn number(bytes: &[u8], at: usize) -> Option<f64> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(f64::from_ne_bytes(*bytes))
}
