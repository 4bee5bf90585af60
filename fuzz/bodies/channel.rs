//! Fuzzes the reader of Node's channel: lines are whole however they are cut, each is taken for one message, and every line that
//! is JSON is read.
//!
//! Input: pieces of what a worker sends, separated by 0xfe.

use rpm_runtime::node::lines::Lines;
use rpm_runtime::node::message::{Message, number, read, text};
use serde::de::IgnoredAny;

pub fn run(data: &[u8]) {
    let mut lines = Lines::default();
    let (mut whole, mut taken) = (Vec::new(), Vec::new());
    for piece in data.split(|byte| *byte == 0xfe) {
        whole.extend_from_slice(piece);
        lines.push(piece).unwrap();
        while let Some(line) = lines.next_line() {
            judge(line);
            taken.extend_from_slice(line);
            taken.push(b'\n');
        }
    }
    let end = whole.iter().rposition(|byte| *byte == b'\n');
    let end = end.map_or(0, |at| at + 1);
    assert_eq!(taken, whole[..end]);
}

fn judge(line: &[u8]) {
    let is_json = serde_json::from_slice::<IgnoredAny>(line.trim_ascii()).is_ok();
    let is_text = std::str::from_utf8(line).is_ok();
    match read(line) {
        // Values are kept as text.
        Err(_) => assert!(!(is_json && is_text)),
        Ok(Message::Cluster(cluster)) => {
            assert!(is_json);
            let values = [cluster.key, cluster.address, cluster.port, cluster.data];
            for value in values.into_iter().flatten() {
                let _ = (text(value), number(value));
            }
        }
        Ok(_) => assert!(is_json),
    }
}
