//! Records in a segment: what is known of lines, and their text.

use std::time::Duration;

use crate::model::{LogOrigin, Pid, SlotId};

/// Bytes before the text.
pub const HEAD: usize = 24;

/// No worker has this slot.
const NO_SLOT: u16 = u16::MAX;

const ONE: u8 = 1;
const CUT: u8 = 2;
const PARTIAL: u8 = 4;
const STDERR: u8 = 8;

/// What is known of lines that were put there together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    /// Which stream, or the runtime.
    pub origin: LogOrigin,
    /// The slot of the worker; `None`: the runtime.
    pub slot: Option<SlotId>,
    /// The worker; `None`: the runtime.
    pub pid: Option<Pid>,
    /// When they were read, since 1970.
    pub time: Duration,
    /// It is one line, without its newline, or one record. Otherwise it is lines, each with its newline.
    pub one: bool,
    /// The rest of the text is left out.
    pub cut: bool,
    /// The line goes on in the next one of this stream, because it is longer than RPM_LOG_MAX_LINE.
    pub partial: bool,
}

impl About {
    /// Lines of a worker, or of the runtime.
    pub fn new(origin: LogOrigin, slot: Option<SlotId>, pid: Option<Pid>, time: Duration) -> Self {
        Self {
            origin,
            slot,
            pid,
            time,
            one: false,
            cut: false,
            partial: false,
        }
    }
}

/// Appends a record. The text is shorter than 4 GiB.
pub fn write(to: &mut Vec<u8>, about: About, lines: u64, [head, body]: [&[u8]; 2]) {
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let mut flags = 0;
    for (is, flag) in [
        (about.one, ONE),
        (about.cut, CUT),
        (about.partial, PARTIAL),
        (about.origin == LogOrigin::Stderr, STDERR),
    ] {
        flags |= if is { flag } else { 0 };
    }
    let micros = u64::try_from(about.time.as_micros()).unwrap_or(u64::MAX);
    let slot = about.slot.map_or(NO_SLOT, |slot| slot.0);
    to.extend_from_slice(&micros.to_ne_bytes());
    to.extend_from_slice(&about.pid.map_or(0, Pid::get).to_ne_bytes());
    to.extend_from_slice(&u32::try_from(lines).unwrap_or(u32::MAX).to_ne_bytes());
    to.extend_from_slice(&number(head.len() + body.len()).to_ne_bytes());
    to.extend_from_slice(&slot.to_ne_bytes());
    to.extend_from_slice(&[flags, 0]);
    to.extend_from_slice(head);
    to.extend_from_slice(body);
}

/// A record at the begin of `bytes`: what is known of it, the number of its lines, and its text.
pub fn read(bytes: &[u8]) -> Option<(About, u64, &[u8])> {
    let (head, rest) = bytes.split_at_checked(HEAD)?;
    let (micros, head) = head.split_first_chunk()?;
    let (pid, head) = head.split_first_chunk()?;
    let (lines, head) = head.split_first_chunk()?;
    let (length, head) = head.split_first_chunk()?;
    let (slot, flags) = head.split_first_chunk()?;
    let flags = flags.first()?;
    let slot = u16::from_ne_bytes(*slot);
    let slot = (slot != NO_SLOT).then_some(SlotId(slot));
    let origin = match slot {
        None => LogOrigin::Runtime,
        Some(_) if flags & STDERR != 0 => LogOrigin::Stderr,
        Some(_) => LogOrigin::Stdout,
    };
    let about = About {
        origin,
        slot,
        pid: Pid::new(i32::from_ne_bytes(*pid)),
        time: Duration::from_micros(u64::from_ne_bytes(*micros)),
        one: flags & ONE != 0,
        cut: flags & CUT != 0,
        partial: flags & PARTIAL != 0,
    };
    let length = usize::try_from(u32::from_ne_bytes(*length)).ok()?;
    let text = rest.get(..length)?;
    Some((about, u32::from_ne_bytes(*lines).into(), text))
}
