//! The bytes of one file.
//!
//! Numbers are the machine's own. The file begins with how many of its bytes are used (four bytes; four more are free).
//! Entries follow, each at a multiple of eight: the length of its key (four bytes), the key, one to eight blanks up to
//! the next multiple of eight, the value (a double), and since prometheus_client 0.18 the time at which it was set
//! (another).
//!
//! Which of the two it is, the first entry tells: behind its value, or behind its time, the used part ends or another
//! entry begins, with a length, a bracket, a closing bracket there, and blanks. It cannot be both: where there is no time
//! the second place is in the midst of the next key, whose letters would be a length far beyond the file; where there is
//! one, it would have to be a length and a bracket.
//!
//! The writer puts an entry in its place before it counts it as used, and a value or a time in one store of eight bytes
//! that are aligned here as there. So what is used is whole, if it is read after how much is used. A file that is cut, or
//! whose writer's stores are seen in another order, loses what is not whole, and no more.

/// What stands before the entries.
pub(super) const HEAD: usize = 8;

/// What a number takes.
const NUMBER: usize = 8;

/// One number and its name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Entry<'a> {
    /// JSON.
    pub(super) key: &'a [u8],
    pub(super) value: f64,
    /// When it was set, in seconds since 1970; 0 if that was not noted.
    pub(super) time: f64,
}

/// Something that is no entry, where one should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken;

/// How many bytes of a file are used, with the head, which is given; `None` if it is no such file.
pub(super) fn used(head: &[u8]) -> Option<usize> {
    match length(head, 0).unwrap_or_default() {
        // It was made this moment.
        0 => Some(0),
        used => usize::try_from(used).ok().filter(|used| *used >= HEAD),
    }
}

/// The entries of a file, which may be cut off anywhere; none if it is no such file.
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
    /// `None` if it cannot be told.
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
        // As long as it is not known where this one ends, it is not known where another begins.
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

/// The key of the entry at `at`, if it looks like one, and where its value stands.
fn key(bytes: &[u8], at: usize, used: usize) -> Option<(&[u8], usize)> {
    let value = value_at(bytes, at, used)?;
    let start = at + 4;
    let end = start + usize::try_from(length(bytes, at)?).ok()?;
    let key = bytes.get(start..end)?;
    let rest = bytes.get(end..value)?;
    let is_list = key.starts_with(b"[") && key.ends_with(b"]");
    (is_list && rest.iter().all(|byte| *byte == b' ')).then_some((key, value))
}

/// Where the value of the entry at `at` stands, if its length makes sense.
fn value_at(bytes: &[u8], at: usize, used: usize) -> Option<usize> {
    let key = usize::try_from(length(bytes, at)?).ok()?;
    let room = used.checked_sub(at)?;
    // With the length and at least one blank.
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
