//! `send`: a message of an operator on the Node channel of workers.

use serde_json::Value;
use tokio::sync::oneshot;

use crate::config::ForNode;
use crate::control::protocol::{Refusal, Signalled};
use crate::model::Snapshot;
use crate::node::{Member, Posted};
use crate::supervisor::Supervisor;

use super::orders::{Later, Outcome};
use super::who::processes;
use super::written;

impl Supervisor {
    /// Sends it to the worker of a slot, or to all that have a channel. The answer comes when the thread of the channels has taken
    /// it.
    pub(super) fn send_message(
        &self,
        message: &Value,
        slot: Option<u16>,
    ) -> Result<Later, Refusal> {
        if is_of_node(message) {
            return Err(Refusal::refused(
                "a message whose `cmd` begins with NODE_ is one of Node itself, and does not reach the program",
            ));
        }
        let to = self.addressees(&self.fleet.snapshot(), slot)?;
        let mut line = message.to_string().into_bytes();
        line.push(b'\n');
        let (told, posted) = oneshot::channel();
        self.post(to, line, move |posted| {
            // The task that waits ends only with the runtime.
            let _ = told.send(posted);
        });
        Ok(Box::pin(async move {
            let posted = posted.await;
            answer(
                posted.map_err(|_| Refusal::refused("the runtime is ending"))?,
                slot,
            )
        }))
    }

    fn addressees(&self, seen: &Snapshot, slot: Option<u16>) -> Result<Vec<Member>, Refusal> {
        if self.node.is_none() {
            let why = if self.config.node.channel == ForNode::Off {
                "RPM_NODE=off"
            } else {
                "their command does not start Node with a file (RPM_NODE)"
            };
            return Err(Refusal::refused(format!(
                "the workers have no Node channel: {why}"
            )));
        }
        let pids = processes(seen, slot)?;
        if pids.is_empty() {
            return Err(Refusal::refused(match slot {
                Some(slot) => format!("slot {slot} has no worker now"),
                None => "there is no worker now".to_owned(),
            }));
        }
        let with: Vec<Member> = pids
            .into_iter()
            .filter_map(|pid| self.channel_of(pid))
            .map(|(_, member)| member)
            .collect();
        if with.is_empty() {
            return Err(Refusal::refused(match slot {
                Some(slot) => format!("the worker of slot {slot} has no Node channel"),
                None => "no worker has a Node channel".to_owned(),
            }));
        }
        Ok(with)
    }
}

/// Node keeps it for itself.
fn is_of_node(message: &Value) -> bool {
    let cmd = message.get("cmd").and_then(Value::as_str);
    cmd.is_some_and(|cmd| cmd.starts_with("NODE_"))
}

fn answer(posted: Posted, slot: Option<u16>) -> Outcome {
    let Posted {
        workers,
        closed,
        full,
    } = posted;
    if workers > 0 {
        return written(&Signalled { workers });
    }
    let who = match slot {
        Some(slot) => format!("the worker of slot {slot}"),
        None => format!("none of {} workers", closed + full),
    };
    Err(Refusal::refused(match (slot, full) {
        (Some(_), 0) => {
            format!("{who} has closed its Node channel (process.disconnect), or has ended")
        }
        (Some(_), _) => format!("{who} does not read its Node channel: 1 MiB waits there"),
        (None, _) => format!(
            "{who} takes it: {closed} closed their Node channel (process.disconnect) or ended, and for {full} 1 MiB waits that they do not read"
        ),
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn messages_of_node_itself_are_known() {
        assert!(is_of_node(&json!({ "cmd": "NODE_CLUSTER" })));
        for message in [
            json!({ "cmd": "node" }),
            json!({ "cmd": 1 }),
            json!("NODE_CLUSTER"),
            json!(["NODE_CLUSTER"]),
            json!(null),
        ] {
            assert!(!is_of_node(&message), "{message}");
        }
    }

    #[test]
    fn who_does_not_get_it_is_told_with_the_reason() {
        let of = |workers, closed, full| Posted {
            workers,
            closed,
            full,
        };
        let text = |posted, slot| answer(posted, slot).unwrap_err().text;
        assert!(text(of(0, 1, 0), Some(2)).contains("slot 2 has closed"));
        assert!(text(of(0, 0, 1), Some(2)).contains("does not read"));
        assert!(text(of(0, 2, 1), None).contains("none of 3 workers takes it: 2 closed"));
        let some = answer(of(1, 2, 1), None).unwrap();
        assert_eq!(some.get(), "{\"workers\":1}");
    }
}
