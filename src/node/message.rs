//! What a line of a worker means. Only the members that decide it are looked at; the line itself is never written anew.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;
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

/// A message of Node's cluster module (lib/internal/cluster of Node). Members that a program can choose are raw.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Cluster<'a> {
    /// What is wanted.
    #[serde(borrow)]
    pub act: Option<Cow<'a, str>>,
    /// The number of this message.
    pub seq: Option<u64>,
    /// The name of a server.
    #[serde(borrow)]
    pub key: Option<&'a RawValue>,
    /// An IP address or a path; null: all addresses.
    #[serde(borrow)]
    pub address: Option<&'a RawValue>,
    /// The port; -1 for a path.
    #[serde(borrow)]
    pub port: Option<&'a RawValue>,
    /// 4 or 6, `"udp4"` or `"udp6"`, or -1 for a path.
    #[serde(borrow, rename = "addressType")]
    pub address_type: Option<&'a RawValue>,
    /// A descriptor of the primary.
    #[serde(borrow)]
    pub fd: Option<&'a RawValue>,
    /// Bit 0: IPv6 only.
    #[serde(borrow)]
    pub flags: Option<&'a RawValue>,
    /// Distinguishes servers with the same address.
    #[serde(borrow)]
    pub index: Option<&'a RawValue>,
    /// What all workers of this server shall have in common: the keys of TLS tickets.
    #[serde(borrow)]
    pub data: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Members<'a> {
    #[serde(borrow)]
    cmd: Option<&'a RawValue>,
    #[serde(borrow)]
    topic: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    source: Option<&'a RawValue>,
}

/// Null is a value too.
fn present<'de: 'a, 'a, D: serde::Deserializer<'de>>(
    from: D,
) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

/// Reads a line.
pub fn read(line: &[u8]) -> Result<Message<'_>, NotJson> {
    if !line.starts_with(b"{") {
        serde_json::from_slice::<IgnoredAny>(line).map_err(|_| NotJson)?;
        return Ok(match line {
            br#""ready""# => Message::Ready,
            _ => Message::Other,
        });
    }
    let members: Members<'_> = parse(line)?;
    if let Some(cmd) = members.cmd.and_then(text) {
        // As `isInternal` of Node's lib/internal/child_process.js.
        if cmd.len() > 5 && cmd.starts_with("NODE_") {
            return internal(&cmd, line);
        }
    }
    if members
        .source
        .is_some_and(|source| source.get() == r#""_sio_adapter""#)
    {
        return Ok(Message::SocketIo);
    }
    let topic = members.topic.filter(|topic| is_truthy(topic));
    Ok(match (topic, members.data) {
        (Some(_), Some(_)) => Message::Topic,
        _ => Message::Other,
    })
}

fn internal<'a>(cmd: &str, line: &'a [u8]) -> Result<Message<'a>, NotJson> {
    Ok(match cmd {
        "NODE_CLUSTER" => Message::Cluster(parse(line)?),
        "NODE_HANDLE" => Message::Handle,
        "NODE_HANDLE_ACK" => Message::HandleArrived(true),
        "NODE_HANDLE_NACK" => Message::HandleArrived(false),
        _ => Message::Internal,
    })
}

fn parse<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Result<T, NotJson> {
    serde_json::from_slice(line).map_err(|_| NotJson)
}

/// The string, if it is one that has no lone surrogates.
pub fn text(value: &RawValue) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
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
