//! The words of the protocol: one JSON object a line, each way. A field or a command is added without a new version; a
//! change of what is there makes one. Readers ignore fields that they do not know.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

mod answers;
mod command;
mod describe;
mod event;
mod logs;

pub use answers::{
    Begun, Counts, Done, Emptied, Env, Failed, Health, List, Lost, Place, Reload, Scaled,
    Signalled, Slots, Streamed, Variable, Version, Worker,
};
pub use command::Command;
pub use describe::{Described, Ended, Handed, Listener};
pub use event::{Event, Text, What, cut};
pub use logs::{LogLine, LogSource, Wanted};

/// The version of the protocol that this program speaks.
pub const VERSION: u32 = 1;

/// A request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The version of the protocol.
    pub v: u32,
    /// What is asked.
    #[serde(flatten)]
    pub command: Command,
}

/// The answer to a request, or a line of it. It has `result` or `error`, or, if the answer is a stream and this is not its last
/// line, `item`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Reply {
    /// The version of the protocol.
    pub v: u32,
    /// One item of a stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<Box<RawValue>>,
    /// What was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Box<RawValue>>,
    /// Why there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Refusal>,
}

/// Why a request was not obeyed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// For programs.
    pub kind: Kind,
    /// For people: one line.
    pub text: String,
}

/// What kind of refusal it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The peer is neither root nor the user of the runtime. The connection is closed.
    NotAllowed,
    /// There are too many clients. The connection is closed.
    Busy,
    /// The line is no request, or too long. The connection is closed.
    Malformed,
    /// The runtime does not know this command or this version of the protocol.
    Unknown,
    /// The runtime cannot do it now, or not with these words.
    Refused,
    /// A kind that a later version knows.
    #[serde(other)]
    Other,
}

impl Refusal {
    /// It cannot be done now, or not so.
    pub fn refused(text: impl Into<String>) -> Self {
        Self::new(Kind::Refused, text)
    }

    /// A refusal of this kind.
    pub fn new(kind: Kind, text: impl Into<String>) -> Self {
        Self {
            kind,
            text: text.into(),
        }
    }
}

/// Reads a request. An unknown version is told apart from an unknown command, and both from what is no request.
pub fn read_request(text: &[u8]) -> Result<Command, Refusal> {
    #[derive(Deserialize)]
    struct Head {
        v: u32,
        command: String,
    }
    let malformed = |error: serde_json::Error| {
        let text = format!("this is no request: {error}");
        Refusal::new(Kind::Malformed, text)
    };
    let head: Head = serde_json::from_slice(text).map_err(malformed)?;
    if head.v != VERSION {
        let text = format!(
            "this runtime speaks version {VERSION} of the protocol, the request is of version {}; use the rpmctl of the same \
             release",
            head.v
        );
        return Err(Refusal::new(Kind::Unknown, text));
    }
    if !Command::NAMES.contains(&head.command.as_str()) {
        // The name is not repeated: it may be long, or anything.
        let text = format!(
            "there is no such command; there are {}",
            Command::NAMES.join(", ")
        );
        return Err(Refusal::new(Kind::Unknown, text));
    }
    let request: Request = serde_json::from_slice(text).map_err(malformed)?;
    Ok(request.command)
}
