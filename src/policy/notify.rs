//! What a worker reports about itself: the assignments of sd_notify(3).

use std::time::Duration;

use crate::model::{Kinship, Tick};

/// Maximal length of a stored STATUS text, bytes.
pub const MOST_STATUS: usize = 256;

/// Maximal number of assignments that are read from one datagram.
pub const MOST_MESSAGES: usize = 32;

/// One assignment that the runtime understands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// READY=1: the worker serves, or its own reload has ended.
    Ready,
    /// STOPPING=1: the worker will end.
    Stopping,
    /// RELOADING=1: the worker reads its configuration again; READY=1 follows.
    Reloading,
    /// STATUS=: a text for humans, at most [`MOST_STATUS`] bytes, with control characters escaped.
    Status(String),
    /// WATCHDOG=1: the worker is alive.
    Watchdog,
    /// WATCHDOG=trigger: the worker found itself broken.
    WatchdogTrigger,
    /// WATCHDOG_USEC=: from now on the worker sends WATCHDOG=1 at least this often; zero: it stops sending it.
    WatchdogTimeout(Duration),
    /// EXTEND_TIMEOUT_USEC=: the start or the stop of the worker takes at least this time from now.
    ExtendTimeout(Duration),
}

/// Parses one datagram: one assignment per line. Unknown and invalid assignments are left out, as in sd_notify(3).
/// MAINPID is left out too, because the runtime knows which process is the worker.
pub fn parse(datagram: &[u8]) -> Vec<Message> {
    datagram
        // Some senders include the NUL byte at the end of their string.
        .split(|byte| matches!(byte, b'\n' | 0))
        .filter_map(assignment)
        .take(MOST_MESSAGES)
        .collect()
}

fn assignment(line: &[u8]) -> Option<Message> {
    let at = line.iter().position(|byte| *byte == b'=')?;
    let (name, value) = (line.get(..at)?, line.get(at + 1..)?);
    match (name, value) {
        (b"READY", b"1") => Some(Message::Ready),
        (b"STOPPING", b"1") => Some(Message::Stopping),
        (b"RELOADING", b"1") => Some(Message::Reloading),
        (b"STATUS", text) => Some(Message::Status(printable(text))),
        (b"WATCHDOG", b"1") => Some(Message::Watchdog),
        (b"WATCHDOG", b"trigger") => Some(Message::WatchdogTrigger),
        (b"WATCHDOG_USEC", number) => match microseconds(number)? {
            FOR_EVER => Some(Message::WatchdogTimeout(Duration::ZERO)),
            timeout => Some(Message::WatchdogTimeout(timeout)),
        },
        (b"EXTEND_TIMEOUT_USEC", number) => match microseconds(number)? {
            FOR_EVER => None,
            time => Some(Message::ExtendTimeout(time)),
        },
        _ => None,
    }
}

/// The largest number means infinity to systemd (USEC_INFINITY).
pub(super) const FOR_EVER: Duration = Duration::from_micros(u64::MAX);

pub(super) fn microseconds(text: &[u8]) -> Option<Duration> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let number = str::from_utf8(text).ok().filter(|_| digits)?.parse().ok()?;
    Some(Duration::from_micros(number))
}

/// Makes the worker's text safe for the log and the status: one line without terminal control characters, and limited
/// in length.
fn printable(text: &[u8]) -> String {
    // Each byte gives at least one output byte, so no more bytes are needed.
    let head = text.get(..MOST_STATUS).unwrap_or(text);
    let mut shown = String::new();
    for letter in String::from_utf8_lossy(head).chars() {
        let before = shown.len();
        if letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}') {
            shown.extend(letter.escape_default());
        } else {
            shown.push(letter);
        }
        if shown.len() > MOST_STATUS {
            shown.truncate(before);
            break;
        }
    }
    shown
}

/// Whether a message of sd_notify(3) is taken for one of the worker. `uid` is the sender's, `worker` the worker's.
///
/// The name of the socket is no secret, so the sender decides. Who has ended before the message is read (`systemd-notify`
/// in a script) cannot be looked up any more, and the parents of a daemon cannot either. They are believed if they ran as
/// root or as the worker's user: such a process could end the worker by a signal as well.
pub fn is_believed(kinship: Kinship, uid: u32, worker: u32) -> bool {
    match kinship {
        Kinship::Own => true,
        Kinship::Adopted | Kinship::Gone => uid == 0 || uid == worker,
        Kinship::Foreign => false,
    }
}

/// Removes messages that later ones replace: all but the last STATUS, all but the last watchdog message, and
/// repetitions.
pub fn merge(mut messages: Vec<Message>) -> Vec<Message> {
    let (mut status, mut alive) = (false, false);
    messages.reverse();
    messages.retain(|message| match message {
        Message::Status(_) => !std::mem::replace(&mut status, true),
        Message::Watchdog => !std::mem::replace(&mut alive, true),
        _ => true,
    });
    messages.reverse();
    messages.dedup();
    messages
}

/// The deadline after EXTEND_TIMEOUT_USEC: `by` from now, but never earlier than before.
pub fn extended(deadline: Tick, now: Tick, by: Duration) -> Tick {
    deadline.max(now.after(by))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_sd_notify_says_is_understood() {
        let cases: [(&[u8], &[Message]); 18] = [
            (b"READY=1", &[Message::Ready]),
            (b"READY=1\n", &[Message::Ready]),
            (b"READY=1\0", &[Message::Ready]),
            (b"STOPPING=1", &[Message::Stopping]),
            (b"RELOADING=1\nMONOTONIC_USEC=42", &[Message::Reloading]),
            (
                b"STATUS=up and running\nREADY=1\nMAINPID=12",
                &[Message::Status("up and running".into()), Message::Ready],
            ),
            (b"STATUS=", &[Message::Status(String::new())]),
            (b"STATUS=a=b", &[Message::Status("a=b".into())]),
            (
                b"STATUS=a\x1b[2J\tb\xff",
                &[Message::Status("a\\u{1b}[2J\\tb\u{fffd}".into())],
            ),
            (
                b"WATCHDOG=1\nWATCHDOG=trigger",
                &[Message::Watchdog, Message::WatchdogTrigger],
            ),
            (
                b"WATCHDOG_USEC=20000000",
                &[Message::WatchdogTimeout(Duration::from_secs(20))],
            ),
            (
                b"WATCHDOG_USEC=18446744073709551615",
                &[Message::WatchdogTimeout(Duration::ZERO)],
            ),
            (
                b"EXTEND_TIMEOUT_USEC=1500000",
                &[Message::ExtendTimeout(Duration::from_millis(1500))],
            ),
            (b"EXTEND_TIMEOUT_USEC=18446744073709551615", &[]),
            (
                b"WATCHDOG_USEC=18446744073709551616\nEXTEND_TIMEOUT_USEC=+5\nWATCHDOG_USEC=",
                &[],
            ),
            (
                b"READY=0\nREADY=11\nREADY\n READY=1\nready=1\nSTOPPING=",
                &[],
            ),
            (b"FDSTORE=1\nFDNAME=x\nBARRIER=1\nERRNO=2\nX_OURS=1", &[]),
            (b"", &[]),
        ];
        for (datagram, expected) in cases {
            assert_eq!(parse(datagram), expected, "{}", datagram.escape_ascii());
        }
    }

    #[test]
    fn only_processes_of_the_worker_are_believed() {
        use Kinship::{Adopted, Foreign, Gone, Own};
        for (kinship, same, root, other) in [
            (Own, true, true, true),
            (Adopted, true, true, false),
            (Gone, true, true, false),
            (Foreign, false, false, false),
        ] {
            let believed = [1000, 0, 1001].map(|uid| is_believed(kinship, uid, 1000));
            assert_eq!(believed, [same, root, other], "{kinship:?}");
        }
    }

    #[test]
    fn a_long_status_is_cut_between_letters() {
        let text = format!("STATUS=x{}", "ä".repeat(1000));
        let [Message::Status(status)] = &parse(text.as_bytes())[..] else {
            panic!("{text}");
        };
        assert!(status.len() <= MOST_STATUS && status.len() > MOST_STATUS - 4);
    }

    #[test]
    fn only_what_is_void_is_left_out() {
        let status = |text: &str| Message::Status(text.to_owned());
        let said = vec![
            status("a"),
            Message::Watchdog,
            Message::Ready,
            Message::Ready,
            Message::Watchdog,
            Message::Reloading,
            status("b"),
            Message::Ready,
        ];
        let left = [
            Message::Ready,
            Message::Watchdog,
            Message::Reloading,
            status("b"),
            Message::Ready,
        ];
        assert_eq!(merge(said), left);
    }

    #[test]
    fn a_deadline_only_moves_away() {
        let tick = |seconds| Tick(Duration::from_secs(seconds));
        let by = Duration::from_secs(5);
        assert_eq!(extended(tick(30), tick(10), by), tick(30));
        assert_eq!(extended(tick(12), tick(10), by), tick(15));
        let never = extended(tick(12), tick(10), Duration::MAX);
        assert_eq!(never, Tick(Duration::MAX));
    }

    proptest! {
        #[test]
        fn garbage_is_tolerated_and_bounded(datagram in prop::collection::vec(any::<u8>(), 0..4096)) {
            let messages = parse(&datagram);
            prop_assert!(messages.len() <= MOST_MESSAGES);
        }

        #[test]
        fn a_status_is_one_short_printable_line(text in prop::collection::vec(any::<u8>(), 0..2000)) {
            let messages = parse(&[b"STATUS=", &text[..]].concat());
            let Some(Message::Status(status)) = messages.first() else {
                panic!("{messages:?}");
            };
            prop_assert!(status.len() <= MOST_STATUS);
            prop_assert!(!status.chars().any(char::is_control), "{:?}", status);
        }

        #[test]
        fn what_is_known_is_found_among_garbage(
            before in "[^\\n\\x00]{0,40}",
            after in "[^\\n\\x00]{0,40}",
            usec in 0..u64::MAX,
        ) {
            let datagram = format!("{before}\nREADY=1\nWATCHDOG_USEC={usec}\n{after}");
            let messages = parse(datagram.as_bytes());
            prop_assert!(messages.contains(&Message::Ready));
            let timeout = Message::WatchdogTimeout(Duration::from_micros(usec));
            prop_assert!(messages.contains(&timeout));
        }
    }
}
