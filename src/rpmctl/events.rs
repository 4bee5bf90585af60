//! `rpmctl events`.

use rpm_runtime::control::protocol::{Command, Event};

use super::args::{Events, Globals};
use super::connection::Connection;
use super::exit::Failure;
use super::output::{Output, item};
use super::words::{plain, utc};

pub fn run(globals: &Globals, which: &Events) -> Result<(), Failure> {
    let Events { follow, lines } = *which;
    let command = Command::Events { follow, lines };
    let mut out = Output::new();
    Connection::open(globals)?.stream(command, follow, |raw, more| {
        if globals.json {
            return out.line(&raw.to_string(), more);
        }
        match item::<Event>(raw, false)? {
            Ok(event) => {
                let what = plain(&event.what.to_string());
                out.line(&format!("{}  {what}", utc(event.time)), more)
            }
            Err(lost) => out.lost(lost, "events"),
        }
    })?;
    out.end()
}
