//! What runs in a Node worker before the program, so that its HTTP servers let their clients go when the worker drains
//! (RPM_NODE_DRAIN). It needs no file: the module is in the option itself, as a `data:` URL.

use std::ffi::{OsStr, OsString};
use std::fmt::Write;

const MODULE: &str = include_str!("preload.mjs");

/// The line that tells the module that the worker drains.
pub(super) const DRAINS: &[u8] = b"{\"cmd\":\"NODE_RPM_DRAIN\"}\n";

/// NODE_OPTIONS with the module after the other options.
pub fn options(others: &OsStr) -> OsString {
    let mut all = others.to_owned();
    all.push(" --import=data:text/javascript,");
    all.push(encoded(MODULE));
    all
}

/// The module in a URL, without comments and indentation. No byte is left that NODE_OPTIONS or a URL treats in its own way.
fn encoded(module: &str) -> String {
    let mut out = String::with_capacity(module.len() * 2);
    let lines = module.lines().map(str::trim_start);
    for line in lines.filter(|line| !line.is_empty() && !line.starts_with("//")) {
        for byte in line.bytes().chain([b'\n']) {
            if byte.is_ascii_alphanumeric() || b"-_.~()*!".contains(&byte) {
                out.push(char::from(byte));
            } else {
                // Writing to a string does not fail.
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_options_stay_and_come_first() {
        let all = options(OsStr::new("--max-old-space-size=300 --title=\"a b\""));
        let all = all.to_str().unwrap();
        let (others, ours) = all.rsplit_once(' ').unwrap();
        assert_eq!(others, "--max-old-space-size=300 --title=\"a b\"");
        assert!(
            ours.starts_with("--import=data:text/javascript,import%20%7B%20channel%20%7D%20from")
        );
        let special = |char: char| !(char.is_ascii_alphanumeric() || "-_.~()*!%".contains(char));
        let (_, module) = ours.split_once(',').unwrap();
        assert!(!module.contains(special), "{module}");
    }

    #[test]
    fn comments_and_indentation_are_left_out() {
        assert_eq!(encoded("// a\n  b; // c\n\n"), "b%3B%20%2F%2F%20c%0A");
    }

    #[test]
    fn the_line_is_a_message_of_node_itself() {
        let line = DRAINS.strip_suffix(b"\n").unwrap();
        let read = super::super::message::read(line);
        assert!(matches!(read, Ok(super::super::message::Message::Internal)));
    }
}
