//! The level of a worker's line in JSON is what the line itself says.

use crate::harness::{Runtime, Stream, lines_of};
use serde_json::Value;

const PYTHON: &str = "
import logging
logging.basicConfig(level='DEBUG')
logging.debug('d')
logging.info('i')
logging.warning('w')
logging.error('e')
logging.critical('c')
";

const PYTHON_FIELDS: &str = "
import logging
logging.basicConfig(level='DEBUG', format='%(asctime)s - %(name)s - %(levelname)s - %(message)s')
logging.getLogger('web.db').info('i')
logging.getLogger('web.db').warning('w')
";

const RUBY: &str = "
require 'logger'
log = Logger.new($stderr)
log.debug('d'); log.info('i'); log.warn('w'); log.error('e'); log.fatal('f'); log.unknown('u')
";

const NODE: &str = "console.log('i'); console.error('Error: e'); process.emitWarning('w');";

/// No level, though the words are there.
const PLAIN: &str =
    "echo 'no error was found' >&2; echo 'listening, see the INFO below' >&2; echo error >&2";

/// The stream, the level and the message of each line of a worker, sorted by message.
#[track_caller]
fn levels<const N: usize>(program: [&str; N]) -> Vec<(String, Option<String>, String)> {
    let mut runtime = Runtime::builder()
        .env("RPM_PORTS", "off")
        .env("RPM_RESTART", "never")
        .env("RPM_LOG_FORMAT", "json")
        .env("RPM_LOG_LEVEL", "off")
        .program(program)
        .start();
    assert_eq!(runtime.wait_exit().code(), Some(0), "{}", runtime.shown());
    let lines = lines_of(&runtime.bytes(Stream::Out));
    let parts = lines.iter().map(|line| {
        let value: Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| value[name].as_str().map(str::to_owned);
        (
            text("stream").unwrap(),
            text("level"),
            text("message").unwrap(),
        )
    });
    let mut parts: Vec<_> = parts.collect();
    parts.sort_by(|a, b| a.2.cmp(&b.2));
    parts
}

/// The levels of the lines of stderr that have one, in alphabetical order.
#[track_caller]
fn named<const N: usize>(program: [&str; N]) -> Vec<String> {
    let lines = levels(program);
    assert!(
        lines.iter().all(|(stream, ..)| stream == "stderr"),
        "{lines:#?}"
    );
    let mut named: Vec<String> = lines
        .into_iter()
        .filter_map(|(_, level, _)| level)
        .collect();
    named.sort();
    named
}

#[test]
fn a_level_is_what_the_line_says_and_not_its_stream() {
    let python = "/usr/bin/python3";
    assert_eq!(
        named([python, "-c", PYTHON]),
        ["debug", "error", "fatal", "info", "warn"]
    );
    assert_eq!(named([python, "-c", PYTHON_FIELDS]), ["info", "warn"]);
    assert_eq!(
        named(["ruby", "-e", RUBY]),
        ["debug", "error", "fatal", "info", "warn"]
    );
    let plain = levels(["sh", "-c", PLAIN]);
    assert_eq!(plain.len(), 3);
    assert!(
        plain.iter().all(|(_, level, _)| level.is_none()),
        "{plain:#?}"
    );
    let node = levels(["node", "-e", NODE]);
    let short = |(stream, level, message): &(String, Option<String>, String)| {
        let first = message.split(' ').next().unwrap_or_default();
        let first = first.split(':').next().unwrap_or_default();
        format!("{stream} {} {first}", level.as_deref().unwrap_or("-"))
    };
    assert_eq!(
        node.iter().map(short).collect::<Vec<_>>(),
        // With the warning Node says how to see where it comes from.
        [
            "stderr - (Use",
            "stderr warn (node",
            "stderr error Error",
            "stdout - i"
        ]
    );
}
