//! What a line of a worker means. Only the members that decide it are looked at; the line itself is never written anew.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The line is not JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotJson;

/// A message of a worker.
#[derive(Debug)]
pub enum Message<'a> {
    /// Of the cluster module.
    Cluster(Box<Cluster<'a>>),
    /// It comes with a descriptor, and wants an answer.
    Handle,
    /// The worker has got a descriptor (true), or it has not arrived (false).
    HandleArrived(bool),
    /// Another message of Node itself.
    Internal,
    /// The bare string `ready`.
    Ready,
    /// For the other workers: an object with a topic and data, as pm2-intercom relays them.
    Topic,
    /// For the other workers: a packet of socket.io's cluster adapter.
    SocketIo,
    /// For the program's primary.
    Other,
}

/// A message of Node's cluster module (lib/internal/cluster of Node). All values are as the program wrote them.
#[derive(Debug, Default)]
pub struct Cluster<'a> {
    /// What is wanted.
    pub act: Option<Cow<'a, str>>,
    /// The number of this message.
    pub seq: Option<i64>,
    /// The name of a server.
    pub key: Option<&'a RawValue>,
    /// An IP address or a path; null: all addresses.
    pub address: Option<&'a RawValue>,
    /// The port; -1 for a path.
    pub port: Option<&'a RawValue>,
    /// 4 or 6, `"udp4"` or `"udp6"`, or -1 for a path.
    pub address_type: Option<&'a RawValue>,
    /// A descriptor of the primary.
    pub fd: Option<&'a RawValue>,
    /// Bit 0: IPv6 only.
    pub flags: Option<&'a RawValue>,
    /// Distinguishes servers with the same address.
    pub index: Option<&'a RawValue>,
    /// What all workers of this server shall have in common: the keys of TLS tickets.
    pub data: Option<&'a RawValue>,
}

/// The members of an object that have these names. Of several of one name the last counts, as for JSON.parse.
struct Members<'a>(HashMap<&'static str, &'a RawValue>);

const NAMES: [&str; 13] = [
    "cmd",
    "topic",
    "source",
    "act",
    "seq",
    "key",
    "address",
    "port",
    "addressType",
    "fd",
    "flags",
    "index",
    "data",
];

impl<'a> Members<'a> {
    fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.get(name).copied()
    }

    /// As [`Self::get`]; null is no value.
    fn some(&self, name: &str) -> Option<&'a RawValue> {
        self.get(name).filter(|value| value.get() != "null")
    }
}

/// A name, by its bytes: it may hold lone surrogates, which are no text.
struct Name(Option<&'static str>);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Name;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Name, E> {
                let known = NAMES.iter().find(|name| name.as_bytes() == bytes);
                Ok(Name(known.copied()))
            }
        }
        from.deserialize_bytes(Bytes)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut found = HashMap::new();
                while let Some(Name(name)) = map.next_key()? {
                    match name {
                        Some(name) => drop(found.insert(name, map.next_value()?)),
                        None => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(Members(found))
            }
        }
        from.deserialize_map(Object)
    }
}

/// Reads a line.
pub fn read(line: &[u8]) -> Result<Message<'_>, NotJson> {
    let line = line.trim_ascii();
    if !line.starts_with(b"{") {
        serde_json::from_slice::<IgnoredAny>(line).map_err(|_| NotJson)?;
        return Ok(match line {
            br#""ready""# => Message::Ready,
            _ => Message::Other,
        });
    }
    let members: Members<'_> = serde_json::from_slice(line).map_err(|_| NotJson)?;
    if let Some(cmd) = members.get("cmd").and_then(text) {
        // As `isInternal` of Node's lib/internal/child_process.js.
        if cmd.len() > 5 && cmd.starts_with("NODE_") {
            return Ok(internal(&cmd, &members));
        }
    }
    if members
        .get("source")
        .is_some_and(|source| source.get() == r#""_sio_adapter""#)
    {
        return Ok(Message::SocketIo);
    }
    let topic = members.get("topic").filter(|topic| is_truthy(topic));
    Ok(match (topic, members.get("data")) {
        (Some(_), Some(_)) => Message::Topic,
        _ => Message::Other,
    })
}

fn internal<'a>(cmd: &str, members: &Members<'a>) -> Message<'a> {
    match cmd {
        "NODE_CLUSTER" => Message::Cluster(Box::new(Cluster {
            act: members.get("act").and_then(text),
            seq: members.get("seq").and_then(number),
            key: members.some("key"),
            address: members.some("address"),
            port: members.some("port"),
            address_type: members.some("addressType"),
            fd: members.some("fd"),
            flags: members.some("flags"),
            index: members.some("index"),
            data: members.some("data"),
        })),
        "NODE_HANDLE" => Message::Handle,
        "NODE_HANDLE_ACK" => Message::HandleArrived(true),
        "NODE_HANDLE_NACK" => Message::HandleArrived(false),
        _ => Message::Internal,
    }
}

/// The string, if it is one that has no lone surrogates.
pub fn text(value: &RawValue) -> Option<Cow<'_, str>> {
    #[derive(serde::Deserialize)]
    #[serde(transparent)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    serde_json::from_str::<Text<'_>>(value.get())
        .ok()
        .map(|text| text.0)
}

/// The whole number, if it is one.
pub fn number(value: &RawValue) -> Option<i64> {
    serde_json::from_str(value.get()).ok()
}

/// Whether JavaScript takes the value for true.
fn is_truthy(value: &RawValue) -> bool {
    match value.get() {
        "null" | "false" | r#""""# => false,
        other => other.parse::<f64>() != Ok(0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(line: &str) -> String {
        match read(line.as_bytes()) {
            Err(NotJson) => "not JSON".to_owned(),
            Ok(Message::Cluster(cluster)) => format!("cluster {}", cluster.act.unwrap_or_default()),
            Ok(message) => format!("{message:?}"),
        }
    }

    #[test]
    fn each_message_is_what_node_and_pm2_take_it_for() {
        for (line, expected) in [
            (r#""ready""#, "Ready"),
            (r#""shutdown""#, "Other"),
            ("null", "Other"),
            ("17", "Other"),
            ("[1,2]", "Other"),
            (r#"{"topic":"a","data":null}"#, "Topic"),
            (r#"{"data":{"x":1},"topic":"a","more":[]}"#, "Topic"),
            (r#"{"topic":7,"data":0}"#, "Topic"),
            (r#"{"topic":"","data":1}"#, "Other"),
            (r#"{"topic":0,"data":1}"#, "Other"),
            (r#"{"topic":-0.0,"data":1}"#, "Other"),
            (r#"{"topic":null,"data":1}"#, "Other"),
            (r#"{"topic":false,"data":1}"#, "Other"),
            (r#"{"topic":"a"}"#, "Other"),
            (r#"{"type":"process:msg","data":{"topic":"a"}}"#, "Other"),
            (r#"{"topic":"log4js:message","data":"[1]"}"#, "Topic"),
            (
                r#"{"source":"_sio_adapter","type":4,"nsp":"/","data":{}}"#,
                "SocketIo",
            ),
            (
                r#"{"cmd":"NODE_CLUSTER","act":"online","seq":0}"#,
                "cluster online",
            ),
            (
                r#"{"cmd":"NODE_CLUSTER","ack":3,"accepted":true,"seq":1}"#,
                "cluster ",
            ),
            (
                r#"{"cmd":"NODE_HANDLE","type":"net.Socket","msg":{}}"#,
                "Handle",
            ),
            (r#"{"cmd":"NODE_HANDLE_ACK"}"#, "HandleArrived(true)"),
            (r#"{"cmd":"NODE_HANDLE_NACK"}"#, "HandleArrived(false)"),
            (r#"{"cmd":"NODE_DEBUG_ENABLED"}"#, "Internal"),
            // Not Node's: too short, or no string.
            (r#"{"cmd":"NODE_","topic":"a","data":1}"#, "Topic"),
            (r#"{"cmd":5,"topic":"a","data":1}"#, "Topic"),
            (
                r#"{"cmd":"NODE_CLUSTER","act":5,"seq":"x","fd":{}}"#,
                "cluster ",
            ),
            // Of two members of one name the last counts.
            (r#"{"topic":"","topic":"a","data":1,"data":2}"#, "Topic"),
            (r#" {"topic":"a","data":1} "#, "Topic"),
            (r#"{"\ud800":1,"topic":"a","data":"\ud800"}"#, "Topic"),
            ("", "not JSON"),
            ("{", "not JSON"),
            ("ready", "not JSON"),
            (r#"{"topic":"a","data":}"#, "not JSON"),
            ("\"\u{0}\"", "not JSON"),
        ] {
            assert_eq!(kind(line), expected, "{line}");
        }
    }

    #[test]
    fn lone_surrogates_and_deep_nesting_pass() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let line = format!(r#"{{"topic":"\ud800","data":{deep}}}"#);
        assert_eq!(kind(&line), "Topic");
        assert_eq!(kind(&deep), "Other");
    }

    #[test]
    fn bytes_that_are_not_utf_8_are_not_json() {
        assert!(read(b"{\"topic\":\"\xff\",\"data\":1}").is_err());
    }

    #[test]
    fn a_question_for_a_server_is_read_as_node_writes_it() {
        let line = br#"{"cmd":"NODE_CLUSTER","act":"queryServer","index":0,"data":{"ticketKeys":"00"},"address":"127.0.0.1","port":3000,"addressType":4,"flags":1,"backlog":511,"seq":1}"#;
        let Ok(Message::Cluster(query)) = read(line) else {
            panic!()
        };
        assert_eq!(query.act.as_deref(), Some("queryServer"));
        assert_eq!(query.seq, Some(1));
        assert_eq!(text(query.address.unwrap()).as_deref(), Some("127.0.0.1"));
        assert_eq!(number(query.port.unwrap()), Some(3000));
        assert_eq!(query.data.unwrap().get(), r#"{"ticketKeys":"00"}"#);
    }
}
