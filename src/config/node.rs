//! What Node workers get beside their port: the channel of Node's cluster module and of pm2.

use super::grammar::{show_word, word};
use super::reader::{Reader, Value};
use super::setting::{Group, Preset, Setting};
use crate::model::Word;

pub(super) const GROUP: Group = Group {
    title: "Node",
    settings: &[&NODE, &INTERCOM, &DRAIN],
};

pub(super) const NODE: Setting<ForNode> = Setting {
    name: "RPM_NODE",
    default: Preset::Text("auto"),
    help: "the channel of a Node cluster worker: auto, on, off",
    doc: "Whether workers get the channel that a worker of Node's cluster module or of pm2 has: `process.send`, `cluster.isWorker`, and servers \
          that are shared as the program asks for them; see [Node](node.md). With `auto` they get it if the command is `node`, or a script whose \
          `#!` line leads to it, but not npm, npx, yarn and their like, which start the program themselves. `on`: whatever the \
          command is; the first Node process that it starts has the channel. `off`: never.",
    parse: word,
    show: show_word,
};

pub(super) const INTERCOM: Setting<OnOff> = Setting {
    name: "RPM_NODE_INTERCOM",
    default: Preset::Text("on"),
    help: "messages between Node workers (pm2-intercom): on, off",
    doc: "Whether messages of one Node worker go to the others: objects with a `topic` and `data`, as pm2-intercom relays them, and packets of \
          socket.io's cluster adapter; see [Messages between workers](node.md#messages-between-workers).",
    parse: word,
    show: show_word,
};

pub(super) const DRAIN: Setting<ForDrain> = Setting {
    name: "RPM_NODE_DRAIN",
    default: Preset::Text("off"),
    help: "connections of a draining Node worker: off, close",
    doc: "With `close`, the HTTP servers of a Node worker that drains answer with `Connection: close` and close connections \
          that are idle, so clients that never pause move on to other workers before the stop signal. A module does that, which Node loads before \
          the program: `NODE_OPTIONS` gets `--import`, which needs Node 18.18, 20 or later; an older one does not start. See \
          [kept connections](node.md#kept-connections), which names all that is touched. Workers without Node's channel (`RPM_NODE`) stay as they are.",
    parse: word,
    show: show_word,
};

/// RPM_NODE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForNode {
    /// Workers get a channel if their command is Node.
    Auto,
    /// They get one whatever the command is.
    On,
    /// They get none.
    Off,
}

impl Word for ForNode {
    const ALL: &'static [Self] = &[Self::Auto, Self::On, Self::Off];

    fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::On => "on",
            Self::Off => "off",
        }
    }
}

/// RPM_NODE_DRAIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForDrain {
    /// Nothing is done in the program.
    Off,
    /// HTTP servers of a draining worker close their connections.
    Close,
}

impl Word for ForDrain {
    const ALL: &'static [Self] = &[Self::Off, Self::Close];

    fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Close => "close",
        }
    }
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnOff {
    /// On.
    On,
    /// Off.
    Off,
}

impl Word for OnOff {
    const ALL: &'static [Self] = &[Self::On, Self::Off];

    fn word(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
        }
    }
}

/// The channel of Node workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    /// RPM_NODE.
    pub channel: ForNode,
    /// RPM_NODE_INTERCOM.
    pub intercom: bool,
    /// RPM_NODE_DRAIN.
    pub drain: ForDrain,
}

impl Node {
    pub(super) fn read(reader: &Reader<'_>) -> Value<Self> {
        Ok(Self {
            channel: reader.get(&NODE)?,
            intercom: reader.get(&INTERCOM)? == OnOff::On,
            drain: reader.get(&DRAIN)?,
        })
    }
}
